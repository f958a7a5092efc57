/**
 * A real PLC directory in this process (the published server on its in-memory database, on a loopback port of its own), and
 * the misspelt signatures that no directory may take.
 */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import * as rules from '@did-plc/lib'
import { Database, PlcServer } from '@did-plc/server'
import type { Curve } from '../../src/platform/ecdsa.ts'

/**
 * Starts a directory that knows nobody yet. It forgets everything on `close`, which also ends open connections.
 * The listening is done here and not by the server's own `start`, which would answer on every interface of the machine.
 */
export async function startPlcServer(): Promise<{ url: string; close(): Promise<void> }> {
  const plc = PlcServer.create({ db: inMemory() })
  // Idle connections are for whoever asked to give up: a request into one that ends in the same moment would be lost.
  const server = createServer({ keepAliveTimeout: 0 }, plc.app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      await plc.destroy()
    },
  }
}

/**
 * The server's in-memory database, which decides as its database on PostgreSQL does: by the operations in force. Left to itself it would
 * count undone ones too, and take an operation on one of them, which no directory does.
 */
function inMemory(): ReturnType<typeof Database.mock> {
  const db = Database.mock()
  db.validateAndAddOp = async (did, proposed) => {
    const before = db.contents[did] ?? []
    const inForce = before.filter(({ nullified }) => !nullified)
    const { nullified } = await rules.assureValidNextOp(did, inForce, proposed)
    const { cid } = await rules.getLastOpWithCid([proposed])
    for (const one of before) if (nullified.some((undone) => undone.equals(one.cid))) one.nullified = true
    before.push({ did, operation: proposed, cid, nullified: false, createdAt: new Date() })
    db.contents[did] = before
  }
  return db
}

const ORDER = {
  p256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  k256: 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n,
}

/** Other ways to write the same two numbers, and some that are no signature at all. */
export function otherSpellings(curve: Curve, sig: string): Record<string, string> {
  const raw = Buffer.from(sig, 'base64url')
  const s = BigInt(`0x${raw.subarray(32).toString('hex')}`)
  const highS = Buffer.from((ORDER[curve] - s).toString(16).padStart(64, '0'), 'hex')
  const integer = (bytes: Buffer) => {
    const trimmed = bytes.subarray(bytes.findIndex((byte) => byte !== 0))
    const body = (trimmed[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), trimmed]) : trimmed
    return Buffer.concat([Buffer.of(2, body.length), body])
  }
  const numbers = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))])
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return {
    'high S': Buffer.concat([raw.subarray(0, 32), highS]).toString('base64url'),
    DER: Buffer.concat([Buffer.of(0x30, numbers.length), numbers]).toString('base64url'),
    padded: `${sig}==`,
    'in the other alphabet': raw.toString('base64'),
    'ended by a newline': `${sig}\n`,
    'with a newline inside': `${sig.slice(0, 40)}\n${sig.slice(40)}`,
    'with stray bits': sig.slice(0, -1) + alphabet.charAt(alphabet.indexOf(sig.slice(-1)) + 1),
    'a byte short': raw.subarray(0, 63).toString('base64url'),
    'a byte long': Buffer.concat([raw, Buffer.of(0)]).toString('base64url'),
    'all zero': Buffer.alloc(64).toString('base64url'),
    empty: '',
  }
}
