/**
 * A community of alice's in which ceremonies stand in each state, for doors to take her calls again and again: what somebody did before is answered
 * as it stands, a share takes the place of another, and as many keepers are suspended as calls can let act again.
 */
import { createHash, randomBytes } from 'node:crypto'
import { loadComingQuorum, moveQuorumKey } from '../../src/community/quorum-store.ts'
import { givenHashOf, transcriptHashOf } from '../../src/keys/ceremony-statements.ts'
import type { Did } from '../../src/names.ts'
import { isoOf } from '../../src/platform/clock.ts'
import { withTransaction } from '../../src/platform/database.ts'
import {
  acknowledge,
  type Circle,
  dealFor,
  didsOf,
  giveDeal,
  giveSignature,
  type Keeper,
  makeTool,
  must,
  PROPOSE,
  proposed,
  proposeSplit,
  type Shown,
  say,
  signatureOf,
  signedAct,
  submit,
  vouched,
} from '../kit/ceremonies.ts'
import { makeKeeperKeys, stepUpOf } from '../kit/keepers.ts'
import { base64Url, makeKey } from '../kit/tokens.ts'
import type { Stage } from './stage.ts'

type Input = Record<string, unknown>

const LIFT = 'community.reeve.key.liftSuspension'

/** By the last part of a method's name. */
export type GoodCeremonies = Readonly<Record<string, () => Input>>

/** A deal that is consistent in itself, of no ceremony. */
export function anyDeal(): Input {
  const packet = Buffer.from('packet')
  const hash = createHash('sha256').update(packet).digest('hex')
  const transcript = {
    ...{ v: 1, dealtBy: '0'.repeat(64), pub: makeKey('k256').didKey, xs: [1, 2] },
    commitments: [base64Url(randomBytes(32)), base64Url(randomBytes(32))],
    packets: [hash, hash],
  }
  return { transcript, proof: 'none', packets: [packet.toString('base64'), packet.toString('base64')] }
}

/** What alice can give at every door of a ceremony, `count` times at those that use something up. */
export async function makeCeremonies({ world, alice }: Stage, count: number): Promise<GoodCeremonies> {
  const bob = await world.person()
  const did = await world.found(alice)
  const keepers = await Promise.all(
    [alice, bob].map(async (person): Promise<Keeper> => ({ person, keys: await makeKeeperKeys(), share: null })),
  )
  const [mine, his] = keepers
  if (!mine || !his) throw new Error('nobody')
  const suspended = Array.from({ length: count }, (_, nth) => `did:web:suspended${nth}.example.com` as Did)
  const rows = keepers.map(({ person, keys }) => ({
    ...{ id: `of ${person.did}`, community: did, did: person.did, seal_key: keys.sealKey },
    ...{ sign_key: keys.signKey.didKey, counts_from_ms: 0, enrolled_at_ms: 0, suspended_at_ms: null },
  }))
  const [row] = rows
  if (!row) throw new Error('nobody')
  const away = suspended.map((one) => ({ ...row, id: `of ${one}`, did: one, bad_shares: 3, suspended_at_ms: 0 }))
  await world.database.db
    .insertInto('keeper')
    .values([...rows, ...away])
    .execute()

  const circle = { did, person: alice, keys: mine.keys, keepers, hers: { world } } as unknown as Circle
  const about = ({ ceremony, statementHash }: Shown): Input => ({ community: did, ceremony, statementHash })

  const stopped = await proposeSplit(circle)
  await must(say(circle, mine, stopped, 'cancel'))
  // Whoever's ceremony came to nothing leaves the turn to others for an hour.
  world.clock.moveSec(3_600)
  const split = await proposeSplit(circle)
  const dealing = await dealFor(split)
  await must(giveDeal(circle, mine, split, dealing))
  for (const keeper of keepers) await must(acknowledge(circle, keeper, split))
  await withTransaction(world.database.db, async (tx) => {
    const key = await loadComingQuorum(tx, did)
    if (key) await moveQuorumKey(tx, key.id, ['acknowledged'], 'active', world.clock.nowMs())
  })
  const tool = makeTool()
  const shown = await proposed(circle, mine, { kind: 'drill', sealTo: tool.sealTo })
  for (const keeper of keepers) await must(submit(circle, keeper, shown))
  const signature = await signatureOf(circle, mine, shown, tool)
  await must(giveSignature(circle, mine, shown, signature))
  const owned = await proposed(circle, mine, { kind: 'ownership', owners: didsOf(keepers), sealTo: tool.sealTo })
  await must(say(circle, mine, owned, 'approve'))

  // The same call under the same name, as often as one likes.
  const again = {
    ...vouched({ community: did, sealTo: tool.sealTo }, mine),
    ...{ kind: 'drill', idempotencyKey: 'again' },
  }
  const { idempotencyKey: _, ...input } = again
  const stepUp = stepUpOf(world, { person: alice, key: mine.keys.signKey, act: PROPOSE, input })
  const open = await must(alice.call(PROPOSE, { ...again, stepUp }))

  const transcriptHash = transcriptHashOf(dealing.transcript)
  const { transcript, proof, packets } = dealing
  let given = 0
  return {
    propose: () => ({ ...again, stepUp }),
    get: () => ({ community: did, ceremony: open.ceremony }),
    approve: () => ({ ...about(owned), act: signedAct(circle, mine, owned, { act: 'approve' }) }),
    deal: () => {
      const act = signedAct(circle, mine, split, { act: 'deal', subject: transcriptHash })
      return { ...about(split), transcript, proof, packets, act }
    },
    acknowledge: () => {
      const act = signedAct(circle, mine, split, { act: 'acknowledge', subject: transcriptHash })
      return { ...about(split), act }
    },
    submitShare: () => {
      given += 1
      const sealed = base64Url(randomBytes(113))
      // Each signed later than the one before, also within a millisecond.
      const at = isoOf(world.clock.nowMs() + given)
      const act = signedAct(circle, mine, open, { act: 'submit', subject: givenHashOf(sealed) }, { at })
      return { ...about(open), sealed, act }
    },
    conclude: () => {
      const act = signedAct(circle, mine, shown, { act: 'conclude', subject: givenHashOf(signature) })
      return { ...about(shown), signature, act }
    },
    cancel: () => ({ ...about(stopped), act: signedAct(circle, mine, stopped, { act: 'cancel' }) }),
    liftSuspension: () => {
      const lifted = { community: did, did: suspended.shift() ?? '' }
      return { ...lifted, stepUp: stepUpOf(world, { person: alice, key: mine.keys.signKey, act: LIFT, input: lifted }) }
    },
  }
}
