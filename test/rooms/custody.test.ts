/** The recovery key at a founding: whose signature counts, over which words, in which spelling. Over the wire. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { recoveryStatement } from '../../src/keys/recovery-proof.ts'
import type { DidKey } from '../../src/names.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { honestLog } from '../kit/fake-plc.ts'
import { startPlcServer } from '../kit/plc.ts'
import { base64Url, makeKey, signBytes, type TestKey, twinOf } from '../kit/tokens.ts'
import { memberHeld, openWorld, type Person, type World } from '../kit/world.ts'

const MINT = 'community.reeve.community.mint'
const TYPE = `${MINT}#memberHeld`

describeOnEachEngine('a recovery key', (open) => {
  let plc: Awaited<ReturnType<typeof startPlcServer>>
  let world: World
  let alice: Person
  let bob: Person

  beforeAll(async () => {
    plc = await startPlcServer()
    world = await openWorld({ database: await open(), plcUrl: plc.url })
    alice = await world.person()
    bob = await world.person()
  })
  afterAll(async () => {
    await world.close()
    await plc.close()
  })

  const mint = async (custody: object): Promise<[number, string | undefined]> => {
    const answer = await alice.call(MINT, { name: 'Gardeners', custody })
    return [answer.status, answer.body.error]
  }
  const statement = (recoveryKey: DidKey, more: { caller?: Person; service?: string } = {}) =>
    recoveryStatement({
      recoveryKey,
      caller: (more.caller ?? alice).did,
      service: more.service ?? world.config.serviceDid,
    })
  const proofOf = (key: TestKey, words: Uint8Array) => base64Url(signBytes(key, words))

  it.each(['p256', 'k256'] as const)('on %s outranks ours, and ours is the only other', async (curve) => {
    const recovery = makeKey(curve)
    const answer = await alice.call(MINT, { name: 'Gardeners', custody: memberHeld(world, alice, recovery) })
    expect(answer.status).toBe(200)
    const log = await honestLog({ honestUrl: plc.url }, answer.body.did)
    expect(log?.[0]?.operation.rotationKeys).toHaveLength(2)
    expect(log?.[0]?.operation.rotationKeys[0]).toBe(recovery.didKey)
  })

  it.each([
    ['somebody else’s name', () => statement(recovery.didKey, { caller: bob })],
    ['another service', () => statement(recovery.didKey, { service: 'did:web:other.example' })],
    ['another key', () => statement(makeKey('p256').didKey)],
    ['the words without their last line', () => statement(recovery.didKey).subarray(0, -1)],
    ['the words and a line feed', () => Buffer.concat([statement(recovery.didKey), Buffer.from('\n')])],
    ['nothing', () => new Uint8Array()],
  ])('with a proof over %s is BadRecoveryProof', async (_says, words) => {
    const proof = proofOf(recovery, words())
    expect(await mint({ $type: TYPE, recoveryKey: recovery.didKey, proof })).toEqual([400, 'BadRecoveryProof'])
  })
  const recovery = makeKey('p256')

  it('with a proof by another key is BadRecoveryProof', async () => {
    const proof = proofOf(makeKey('p256'), statement(recovery.didKey))
    expect(await mint({ $type: TYPE, recoveryKey: recovery.didKey, proof })).toEqual([400, 'BadRecoveryProof'])
  })

  it.each(['p256', 'k256'] as const)(
    'with the high-S twin of a good proof on %s is BadRecoveryProof',
    async (curve) => {
      const key = makeKey(curve)
      const good = signBytes(key, statement(key.didKey))
      const proof = base64Url(twinOf(curve, good))
      expect(await mint({ $type: TYPE, recoveryKey: key.didKey, proof })).toEqual([400, 'BadRecoveryProof'])
      expect(await mint({ $type: TYPE, recoveryKey: key.didKey, proof: base64Url(good) })).toEqual([200, undefined])
    },
  )

  it.each([
    ['padded', (proof: string) => `${proof}==`],
    ['in hexadecimal', (proof: string) => Buffer.from(proof, 'base64url').toString('hex').slice(0, 128)],
    ['a character short', (proof: string) => proof.slice(1)],
    ['empty', () => ''],
    ['all zero', () => base64Url(new Uint8Array(64))],
  ])('with a proof that is %s is BadRecoveryProof', async (_says, spoil) => {
    const proof = spoil(proofOf(recovery, statement(recovery.didKey)))
    expect(await mint({ $type: TYPE, recoveryKey: recovery.didKey, proof })).toEqual([400, 'BadRecoveryProof'])
  })

  it.each([
    ['no key at all', 'recovery'],
    ['a DID that is no key', 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'],
    ['an Ed25519 key', 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'],
    ['a key with a fragment', `${makeKey('p256').didKey}#${'x'.repeat(8)}`],
    ['a key in capitals', makeKey('p256').didKey.toUpperCase()],
  ])('that is %s is InvalidRequest', async (_says, recoveryKey) => {
    const proof = base64Url(new Uint8Array(64).fill(1))
    expect(await mint({ $type: TYPE, recoveryKey, proof })).toEqual([400, 'InvalidRequest'])
  })

  it('without a proof is InvalidRequest', async () => {
    expect(await mint({ $type: TYPE, recoveryKey: recovery.didKey })).toEqual([400, 'InvalidRequest'])
  })

  it('whose proof was made for another founder founds nothing for me, though it founds for them', async () => {
    const custody = memberHeld(world, bob, recovery)
    expect(await mint(custody)).toEqual([400, 'BadRecoveryProof'])
    expect(await bob.call(MINT, { name: 'Gardeners', custody })).toMatchObject({ status: 200 })
  })
})
