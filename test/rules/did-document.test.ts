/** What a DID document says, and all the ways in which it can say nothing. */
import { generateKeyPairSync } from 'node:crypto'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { base58btc } from 'multiformats/bases/base58'
import { describe, expect, it } from 'vitest'
import { parseDidDocument } from '../../src/identity/document.ts'
import { type Did, parseDid } from '../../src/names.ts'
import type { Curve, PublicKey } from '../../src/platform/ecdsa.ts'
import { didKeyOf, multikeyOf } from '../../src/platform/multikey.ts'

function didOf(text: string): Did {
  const did = parseDid(text)
  if (!did) throw new Error(`not a DID: ${text}`)
  return did
}

/** A key made by OpenSSL, in every way in which a document may write it. */
function keyOn(curve: Curve) {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: curve === 'p256' ? 'P-256' : 'secp256k1' })
  const jwk = publicKey.export({ format: 'jwk' })
  const [x, y] = [Buffer.from(jwk.x ?? '', 'base64url'), Buffer.from(jwk.y ?? '', 'base64url')]
  const uncompressed = Uint8Array.from([4, ...x, ...y])
  const compressed = Uint8Array.from([2 + ((y.at(-1) ?? 0) & 1), ...x])
  const multikey = multikeyOf(curve, compressed)
  return { curve, jwk, uncompressed, compressed, multikey }
}
const p256 = keyOn('p256')
const k256 = keyOn('k256')
const jwkOf = (key: PublicKey | null) => key?.keyObject.export({ format: 'jwk' })

const did = didOf('did:plc:ewvi7nxzyoun6zhxrhs64oiz')
const method = (more: object = {}) => ({
  id: '#atproto',
  type: 'Multikey',
  controller: did,
  publicKeyMultibase: p256.multikey,
  ...more,
})
const withMethods = (...verificationMethod: unknown[]) => parseDidDocument(did, { id: did, verificationMethod })
const withServices = (...service: unknown[]) => parseDidDocument(did, { id: did, service })

describe('a document as the directory serves it', () => {
  const bob = didOf('did:plc:mz2vmuwgcm6mp7s4haxyojqj')
  const document = parseDidDocument(bob, {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/suites/secp256k1-2019/v1'],
    id: 'did:plc:mz2vmuwgcm6mp7s4haxyojqj',
    alsoKnownAs: ['at://bob.test2'],
    verificationMethod: [
      {
        id: '#atproto',
        type: 'EcdsaSecp256k1VerificationKey2019',
        controller: 'did:plc:mz2vmuwgcm6mp7s4haxyojqj',
        publicKeyMultibase: 'zPpXfVU8KxYsZFAXQfcBCfTBH1VU3TFY854vNdgSF6vawmJfa6C7hKA32DcjPSEoL4uqRGLH5E9CtcfSTokc3R6Uh',
      },
    ],
    service: [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: 'http://localhost:2584' }],
  })

  it('gives its legacy key, its names and its service', () => {
    const key = document?.key('atproto')
    // As the network's own library writes the same key.
    expect(key && didKeyOf(key.curve, key.compressed)).toBe('did:key:zQ3shVJvAeWXkTqr7xcy51or5YmAJQ3HkS8NHqGdcf7PZKaCv')
    expect(document?.alsoKnownAs).toEqual(['at://bob.test2'])
    expect(document?.service('atproto_pds')).toEqual({
      type: 'AtprotoPersonalDataServer',
      endpoint: 'http://localhost:2584',
    })
  })

  it('has no key and no service that it does not name', () => {
    expect(document?.key('atproto_space')).toBeNull()
    expect(document?.service('atproto_space_host')).toBe('absent')
  })
})

