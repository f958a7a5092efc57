/**
 * Ceremonies as people hold them: owners and keepers with tools of their own, which sign, deal, open packets, seal shares and combine by the same
 * words as the real ones do, and can do every part of it wrong.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { decode } from '@ipld/dag-cbor'
import { sql } from 'kysely'
import { listAlarms } from '../../src/community/identity-alarm-store.ts'
import { listQuorumKeys } from '../../src/community/quorum-store.ts'
import { walkRotation } from '../../src/community/rotation-walk.ts'
import { sealTo as sealForAge } from '../../src/keys/age.ts'
import {
  actWords,
  type CeremonyAct,
  type CeremonyStatement,
  givenHashOf,
  hexOf,
  openerWords,
  parseStatement,
  type Transcript,
  transcriptHashOf,
  transcriptWords,
  wordsToSign,
} from '../../src/keys/ceremony-statements.ts'
import { openGiven, signWithShares } from '../../src/keys/combining.ts'
import { type KeyPair, makeKeyPair, signCompact } from '../../src/keys/private-keys.ts'
import { packetText, parsePacket } from '../../src/keys/share-packet.ts'
import { sealToOf } from '../../src/keys/share-seal.ts'
import { commitmentOf, dealKey, isShareFor, type Share } from '../../src/keys/shares.ts'
import { type Did, rosterOf } from '../../src/names.ts'
import { fromBase64Url, sha256, toBase64Url } from '../../src/platform/bytes.ts'
import { isoOf } from '../../src/platform/clock.ts'
import type { Log } from '../../src/platform/log.ts'
import type { TestDatabase } from './databases.ts'
import { hpkeSeal } from './hpke.ts'
import { enrol, openFile, stepUpOf } from './keepers.ts'
import { DAY_SEC, type ExportWorld, type Founded, type Owner, openExportWorld } from './key-exports.ts'
import { base64Url, signBytes } from './tokens.ts'
import type { Answer, World } from './world.ts'

const R = 'community.reeve.key'
export const PROPOSE = `${R}.propose`

/** A ceremony as `key.get` shows it. */
// biome-ignore lint/suspicious/noExplicitAny: an answer, as it came over the wire.
export type Shown = any

export type CeremonyWorld = Omit<ExportWorld, 'ctx'> & {
  readonly ctx: World['reeve']['house']
  /** A community whose owner has a key, with so many keepers, the owner among them. */
  circle(n?: number): Promise<Circle>
  /** The same with a key in shares in the identity. */
  placed(how?: { n?: number; k?: number; strict?: boolean }): Promise<Circle>
  /** Somebody in the roster, with enrolled keys that count. */
  keeper(of: Founded, role?: string): Promise<Keeper>
}

export interface Keeper extends Owner {
  /** What their packet holds, once they have opened it. */
  share: Share | null
}

export interface Circle extends Founded {
  readonly hers: CeremonyWorld
  /** The first is the owner. */
  readonly keepers: readonly Keeper[]
}

export async function openCeremonyWorld(database: TestDatabase, log?: Log): Promise<CeremonyWorld> {
  const exporting = await openExportWorld(database, log)
  const { world } = exporting
  const hers: CeremonyWorld = {
    ...exporting,
    ctx: { ...world.reeve.house, db: database.db },
    async keeper({ did, person }, role = 'member') {
      const other = await world.person()
      const put = await person.call('community.reeve.member.put', { space: rosterOf(did).uri, did: other.did, role })
      if (put.status !== 200) throw new Error(`not put: ${JSON.stringify(put.body)}`)
      const keys = await enrol(world, other, did)
      return { person: other, keys, share: null }
    },
    async circle(n = 3) {
      const founded = await exporting.founded()
      const keepers: Keeper[] = [{ ...founded, share: null }]
      while (keepers.length < n) keepers.push(await hers.keeper(founded))
      world.clock.moveSec(DAY_SEC)
      return { ...founded, hers, keepers }
    },
    async placed({ n = 3, k = 2, strict = false } = {}) {
      const circle = await hers.circle(n)
      await splitDone(circle, { k, strict })
      const tool = makeTool()
      const drill = await proposed(circle, circle, { kind: 'drill', sealTo: tool.sealTo })
      for (const keeper of circle.keepers.slice(0, k)) await must(submit(circle, keeper, drill))
      await must(concludeBy(circle, circle, drill, tool))
      const walked = await walkRotation(hers.ctx, circle.did)
      if (walked?.step !== 'done') throw new Error(`not placed: ${walked?.step} ${walked?.fault}`)
      return circle
    },
  }
  return hers
}

