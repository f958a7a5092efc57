/** A name server on loopback that says whatever a hostile one could: other answers each time, loops, silence, too much. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'

export interface Told {
  readonly ipv4?: readonly string[]
  readonly ipv6?: readonly string[]
  /** Texts, each in one piece or in several. */
  readonly txt?: readonly (string | readonly string[])[]
  /** The name is said to be another name of this one, with no address beside it. */
  readonly cname?: string
  /** 2 = SERVFAIL, 3 = no such name, 5 = refused. */
  readonly rcode?: number
  readonly delayMs?: number
}

export interface NameServer {
  /** `address:port`. */
  readonly address: string
  /** Every question, as `A forum.org`, `AAAA forum.org` or `TXT forum.org`, in order. */
  readonly asked: readonly string[]
  close(): Promise<void>
}

const TYPE = { A: 1, CNAME: 5, TXT: 16, AAAA: 28 } as const
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(TYPE).map(([name, type]) => [type, name]))

/** Answers each question by `answer`; null is silence. */
export async function startNameServer(answer: (host: string, nth: number) => Told | null): Promise<NameServer> {
  const socket = createSocket('udp4')
  const asked: string[] = []
  const timers = new Set<NodeJS.Timeout>()
  const times = new Map<string, number>()
  socket.on('message', (query, from) => {
    const { host, question, type } = questionOf(query)
    asked.push(`${NAMES.get(type) ?? type} ${host}`)
    // The two questions of one lookup are answered alike: they count as one.
    const key = `${host} ${type}`
    const nth = times.get(key) ?? 0
    times.set(key, nth + 1)
    const told = answer(host, nth)
    if (!told) return
    const send = () => socket.send(replyTo(query, question, type, told), from.port, from.address)
    if (!told.delayMs) return send()
    const timer = setTimeout(() => {
      timers.delete(timer)
      send()
    }, told.delayMs)
    timers.add(timer)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    close() {
      for (const timer of timers) clearTimeout(timer)
      return new Promise<void>((resolve) => socket.close(() => resolve()))
    },
  }
}

function questionOf(query: Buffer): { host: string; question: Buffer; type: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.subarray(at + 1, at + 1 + length).toString())
    at += 1 + length
  }
  return { host: labels.join('.'), question: query.subarray(12, at + 5), type: query.readUInt16BE(at + 1) }
}

function replyTo(query: Buffer, question: Buffer, type: number, told: Told): Buffer {
  const records = recordsOf(type, told)
  if (told.cname !== undefined) records.unshift(record(TYPE.CNAME, nameBytes(told.cname)))
  const header = Buffer.alloc(12)
  query.copy(header, 0, 0, 2)
  header.writeUInt16BE(0x8180 | (told.rcode ?? 0), 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(records.length, 6)
  return Buffer.concat([header, question, ...records])
}

function recordsOf(type: number, told: Told): Buffer[] {
  if (type === TYPE.TXT) return (told.txt ?? []).map((text) => record(type, textBytes(text)))
  const addresses = (type === TYPE.A ? told.ipv4 : told.ipv6) ?? []
  return addresses.map((address) => record(type, addressBytes(address)))
}

/** A pointer to the question's name, the type, class IN, no time to live, the length, the data. */
const record = (type: number, data: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, data.length >> 8, data.length & 0xff]), data])

/** Pieces of at most 255 bytes, each behind its length. */
function textBytes(text: string | readonly string[]): Buffer {
  const pieces = [text].flat().map((piece) => Buffer.from(piece))
  return Buffer.concat(pieces.flatMap((piece) => [Buffer.from([piece.length]), piece]))
}

const nameBytes = (name: string): Buffer =>
  Buffer.concat([
    ...name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0]),
  ])

/** An IPv4 address, or an IPv6 address with all of its eight groups written out. */
const addressBytes = (address: string): Buffer =>
  address.includes(':')
    ? Buffer.from(
        address
          .split(':')
          .map((group) => group.padStart(4, '0'))
          .join(''),
        'hex',
      )
    : Buffer.from(address.split('.').map(Number))
