/**
 * The first credential, told from beginning to end on a network of its own: `npm run demo`.
 *
 * Every line it prints was checked before it was printed; the first answer that is not as told ends it with exit code 1.
 * `--stay` leaves everything running and says how to call it; `--verbose` shows Reeve's own log between the lines.
 */
import { base64Url, makeKey, signBytes } from '../test/kit/tokens.ts'
import { theMeadow } from './deciding.ts'
import { type AuditEntry, didDocument, provenHistory, verifyChain, verifyCredential } from './independent-verifier.ts'
import { blank, chapter, fact, holds, refused, says, title } from './narrator.ts'
import { accepted, answerOf, ask, call, must, type Network, refusedAs } from './network.ts'
import { delegationToken, exchange } from './reader-app.ts'
import { play } from './stage.ts'
import { theSyncer, theSyncerAfterwards } from './telling.ts'

const SEALED_WITHIN_MS = 10_000
/** How often each act of the story stands in the log. */
const KEPT: readonly (readonly [string, number])[] = [
  ['community.mint', 1],
  ['space.create', 2],
  ['member.put', 3],
  ['credential.issue', 3],
  ['notify.register', 1],
  // A repo's first write in a space is kept, not each of them.
  ['write.admit', 3],
  ['member.remove', 1],
  ['notify.end', 1],
]

/** The story. Returns the community's DID and the forum's URI. */
async function tell(network: Network): Promise<{ did: string; forum: string }> {
  theNetwork(network)
  const founded = await founding(network)
  const forum = await makingASpace(network, founded.did)
  await lettingBobIn(network, forum)
  const spent = await theCredentials(network, founded.did, forum)
  await whoIsRefused(network, founded.did, forum, spent)
  await theModerators(network, founded.did, forum)
  const syncer = await theSyncer(network, founded.did, forum)
  await bobLeaves(network, founded.did, forum)
  await theSyncerAfterwards(network, founded.did, forum, syncer)
  await theMeadow(network)
  const rows = await whatWasKept(network, founded.did)
  inShort(founded.did, rows)
  return { did: founded.did, forum }
}

function theNetwork({ plcUrl, pds, reeve, alice, bob, carol }: Network): void {
  chapter('A network on this machine')
  fact('PLC directory', `${plcUrl}  (the published server, in memory)`)
  fact('PDS', `${pds.url}  (the published server)`)
  fact('Reeve', `${reeve.url}  (process ${reeve.pid}, embedded database)`)
  fact('Reeve’s DID', reeve.did)
  for (const person of [alice, bob, carol]) fact(person.handle, person.did)
}

async function founding(network: Network): Promise<{ did: string }> {
  const { alice, reeve, plcUrl } = network
  const method = 'community.reeve.community.mint'
  chapter('Alice founds a community')
  says('First she makes a recovery key. Reeve never sees its private half: it gets a signature that proves she has it.')
  const recovery = makeKey('p256')
  const statement = ['reeve-recovery-v1', alice.did, reeve.did, recovery.didKey].join('\n')
  const proof = base64Url(signBytes(recovery, statement))
  says(`Her PDS gives her a service auth token, good once, for a minute, for ${method} only. With it she calls Reeve.`)
  const custody = { $type: `${method}#memberHeld`, recoveryKey: recovery.didKey, proof }
  const founded = accepted('founding', await call(network, alice, method, { name: 'Gardeners', custody }))
  must(founded.status === 'active', 'the founding is finished')
  fact('the community', founded.did)

  const history = await provenHistory(plcUrl, founded.did)
  const [first] = history
  must(history.length === 1 && first !== undefined, 'the directory holds one operation for it')
  const [highest, lowest, ...others] = first?.rotationKeys ?? []
  must(highest === recovery.didKey && lowest !== undefined && others.length === 0, 'the recovery key ranks first')
  says('The PLC directory holds it. Whoever stands higher in its list of rotation keys can overrule who stands lower:')
  fact('rotation key 1', `${highest}  (alice’s)`)
  fact('rotation key 2', `${lowest}  (Reeve’s)`)
  holds('so alice can take the community away from this Reeve, and this Reeve can’t take it away from her')
  says('Its DID document sends apps and hosts to this Reeve:')
  const { service } = await didDocument(plcUrl, founded.did)
  for (const { id, type, serviceEndpoint } of service)
    fact(id.replace(founded.did, ''), `${type} at ${serviceEndpoint}`)
  return founded
}

