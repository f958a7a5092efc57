/**
 * A network of its own on this machine: a PLC directory and a PDS as published on npm, four accounts, and Reeve in a process
 * of its own. Nothing in it reaches the internet, and nothing of it is left afterwards.
 */
import { type Account, startPds, type TestPds } from '../test/kit/pds.ts'
import { startPlcServer } from '../test/kit/plc.ts'
import { type ReeveProcess, startReeve } from './reeve-process.ts'

export interface Network {
  readonly plcUrl: string
  readonly pds: TestPds
  readonly reeve: ReeveProcess
  readonly alice: Account
  readonly bob: Account
  readonly carol: Account
  /** The account of a community that stays on its PDS. */
  readonly meadow: Account
}

/** What a server answered. */
export interface Answer {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: the story looks into answers freely, and stops when something isn't there
  readonly body: any
}

/** Starts everything; `cleanup` ends it in the opposite order, also when starting fails half way. */
export async function openNetwork(cleanup: AsyncDisposableStack, options: { isVerbose: boolean }): Promise<Network> {
  const plc = await startPlcServer()
  cleanup.defer(() => plc.close())
  const starting = [startReeve(plc.url, cleanup, options), peopleOn(plc.url, cleanup)] as const
  // Both have come to an end before either's failure is told: whoever cleans up then finds all there is to clean.
  await Promise.allSettled(starting)
  const [reeve, people] = await Promise.all(starting)
  return { plcUrl: plc.url, reeve, ...people }
}

async function peopleOn(plcUrl: string, cleanup: AsyncDisposableStack) {
  const pds = await startPds(plcUrl)
  cleanup.defer(() => pds.close())
  const alice = await pds.createAccount('alice')
  const bob = await pds.createAccount('bob')
  const carol = await pds.createAccount('carol')
  const meadow = await pds.createAccount('meadow')
  return { pds, alice, bob, carol, meadow }
}

/** One of Reeve's methods, called by a person with a service auth token that their PDS made for this one call. */
export async function call(network: Network, who: Account, method: string, input: object): Promise<Answer> {
  const token = await who.serviceAuth(network.reeve.did, method)
  return answerOf(
    await fetch(`${network.reeve.url}/xrpc/${method}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(input),
    }),
  )
}

/** The same for the methods that only look. */
export async function ask(
  network: Network,
  who: Account,
  method: string,
  params: Record<string, string>,
): Promise<Answer> {
  const token = await who.serviceAuth(network.reeve.did, method)
  const url = `${network.reeve.url}/xrpc/${method}?${new URLSearchParams(params)}`
  return answerOf(await fetch(url, { headers: { authorization: `Bearer ${token}` } }))
}

export const answerOf = async (response: Response): Promise<Answer> => ({
  status: response.status,
  body: await response.json(),
})

/** Something answered what the story can't go on from. */
export class Unexpected extends Error {
  override readonly name = 'Unexpected'
}

/** The body of a yes. Of a no, code and message are told, never the request. */
export function accepted(what: string, { status, body }: Answer): Answer['body'] {
  if (status === 200) return body
  throw new Unexpected(`${what} was answered ${status} ${body?.error ?? ''}: ${body?.message ?? 'nothing said'}`)
}

/** The body of the no that the story expects. A yes here would be a hole in Reeve. */
export function refusedAs(what: string, status: number, code: string, answer: Answer): { message: string } {
  if (answer.status === status && answer.body.error === code) return answer.body
  const got = answer.status === 200 ? 'a yes' : `${answer.status} ${answer.body?.error ?? ''}`
  throw new Unexpected(`${what} should have been refused with ${status} ${code}, and got ${got}`)
}

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Unexpected(`this does not hold: ${what}`)
}