/** The body of an answer that has to be good. */
export async function must(asked: Promise<Answer>): Promise<Shown> {
  const { status, body } = await asked
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
  return body
}

/** Proposes as the person's tool does: with a step up over the call. */
export function propose({ hers, did }: Circle, by: Owner, input: object, more: object = {}): Promise<Answer> {
  const whole = vouched({ community: did, ...input }, by)
  const stepUp = stepUpOf(hers.world, { person: by.person, key: by.keys.signKey, act: PROPOSE, input: whole })
  return by.person.call(PROPOSE, { ...whole, stepUp, ...more })
}

/** With the word of whoever combines that the opener is theirs, where nothing else is said. */
export function vouched(
  input: { readonly community: Did; readonly sealTo?: string; readonly voucher?: string },
  by: Owner,
): object {
  const { community, sealTo, voucher } = input
  if (sealTo === undefined || voucher !== undefined) return input
  return { ...input, voucher: base64Url(signBytes(by.keys.signKey, Buffer.from(openerWords({ community, sealTo })))) }
}

export const proposed = (circle: Circle, by: Owner, input: object): Promise<Shown> => must(propose(circle, by, input))

export const didsOf = (keepers: readonly Owner[]): readonly Did[] => keepers.map(({ person }) => person.did)

/** Begins a split among the keepers of a circle. */
export const proposeSplit = (circle: Circle, how: { k?: number; strict?: boolean } = {}): Promise<Shown> =>
  proposed(circle, circle, {
    ...{ kind: 'split', keepers: didsOf(circle.keepers), threshold: how.k ?? 2 },
    ...(how.strict ? { strict: true } : {}),
  })

export const statementOf = ({ statement }: Shown): CeremonyStatement => {
  const said = parseStatement(fromBase64Url(statement) ?? new Uint8Array(0))
  if (!said) throw new Error('no statement')
  return said
}

const hashOf = ({ statementHash }: Shown): Uint8Array => new Uint8Array(Buffer.from(statementHash, 'hex'))

/** An act, signed, with every part open to change. */
export interface Changed {
  readonly act?: string
  readonly at?: string
  readonly subject?: string | null
  readonly statementHash?: string
  readonly key?: Owner['keys']['signKey']
}

export function signedAct(
  { hers }: Circle,
  by: Owner,
  ceremony: Shown,
  { act, subject = null }: { readonly act: CeremonyAct; readonly subject?: string | null },
  changed: Changed = {},
): { at: string; sig: string } {
  const at = isoOf(hers.world.clock.nowMs())
  const claim = { statementHash: ceremony.statementHash, act, subject, at, ...changed } as Parameters<
    typeof actWords
  >[0]
  const key = changed.key ?? by.keys.signKey
  return { at: claim.at, sig: base64Url(signBytes(key, Buffer.from(actWords(claim)))) }
}

const about = ({ did }: Circle, { ceremony, statementHash }: Shown) => ({ community: did, ceremony, statementHash })

/** An act without anything that is given with it. */
export const say = (
  circle: Circle,
  by: Owner,
  ceremony: Shown,
  word: 'approve' | 'reject' | 'cancel',
  changed: Changed = {},
): Promise<Answer> =>
  by.person.call(`${R}.${word === 'cancel' ? 'cancel' : 'approve'}`, {
    ...about(circle, ceremony),
    act: signedAct(circle, by, ceremony, { act: word }, changed),
    ...(word === 'reject' ? { reject: true } : {}),
  })

export const look = (circle: Circle, by: Pick<Owner, 'person'>, { ceremony }: Shown): Promise<Answer> =>
  by.person.ask(`${R}.get`, { community: circle.did, ceremony })

/** What a dealer made, before it is given. */
export interface Dealing {
  readonly pair: KeyPair
  readonly shares: readonly Share[]
  readonly transcript: Transcript
  readonly proof: string
  readonly packets: readonly string[]
}