async function makingASpace(network: Network, community: string): Promise<string> {
  chapter('She makes a space in it: a forum that only members can read')
  const input = { community, spaceType: 'com.atmoboards.forum', skey: 'main', name: 'Allotments' }
  const made = accepted('making a space', await call(network, network.alice, 'community.reeve.space.create', input))
  fact('the space', made.uri)
  return made.uri
}

async function lettingBobIn(network: Network, forum: string): Promise<void> {
  const { alice, bob, reeve } = network
  chapter('She lets bob in, through her PDS')
  says(`This time her client sends the call to her own PDS with the header below, and the PDS forwards it with a token that
    it makes for the purpose. So every client that can talk to a PDS can talk to Reeve.`)
  fact('atproto-proxy', `${reeve.did}#reeve`)
  const input = { space: forum, did: bob.did, role: 'member' }
  const forwarded = await alice.proxied(`${reeve.did}#reeve`, 'community.reeve.member.put', input)
  const { revision } = accepted('adding bob through the PDS', await answerOf(forwarded))
  holds(`bob is a member of the forum; the community is at revision ${revision}`)
}

/** Both credentials. Returns a delegation token that is spent now. */
async function theCredentials(network: Network, community: string, space: string): Promise<string> {
  const { bob, plcUrl } = network
  chapter('Bob’s app trades a delegation token for a credential')
  says(`A delegation token says: the bearer acts for bob, in this one space, for a minute. It is for bob’s PDS to sign.
    The published PDS has no spaces yet, so the demo plays that one part, with the real key of bob’s account.`)
  let spent = ''
  for (const generation of ['october', 'august'] as const) {
    const how = generation === 'october' ? 'HTTP message signature, RFC 9421' : 'DPoP proof, RFC 9449'
    blank()
    fact('generation', `${generation} (${how})`)
    const holder = makeKey('p256')
    const token = await delegationToken(bob, community, space)
    const answer = await exchange(network, { token, space, holder, generation })
    const { credential } = accepted('the exchange', answer)
    const verified = await verifyCredential({ plcUrl, community, space, credential, holder, generation })
    const { iss, sub, jti } = verified.claims
    fact('issuer', String(iss))
    fact('for the space', String(sub))
    fact('bound to', generation === 'october' ? holder.didKey : 'the thumbprint of the app’s key')
    fact('lives', `${verified.lifetimeSec} s, as number ${jti}`)
    holds('verified without Reeve’s code: key from the PLC directory, signature by jose, one changed claim refused')
    spent = token
  }
  return spent
}

async function whoIsRefused(network: Network, community: string, space: string, spent: string): Promise<void> {
  chapter('Others are refused, and told why')
  const holder = makeKey('p256')
  const asked = { space, holder, generation: 'october' } as const
  const stranger = await exchange(network, { ...asked, token: await delegationToken(network.carol, community, space) })
  const no = refusedAs('carol’s exchange', 400, 'UserNotAuthorized', stranger)
  refused('carol, who is no member', 400, 'UserNotAuthorized', no.message)
  const again = refusedAs('a spent token', 401, 'JwtReplayed', await exchange(network, { ...asked, token: spent }))
  refused('bob’s token a second time', 401, 'JwtReplayed', again.message)
}

