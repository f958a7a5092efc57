/** The table of doors as a text that people review: a change of who may knock, or of what may leave, is a change there. */
import { it } from 'vitest'
import { type Door, refusalsOf } from '../../src/doors/door.ts'
import { STATUS_OF_REFUSAL } from '../../src/doors/refusal-to-http.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import type { RefusalCode } from '../../src/refusals.ts'
import { expectGolden } from '../kit/golden.ts'

const statusOf = (code: string): string =>
  code in STATUS_OF_REFUSAL ? String(STATUS_OF_REFUSAL[code as RefusalCode]) : '---'

function entryOf(door: Door): string {
  const verb = door.method.type === 'procedure' ? 'POST' : 'GET'
  const size = door.bodyMaxBytes === 0 ? 'no body' : `${door.bodyMaxBytes} bytes`
  const head = [door.method.nsid, verb, door.knock, size, door.bucket].join(' · ')
  const byStatus = Map.groupBy([...refusalsOf(door)].sort(), statusOf)
  const lines = [...byStatus.keys()].sort().map((status) => `  ${status}  ${byStatus.get(status)?.join(' ')}`)
  return `${head}\n${lines.join('\n')}\n`
}

it('keeps to the reviewed table: method, verb, knock, size, bucket, and what may leave (--- is a name we never send)', () => {
  expectGolden('doors.txt', DOORS.map(entryOf).join('\n'))
})
