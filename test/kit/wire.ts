/** A connection with nothing between the test and the bytes: for requests that no HTTP client would send. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface Wire {
  readonly socket: Socket
  write(text: string | Uint8Array): void
  /** Everything that came so far. */
  received(): string
  /** Resolves when the server has ended or cut the connection, with everything that came. */
  closed(): Promise<string>
  /** Resolves as soon as what came matches. Rejects when the connection ends without. */
  until(pattern: RegExp): Promise<string>
}

/** Connects to the server at `url`; a server that takes no connection has closed this one. */
export async function openWire(url: string): Promise<Wire> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  let text = ''
  socket.setEncoding('utf8')
  socket.on('data', (chunk: string) => {
    text += chunk
  })
  // A server that cuts is what some tests wait for.
  socket.on('error', () => {})
  const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await Promise.race([once(socket, 'connect').catch(() => {}), ended])
  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    received: () => text,
    async closed() {
      await ended
      return text
    },
    async until(pattern) {
      while (!pattern.test(text)) {
        if (socket.closed) throw new Error(`the connection ended without ${pattern}: ${JSON.stringify(text)}`)
        await Promise.race([once(socket, 'data').catch(() => {}), ended])
      }
      return text
    },
  }
}

/** The status of the answer at the start of `text`; 0 when there is none. */
export const statusOf = (text: string): number => Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0)
