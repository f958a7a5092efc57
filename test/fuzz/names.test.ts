/**
 * Names, keys as text and DID documents, spoilt: what is still a name is one in its only spelling, by the word of other readers too.
 */
import { parseDidKey as theirDidKey } from '@atproto/crypto'
import { isValidDid, isValidNsid, isValidRecordKey } from '@atproto/syntax'
import { base58btc } from 'multiformats/bases/base58'
import { describe, expect, it } from 'vitest'
import { parseDidDocument } from '../../src/identity/document.ts'
import {
  type Did,
  hostOf,
  isLoopbackClientId,
  isLoopbackDid,
  parseClientId,
  parseDid,
  parseHandle,
  parseServiceId,
  parseSpaceUri,
  spaceUriOf,
} from '../../src/names.ts'
import { didKeyOf, fromMultibase, multikeyOf, parseDidKey, parseMultikey } from '../../src/platform/multikey.ts'
import { parseStrictJson } from '../../src/platform/strict-json.ts'
import { type Dice, fuzz, mutateBytes, mutateJson, mutateText, respellJson, SEED } from '../kit/mutate.ts'
import { keyOfScalar } from '../kit/tokens.ts'

const DIDS = [
  'did:plc:ewvi7nxzyoun6zhxrhs64oiz',
  'did:web:example.com',
  'did:web:a-b.xn--ls8h.example.co',
  'did:web:localhost%3A3000',
  `did:web:${'a'.repeat(63)}.com`,
]
const SCRAPS = [
  'did:web:',
  'did:key:z',
  '.com',
  '.com.',
  '%3A443',
  ':8080',
  '#atproto',
  '/space/',
  '%2Fx',
  'EXAMPLE',
  '0x7f.1',
  '2130706433',
  '1',
]

describe('a spoilt name', () => {
  it(`is a DID only when every reader finds the same host in it (seed ${SEED})`, async () => {
    const words = await fuzz(
      'DID',
      20_000,
      (dice) => mutateText(dice, dice.pick(DIDS), SCRAPS),
      (text, ours) => {
        const did = ours(() => parseDid(text))
        if (did === null) return 'none'
        expect(did).toBe(text)
        expect(isValidDid(did)).toBe(true)
        expect(did.length).toBeLessThanOrEqual(256)
        if (did.startsWith('did:plc:')) return 'plc'
        const host = decodeURIComponent(did.slice('did:web:'.length))
        const url = new URL(`https://${host}/.well-known/did.json`)
        expect(url.href).toBe(`https://${host}/.well-known/did.json`)
        expect(isLoopbackDid(did)).toBe(url.hostname === 'localhost')
        if (!isLoopbackDid(did)) expect(url.port + url.username + url.search).toBe('')
        return 'web'
      },
    )
    for (const word of ['none', 'plc', 'web']) expect(words.get(word), word).toBeGreaterThan(50)
  })

  it(`is a client id only when it is written as every reader would write it (seed ${SEED})`, async () => {
    const good = ['https://app.example.com/client-metadata.json', 'https://app.org/', 'http://localhost:3000/a.json']
    const scraps = [
      ...SCRAPS,
      'https://',
      'http://',
      '/..',
      '/.',
      '%2e',
      '%2E',
      '%41',
      '/%2F',
      '?x=1',
      '?',
      ':443',
      'u@',
    ]
    const words = await fuzz(
      'client id',
      20_000,
      (dice) => mutateText(dice, dice.pick(good), scraps),
      (text, ours) => {
        const clientId = ours(() => parseClientId(text))
        if (clientId === null) return 'none'
        expect(clientId).toBe(text)
        const url = new URL(text)
        expect([url.href, url.username, url.password, url.hash]).toEqual([text, '', '', ''])
        expect(url.host).toBe(hostOf(clientId))
        expect(text.length).toBeLessThanOrEqual(2_048)
        // Undoing the escapes of plain characters, and making them anew, changes nothing.
        const plain = text.replace(/%[0-9a-f]{2}/gi, (code) => {
          const char = String.fromCharCode(Number.parseInt(code.slice(1), 16))
          return /[\w.~-]/.test(char) ? char : code.toUpperCase()
        })
        expect(plain).toBe(text)
        if (isLoopbackClientId(text)) return 'of this machine'
        expect([url.protocol, url.port, url.host]).toEqual(['https:', '', url.hostname])
        expect(url.hostname).toMatch(/^[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z][a-z0-9-]*$/)
        return 'public'
      },
    )
    for (const word of ['none', 'public', 'of this machine']) expect(words.get(word), word).toBeGreaterThan(200)
  })

  it(`is the name of a space only when its parts make it again (seed ${SEED})`, async () => {
    const good = DIDS.map((did) => `at://${did}/space/com.example.forum/self`)
    const scraps = [...SCRAPS, 'com.example.forum', '/', '//', '/..', '/.', '?x', '/space', 'self', ':', '~']
    const words = await fuzz(
      'space URI',
      20_000,
      (dice) => mutateText(dice, dice.pick(good), scraps),
      (text, ours) => {
        const space = ours(() => parseSpaceUri(text))
        if (space === null) return 'none'
        expect(space.uri).toBe(text)
        expect(parseSpaceUri(spaceUriOf(space.authority, space.spaceType, space.skey).uri)).toEqual(space)
        expect(text).toBe(`at://${space.authority}/space/${space.spaceType}/${space.skey}`)
        expect(parseDid(space.authority)).toBe(space.authority)
        expect(isValidNsid(space.spaceType) && isValidRecordKey(space.skey)).toBe(true)
        // A space's name stands in paths of URLs, where it must stay one step.
        const steps = new URL(`https://x.example/${space.spaceType}/${space.skey}`).pathname.split('/')
        expect(steps).toEqual(['', space.spaceType, space.skey])
        return 'space'
      },
    )
    expect(words.get('space')).toBeGreaterThan(200)
  })

  it(`is a handle or the name of a service only in its one spelling (seed ${SEED})`, async () => {
    const good = ['alice.example.com', 'xn--ls8h.test', ...DIDS.map((did) => `${did}#atproto_space_host`)]
    const words = await fuzz(
      'handle, service id',
      10_000,
      (dice) => mutateText(dice, dice.pick(good), SCRAPS),
      (text, ours) => {
        const [handle, service] = ours(() => [parseHandle(text), parseServiceId(text)] as const)
        if (handle !== null) expect([handle, new URL(`https://${handle}`).host]).toEqual([text, text])
        if (service === null) return handle === null ? 'none' : 'handle'
        expect(service.fragment === null ? service.did : `${service.did}#${service.fragment}`).toBe(text)
        return 'service'
      },
    )
    expect(words.get('handle')).toBeGreaterThan(50)
    expect(words.get('service')).toBeGreaterThan(50)
  })
})

