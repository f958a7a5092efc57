/**
 * A disk that takes seven bytes at a time, and has room for so many: loaded before the tool (`--import`), so that all of it writes to this one.
 * A system may do both at any time; on a computer with an empty disk nobody ever sees it.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const AT_ONCE = 7
const writeSync = fs.writeSync
let left = Number(process.env['DISK_BYTES'] ?? Number.POSITIVE_INFINITY)

function writeSome(file: number, data: string | Uint8Array, at?: number | null, length?: number | null): number {
  if (left === 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  const bytes = Buffer.from(data as Uint8Array)
  const count = Math.min(AT_ONCE, left, typeof data === 'string' ? bytes.length : (length ?? bytes.length))
  left -= count
  return writeSync(file, bytes, typeof data === 'string' ? 0 : (at ?? 0), count)
}

fs.writeSync = writeSome as typeof fs.writeSync
syncBuiltinESMExports()
