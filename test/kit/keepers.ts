/** Owners with keys of their own: age identities and signing keys as their tool would make them, enrolments, and steps up. */
import { createHash } from 'node:crypto'
import { encode } from '@ipld/dag-cbor'
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import type { Did } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { base64Url, makeKey, signBytes, type TestKey } from './tokens.ts'
import type { Answer, Person, World } from './world.ts'

export const ENROL = 'community.reeve.key.enrolKeeper'
export const EXPORT = 'community.reeve.key.export'
export const TAKE = 'community.reeve.key.takeExport'

/** Somebody's keys, with their secret halves. */
export interface KeeperKeys {
  readonly identity: string
  readonly sealKey: string
  readonly signKey: TestKey
}

export async function makeKeeperKeys(curve: 'p256' | 'k256' = 'p256'): Promise<KeeperKeys> {
  const identity = await generateX25519Identity()
  return { identity, sealKey: await identityToRecipient(identity), signKey: makeKey(curve) }
}

type At = Pick<World, 'config' | 'clock'>

/** The body of an enrolment, with every part open to change. */
export function enrolmentOf(
  world: Pick<World, 'config'>,
  { community, caller, keys, signed = {} }: { community: string; caller: Did; keys: KeeperKeys; signed?: object },
) {
  const said = { community, caller, service: world.config.serviceDid, sealKey: keys.sealKey, ...signed }
  const { didKey: signKey } = keys.signKey
  const words = ['reeve-keeper-v1', said.community, said.caller, said.service, said.sealKey, signKey].join('\n')
  return { community, sealKey: keys.sealKey, signKey, proof: base64Url(signBytes(keys.signKey, words)) }
}

/** Enrols fresh keys of a person, confirmed by those `before` where there are any, and answers them. */
export async function enrol(world: At, person: Person, community: Did, before?: KeeperKeys): Promise<KeeperKeys> {
  const keys = await makeKeeperKeys()
  const input = enrolmentOf(world, { community, caller: person.did, keys })
  const stepUp = before && stepUpOf(world, { person, key: before.signKey, act: ENROL, input })
  const answer = await person.call(ENROL, { ...input, ...(stepUp ? { stepUp } : {}) })
  if (answer.status !== 200) throw new Error(`not enrolled: ${JSON.stringify(answer.body)}`)
  return keys
}

/** A step up over a call, with every part open to change. */
export function stepUpOf(
  world: At,
  about: { readonly person: Person; readonly key: TestKey; readonly act: string; readonly input: object },
  changed: { atMs?: number; service?: string; community?: string; caller?: string; act?: string; input?: object } = {},
): { at: string; sig: string } {
  const { person, key, act, input } = about
  const community = Reflect.get(input, 'community') as string
  const said = { service: world.config.serviceDid, community, caller: person.did, act, input, ...changed }
  const hash = createHash('sha256').update(encode(said.input)).digest('hex')
  const at = isoOf(changed.atMs ?? world.clock.nowMs())
  const words = ['reeve-step-up-v1', said.service, said.community, said.caller, said.act, hash, at].join('\n')
  return { at, sig: base64Url(signBytes(key, words)) }
}

/** Asks for an export as the person's tool does. */
export function askExport(
  world: At,
  person: Person,
  keys: KeeperKeys,
  input: object,
  more: object = {},
): Promise<Answer> {
  const stepUp = stepUpOf(world, { person, key: keys.signKey, act: EXPORT, input })
  return person.call(EXPORT, { ...input, stepUp, ...more })
}

/** What is in an age file, for whoever has the identity. */
export function openFile(identity: string, file: string): Promise<string> {
  const decrypter = new Decrypter()
  decrypter.addIdentity(identity)
  return decrypter.decrypt(Buffer.from(file, 'base64'), 'text')
}