const KEYS = [keyOfScalar('p256', new Uint8Array(32).fill(3)), keyOfScalar('k256', new Uint8Array(32).fill(5))]

/** A did:key, edited in its text or in the bytes that its text stands for. */
function spoiltDidKey(dice: Dice): string {
  const { didKey } = dice.pick(KEYS)
  if (dice.oneIn(2)) return mutateText(dice, didKey, ['did:key:', 'z', 'Q3sh', 'Dnae', '1', '0', 'O', 'l'])
  return `did:key:${base58btc.encode(mutateBytes(dice, base58btc.decode(didKey.slice('did:key:'.length))))}`
}

describe('a spoilt key', () => {
  it(`is read only where @atproto/crypto reads the same point, and written again alike (seed ${SEED})`, async () => {
    const words = await fuzz('did:key', 6_000, spoiltDidKey, (text, ours) => {
      const ourKey = ours(() => parseDidKey(text))
      const bare = text.startsWith('did:key:') ? parseMultikey(text.slice('did:key:'.length)) : null
      expect(ourKey?.key.compressed).toEqual(bare?.compressed)
      if (ourKey === null) return 'none'
      const { curve, compressed } = ourKey.key
      expect([didKeyOf(curve, compressed), `did:key:${multikeyOf(curve, compressed)}`]).toEqual([text, text])
      const theirs = theirDidKey(text)
      expect(theirs.jwtAlg).toBe(curve === 'p256' ? 'ES256' : 'ES256K')
      const jwk = ourKey.key.keyObject.export({ format: 'jwk' })
      const point = [4, ...Buffer.from(jwk.x ?? '', 'base64url'), ...Buffer.from(jwk.y ?? '', 'base64url')]
      expect([...theirs.keyBytes]).toEqual(point)
      return curve
    })
    for (const word of ['none', 'p256', 'k256']) expect(words.get(word), word).toBeGreaterThan(50)
  })

  it('of more than 128 characters is not decoded at all, which would take longer with every character', () => {
    const encoded = (count: number) => base58btc.encode(new Uint8Array(count).fill(255))
    const texts = Array.from({ length: 200 }, (_, at) => encoded(at + 1))
    for (const text of texts) expect(fromMultibase(text) !== null).toBe(text.length <= 128)
    expect(texts.some((text) => text.length === 128) || texts.some((text) => text.length === 127)).toBe(true)
  })
})