/** Deals as the dealer's tool does. `fake`: shares that don't make the key, each with its commitment. */
export async function dealFor(ceremony: Shown, fake: readonly Share[] | null = null): Promise<Dealing> {
  const { quorum, seats, community, service } = statementOf(ceremony)
  const dealt = await dealKey(quorum, (below) => randomInt(below))
  const { pair } = dealt
  const shares = fake ?? dealt.shares
  const commitments = shares.map((share) => commitmentOf(hashOf(ceremony), share))
  const keepers = seats.map(({ did, signKey }, at) => ({
    ...{ did, signKey, x: shares[at]?.x ?? 0, commitment: commitments[at] ?? '' },
  }))
  const packets: string[] = []
  for (const [at, seat] of seats.entries()) {
    const share = shares[at]
    if (!share) throw new Error('no share')
    const text = packetText(
      {
        ...{ v: 1, howTo: ['Keep it.'], community, service, key: quorum.key, pub: pair.didKey },
        ...{ generation: quorum.generation, n: quorum.n, k: quorum.k, dealtBy: ceremony.statementHash },
        ...{ keeper: seat.did, x: share.x, keepers, plcLog: [] },
      },
      share,
    )
    packets.push(Buffer.from(await sealForAge([seat.sealKey], text)).toString('base64'))
  }
  const transcript: Transcript = {
    ...{ v: 1, dealtBy: ceremony.statementHash, pub: pair.didKey, xs: shares.map(({ x }) => x), commitments },
    packets: packets.map((packet) => hexOf(sha256(new Uint8Array(Buffer.from(packet, 'base64'))))),
  }
  return { pair, shares, transcript, proof: provenBy(pair, transcript), packets }
}

export const provenBy = (pair: KeyPair, transcript: Transcript): string =>
  toBase64Url(signCompact(pair, transcriptWords(transcript)))

export const giveDeal = (
  circle: Circle,
  by: Owner,
  ceremony: Shown,
  { transcript, proof, packets }: Dealing,
  changed: Changed = {},
): Promise<Answer> =>
  by.person.call(`${R}.deal`, {
    ...about(circle, ceremony),
    ...{ transcript, proof, packets },
    act: signedAct(circle, by, ceremony, { act: 'deal', subject: transcriptHashOf(transcript) }, changed),
  })

/** Opens their packet, looks at it, keeps it, and says so. */
export async function acknowledge(circle: Circle, by: Keeper, ceremony: Shown, changed: Changed = {}): Promise<Answer> {
  const shown = await must(look(circle, by, ceremony))
  if (shown.packet) {
    const found = parsePacket(Buffer.from(await openFile(by.keys.identity, shown.packet)))
    const at = found?.packet.keepers.find(({ did }) => did === by.person.did)
    if (!found || !at || !isShareFor(found.share, at, hashOf(ceremony))) throw new Error('a packet that is not theirs')
    by.share = found.share
  }
  const subject = transcriptHashOf(shown.transcript)
  const act = signedAct(circle, by, ceremony, { act: 'acknowledge', subject }, changed)
  return by.person.call(`${R}.acknowledge`, { ...about(circle, ceremony), act })
}

/** A split from its beginning to its end. Answers what was dealt. */
export async function splitDone(circle: Circle, how: { k?: number; strict?: boolean } = {}): Promise<Dealing> {
  const split = await proposeSplit(circle, how)
  const dealing = await dealFor(split)
  await must(giveDeal(circle, circle, split, dealing))
  for (const keeper of circle.keepers) await must(acknowledge(circle, keeper, split))
  return dealing
}

/** The tool of whoever combines. */
export interface Tool {
  readonly pair: KeyPair
  readonly sealTo: string
}

export function makeTool(): Tool {
  const pair = makeKeyPair('p256')
  return { pair, sealTo: sealToOf(pair) }
}

/** What a keeper seals, and how, with every part open to change. */
export interface Sealing {
  readonly share?: Share
  /** Seals it as if it were for this ceremony. */
  readonly as?: Shown
  readonly sealed?: string
}

