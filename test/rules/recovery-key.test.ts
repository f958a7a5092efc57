/** The file of a recovery key: who can read it, who else's tools can, what is refused, and that no word of it gets out. */
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import { base58btc } from 'multiformats/bases/base58'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifyOperationSignature } from '../../src/identity/plc-operation.ts'
import {
  assertNoOpenSecret,
  looksLikePrivateKey,
  makeRecoveryKeyFile,
  OpenSecret,
  openRecoveryKey,
} from '../../src/keys/recovery-key.ts'
import { recoveryProofHolds } from '../../src/keys/recovery-proof.ts'
import { encodeBase64 } from '../../src/keys/secret-spellings.ts'
import type { Did } from '../../src/names.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'

const PUBLIC_THINGS = [
  '/srv/Alice/Documents/communities/2026/gardeners-recovery.key',
  '/var/folders/Zz/x1y2z3A4B5C6D7/T/reeve-leaving-Ab12Cd/r',
  'did-plc-aaaaaaaaaaaaaaaaaaaaaaaa-abcdefgh.json',
  `/tmp/${'Ab1'.repeat(14)}c.json`,
  'the-recovery-key-of-the-gardeners-community',
  'community.reeve.key.export',
  'A'.repeat(86),
]

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'reeve-recovery-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let made = 0
const place = (): string => join(folder, `key-${++made}`)
function keyFile(text: string, mode = 0o600): string {
  const path = place()
  writeFileSync(path, text, { mode })
  chmodSync(path, mode)
  return path
}

