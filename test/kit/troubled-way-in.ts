/**
 * The way into a server of this process, on which requests get lost: before they are heard, or with their answers, and some are kept waiting.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'

type Listener = (incoming: IncomingMessage, outgoing: ServerResponse) => void

export interface WayInTrouble {
  /** The path alone, without its query. */
  readonly path: string
  /**
   * A status, as a proxy before the server answers it; an answer in place of the server's; or none: the connection is cut, or stays open and
   * silent.
   */
  readonly how: number | 'cut' | 'hang' | { readonly says: object }
  readonly times?: number
  /** The server hears it and does what it does, and only its answer is lost. */
  readonly isDone?: boolean
}

export interface Held {
  /** Resolves when the first of them waits. */
  readonly arrived: Promise<void>
  release(): void
}

export interface TroubledWayIn {
  readonly listener: Listener
  troubled(trouble: WayInTrouble): void
  hold(path: string): Held
}

export function troubledWayIn(server: Listener): TroubledWayIn {
  const troubles: { trouble: WayInTrouble; left: number }[] = []
  const holds = new Map<string, { released: Promise<void>; arrive(): void }>()

  const take = (path: string): WayInTrouble | null => {
    const at = troubles.findIndex(({ trouble }) => trouble.path === path)
    const found = troubles[at]
    if (!found) return null
    found.left -= 1
    if (found.left === 0) troubles.splice(at, 1)
    return found.trouble
  }
  const go: Listener = (incoming, outgoing) => {
    const trouble = take(pathOf(incoming))
    if (trouble?.isDone) server(incoming, withoutAnswer(outgoing, trouble))
    else if (trouble) spoil(outgoing, trouble)
    else server(incoming, outgoing)
  }
  return {
    listener(incoming, outgoing) {
      const hold = holds.get(pathOf(incoming))
      if (!hold) return go(incoming, outgoing)
      hold.arrive()
      void hold.released.then(() => go(incoming, outgoing))
    },
    troubled: (trouble) => void troubles.push({ trouble, left: trouble.times ?? 1 }),
    hold(path) {
      const { promise: released, resolve: release } = Promise.withResolvers<void>()
      const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>()
      holds.set(path, { released, arrive })
      return {
        arrived,
        release() {
          holds.delete(path)
          release()
        },
      }
    },
  }
}

const pathOf = ({ url = '' }: IncomingMessage): string => url.split('?')[0] ?? ''

function spoil(outgoing: ServerResponse, { how }: WayInTrouble): void {
  if (how === 'cut') outgoing.destroy()
  if (typeof how === 'number') outgoing.writeHead(how).end()
  if (typeof how === 'object')
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(how.says))
}

/** The same response for the server, of which nothing leaves the house. */
function withoutAnswer(outgoing: ServerResponse, trouble: WayInTrouble): ServerResponse {
  const { writeHead, end } = outgoing
  outgoing.writeHead = () => outgoing
  outgoing.write = () => true
  outgoing.end = () => {
    Object.assign(outgoing, { writeHead, end })
    // What the server had to say in headers is as lost as the rest.
    for (const name of outgoing.getHeaderNames()) outgoing.removeHeader(name)
    spoil(outgoing, trouble)
    return outgoing
  }
  return outgoing
}
