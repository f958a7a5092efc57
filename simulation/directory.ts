/** A PLC directory that is honest and simple: it takes an operation that goes on from the newest one, and shows the log and the document of each DID. */
import { formatDidDoc, opToData } from '@did-plc/lib'
import { type AnyPlcOperation, cidOf, parsePlcOperation } from '../src/identity/plc-operation.ts'
import type { Called, Host, Said } from './wires.ts'

export const PLC_HOST = 'plc.directory'

interface Entry {
  readonly operation: AnyPlcOperation
  readonly cid: string
  readonly createdAt: string
}

const json = (status: number, body: unknown, contentType = 'application/json'): Said => ({
  ...{ status, contentType },
  body: JSON.stringify(body),
})
const NOT_FOUND = json(404, { message: 'DID not registered' })

export function openDirectory(nowMs: () => number): Host {
  const logs = new Map<string, Entry[]>()
  return ({ method, path, body }: Called): Said => {
    const [, name = '', what = '', more = ''] = path.split('/')
    const did = decodeURIComponent(name)
    const log = logs.get(did) ?? []
    if (method === 'POST') {
      const operation = parsePlcOperation(JSON.parse(body))
      if (!operation) return json(400, { message: 'not an operation' })
      const cid = cidOf(operation)
      if (log.at(-1)?.cid === cid) return json(400, { message: 'known already' })
      const prev = 'prev' in operation ? operation.prev : null
      if ((log.at(-1)?.cid ?? null) !== prev) return json(409, { message: 'goes on from another operation' })
      // No two at one moment, as a directory with a database orders them.
      const atMs = Math.max(nowMs(), Date.parse(log.at(-1)?.createdAt ?? '1970-01-01') + 1)
      logs.set(did, [...log, { operation, cid, createdAt: new Date(atMs).toISOString() }])
      return json(200, {})
    }
    const newest = log.at(-1)
    if (!newest) return NOT_FOUND
    if (what === 'log' && more === 'audit') {
      return json(
        200,
        log.map((entry) => ({ did, ...entry, nullified: false })),
      )
    }
    const data = opToData(did, newest.operation as Parameters<typeof opToData>[1])
    if (!data || what !== '') return NOT_FOUND
    return json(200, formatDidDoc(data), 'application/did+ld+json')
  }
}
