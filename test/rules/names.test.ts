import { describe, expect, it } from 'vitest'
import { parseDid, parseNsid, parseServiceId, parseSpaceUri } from '../../src/names.ts'

describe('a DID', () => {
  it.each([
    'did:plc:ewvi7nxzyoun6zhxrhs64oiz',
    'did:web:example.com',
    'did:web:a.b-c.example.co',
    'did:web:localhost%3A3000',
  ])('has one spelling: %s', (did) => expect(parseDid(did)).toBe(did))

  it.each([
    'did:web:EVIL.com',
    'did:web:evil.com.',
    'did:web:evil.com%09',
    'did:web:127.0.0.1',
    'did:web:2130706433',
    'did:web:%5B%3A%3A1%5D',
    'did:web:host.example%3A8443',
    'did:web:localhost',
    'did:web:localhost%3a3000',
    'did:web:localhost%3A0',
    'did:web:localhost%3A03000',
    'did:web:localhost%3A65536',
    'did:web:host.example%2Fadmin%3Fx%3D1',
    'did:web:user%40host.example',
    'did:web:host.example:path',
    'did:web:-host.example',
    'did:web:host-.example',
    'did:web:host..example',
    'did:plc:ewvi7nxzyoun6zhxrhs64oi',
    'did:plc:ewvi7nxzyoun6zhxrhs64oizz',
    'did:plc:EWVI7NXZYOUN6ZHXRHS64OIZ',
    'did:plc:ewvi7nxzyoun6zhxrhs64oi0',
    'did:plc:ewvi7nxzyoun6zhxrhs64oiz#atproto',
    'did:plc:ewvi7nxzyoun6zhxrhs64oiz\n',
    ' did:plc:ewvi7nxzyoun6zhxrhs64oiz',
    'did:key:zDnaecYxSf35fQJygfCvCRVXRFugxNhDscNRvTsnSzGvacKyW',
    'alice.example.com',
    `did:web:${'a'.repeat(64)}.example`,
    `did:web:${'a.'.repeat(130)}com`,
    '',
    42,
    null,
    {},
    ['did:web:example.com'],
  ])('is nothing else: %j', (text) => expect(parseDid(text)).toBeNull())
})

describe('a space URI', () => {
  const authority = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'

  it('is taken apart into its names', () => {
    const uri = `at://${authority}/space/com.atmoboards.forum/main`
    expect(parseSpaceUri(uri)).toEqual({ uri, authority, spaceType: 'com.atmoboards.forum', skey: 'main' })
  })

  it.each([
    `at://${authority}/space/com.atmoboards.forum/main/`,
    `at://${authority}/space/com.atmoboards.forum/main?x=1`,
    `at://${authority}/space/com.atmoboards.forum/main#x`,
    `at://${authority}/space/com.atmoboards.forum/ma%69n`,
    `at://${authority}/space/com.atmoboards.forum/..`,
    `at://${authority}/space/com.atmoboards.forum/.`,
    `at://${authority}/space/com.atmoboards.forum/${'a'.repeat(513)}`,
    `at://${authority}/space/com.atmoboards.forum/`,
    `at://${authority}/space/com.atmoboards.forum`,
    `at://${authority}/space/forum/main`,
    `at://${authority}/space/Com.atmoboards.forum/main`,
    `at://${authority}/com.atmoboards.forum/main`,
    `at://${authority}/space/com.atmoboards.forum/main/did:plc:ewvi7nxzyoun6zhxrhs64oiz/a.b.c/d`,
    `at://${authority.toUpperCase()}/space/com.atmoboards.forum/main`,
    'at://alice.example.com/space/com.atmoboards.forum/main',
    `ats://${authority}/space/com.atmoboards.forum/main`,
    `AT://${authority}/space/com.atmoboards.forum/main`,
    `at://${authority}//com.atmoboards.forum/main`,
    7,
    null,
  ])('is refused in any other form: %j', (text) => expect(parseSpaceUri(text)).toBeNull())
})

it('takes an NSID with its authority part in lower case only', () => {
  expect(parseNsid('com.atproto.space.getSpaceCredential')).not.toBeNull()
  expect(parseNsid('com.Atproto.space.getSpaceCredential')).toBeNull()
  expect(parseNsid('space')).toBeNull()
})

it('splits a service identifier at its only fragment', () => {
  const did = 'did:web:example.com'
  expect(parseServiceId(did)).toEqual({ did, fragment: null })
  expect(parseServiceId(`${did}#reeve`)).toEqual({ did, fragment: 'reeve' })
  for (const text of [`${did}#`, `${did}#a#b`, '#reeve', 'example.com#reeve']) expect(parseServiceId(text)).toBeNull()
})