describe('a new recovery key', () => {
  it('is for its owner alone, and is read by OpenSSL as what it is', () => {
    const path = place()
    const didKey = makeRecoveryKeyFile(path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(openRecoveryKey(path).didKey).toBe(didKey)
    const told = execFileSync('openssl', ['pkey', '-in', path, '-noout', '-text']).toString()
    expect(told).toContain('secp256k1')
    expect(readFileSync(path, 'utf8')).toMatch(
      /^-----BEGIN PRIVATE KEY-----\n(?:[A-Za-z0-9+/=]{1,64}\n)+-----END PRIVATE KEY-----\n$/,
    )
  })

  it('is another one each time, and takes no other file’s place', () => {
    const path = place()
    const didKey = makeRecoveryKeyFile(path)
    const before = readFileSync(path)
    expect(() => makeRecoveryKeyFile(path)).toThrow(/EEXIST/)
    expect(readFileSync(path)).toEqual(before)
    expect(makeRecoveryKeyFile(place())).not.toBe(didKey)
  })

  it('signs what it is for, in the one form that is taken', () => {
    const path = place()
    makeRecoveryKeyFile(path)
    const key = openRecoveryKey(path)
    const claim = { caller: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' as Did, service: 'did:web:reeve.example' }
    for (let time = 0; time < 8; time += 1) {
      expect(recoveryProofHolds({ ...claim, recoveryKey: key.didKey, proof: key.proofFor(claim) })).toBe(true)
      const tombstone = { type: 'plc_tombstone' as const, prev: 'bafy' }
      expect(verifyOperationSignature({ ...tombstone, sig: key.signOperation(tombstone) }, [key.didKey])).toBe(
        key.didKey,
      )
    }
  })
})

describe('keys that other tools wrote', () => {
  it('are taken in as 64 hexadecimal characters, which is secp256k1', async () => {
    const theirs = await Secp256k1Keypair.create({ exportable: true })
    const hex = Buffer.from(await theirs.export()).toString('hex')
    for (const text of [hex, `${hex}\n`, hex.toUpperCase(), `${hex}\r\n`])
      expect(openRecoveryKey(keyFile(text)).didKey).toBe(theirs.did())
  })

  it('are taken in as multibase, on both curves', async () => {
    for (const [theirs, codec] of [
      [await Secp256k1Keypair.create({ exportable: true }), [0x81, 0x26]],
      [await P256Keypair.create({ exportable: true }), [0x86, 0x26]],
    ] as const) {
      const text = base58btc.encode(Uint8Array.of(...codec, ...(await theirs.export())))
      expect(looksLikePrivateKey(text)).toBe(true)
      expect(openRecoveryKey(keyFile(`${text}\n`)).didKey).toBe(theirs.did())
    }
  })

  it('are taken in as OpenSSL writes them, in both forms of PEM', () => {
    for (const curve of ['secp256k1', 'prime256v1']) {
      const sec1 = place()
      execFileSync('openssl', ['ecparam', '-name', curve, '-genkey', '-noout', '-out', sec1])
      chmodSync(sec1, 0o600)
      const pkcs8 = execFileSync('openssl', ['pkcs8', '-topk8', '-nocrypt', '-in', sec1]).toString()
      expect(openRecoveryKey(sec1).didKey).toBe(openRecoveryKey(keyFile(pkcs8)).didKey)
    }
  })

  it.each([
    ['nothing', ''],
    ['63 characters', 'a'.repeat(63)],
    ['65 characters', 'a'.repeat(65)],
    ['zero', '0'.repeat(64)],
    ['a number beyond the group', 'f'.repeat(64)],
    ['what isn’t hexadecimal', 'g'.repeat(64)],
    ['multibase that is too long', `z${'3'.repeat(60)}`],
    ['multibase of another thing', base58btc.encode(Uint8Array.of(0xe7, 0x01, ...new Uint8Array(32).fill(7)))],
    ['multibase with a letter that it hasn’t', `z3vL${'0'.repeat(44)}`],
    ['a PEM of nothing', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'],
    ['far too much', 'a'.repeat(5_000)],
  ])('are refused: %s', (_what, text) => {
    expect(() => openRecoveryKey(keyFile(text))).toThrow('there is no private key in the file')
  })

  it('are refused on another curve', () => {
    const path = keyFile(execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519']).toString())
    expect(() => openRecoveryKey(path)).toThrow('there is no private key in the file')
  })
})

describe('a key file that others can reach', () => {
  it.each([0o644, 0o640, 0o604, 0o620, 0o601, 0o660])('is refused at mode %o, and no word of it gets out', (mode) => {
    const secret = '5'.repeat(64)
    const path = keyFile(secret, mode)
    let thrown: unknown
    try {
      openRecoveryKey(path)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(OpenSecret)
    const told = { error: Buffer.from(String((thrown as Error).stack)) }
    expect(where({ key: spellingsOf(Buffer.from(secret, 'hex')) }, told)).toEqual([])
  })

  it('is taken at mode 0400, and by another name of the same file', () => {
    const path = keyFile('5'.repeat(64), 0o400)
    const other = place()
    linkSync(path, other)
    expect(openRecoveryKey(other).didKey).toBe(openRecoveryKey(path).didKey)
  })

  it('is no folder', () => {
    const path = place()
    mkdirSync(path, { mode: 0o700 })
    expect(() => openRecoveryKey(path)).toThrow(OpenSecret)
  })
})

describe('a key file that is none', () => {
  const secret = Buffer.alloc(32, 0xa7).toString('base64')

  it('is named by no word of an error', () => {
    for (const open of [() => openRecoveryKey(secret), () => makeRecoveryKeyFile(join(folder, 'none', secret))]) {
      let told = ''
      try {
        open()
      } catch (error) {
        told = inspect(error, { depth: 9, showHidden: true }).split('\n    at ')[0] ?? ''
      }
      expect(told).toContain('ENOENT')
      expect(told).not.toContain(secret)
    }
  })

  it('is not waited for, where it is a pipe that nobody writes to', () => {
    const path = place()
    execFileSync('mkfifo', ['-m', '600', path])
    expect(() => openRecoveryKey(path)).toThrow('not a regular file')
  })
})

describe('a key where everybody can see it', () => {
  const hex = `${'c0ffee'.repeat(10)}c0ff`

  it('is refused as an argument, whatever stands around it', () => {
    for (const arg of [hex, `--key=${hex}`, `0x${hex}`, hex.toUpperCase(), '-----BEGIN PRIVATE KEY-----', `0x ${hex}`])
      expect(() => assertNoOpenSecret(['exit', arg], {}), arg).toThrow(OpenSecret)
  })

  it('is refused in a variable that is named for it, and other variables are nobody’s business', () => {
    for (const name of ['REEVE_RECOVERY_KEY', 'ROTATION_KEY', 'recovery', 'EXIT_KEY'])
      expect(() => assertNoOpenSecret([], { [name]: hex }), name).toThrow(OpenSecret)
    expect(() =>
      assertNoOpenSecret([], { REEVE_KEK: hex, SSH: '-----BEGIN PRIVATE KEY-----', ROTATION: 'yes' }),
    ).not.toThrow()
  })

  it('is refused in every spelling that it has elsewhere', () => {
    for (const [type, namedCurve] of [
      ['ec', 'secp256k1'],
      ['ec', 'prime256v1'],
      ['ed25519', ''],
    ] as const) {
      for (let time = 0; time < 20; time += 1) {
        const { privateKey, publicKey } =
          type === 'ec' ? generateKeyPairSync('ec', { namedCurve }) : generateKeyPairSync('ed25519')
        const spki = publicKey.export({ format: 'der', type: 'spki' })
        expect(looksLikePrivateKey(spki.toString('base64'))).toBe(false)
        const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' })
        const ders = type === 'ec' ? [pkcs8, privateKey.export({ format: 'der', type: 'sec1' })] : [pkcs8]
        const { d = '' } = privateKey.export({ format: 'jwk' })
        const texts = [...ders.flatMap((der) => [der.toString('base64'), der.toString('base64url')])]
        const scalar = Buffer.from(d, 'base64url')
        texts.push(`0x${scalar.toString('hex')}`, `0X${scalar.toString('hex').toUpperCase()}`)
        // One in a thousand has no digit, and reads as a name.
        if (/\d/.test(d)) texts.push(d, `{"d":"${d}"}`, scalar.toString('base64'))
        for (const text of texts) {
          expect(() => assertNoOpenSecret(['recovery', 'show', text], {}), text).toThrow(OpenSecret)
          expect(() => assertNoOpenSecret([`--key=${text}`], {}), text).toThrow(OpenSecret)
          expect(() => assertNoOpenSecret([], { RECOVERY_KEY: text }), text).toThrow(OpenSecret)
        }
      }
    }
  })

  it('isn’t what public things look like', () => {
    const didKey = makeRecoveryKeyFile(place())
    const cid = 'bafyreihfbvcj6z2hwj3fafpsxvylvbg5gmvhfzs3sp2ghwjpnnpibe7jvi'
    for (const text of [
      didKey,
      cid,
      'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa',
      'https://plc.directory',
      'recovery.key',
      ...PUBLIC_THINGS,
    ])
      expect(looksLikePrivateKey(text), text).toBe(false)
  })
})

it('base64 without strings is base64, at every length', () => {
  for (let length = 0; length < 100; length += 1) {
    const bytes = Uint8Array.from({ length }, (_none, at) => (at * 97 + length) & 0xff)
    const into = new Uint8Array(4 * Math.ceil(length / 3))
    encodeBase64(bytes, into)
    expect(Buffer.from(into).toString()).toBe(Buffer.from(bytes).toString('base64'))
  }
})
