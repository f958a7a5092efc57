/** The proof that somebody holds the recovery key they name. */
import { p256 } from '@noble/curves/nist.js'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, it } from 'vitest'
import { type KeyPair, makeKeyPair, signCompact, withScalar } from '../../src/keys/private-keys.ts'
import { type RecoveryClaim, recoveryProofHolds, recoveryStatement } from '../../src/keys/recovery-proof.ts'
import type { Did } from '../../src/names.ts'
import { toBase64Url } from '../../src/platform/bytes.ts'
import type { Curve } from '../../src/platform/ecdsa.ts'

const NOBLE = { p256, k256: secp256k1 }
const alice = `did:plc:${'a'.repeat(24)}` as Did
const bob = `did:plc:${'b'.repeat(24)}` as Did
const service = 'did:web:reeve.example'

const claimOf = (pair: KeyPair): RecoveryClaim => ({ recoveryKey: pair.didKey, caller: alice, service })
const proofOf = (pair: KeyPair, claim: RecoveryClaim): string =>
  toBase64Url(signCompact(pair, recoveryStatement(claim)))

/** The same signature with its S on the other side of the middle. */
function highS(curve: Curve, proof: string): string {
  const bytes = Buffer.from(proof, 'base64url')
  const s = NOBLE[curve].Point.CURVE().n - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  return Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]).toString(
    'base64url',
  )
}

describe.each<Curve>(['p256', 'k256'])('a recovery proof on %s', (curve) => {
  const pair = makeKeyPair(curve)
  const claim = claimOf(pair)
  const proof = proofOf(pair, claim)

  it('holds for its own claim', () => {
    expect(recoveryProofHolds({ ...claim, proof })).toBe(true)
  })

  it('is over the words that are written down, so that any tool can make one', () => {
    const words = `reeve-recovery-v1\n${alice}\n${service}\n${pair.didKey}`
    const signature = withScalar(pair, (scalar) =>
      NOBLE[curve].sign(Buffer.from(words), Uint8Array.from(scalar), { lowS: true }),
    )
    expect(recoveryProofHolds({ ...claim, proof: Buffer.from(signature).toString('base64url') })).toBe(true)
  })

  it('does not hold for another caller, another service or another key', () => {
    expect(recoveryProofHolds({ ...claim, proof, caller: bob })).toBe(false)
    expect(recoveryProofHolds({ ...claim, proof, service: 'did:web:other.example' })).toBe(false)
    expect(recoveryProofHolds({ ...claim, proof, recoveryKey: makeKeyPair(curve).didKey })).toBe(false)
  })

  it('does not hold when somebody else signed', () => {
    expect(recoveryProofHolds({ ...claim, proof: proofOf(makeKeyPair(curve), claim) })).toBe(false)
  })

  it('does not hold with a high S', () => {
    expect(recoveryProofHolds({ ...claim, proof: highS(curve, proof) })).toBe(false)
    expect(highS(curve, highS(curve, proof))).toBe(proof)
  })

  it('does not hold in any other spelling', () => {
    const bytes = Buffer.from(proof, 'base64url')
    const standard = `${'+'.repeat(1)}${proof.slice(1)}`
    for (const other of [
      `${proof}=`,
      `${proof}==`,
      ` ${proof}`,
      `${proof}\n`,
      bytes.toString('hex'),
      standard,
      '',
      'A'.repeat(86),
    ])
      expect(recoveryProofHolds({ ...claim, proof: other })).toBe(false)
  })
})