/** As a share is sealed, whatever it is: the tools of keepers seal none that is wrong. */
function sealAnything(sealTo: string, { x, y }: Share, statementHash: Uint8Array): string {
  const sender = randomBytes(32)
  // Below the order of the group, whatever came.
  sender[0] = (sender[0] ?? 0) & 0x7f
  return base64Url(hpkeSeal(Buffer.from(sealTo, 'base64url'), y, sender, { info: Buffer.from([...statementHash, x]) }))
}

export async function sealed(by: Keeper, ceremony: Shown, { share, as }: Sealing = {}): Promise<string> {
  const { sealTo } = statementOf(ceremony)
  const mine = share ?? by.share
  if (!mine || sealTo === null) throw new Error('nothing to seal')
  return sealAnything(sealTo, mine, hashOf(as ?? ceremony))
}

/** Seals their share to whoever combines, and gives it. */
export async function submit(
  circle: Circle,
  by: Keeper,
  ceremony: Shown,
  sealing: Sealing = {},
  changed: Changed = {},
): Promise<Answer> {
  const text = sealing.sealed ?? (await sealed(by, ceremony, sealing))
  const act = signedAct(circle, by, ceremony, { act: 'submit', subject: givenHashOf(text) }, changed)
  return by.person.call(`${R}.submitShare`, { ...about(circle, ceremony), sealed: text, act })
}

/** What the combiner's tool makes of the shares that were given. */
export async function signatureOf(circle: Circle, by: Owner, ceremony: Shown, tool: Tool): Promise<string> {
  const shown = await must(look(circle, by, ceremony))
  const statement = statementOf(shown)
  const { k, pub } = statement.quorum
  const words = wordsToSign(statement, shown.statementHash)
  const shares: Share[] = []
  for (const { did, act, sealed: text } of shown.deeds) {
    const share =
      act === 'submit' && text
        ? await openGiven(tool.pair, { statement, statementHash: hashOf(shown) }, { did, sealed: text })
        : null
    if (share) shares.push(share)
  }
  if (pub === null || words === null) throw new Error('nothing to combine')
  const signature = await signWithShares(shares.slice(0, k), { k, didKey: pub }, words)
  if (signature === null) throw new Error('they do not make the key')
  return signature
}

export const giveSignature = (
  circle: Circle,
  by: Owner,
  ceremony: Shown,
  signature: string,
  changed: Changed = {},
): Promise<Answer> =>
  by.person.call(`${R}.conclude`, {
    ...about(circle, ceremony),
    signature,
    act: signedAct(circle, by, ceremony, { act: 'conclude', subject: givenHashOf(signature) }, changed),
  })

/** Combines as their tool does, and gives what came out. */
export const concludeBy = async (circle: Circle, by: Owner, ceremony: Shown, tool: Tool): Promise<Answer> =>
  giveSignature(circle, by, ceremony, await signatureOf(circle, by, ceremony, tool))

/** What stands in the database about the ceremonies of a community. */
export async function ceremonyRows({ hers, did }: Circle) {
  const { db } = hers.database
  const all = async (query: ReturnType<typeof sql<Record<string, unknown>>>) => (await query.execute(db)).rows
  return {
    ceremonies: await all(
      sql`select kind, state, fault, sealing is not null as has_sealing, signed is not null as has_signed
        from ceremony where community = ${did} order by created_at_ms, id`,
    ),
    given: await all(
      sql`select did, act from ceremony_act join ceremony on ceremony.id = ceremony
        where community = ${did} and given is not null order by did, act`,
    ),
    packets: (
      await all(sql`select share_packet.did from share_packet join ceremony on ceremony.id = ceremony
        where community = ${did} order by did`)
    ).map((row) => row['did']),
    keys: (await listQuorumKeys(db, did)).map(({ state }) => state),
    alarms: (await listAlarms(db, did)).map(({ name }) => name),
    audit: (await all(sql`select action from audit_entry where community = ${did} order by id`)).map(({ action }) =>
      String(action),
    ),
    work: await all(sql`select operation_cid, step from plc_work where community = ${did}`),
  }
}

/** What an operation says, by a statement. */
export const operationIn = (ceremony: Shown): Record<string, unknown> =>
  decode(statementOf(ceremony).operation?.bytes ?? new Uint8Array(0))