async function theModerators(network: Network, community: string, forum: string): Promise<void> {
  const { alice, bob, carol } = network
  chapter('The forum gets moderators, by a space of their own')
  says(`Everything that has members is a space. Alice makes one for moderators, puts carol into it, and puts the whole space on the
    forum’s roster. Whoever is a moderator anywhere she puts it, is one there from the same moment.`)
  const role = { community, spaceType: 'community.reeve.role', skey: 'moderators' }
  const { uri } = accepted('making a role space', await call(network, alice, 'community.reeve.space.create', role))
  const entry = { space: uri, did: carol.did, role: 'member' }
  accepted('adding carol', await call(network, alice, 'community.reeve.member.put', entry))
  const nested = { space: forum, memberSpace: uri, role: 'moderator' }
  accepted('nesting the space', await call(network, alice, 'community.reeve.member.put', nested))
  const answer = await ask(network, alice, 'community.reeve.member.resolve', { space: forum })
  const { members }: { members: { did: string; actions: string[] }[] } = accepted('asking who stands there', answer)
  const standing = new Map(members.map(({ did, actions }) => [did, actions]))
  must(members.length === 3 && [alice, bob, carol].every(({ did }) => standing.has(did)), 'three people stand there')
  must(standing.get(carol.did)?.includes('members.remove') ?? false, 'carol moderates')
  for (const { did, handle } of [alice, bob, carol]) {
    const actions = standing.get(did) ?? []
    fact(handle, actions.length > 9 ? 'everything: she is an owner' : actions.join(', '))
  }
}

async function bobLeaves(network: Network, community: string, space: string): Promise<void> {
  const { bob, carol } = network
  chapter('Carol, who moderates now, takes bob out again')
  const input = { space, did: bob.did }
  accepted('removing bob', await call(network, carol, 'community.reeve.member.remove', input))
  const token = await delegationToken(bob, community, space)
  const answer = await exchange(network, { token, space, holder: makeKey('p256'), generation: 'october' })
  const no = refusedAs('bob’s exchange after his removal', 400, 'UserNotAuthorized', answer)
  refused('bob, from this moment', 400, 'UserNotAuthorized', no.message)
}

async function whatWasKept(network: Network, community: string): Promise<number> {
  chapter('What was decided is kept')
  const entries = await sealedLog(network, community)
  verifyChain(community, entries)
  const acts = entries.map(({ action }) => action)
  for (const [action, times] of KEPT) must(acts.filter((act) => act === action).length === times, `${action} is kept`)
  const people = [network.alice, network.bob, network.carol].map(({ did, handle }) => [did, handle] as const)
  const names = new Map<string, string>([[community, 'the community itself'], ...people])
  says(`Changes join the chain as they are made, credentials a moment later. Strangers who were refused are not in it:
    anybody can make themself a DID, and would fill it.`)
  for (const { seq, hash, actor, action, subject } of entries) {
    const about = subject === undefined || subject === actor ? '' : ` about ${names.get(subject) ?? subject}`
    fact(`${seq}  ${hash.slice(0, 10)}…`, `${action} by ${names.get(actor) ?? actor}${about}`)
  }
  holds(`each row’s hash covers the row before; the demo computed all ${entries.length} again`)
  return entries.length
}

/** The community's log in the order of its chain, once every row has its place in it: credentials get theirs within seconds. */
async function sealedLog(network: Network, community: string): Promise<AuditEntry[]> {
  const endMs = performance.now() + SEALED_WITHIN_MS
  for (;;) {
    const answer = await ask(network, network.alice, 'community.reeve.audit.list', { community, limit: '100' })
    const { entries } = accepted('reading the log', answer)
    if (entries.every((entry: { hash: string | null }) => entry.hash !== null)) return inOrderOfChain(entries)
    must(performance.now() < endMs, 'every row gets its place in the chain within seconds')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

const inOrderOfChain = (entries: readonly AuditEntry[]): AuditEntry[] => entries.toSorted((a, b) => a.seq - b.seq)

function inShort(community: string, rows: number): void {
  chapter('In short')
  fact('founded', community)
  fact('issued', '3 credentials; one of each generation verified without Reeve’s code')
  fact('decided', 'for a PDS, about a space that stays there')
  fact('told', 'a syncer, of every write while bob was in; the one that it lost, it noticed')
  fact('refused', '4 requests, each by name')
  fact('kept', `${rows} rows in one unbroken chain`)
  fact('took', `${(performance.now() / 1000).toFixed(1)} s, starting the servers included`)
  blank()
}

title('Reeve: the first credential')
blank()
says(`A community gets an identity, a space, members and moderators. An app is let in; others are refused. A syncer hears of
  every write. A PDS asks whom to let into a space of its own.`)
await play(tell)
