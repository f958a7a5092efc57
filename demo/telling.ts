/** The part of the story in which a syncer hears of what is written, misses something, and notices. */
import { makeKey } from '../test/kit/tokens.ts'
import { blank, chapter, fact, holds, says } from './narrator.ts'
import { accepted, ask, must, type Network } from './network.ts'
import { delegationToken, exchange } from './reader-app.ts'
import {
  announceWrite,
  type Heard,
  type Holding,
  listRepos,
  register,
  type SyncerApp,
  startSyncerApp,
} from './syncer-app.ts'

const HEARD_WITHIN_MS = 10_000
/** Long enough for a notification that must not come to have come. */
const QUIET_MS = 2_500

/** Bob's syncer follows the forum until carol takes bob out. Returns what is left running for her chapter. */
export async function theSyncer(network: Network, community: string, space: string): Promise<SyncerApp> {
  const { alice, bob, carol } = network
  chapter('A syncer asks to hear of every write')
  says(`Records stay in their writers’ own repos. Whoever wants a copy must know who wrote: the host of the space is told by the
    writers’ PDSes, and tells those who asked.`)
  const syncer = await startSyncerApp(network, { space, community })
  const holding = await credentialOf(network, community, space)
  fact('the syncer', syncer.service)
  const { expiresAt } = accepted('registering', await register(network, holding, syncer.service))
  fact('registered until', `${expiresAt}, as long as bob may read the forum`)

  says(`Bob writes, then alice. Their PDSes say so to Reeve (the demo plays that, with the real keys of both accounts), and Reeve
    signs what it hands on with the community’s key.`)
  const revs = revisions()
  must((await announceWrite(network, bob, { community, space, repoRev: revs() })) === 200, 'bob’s write is taken')
  await heardOf(syncer, 1)
  must((await announceWrite(network, alice, { community, space, repoRev: revs() })) === 200, 'alice’s write is taken')
  await heardOf(syncer, 2)
  for (const one of syncer.heard) line(network, one)
  must(syncer.heard[1]?.prevSpaceRev === syncer.heard[0]?.spaceRev, 'each says what came before it')
  holds('each is signed by the community, and says what came before it')

  blank()
  says('Now the syncer loses one: carol writes, and it says that it has it, and hasn’t. Then alice writes again.')
  syncer.loseNext()
  must((await announceWrite(network, carol, { community, space, repoRev: revs() })) === 200, 'carol’s write is taken')
  await lost(network, holding, syncer)
  must((await announceWrite(network, alice, { community, space, repoRev: revs() })) === 200, 'alice’s second is taken')
  await heardOf(syncer, 3)
  const third = syncer.heard[2]
  if (third) line(network, third)
  must(third?.isAfterGap === true && !syncer.copy.has(carol.did), 'the gap is seen')
  holds('what came before it isn’t what the syncer saw last: it has missed something, and knows it')
  const page = accepted('catching up', await listRepos(network, holding, syncer.checkpoint()))
  syncer.takeOver(page)
  must(syncer.copy.has(carol.did) && syncer.copy.size === 3, 'the copy is whole')
  holds(`listRepos from its own checkpoint: ${page.repos.length} repos changed since, carol’s among them`)
  return syncer
}

/** After bob was taken out: his syncer hears nothing more. */
export async function theSyncerAfterwards(network: Network, community: string, space: string, syncer: SyncerApp) {
  const before = syncer.heard.length
  const repoRev = revisions()()
  must((await announceWrite(network, network.alice, { community, space, repoRev })) === 200, 'alice’s third is taken')
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
  must(syncer.heard.length === before, 'the syncer of somebody who is out hears nothing')
  holds('his syncer isn’t told of what alice writes now: it heard by his leave')
  const refused = await announceWrite(network, network.bob, { community, space, repoRev: revisions()() })
  must(refused === 403, 'what bob writes is not taken')
  holds('and what bob writes now is not taken as written in the forum (403)')
  await syncer.close()
}

async function credentialOf(network: Network, community: string, space: string): Promise<Holding> {
  const holder = makeKey('p256')
  const token = await delegationToken(network.bob, community, space)
  const answer = await exchange(network, { token, space, holder, generation: 'october' })
  const { credential } = accepted('the exchange', answer)
  return { credential, holder, space, community }
}

/** Revisions of repos, each later than the one before. */
function revisions(): () => string {
  const alphabet = '234567abcdefghijklmnopqrstuvwxyz'
  let micros = Date.now() * 1000
  return () => {
    micros += 1
    let value = BigInt(micros) << 10n
    let text = ''
    for (let at = 0; at < 13; at++) {
      text = alphabet.charAt(Number(value & 31n)) + text
      value >>= 5n
    }
    return text
  }
}

function line({ alice, bob, carol }: Network, { repo, spaceRev, prevSpaceRev }: Heard): void {
  const who = [alice, bob, carol].find(({ did }) => did === repo)?.handle ?? repo
  fact(spaceRev, `${who} wrote; before it ${prevSpaceRev ?? 'nothing'}`)
}

async function heardOf(syncer: SyncerApp, count: number): Promise<void> {
  const endMs = performance.now() + HEARD_WITHIN_MS
  while (syncer.heard.length < count) {
    must(performance.now() < endMs, 'the syncer is told within seconds')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** Waits until the notification that the syncer loses has come: the desk of the community's admins says how far it was sent. */
async function lost(network: Network, { space }: Holding, syncer: SyncerApp): Promise<void> {
  const endMs = performance.now() + HEARD_WITHIN_MS
  for (;;) {
    const { registrations } = accepted(
      'asking the desk',
      await ask(network, network.alice, 'community.reeve.notify.listRegistrations', { space }),
    )
    const mine = registrations.find(({ service }: { service: string }) => service === syncer.service)
    if (mine?.waiting === 0) return
    must(performance.now() < endMs, 'the notification is sent within seconds')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