describe('a key', () => {
  it.each([
    ['Multikey on P-256', p256, { type: 'Multikey', publicKeyMultibase: p256.multikey }],
    ['Multikey on secp256k1', k256, { type: 'Multikey', publicKeyMultibase: k256.multikey }],
    ['the legacy P-256 type', p256, legacy('EcdsaSecp256r1VerificationKey2019', p256.uncompressed)],
    ['the legacy secp256k1 type', k256, legacy('EcdsaSecp256k1VerificationKey2019', k256.uncompressed)],
    [
      'the legacy P-256 type with a compressed point',
      p256,
      legacy('EcdsaSecp256r1VerificationKey2019', p256.compressed),
    ],
    [
      'the legacy secp256k1 type with a compressed point',
      k256,
      legacy('EcdsaSecp256k1VerificationKey2019', k256.compressed),
    ],
  ])('is read from %s', (_form, expected, fields) => {
    const key = withMethods(method(fields))?.key('atproto') ?? null
    expect(key?.curve).toBe(expected.curve)
    expect(key?.compressed).toEqual(expected.compressed)
    expect(jwkOf(key)).toEqual(expected.jwk)
  })

  it('is found under its full id as well', () => {
    expect(withMethods(method({ id: `${did}#atproto` }))?.key('atproto')?.compressed).toEqual(p256.compressed)
  })

  it('and the key of spaces are two, whatever their order', () => {
    const space = method({ id: '#atproto_space', publicKeyMultibase: k256.multikey })
    for (const document of [withMethods(method(), space), withMethods(space, method())]) {
      expect(document?.key('atproto')?.curve).toBe('p256')
      expect(document?.key('atproto_space')?.curve).toBe('k256')
    }
  })

  const offCurve = Uint8Array.from([...p256.uncompressed.subarray(0, 64), (p256.uncompressed[64] ?? 0) ^ 1])
  it.each([
    ['an unknown type', method({ type: 'Ed25519VerificationKey2020' })],
    ['a type named like a method of every object', method({ type: 'constructor' })],
    ['another controller', method({ controller: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' })],
    ['no controller', method({ controller: undefined })],
    ['a controller that is a list', method({ controller: [did] })],
    ['another DID in its id', method({ id: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#atproto' })],
    ['an id without a hash', method({ id: 'atproto' })],
    ['an id in capitals', method({ id: '#ATPROTO' })],
    ['no multibase', method({ publicKeyMultibase: undefined })],
    ['a multibase that is a number', method({ publicKeyMultibase: 7 })],
    ['an empty multibase', method({ publicKeyMultibase: '' })],
    ['another base', method({ publicKeyMultibase: `f${Buffer.from(p256.compressed).toString('hex')}` })],
    ['a megabyte of multibase', method({ publicKeyMultibase: `z${'1'.repeat(1_000_000)}` })],
    ['a Multikey without its prefix', method({ publicKeyMultibase: base58btc.encode(p256.uncompressed) })],
    ['a legacy type with a prefix', method({ type: 'EcdsaSecp256r1VerificationKey2019' })],
    ['a point off the curve', method(legacy('EcdsaSecp256r1VerificationKey2019', offCurve))],
    ['a point of the other curve', method(legacy('EcdsaSecp256k1VerificationKey2019', p256.uncompressed))],
    ['a point cut short', method(legacy('EcdsaSecp256r1VerificationKey2019', p256.uncompressed.subarray(0, 64)))],
  ])('with %s is none, and harms nothing else', (_fault, entry) => {
    const document = withMethods(entry, method({ id: '#atproto_space' }))
    expect(document?.key('atproto')).toBeNull()
    expect(document?.key('atproto_space')?.compressed).toEqual(p256.compressed)
  })

  it.each([
    ['the same key', method()],
    ['another key', method({ publicKeyMultibase: k256.multikey })],
    ['its full id', method({ id: `${did}#atproto` })],
    ['an unknown type', { id: '#atproto', type: 'Ed25519VerificationKey2020' }],
    ['nothing but the id', { id: '#atproto' }],
  ])('that is there twice (the second time: %s) is none', (_twin, twin) => {
    expect(withMethods(method(), twin)?.key('atproto')).toBeNull()
    expect(withMethods(twin, method())?.key('atproto')).toBeNull()
  })

  it('is found among entries that are no entries', () => {
    expect(withMethods(null, 7, 'x', [], {}, { id: 7 }, method())?.key('atproto')).not.toBeNull()
  })
})

describe('a service', () => {
  const entry = (more: object = {}) => ({ id: '#a', type: 'T', serviceEndpoint: 'https://a.org', ...more })

  it.each(['https://a.org', 'https://a.org/', 'http://localhost:4162/base/', 'https://a.org/x?y=z'])(
    'has an endpoint as the document writes it: %s',
    (serviceEndpoint) => {
      expect(withServices(entry({ serviceEndpoint }))?.service('a')).toEqual({ type: 'T', endpoint: serviceEndpoint })
    },
  )

  it('is found under its full id as well', () => {
    expect(withServices(entry({ id: `${did}#a` }))?.service('a')).toEqual({ type: 'T', endpoint: 'https://a.org' })
  })

  it.each([
    ['a list of endpoints', entry({ serviceEndpoint: ['https://a.org'] })],
    ['an endpoint that is an object', entry({ serviceEndpoint: { uri: 'https://a.org' } })],
    ['no endpoint', entry({ serviceEndpoint: undefined })],
    ['an empty endpoint', entry({ serviceEndpoint: '' })],
    ['another scheme', entry({ serviceEndpoint: 'ftp://a.org' })],
    ['javascript', entry({ serviceEndpoint: 'javascript:alert(1)' })],
    ['a bare host', entry({ serviceEndpoint: 'a.org' })],
    ['white space', entry({ serviceEndpoint: ' https://a.org' })],
    ['a line break', entry({ serviceEndpoint: 'https://a.org\n' })],
    ['a backslash', entry({ serviceEndpoint: 'https://a.org\\b' })],
    ['user info', entry({ serviceEndpoint: 'https://a:b@a.org' })],
    ['no host', entry({ serviceEndpoint: 'https://' })],
    ['a long endpoint', entry({ serviceEndpoint: `https://a.org/${'a'.repeat(2_048)}` })],
    ['a type that is a list', entry({ type: ['T'] })],
    ['no type', entry({ type: undefined })],
  ])('with %s is malformed, never absent', (_fault, service) => {
    expect(withServices(service)?.service('a')).toBe('malformed')
  })

  it('that is there twice is malformed, whichever comes first', () => {
    const broken = entry({ id: `${did}#a`, serviceEndpoint: 7 })
    expect(withServices(entry(), entry())?.service('a')).toBe('malformed')
    expect(withServices(broken, entry())?.service('a')).toBe('malformed')
    expect(withServices(entry(), broken)?.service('a')).toBe('malformed')
  })

  it('that is broken leaves its neighbours alone', () => {
    const document = withServices(entry({ serviceEndpoint: 7 }), entry({ id: '#b' }))
    expect(document?.service('b')).toEqual({ type: 'T', endpoint: 'https://a.org' })
  })
})

describe('a document as a whole', () => {
  it.each([
    ['of another DID', { id: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }],
    ['without an id', {}],
    ['of a list of DIDs', { id: [did] }],
    ['that is a list', [{ id: did }]],
    ['that is text', did],
    ['that is null', null],
    ['with 51 keys', { id: did, verificationMethod: Array.from({ length: 51 }, (_, i) => method({ id: `#k${i}` })) }],
    ['with 51 services', { id: did, service: Array.from({ length: 51 }, (_, i) => ({ id: `#s${i}` })) }],
    ['with 51 names', { id: did, alsoKnownAs: Array.from({ length: 51 }, (_, i) => `at://a${i}.org`) }],
    ['whose keys are an object', { id: did, verificationMethod: method() }],
    ['whose services are null', { id: did, service: null }],
    ['whose names are numbers', { id: did, alsoKnownAs: [7] }],
  ])('%s is none', (_fault, json) => {
    expect(parseDidDocument(did, json)).toBeNull()
  })

  it('may hold fifty of each', () => {
    const methods = Array.from({ length: 49 }, (_, i) => method({ id: `#k${i}` }))
    expect(withMethods(...methods, method())?.key('atproto')).not.toBeNull()
  })

  it('with nothing but its id has no keys, no names and no services', () => {
    const document = parseDidDocument(did, { id: did })
    expect(document?.did).toBe(did)
    expect(document?.alsoKnownAs).toEqual([])
    expect(document?.key('atproto')).toBeNull()
    expect(document?.service('a')).toBe('absent')
  })
})

function legacy(type: string, point: Uint8Array) {
  return { type, publicKeyMultibase: base58btc.encode(point) }
}

describe('what is kept of a document', () => {
  it('is only what was understood, however much a stranger wrote around it', async () => {
    setFlagsFromString('--expose-gc')
    const collect: () => void = runInNewContext('gc')
    let junk: object | null = { deep: [{}, {}, {}] }
    const remains = new WeakRef(junk)
    const service = { id: '#s', type: 'T', serviceEndpoint: 'https://host.example.com', junk }
    const document = parseDidDocument(did, { id: did, service: [service, { id: '#other', junk }], junk })
    // A function may still hold what it was made beside; nothing else does.
    Object.assign(service, { junk: null })
    junk = null
    await new Promise((resolve) => setImmediate(resolve))
    collect()
    expect(document?.service('s')).toEqual({ type: 'T', endpoint: 'https://host.example.com' })
    expect(remains.deref()).toBeUndefined()
  })
})
