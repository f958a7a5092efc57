/**
 * What stands between Reeve and PostgreSQL and reads along: every connection is handed on as it is, until one is cut at its COMMIT. The wire is
 * that of PostgreSQL's protocol 3: a letter and a length before each message, but for the first one of a connection.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** `before`: the server never sees the COMMIT; `after`: it has carried it out, and its answer never comes. */
export type Cut = 'before' | 'after'

export interface Cutter {
  /** The database, through here. */
  readonly url: string
  /** The next COMMIT that comes along is the last thing on its connection. */
  cutNext(how: Cut): void
  /** How many were cut. */
  cuts(): number
  close(): Promise<void>
}

export async function openCutter(databaseUrl: string): Promise<Cutter> {
  const target = new URL(databaseUrl)
  const sockets = new Set<Socket>()
  let due: Cut | null = null
  let cuts = 0

  const serve = (near: Socket) => {
    const far = connect(Number(target.port || 5432), target.hostname)
    let isCutting = false
    const end = () => {
      near.destroy()
      far.destroy()
    }
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', end)
      socket.on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    const take = messages()
    near.on('data', (chunk: Buffer) => {
      // What came together goes on together.
      const whole = take(chunk)
      const nth = isCutting || due === null ? -1 : whole.findIndex(isCommit)
      if (nth === -1) return void far.write(Buffer.concat(whole))
      isCutting = true
      const how = due
      due = null
      if (how === 'after') return void far.write(Buffer.concat(whole.slice(0, nth + 1)))
      cuts += 1
      end()
    })
    far.on('data', (chunk: Buffer) => {
      if (!isCutting) return void near.write(chunk)
      // The server has spoken after the COMMIT: it is kept.
      cuts += 1
      end()
    })
  }
  const server = createServer(serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const through = new URL(databaseUrl)
  through.hostname = '127.0.0.1'
  through.port = String((server.address() as AddressInfo).port)
  return {
    url: through.href,
    cutNext(how) {
      due = how
    },
    cuts: () => cuts,
    async close() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** Cuts a stream into whole messages, as many as have come. */
function messages(): (chunk: Buffer) => readonly Buffer[] {
  let held = Buffer.alloc(0)
  let isFirst = true
  return (chunk) => {
    held = Buffer.concat([held, chunk])
    const whole: Buffer[] = []
    for (;;) {
      const head = isFirst ? 0 : 1
      if (held.length < head + 4) return whole
      const length = head + held.readUInt32BE(head)
      if (held.length < length) return whole
      whole.push(held.subarray(0, length))
      held = held.subarray(length)
      isFirst = false
    }
  }
}

/** A plain query of the one word. */
const isCommit = (message: Buffer): boolean =>
  message[0] === 'Q'.charCodeAt(0) && /^commit;?\0$/i.test(message.subarray(5).toString('latin1'))
