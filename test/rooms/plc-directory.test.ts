/** The client against a real directory, and against servers that stall, break, lie or answer for somebody else. */
import { createHook } from 'node:async_hooks'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { P256Keypair } from '@atproto/crypto'
import * as plc from '@did-plc/lib'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openPlcDirectory, type PlcDirectory, UntrustedPlcLog } from '../../src/identity/plc-directory.ts'
import { PLC_CHECKS_BETWEEN_RESTS } from '../../src/identity/plc-log.ts'
import { cidOf, didOf, type PlcOperation } from '../../src/identity/plc-operation.ts'
import { type Did, parseDid } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Outbound, openOutbound } from '../../src/platform/outbound.ts'
import { Unavailable } from '../../src/refusals.ts'
import { startPlcServer } from '../kit/plc.ts'

const recovery = await P256Keypair.create()
const ours = await P256Keypair.create()

/** A fresh community each time: only its name differs. */
async function genesisOf(name: string): Promise<{ did: Did; operation: PlcOperation }> {
  const operation = await plc.signOperation(
    {
      type: 'plc_operation',
      rotationKeys: [recovery.did(), ours.did()],
      verificationMethods: { atproto: ours.did(), atproto_space: recovery.did() },
      alsoKnownAs: [`at://${name}.example.com`],
      services: { atproto_space_host: { type: 'AtprotoSpaceHost', endpoint: 'https://reeve.example.com' } },
      prev: null,
    },
    ours,
  )
  return { did: didOf(operation), operation }
}

const update = (last: PlcOperation, by = ours) =>
  plc.createUpdateOp(last, by, (now) => ({ ...now, alsoKnownAs: [...now.alsoKnownAs, 'at://second.example.com'] }))

/** What a call threw, as the part of it that callers may rely on. */
async function failureOf(call: Promise<unknown>): Promise<Unavailable> {
  const error = await call.then(
    (value) => new Error(`it answered ${JSON.stringify(value)}`),
    (thrown: unknown) => thrown,
  )
  if (error instanceof Unavailable) return error
  throw error
}

describe('beside a real directory', () => {
  let server: Awaited<ReturnType<typeof startPlcServer>>
  let outbound: Outbound
  let directory: PlcDirectory
  beforeAll(async () => {
    server = await startPlcServer()
    outbound = outboundTo(server.url)
    directory = openPlcDirectory({ plcUrl: server.url, outbound })
  })
  afterAll(async () => {
    await outbound.close()
    await server.close()
  })

  it('a first operation is taken and read back verified', async () => {
    const { did, operation } = await genesisOf('first')
    expect(await directory.submit(did, operation)).toBe('accepted')
    const log = await directory.readLog(did)
    expect(log).toMatchObject({
      did,
      head: { cid: cidOf(operation), operation, signer: ours.did(), nullified: false },
      ops: [{ operation }],
    })
  })

  it('a recovery by the mightier key shows what it undid', async () => {
    const { did, operation } = await genesisOf('recovered')
    await directory.submit(did, operation)
    const disputed = await update(operation)
    expect(await directory.submit(did, disputed)).toBe('accepted')
    const recovered = await plc.createUpdateOp(operation, recovery, (now) => ({ ...now, alsoKnownAs: [] }))
    expect(await directory.submit(did, recovered)).toBe('accepted')
    const log = await directory.readLog(did)
    expect(log?.head).toMatchObject({ cid: cidOf(recovered), signer: recovery.did() })
    expect(log?.ops.map(({ nullified }) => nullified)).toEqual([false, true, false])
  })

  it('a DID that nobody registered has no log', async () => {
    const { did } = await genesisOf('never-sent')
    expect(await directory.readLog(did)).toBeNull()
  })

  it('the same operation a second time is refused, and the log still has it once', async () => {
    const { did, operation } = await genesisOf('twice')
    expect(await directory.submit(did, operation)).toBe('accepted')
    expect(await directory.submit(did, operation)).toEqual({ refused: 'rejected' })
    expect((await directory.readLog(did))?.ops).toHaveLength(1)
  })

  it('an operation by a key that is not listed is refused and leaves the log as it was', async () => {
    const { did, operation } = await genesisOf('stolen')
    await directory.submit(did, operation)
    const hostile = await update(operation, await P256Keypair.create())
    expect(await directory.submit(did, hostile)).toEqual({ refused: 'rejected' })
    expect((await directory.readLog(did))?.head.cid).toBe(cidOf(operation))
  })

  it('garbage is refused', async () => {
    const { did, operation } = await genesisOf('garbage')
    expect(await directory.submit(did, { ...operation, sig: 'A'.repeat(86) })).toEqual({ refused: 'rejected' })
    expect(await directory.submit(did, { ...operation, rotationKeys: ['garbage'] })).toEqual({ refused: 'rejected' })
    expect(await directory.readLog(did)).toBeNull()
  })

  it('a first operation of another DID is refused', async () => {
    const { operation } = await genesisOf('mine')
    const { did } = await genesisOf('yours')
    expect(await directory.submit(did, operation)).toEqual({ refused: 'rejected' })
    expect(await directory.readLog(did)).toBeNull()
  })

  it('a slash at the end of the address changes nothing', async () => {
    const { did, operation } = await genesisOf('slash')
    const slashed = openPlcDirectory({ plcUrl: `${server.url}/`, outbound })
    expect(await slashed.submit(did, operation)).toBe('accepted')
    expect((await slashed.readLog(did))?.head.cid).toBe(cidOf(operation))
  })
})

