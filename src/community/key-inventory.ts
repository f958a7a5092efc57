/** The keys of a community, set against the operation in force: who may change the identity, and what isn't as it should be. Pure. */
import type { VerifiedPlcLog } from '../identity/plc-log.ts'
import { rotationKeysOf } from '../identity/plc-operation.ts'
import type { HeldKey } from '../keys/store.ts'
import type { DidKey } from '../names.ts'

export interface Inventory {
  /** Every key that the operation in force names. */
  readonly named: ReadonlySet<string>
  readonly shown: {
    readonly rotationKeys: {
      readonly didKey: string
      readonly whose: 'community' | 'keepers' | 'service' | 'unknown'
    }[]
    readonly operations: number
    readonly operationCid: string
    readonly differs: string[]
  }
}

interface About {
  readonly keys: readonly HeldKey[]
  readonly recoveryKey: DidKey | null
  /** The key in shares that is in force; null: there is none. */
  readonly inShares: DidKey | null
  readonly publicUrl: string
}

/** What the log says, for whoever compares. A difference is a sentence, in the words of somebody who has to do something about it. */
export function comparedWith(
  { head, ops }: VerifiedPlcLog,
  { keys, recoveryKey, inShares, publicUrl }: About,
): Inventory {
  const { operation } = head
  const ranked = rotationKeysOf(operation)
  const isOurs = (didKey: string) => keys.some((key) => key.purpose === 'rotation' && key.didKey === didKey)
  const rotationKeys = ranked.map((didKey) => {
    if (isOurs(didKey)) return { didKey, whose: 'service' as const }
    if (didKey === inShares) return { didKey, whose: 'keepers' as const }
    return { didKey, whose: didKey === recoveryKey ? ('community' as const) : ('unknown' as const) }
  })
  const active = (purpose: HeldKey['purpose']) =>
    keys.find((key) => key.purpose === purpose && key.state === 'active')?.didKey
  const isLiving = operation.type === 'plc_operation'
  const methods: Readonly<Record<string, string>> = isLiving ? operation.verificationMethods : {}
  const services: Readonly<Record<string, { endpoint: string }>> = isLiving ? operation.services : {}
  const points = (name: string) => services[name]?.endpoint === publicUrl
  // Keepers who decide alone have no key of this service beside theirs.
  const isAlone = inShares !== null && ranked.includes(inShares) && !active('rotation')
  const said: readonly (readonly [boolean, string])[] = [
    [!isLiving, 'the identity was ended at the directory'],
    [
      isLiving && !isAlone && !ranked.includes(active('rotation') ?? ''),
      'the rotation key of this service is not in the list',
    ],
    [
      isLiving && ranked.includes(active('rotation') ?? '') && ranked.at(-1) !== active('rotation'),
      'the rotation key of this service is not the last: a key stands below it',
    ],
    [isLiving && recoveryKey !== null && ranked[0] !== recoveryKey, "the community's own key does not stand first"],
    [
      rotationKeys.some(({ whose }) => whose === 'unknown'),
      'a key that this service does not know may change the identity',
    ],
    [isLiving && methods['atproto'] !== active('atproto'), 'the atproto key is not that of this service'],
    [isLiving && methods['atproto_space'] !== active('space'), 'the space key is not that of this service'],
    [isLiving && !points('atproto_space_host'), 'spaces are answered for at another address'],
  ]
  const differs = said.filter(([isSo]) => isSo).map(([, sentence]) => sentence)
  const named = new Set([...ranked, ...Object.values(methods)])
  return { named, shown: { rotationKeys, operations: ops.length, operationCid: head.cid, differs } }
}
