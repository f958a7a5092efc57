/**
 * Ceremonies as their people meet them: a community at a real directory whose space key is at hand, keepers with folders of their own, and the
 * files that a service would answer, made by the functions that the service makes them with; or changed on their way.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { packetWords } from '../../src/cli/packet-words.ts'
import { didOf, encodeOperation, type UnsignedPlcOperation } from '../../src/identity/plc-operation.ts'
import {
  type CeremonyAct,
  type CeremonyStatement,
  encodeStatement,
  hexOf,
  parseStatement,
  type Seat,
  statementHashOf,
  statementWords,
  type Transcript,
  transcriptHashOf,
} from '../../src/keys/ceremony-statements.ts'
import { dealShares } from '../../src/keys/dealing.ts'
import { makeKeeperFiles, type OpenKeeper, openKeeper } from '../../src/keys/keeper-keys.ts'
import type { KeeperKeys } from '../../src/keys/keeper-statements.ts'
import { makeOpenerFile } from '../../src/keys/opener-key.ts'
import type { Did, DidKey } from '../../src/names.ts'
import { fromBase64Url, toBase64Url } from '../../src/platform/bytes.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { type Run, runCli } from './cli.ts'
import { happened, hoursAgo, logAt } from './leaving.ts'
import { headOf, signed, submitOperation } from './people.ts'
import { startPlcServer } from './plc.ts'
import { HOUR_MS } from './plc-stories.ts'
import { freshDid } from './roll.ts'
import { base64Url, makeKey, signBytes, type TestKey } from './tokens.ts'

export const SERVICE = 'did:web:reeve.example.org' as Did

/** Somebody who is to keep a share. */
export interface KeptBy extends KeeperKeys {
  readonly did: Did
  /** The folder with their two keys. */
  readonly folder: string
  /** Open, for what they sign in a test without the tool. */
  readonly hands: OpenKeeper
}

export interface Table {
  readonly plcUrl: string
  readonly folder: string
  readonly community: Did
  /** The community's keys, as they stand in its identity. */
  readonly keys: { readonly space: TestKey; readonly recovery: TestKey; readonly ours: TestKey }
  readonly keepers: readonly [KeptBy, KeptBy, KeptBy]
  /** Every run of the tool. */
  readonly runs: Run[]
  /** Runs `reeve` in the folder; the DID of the community is typed when nothing else is said. */
  reeve(args: readonly string[], typed?: string): Promise<Run>
  /** The same, with this directory. */
  atPlc(args: readonly string[], typed?: string): Promise<Run>
  /** Writes JSON into a file of the folder, and answers its path. */
  write(name: string, value: unknown): string
  close(): Promise<void>
}

/** What the identity says, with these rotation keys behind that operation. */
export const identityOf = (
  { keys }: Pick<Table, 'keys'>,
  rotationKeys: readonly string[],
  prev: string | null,
  changes: Partial<UnsignedPlcOperation> = {},
): UnsignedPlcOperation => ({
  type: 'plc_operation',
  rotationKeys: [...rotationKeys],
  verificationMethods: { atproto: keys.space.didKey, atproto_space: keys.space.didKey },
  alsoKnownAs: ['at://gardeners.example.org'],
  services: { atproto_space_host: { type: 'AtprotoSpaceHost', endpoint: 'https://reeve.example.org' } },
  prev,
  ...changes,
})

