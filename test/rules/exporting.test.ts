/** What an exported key looks like, in forms that other programs read; and files sealed to people. */
import { createPrivateKey } from 'node:crypto'
import { generateHybridIdentity, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { base58btc } from 'multiformats/bases/base58'
import { describe, expect, it } from 'vitest'
import { isRecipient, makeIdentity, openWith, recipientOf, sealTo } from '../../src/keys/age.ts'
import { exportText } from '../../src/keys/exporting.ts'
import { makeKeyPair, withScalar } from '../../src/keys/private-keys.ts'
import { utf8 } from '../../src/platform/bytes.ts'

const CODEC = { p256: [0x86, 0x26], k256: [0x81, 0x26] } as const

describe('an exported key', () => {
  it.each(['k256', 'p256'] as const)('over %s stands there in three forms, between head and tail', (curve) => {
    for (let nth = 0; nth < 50; nth += 1) {
      const pair = makeKeyPair(curve)
      const scalar = withScalar(pair, (bytes) => Buffer.from(bytes))
      const text = Buffer.from(exportText(pair, { head: 'HEAD é', tail: 'TAIL' })).toString('utf8')
      const multibase = base58btc.encode(Uint8Array.from([...CODEC[curve], ...scalar]))
      const pem = createPrivateKey({
        key: pair.privateKey.export({ format: 'der', type: 'pkcs8' }),
        format: 'der',
        type: 'pkcs8',
      }).export({ format: 'pem', type: 'pkcs8' })
      expect(text).toBe(
        [
          'HEAD é',
          ...['', 'The private key as 64 hexadecimal characters:', '', scalar.toString('hex')],
          ...['', 'The same as multibase:', '', multibase],
          ...['', 'The same as PKCS#8:', '', pem],
          'TAIL',
        ].join('\n'),
      )
    }
  })

  it('lies off the heap, where it can be wiped', () => {
    const text = exportText(makeKeyPair('k256'), { head: '', tail: '' })
    expect(text.buffer.byteLength).toBeGreaterThanOrEqual(4096)
  })
})

describe('a file sealed to people', () => {
  it('opens for each of them and for nobody else, and not when a byte of it is another', async () => {
    const [one, other, stranger] = [await makeIdentity(), await makeIdentity(), await makeIdentity()]
    const sealed = await sealTo([one.recipient, other.recipient], utf8('a secret'))
    for (const { identity } of [one, other]) {
      expect(Buffer.from((await openWith(identity, sealed)) ?? []).toString()).toBe('a secret')
    }
    expect(await openWith(stranger.identity, sealed)).toBeNull()
    for (const at of [0, 30, sealed.length - 1]) {
      const spoilt = Uint8Array.from(sealed)
      spoilt[at] = (spoilt[at] ?? 0) ^ 1
      expect(await openWith(one.identity, spoilt)).toBeNull()
    }
  })

  it('is for somebody', () => {
    expect(() => sealTo([], utf8('a secret'))).toThrow('for nobody')
  })

  it('takes native recipients only, in their one spelling', async () => {
    const { identity, recipient } = await makeIdentity()
    expect(await recipientOf(identity)).toBe(recipient)
    expect(await isRecipient(recipient)).toBe(true)
    expect(await isRecipient(await identityToRecipient(await generateX25519Identity()))).toBe(true)
    const zero = 'age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z'
    expect(zero).toHaveLength(recipient.length)
    const hybrid = await identityToRecipient(await generateHybridIdentity())
    for (const text of ['', identity, recipient.toUpperCase(), `${recipient}\n`, ` ${recipient}`, hybrid, zero]) {
      expect(await isRecipient(text)).toBe(false)
    }
    await expect(sealTo([zero], utf8('a secret'))).rejects.toThrow()
  })
})