describe('beside a directory that fails', () => {
  const closing: (() => Promise<void>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })

  /** A client of a server that answers as it is told. Its patience is cut to `timeoutMs`, so that a stall is a short one. */
  async function directoryThat(answer: RequestListener, timeoutMs = 20_000): Promise<PlcDirectory> {
    const server = createServer(answer)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const outbound = outboundTo(url)
    closing.push(async () => {
      server.closeAllConnections()
      server.close()
      await outbound.close()
    })
    return openPlcDirectory({
      plcUrl: url,
      outbound: {
        request: (ask) => outbound.request({ ...ask, timeoutMs: Math.min(ask.timeoutMs, timeoutMs) }),
        mayCall: (target) => outbound.mayCall(target),
        close: () => outbound.close(),
      },
    })
  }
  const serving = (status: number, value: unknown, type = 'application/json'): RequestListener => {
    const body = typeof value === 'string' ? value : JSON.stringify(value)
    return (_, response) => void response.writeHead(status, { 'content-type': type }).end(body)
  }
  const entryOf = (did: string, operation: PlcOperation, more: object = {}) => ({
    did,
    operation,
    cid: cidOf(operation),
    nullified: false,
    createdAt: '2026-01-01T00:00:00.000Z',
    ...more,
  })

  it('a stall is a time-out, for both questions', async () => {
    const { did, operation } = await genesisOf('stall')
    const directory = await directoryThat(() => {}, 200)
    expect(await failureOf(directory.submit(did, operation))).toMatchObject({ code: 'UpstreamTimeout' })
    expect(await failureOf(directory.readLog(did))).toMatchObject({ code: 'UpstreamTimeout' })
  })

  it('an answer that stops in its middle is a time-out and no shorter log', async () => {
    const { did, operation } = await genesisOf('half')
    const directory = await directoryThat((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write(JSON.stringify([entryOf(did, operation)]))
    }, 200)
    expect(await failureOf(directory.readLog(did))).toMatchObject({ code: 'UpstreamTimeout' })
  })

  it('a connection cut after the operation was sent is no answer', async () => {
    const { did, operation } = await genesisOf('cut')
    const received: string[] = []
    const directory = await directoryThat((request, response) => {
      request.setEncoding('utf8').on('data', (chunk: string) => received.push(chunk))
      request.on('end', () => response.destroy())
    })
    expect(await failureOf(directory.submit(did, operation))).toMatchObject({ code: 'UpstreamFailure' })
    expect(JSON.parse(received.join(''))).toEqual(operation)
  })

  it('a closed port is no answer', async () => {
    const { did, operation } = await genesisOf('closed')
    const server = await startPlcServer()
    const outbound = outboundTo(server.url)
    closing.push(() => outbound.close())
    await server.close()
    const directory = openPlcDirectory({ plcUrl: server.url, outbound })
    expect(await failureOf(directory.submit(did, operation))).toMatchObject({ code: 'UpstreamFailure' })
  })

  for (const status of [500, 502, 503, 429, 404, 301]) {
    it(`a ${status} to an operation is no verdict on it`, async () => {
      const { did, operation } = await genesisOf(`status-${status}`)
      const directory = await directoryThat(serving(status, { message: 'sorry' }))
      const failure = await failureOf(directory.submit(did, operation))
      expect(failure).toMatchObject({ code: 'UpstreamFailure', what: 'plc-directory' })
    })
  }

  it('a conflict is told apart from a refusal', async () => {
    const { did, operation } = await genesisOf('conflict')
    const directory = await directoryThat(serving(409, { message: 'Proposed prev does not match' }))
    expect(await directory.submit(did, operation)).toEqual({ refused: 'conflict' })
  })

  it('a 500 to a reader is no log', async () => {
    const { did } = await genesisOf('read-500')
    const directory = await directoryThat(serving(500, { message: 'Internal Server Error' }))
    const failure = await failureOf(directory.readLog(did))
    expect(failure).toMatchObject({ code: 'UpstreamFailure' })
    expect(failure).not.toBeInstanceOf(UntrustedPlcLog)
  })

  it('a 404 that is not the directory speaking does not mean that a DID is free', async () => {
    const { did } = await genesisOf('wrong-door')
    const directory = await directoryThat(serving(404, '<h1>Not Found</h1>', 'text/html'))
    expect(await failureOf(directory.readLog(did))).toMatchObject({ code: 'UpstreamFailure' })
  })

  it('a log of another type, or beyond the size of any log, is none', async () => {
    const { did, operation } = await genesisOf('type')
    const log = JSON.stringify([entryOf(did, operation)])
    const typed = await directoryThat(serving(200, log, 'text/html'))
    expect(await failureOf(typed.readLog(did))).toMatchObject({ code: 'UpstreamFailure' })
    const huge = await directoryThat(serving(200, log + ' '.repeat(1024 * 1024)))
    const failure = await failureOf(huge.readLog(did))
    expect(failure).toBeInstanceOf(UntrustedPlcLog)
    expect(failure).toMatchObject({ code: 'UpstreamFailure', fault: 'too-many-bytes' })
  })

  it("another DID's log, or another first operation under this name, is a lie", async () => {
    const { did } = await genesisOf('asked')
    const other = await genesisOf('answered')
    const theirs = await directoryThat(serving(200, [entryOf(other.did, other.operation)]))
    expect(await failureOf(theirs.readLog(did))).toMatchObject({ fault: 'other-did', at: 0 })
    const renamed = await directoryThat(serving(200, [entryOf(did, other.operation)]))
    const failure = await failureOf(renamed.readLog(did))
    expect(failure).toBeInstanceOf(UntrustedPlcLog)
    expect(failure).toMatchObject({ code: 'UpstreamFailure', what: 'plc-log', fault: 'did-mismatch', at: 0 })
  })

  it('a log that does not hold, is empty or is not JSON is a lie', async () => {
    const { did, operation } = await genesisOf('lies')
    const faultOf = async (answer: unknown) => {
      const directory = await directoryThat(serving(200, answer))
      const failure = await failureOf(directory.readLog(did))
      return failure instanceof UntrustedPlcLog ? failure.fault : failure.code
    }
    expect(await faultOf([entryOf(did, operation, { nullified: true })])).toBe('nullified-flag')
    expect(await faultOf([])).toBe('empty-log')
    expect(await faultOf('not json')).toBe('not-a-log')
    expect(await faultOf({ message: 'DID not registered' })).toBe('not-a-log')
    expect(await faultOf('['.repeat(500_000))).toBe('not-a-log')
    expect(await faultOf('[{"a":'.repeat(50_000))).toBe('not-a-log')
  })

  it('a log that is as much work as a log may be keeps nobody else waiting for its end', async () => {
    // Ten keys, and the last of them signs each of a hundred operations.
    const keys = [...(await Promise.all(Array.from({ length: 9 }, () => P256Keypair.create()))), ours]
    const rotationKeys = keys.map((key) => key.did())
    let { did, operation: last } = { did: '' as Did, operation: null as PlcOperation | null }
    const log: object[] = []
    for (let at = 0; at < 100; at++) {
      const prev: string | null = last && cidOf(last)
      const unsigned = { verificationMethods: {}, alsoKnownAs: [`at://n${at}.example.com`], services: {}, prev }
      last = await plc.signOperation({ type: 'plc_operation', rotationKeys, ...unsigned }, ours)
      did ||= didOf(last)
      log.push(entryOf(did, last, { createdAt: new Date(Date.UTC(2026, 0, 1) + at).toISOString() }))
    }
    const directory = await directoryThat(serving(200, log))
    // Whoever rests on a timer lets everybody else have their turn first. A few timers are the door's own.
    let timers = 0
    const hook = createHook({ init: (_id, type) => void (type === 'Timeout' && timers++) }).enable()
    const read = await directory.readLog(did).finally(() => hook.disable())
    expect(read?.ops).toHaveLength(100)
    const checks = 100 * keys.length
    expect(timers).toBeGreaterThanOrEqual(checks / (PLC_CHECKS_BETWEEN_RESTS + keys.length))
  })

  it('the DID is escaped in the path, and what failed never names the address', async () => {
    const did = parseDid('did:web:localhost%3A4000')
    if (!did) throw new Error('not a DID')
    const asked: (string | undefined)[] = []
    const directory = await directoryThat((request, response) => {
      asked.push(request.url)
      response.writeHead(500).end()
    })
    const failure = await failureOf(directory.readLog(did))
    expect(asked).toEqual(['/did%3Aweb%3Alocalhost%253A4000/log/audit'])
    expect(failure.message).toBe('UpstreamFailure: plc-directory')
  })
})

function outboundTo(url: string): Outbound {
  return openOutbound({ clock: systemClock, trustedOrigins: [url], ownHosts: [], allowLoopback: false })
}
