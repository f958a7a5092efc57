/** Names that lead nowhere or where nobody may go, and hosts that take a connection and misuse it. */

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Did } from '../../src/names.ts'
import { startNameServer, type Told } from '../../test/kit/name-server.ts'
import { freePort } from '../../test/kit/ports.ts'
import { freshJti, makeKey } from '../../test/kit/tokens.ts'
import { type Row, underLoad } from '../row.ts'
import { exchangeBy, type Stage } from '../stage.ts'

/** Three seconds for a document, and a second try at most. */
const ANSWERED_MAX_MS = 20_000
const LOOK_MS = 5
const LOOPBACK = '127.0.0.66'
const MAIN = fileURLToPath(new URL('../named-reeve.ts', import.meta.url))

/** Addresses that nobody may be sent to, of a kind each. */
const PRIVATE = ['10.66.7.1', '172.16.66.7', '192.168.66.7', '169.254.169.254', '100.64.66.7', LOOPBACK]
const MANY = Array.from({ length: 100 }, (_, nth) => `10.66.8.${nth}`)

/** What is answered about a name, by the first label of it; null is silence. */
const NAMES: Readonly<Record<string, (nth: number) => Told | null>> = {
  'no-such-name': () => ({ rcode: 3 }),
  'server-fails': () => ({ rcode: 2 }),
  refused: () => ({ rcode: 5 }),
  silent: () => null,
  private: () => ({ ipv4: [PRIVATE[0] ?? ''] }),
  metadata: () => ({ ipv4: ['169.254.169.254'] }),
  loopback: () => ({ ipv4: [LOOPBACK] }),
  'private-v6': () => ({ ipv6: ['fd00:0066:0000:0000:0000:0000:0000:0001'] }),
  alternating: (nth) => ({ ipv4: [PRIVATE[nth % PRIVATE.length] ?? ''] }),
  'a-hundred': () => ({ ipv4: MANY }),
  'no-address': () => ({ ipv4: [] }),
  'another-name': () => ({ cname: 'localhost' }),
}

type Host = (socket: Socket) => void

const answering = (body: string, more = '') =>
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n${more}content-length: ${body.length + 100}\r\n\r\n${body}`

/** What a host does with a connection. */
const HOSTS: Readonly<Record<string, Host>> = {
  'takes it and says nothing': () => {},
  'a byte a second': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n')
    const timer = setInterval(() => socket.write(' '), 1_000)
    socket.on('close', () => clearInterval(timer))
  },
  'headers without end': (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => socket.write(`x-${freshJti()}: ${'x'.repeat(1_000)}\r\n`), 5)
    socket.on('close', () => clearInterval(timer))
  },
  'resets it within its answer': (socket) => {
    socket.once('data', () => {
      socket.write(answering('{"id":'))
      setTimeout(() => socket.resetAndDestroy(), 20)
    })
  },
  'ends it within its answer': (socket) => void socket.once('data', () => socket.end(answering('{"id":'))),
  'resets it at once': (socket) => socket.resetAndDestroy(),
  'speaks no HTTP': (socket) => void socket.end('220 mail.example.org ESMTP\r\n'),
  'sends elsewhere': (socket) =>
    void socket.once('data', () =>
      socket.end('HTTP/1.1 302 Found\r\nlocation: http://10.66.7.1/\r\ncontent-length: 0\r\n\r\n'),
    ),
}

async function startHost(host: Host): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.resume()
    host(socket)
  })
  server.listen(0, 'localhost')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** Watches for connections, begun or made, to an address that nobody may be sent to. */
async function watchSockets(): Promise<{ readonly seen: Set<string>; close(): void }> {
  const seen = new Set<string>()
  // What is refused at once is in no table: where this process may, it takes the connections to loopback itself.
  const loopback = createServer((socket) => {
    seen.add(LOOPBACK)
    socket.destroy()
  })
  loopback.on('error', () => {})
  loopback.listen(443, LOOPBACK)
  const wanted = new Map([...PRIVATE, ...MANY].map((address) => [hexOf(address), address]))
  const timer = setInterval(() => {
    for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
      const remote = line.trim().split(/\s+/)[2]?.split(':')[0] ?? ''
      const address = wanted.get(remote)
      if (address) seen.add(address)
    }
  }, LOOK_MS)
  return {
    seen,
    close() {
      clearInterval(timer)
      loopback.close()
    },
  }
}

/** As Linux writes an IPv4 address in its tables: the last byte first. */
const hexOf = (address: string): string =>
  address
    .split('.')
    .toReversed()
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('')
    .toUpperCase()

/** Somebody whose DID is at a host asks for a credential. */
async function askFrom(stage: Stage, host: string) {
  const person = { did: `did:web:${host}` as Did, key: makeKey('k256') }
  return stage.send(exchangeBy(stage, person, stage.hall), person.did)
}

export const network: Row = {
  name: 'network',
  does: `DIDs of hosts whose names are answered in ${Object.keys(NAMES).length} bad ways, or that misuse a connection in ${Object.keys(HOSTS).length + 1}`,
  holds:
    'who asks is told by name, in bounded time; no connection to a private address is ever begun, as the system’s own table of connections shows; nobody else waits',
  engines: ['embedded', 'postgres'],
  leftOut: () => (process.platform === 'linux' ? null : 'only Linux shows every connection'),
  run: async (tried) => {
    const names = await startNameServer((host, nth) => NAMES[host.split('.')[0] ?? '']?.(nth) ?? { rcode: 3 })
    const watched = await watchSockets()
    try {
      const environment = { FAULTS_NAME_SERVER: names.address }
      return await underLoad(tried, { environment, place: { main: MAIN } }, async (stage, load, notebook) => {
        let longestMs = 0
        const ask = async (says: string, host: string) => {
          const before = load.total()
          const { says: told, tookMs } = await askFrom(stage, host)
          longestMs = Math.max(longestMs, tookMs)
          notebook.expectThat(/^(?:400|401|50[234]) \w+/.test(told), `${says}: told as ${told}`)
          notebook.expectThat(tookMs < ANSWERED_MAX_MS, `${says}: it took ${Math.round(tookMs)} ms`)
          if (tookMs > 1_000) notebook.expectThat(load.total() > before, `${says}: everybody waited`)
          notebook.times += 1
        }
        for (const label of Object.keys(NAMES)) {
          for (let nth = 0; nth < (label === 'alternating' ? PRIVATE.length : 1); nth++)
            await ask(label, `${label}.n${nth}.reeve-faults.org`)
        }
        for (const [says, behaviour] of Object.entries(HOSTS)) {
          const host = await startHost(behaviour)
          await ask(says, `localhost%3A${host.port}`)
          await host.close()
        }
        await ask('nobody listens', `localhost%3A${await freePort()}`)
        const asked = names.asked.filter((question) => question.includes('reeve-faults.org')).length
        notebook.expectThat(asked >= Object.keys(NAMES).length, `only ${asked} questions came to the name server`)
        for (const address of watched.seen) notebook.faults.push(`private: a connection to ${address} was begun`)
        Object.assign(notebook.notes, { 'questions about names': asked, 'longest ms': Math.round(longestMs) })
        notebook.notes['connections to private addresses'] = watched.seen.size
      })
    } finally {
      watched.close()
      await names.close()
    }
  },
}