/** A community of some days at a directory of its own, and three people. */
export async function openTable(): Promise<Table> {
  const plc = await startPlcServer()
  const folder = mkdtempSync(join(tmpdir(), 'reeve-ceremony-'))
  const keys = { space: makeKey('p256'), recovery: makeKey('k256'), ours: makeKey('k256') }
  const genesis = signed(keys.ours, identityOf({ keys }, [keys.recovery.didKey, keys.ours.didKey], null))
  const community = didOf(genesis)
  await hoursAgo(200, () => submitOperation(plc.url, community, genesis))
  const keeperOf = async (name: string): Promise<KeptBy> => {
    const place = join(folder, name)
    const keys = await makeKeeperFiles(place)
    return { did: freshDid(), folder: place, ...keys, hands: await openKeeper(place) }
  }
  const keepers = [await keeperOf('ada'), await keeperOf('bea'), await keeperOf('cyd')] as const
  const runs: Run[] = []
  const reeve = async (args: readonly string[], typed = `${community}\n`) => {
    const run = await runCli({ args, typed, cwd: folder })
    runs.push(run)
    return run
  }
  return {
    ...{ plcUrl: plc.url, folder, community, keys, keepers, runs, reeve },
    atPlc: (args, typed) => reeve([...args, '--plc', plc.url], typed),
    write(name, value) {
      const path = join(folder, name)
      writeFileSync(path, JSON.stringify(value))
      return path
    },
    async close() {
      await plc.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const seatOf = ({ did, sealKey, signKey }: KeptBy, at: number): Seat => ({
  ...{ did, keeper: `enrolment-${at}`, sealKey, signKey, x: null, commitment: null },
})

let names = 0

/** The statement of a split among the three, two of whom have to act: with these changes. */
export function splitOf(table: Table, changes: Partial<CeremonyStatement> = {}): CeremonyStatement {
  const [ada] = table.keepers
  names += 1
  return {
    ...{ v: 1, ceremony: `01JSPLIT${names}`, kind: 'split', community: table.community, service: SERVICE },
    quorum: { key: 'quorum-1', pub: null, generation: 1, n: 3, k: 2, dealtBy: null },
    seats: table.keepers.map(seatOf),
    ...{ strict: false, replaces: null, operation: null, owners: null, combiner: ada.did, sealTo: null, voucher: null },
    ...{ nonce: Buffer.alloc(32, names), createdBy: ada.did },
    ...{ createdAt: isoOf(Date.now() - 60_000), expiresAt: isoOf(Date.now() + 72 * HOUR_MS) },
    ...changes,
  } as CeremonyStatement
}

/** The file that a service answers about a ceremony, signed by its space key or another one. */
export function fileOf(
  { keys }: Pick<Table, 'keys'>,
  said: CeremonyStatement,
  more: object = {},
  by: TestKey = keys.space,
): Record<string, unknown> {
  const bytes = encodeStatement({ ...said, nonce: new Uint8Array(said.nonce) })
  return {
    ...{ ceremony: said.ceremony, kind: said.kind, state: 'collecting' },
    ...{ statement: toBase64Url(bytes), statementHash: hexOf(statementHashOf(bytes)) },
    ...{ sig: base64Url(signBytes(by, statementWords(bytes))), deeds: [] },
    ...{ expiresAt: said.expiresAt, createdBy: said.createdBy, missing: 1 },
    ...more,
  }
}

/** The statement in such a file. */
export function statementIn(file: Record<string, unknown>): CeremonyStatement {
  const said = parseStatement(fromBase64Url(String(file['statement'])) ?? new Uint8Array())
  if (!said) throw new Error('no statement')
  return said
}

/** A key that was dealt, and the three packets in files: `<name>.packet` in each keeper's folder. */
export interface DealtKey {
  readonly split: CeremonyStatement
  readonly splitFile: Record<string, unknown>
  readonly transcript: Transcript
  readonly pub: DidKey
  readonly packets: readonly [string, string, string]
}

/** The deed by which whoever deals says that it is theirs: the first of the three, where nobody else is named. */
export function dealDeedOf({ keepers: [ada] }: Table, statementHash: string, transcript: Transcript, by = ada) {
  return { did: ada.did, ...signedAs(by, 'deal', statementHash, transcriptHashOf(transcript)) }
}

/** An act of somebody's as a service passes it on. */
export function signedAs({ hands }: KeptBy, act: CeremonyAct, statementHash: string, subject: string | null) {
  const at = isoOf(Date.now())
  return { act, at, sig: hands.act({ statementHash, act, subject, at }) }
}

/** Deals a key in this process, by the functions of the tool. It isn't in the identity yet. */
export async function dealAt(table: Table, name: string, changes: Partial<CeremonyStatement> = {}): Promise<DealtKey> {
  const split = splitOf(table, changes)
  const splitFile = fileOf(table, split)
  const said = statementIn(splitFile)
  const statementHash = new Uint8Array(Buffer.from(String(splitFile['statementHash']), 'hex'))
  const dealt = await dealShares({
    ...{ said, statementHash, pick: () => 0 },
    wordsFor: ({ did }) => packetWords({ said, keeper: did, isWithoutLog: false }),
    plcLog: await logAt(table.plcUrl, table.community),
  })
  const packets = dealt.packets.map((packet, at) => {
    const path = join(table.keepers[at]?.folder ?? '', `${name}.packet`)
    writeFileSync(path, packet, { mode: 0o600 })
    return path
  })
  const { transcript, proof } = dealt
  const deeds = [dealDeedOf(table, String(splitFile['statementHash']), transcript)]
  const given = { transcript, proof, deeds, packet: Buffer.from(dealt.packets[0] ?? []).toString('base64') }
  return {
    ...{ split, transcript, pub: transcript.pub, packets: packets as unknown as DealtKey['packets'] },
    splitFile: { ...splitFile, ...given },
  }
}

/** Puts the key into the identity, between the recovery key and the service's, so many hours ago. Answers the CID. */
export async function placeAt(table: Table, pub: DidKey, hours = 100): Promise<string> {
  const { recovery, ours } = table.keys
  const prev = await headOf(table.plcUrl, table.community)
  const next = identityOf(table, [recovery.didKey, pub, ours.didKey], prev)
  return happened(table.plcUrl, table.community, hours, recovery, next)
}

/** A ceremony about a key that was dealt: a drill where nothing else is said, and whoever combines vouches for the opener. */
export function ceremonyOf(
  table: Table,
  { split, splitFile, transcript }: DealtKey,
  changes: Partial<CeremonyStatement> = {},
): CeremonyStatement {
  const [, bea] = table.keepers
  const { pub, xs, commitments } = transcript
  names += 1
  const said = {
    ...{ ...split, kind: 'drill', ceremony: `01JACT${names}`, createdBy: bea.did, combiner: bea.did },
    quorum: { ...split.quorum, pub, dealtBy: String(splitFile['statementHash']) },
    seats: split.seats.map((seat, at) => ({ ...seat, x: xs[at] ?? 0, commitment: commitments[at] ?? '' })),
    ...{ nonce: Buffer.alloc(32, names), expiresAt: isoOf(Date.now() + 24 * HOUR_MS) },
    ...{ strict: false, replaces: null, ...changes },
  } as CeremonyStatement
  const { community, combiner, sealTo } = said
  const by = table.keepers.find(({ did }) => did === combiner)
  const voucher = by && sealTo !== null ? by.hands.vouch({ community, sealTo }) : null
  return { ...said, ...(changes.voucher === undefined ? { voucher } : {}) }
}

/** What a combine says besides: the operation, and the head on which it was made. */
export const combineOf = (operation: UnsignedPlcOperation, head: string) => ({
  kind: 'combine' as const,
  operation: { bytes: encodeOperation(operation), head },
})

/** Makes an opener, and answers its file and its sealTo. */
export function openerAt(table: Table, name: string): { readonly path: string; readonly sealTo: string } {
  const path = join(table.folder, name)
  return { path, sealTo: makeOpenerFile(path) }
}

/** A folder of somebody's for their copies. */
export function placeFor(table: Table, name: string): string {
  const path = join(table.folder, name)
  mkdirSync(path)
  return path
}

export const jsonIn = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, 'utf8'))

/** What somebody gave, as a deed that a service passes on to whoever combines. */
export const deedOf = (did: Did, body: Record<string, unknown>) => ({
  ...{ did, act: 'submit', ...(body['act'] as object), sealed: body['sealed'] },
})

/** A transcript of the tool with everything that is another one each time replaced by what it is. */
export function plainly(table: Table, text: string, more: Readonly<Record<string, string>> = {}): string {
  const known = {
    ...more,
    [table.plcUrl]: '<plc>',
    [table.folder]: '<here>',
    [table.community]: '<community>',
    ...Object.fromEntries(table.keepers.map(({ did }, at) => [did, `<${['ada', 'bea', 'cyd'][at]}>`])),
    [table.keys.space.didKey]: '<space key>',
    [table.keys.recovery.didKey]: '<recovery key>',
    [table.keys.ours.didKey]: "<the service's key>",
  }
  return Object.entries(known)
    .reduce((told, [word, name]) => told.replaceAll(word, name), text)
    .replaceAll(/\b[0-9a-f]{64}\b/g, '<hash>')
    .replaceAll(/\bbafyrei[a-z2-7]{52}\b/g, '<cid>')
    .replaceAll(/\bdid:key:z\w+/g, '<key>')
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{3})?Z/g, '<instant>')
    .replaceAll(/\b\d+ h \d+ min/g, '<time>')
    .replaceAll(/(?:[0-9a-f]{4} ){4}[0-9a-f]{4}/g, '<fingerprint>')
    .replaceAll(/01J(?:SPLIT|ACT)\d+/g, '<ceremony>')
    .replaceAll(/\bCEREMONY [0-9a-f]{20}\b/g, 'CEREMONY <ceremony>')
    .replaceAll(/\(\d+ bytes\)/g, '(<bytes>)')
}