describe('a spoilt DID document', () => {
  const did = DIDS[0] as Did
  const [p256, k256] = KEYS.map(({ didKey }) => didKey.slice('did:key:'.length))
  const method = (id: string, publicKeyMultibase?: string) => ({
    id,
    type: 'Multikey',
    controller: did,
    publicKeyMultibase,
  })
  const good = {
    '@context': ['https://www.w3.org/ns/did/v1'],
    id: did,
    alsoKnownAs: ['at://alice.example.com'],
    verificationMethod: [method(`${did}#atproto`, k256), method('#atproto_space', p256)],
    service: [
      { id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: 'https://pds.example.com' },
      { id: '#atproto_space_host', type: 'AtprotoSpaceHost', serviceEndpoint: 'https://reeve.example.com' },
    ],
  }
  const pool = {
    names:
      'id type controller publicKeyMultibase publicKeyJwk service serviceEndpoint verificationMethod alsoKnownAs'.split(
        ' ',
      ),
    values: [
      ...[
        '#atproto',
        '#atproto_space',
        `${did}#atproto`,
        `${did}#atproto_pds`,
        '#atproto_pds',
        'atproto',
        did,
        p256,
        k256,
        ...DIDS,
      ],
      ...[
        'Multikey',
        'EcdsaSecp256r1VerificationKey2019',
        'EcdsaSecp256k1VerificationKey2019',
        'https://x.example/',
        'http://[::1]/',
      ],
      ...[
        'https://a@x.example',
        'https://x.example\\y',
        'javascript:0',
        { uri: 'https://x.example' },
        ['https://x.example'],
      ],
    ],
  }
  /** Entries of a list under a name, as a plain reader finds them. */
  const entriesOf = (list: unknown, name: string): Record<string, unknown>[] =>
    (Array.isArray(list) ? list : []).filter((entry) => [`#${name}`, `${did}#${name}`].includes(entry?.id))

  it(`says nothing that isn't written in it exactly once (seed ${SEED})`, async () => {
    const words = await fuzz(
      'DID document',
      3_000,
      (dice) => mutateJson(dice, good, pool),
      (json, ours) => {
        const before = JSON.stringify(json)
        const document = ours(() => parseDidDocument(did, json))
        expect(JSON.stringify(json)).toBe(before)
        if (document === null) return 'none'
        const { id, verificationMethod, service } = json as typeof good
        expect([id, document.did]).toEqual([did, did])
        const names = ['atproto', 'atproto_space'] as const
        for (const name of names) {
          const key = document.key(name)
          const entries = entriesOf(verificationMethod, name)
          if (key === null) continue
          expect(entries.length).toBe(1)
          expect(entries[0]?.['controller']).toBe(did)
          if (entries[0]?.['type'] === 'Multikey') {
            expect(entries[0]['publicKeyMultibase']).toBe(multikeyOf(key.curve, key.compressed))
          }
        }
        for (const name of ['atproto_pds', 'atproto_space_host', '', 'constructor']) {
          const found = document.service(name)
          const entries = entriesOf(service, name)
          expect(found === 'absent').toBe(entries.length === 0)
          if (typeof found === 'string') continue
          expect([entries.length, entries[0]?.['serviceEndpoint'], entries[0]?.['type']]).toEqual([
            1,
            found.endpoint,
            found.type,
          ])
          const url = new URL(found.endpoint)
          expect(['https:', 'http:']).toContain(url.protocol)
          expect(url.username + url.password).toBe('')
        }
        return names.every((name) => document.key(name)) ? 'both keys' : 'a key less'
      },
    )
    for (const word of ['none', 'both keys', 'a key less']) expect(words.get(word), word).toBeGreaterThan(200)
  })

  it(`in another spelling of its JSON says the same, or is no document (seed ${SEED})`, async () => {
    const words = await fuzz(
      'DID document as text',
      3_000,
      (dice) => respellJson(dice, JSON.stringify(good)),
      (text, ours) => {
        const json = ours(() => parseStrictJson(text, { maxDepth: 32 }))
        const document = json && parseDidDocument(did, json)
        if (!document) return 'none'
        const key = document.key('atproto')
        if (key === null) return 'a key less'
        expect(multikeyOf(key.curve, key.compressed)).toBe(k256)
        return 'document'
      },
    )
    expect(words.get('document')).toBeGreaterThan(100)
  })
})
