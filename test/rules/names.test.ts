import { describe, expect, it } from 'vitest'
import {
  didOfService,
  hostOf,
  isLoopbackClientId,
  parseClientId,
  parseDid,
  parseNsid,
  parsePlainServiceId,
  parseServiceId,
  parseSpaceUri,
  type ServiceId,
} from '../../src/names.ts'

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

describe('a client id', () => {
  const long = (chars: number) => `https://app.org/${'a'.repeat(chars - 'https://app.org/'.length)}`

  it.each([
    ['https://app.org/client-metadata.json', 'app.org'],
    ['https://a-b.xn--ls8h.app.co/', 'a-b.xn--ls8h.app.co'],
    ['https://app.org/a/b.c~d_e/%20%2F?x=1&y=%C3%A9', 'app.org'],
    ['https://app.org/a//b', 'app.org'],
    ['http://localhost:3000/client-metadata.json', 'localhost:3000'],
    ['https://localhost:3000/client-metadata.json', 'localhost:3000'],
    [long(2_048), 'app.org'],
    [long(2_049), null],
  ])('has one spelling, and a host: %s', (text, host) => {
    const name = parseClientId(text)
    expect(name).toBe(host === null ? null : text)
    expect(name && hostOf(name)).toBe(host)
  })

  it('of this machine is known as one', () => {
    expect(isLoopbackClientId('http://localhost:3000/client-metadata.json')).toBe(true)
    expect(isLoopbackClientId('https://localhost:3000/client-metadata.json')).toBe(true)
    expect(isLoopbackClientId('https://localhost.org/client-metadata.json')).toBe(false)
  })

  it.each([
    // another spelling of the same place
    'https://app.org',
    'https://APP.org/a',
    'HTTPS://app.org/a',
    'https://app.org:443/a',
    'https://app.org:/a',
    'https:/app.org/a',
    'https:app.org/a',
    'https:\\\\app.org\\a',
    'https://app.org/a\\b',
    'https://app.org/a?',
    'https://app.org/a?x=1?',
    'https://app.org/a/../b',
    'https://app.org/./a',
    'https://app.org/%2e/a',
    'https://app.org/%2E%2e/a',
    'https://app.org/a%2Ejson',
    'https://app.org/a%2ejson',
    'https://app.org/%61',
    'https://app.org/?x=%7E',
    'https://app.org/a%2fb',
    'https://app.org/100%',
    'https://app.org/%zz',
    ' https://app.org/a',
    'https://app.org/a\n',
    'https://app.org/a\tb',
    'https://app.org/a b',
    'https://app.org/\u00e9',
    'https://\u00e4pp.org/a',
    'https://\uff41pp.org/a',
    'https://app\u3002org/a',
    // more than a place
    'https://app.org/a#',
    'https://app.org/a#b',
    'https://u@app.org/a',
    'https://u:p@app.org/a',
    'https://@app.org/a',
    'https://app.org:8443/a',
    'https://app.org:22/a',
    // no place of the public internet
    'http://app.org/a',
    'https://app/a',
    'https://app.org./a',
    'https://.app.org/a',
    'https://a..org/a',
    'https://a_b.org/a',
    'https://-app.org/a',
    'https://localhost/a',
    'https://localhost./a',
    'https://app.localhost/a',
    'https://app.local/a',
    'https://app.test/a',
    'https://app.invalid/a',
    'https://app.lan/a',
    'https://app.onion/a',
    'https://metadata.google.internal/a',
    'https://127.0.0.1/a',
    'https://127.1/a',
    'https://0x7f.1/a',
    'https://2130706433/a',
    'https://017700000001/a',
    'https://\uff11\uff12\uff17.0.0.1/a',
    'https://8.8.8.8/a',
    'https://10.0.0.1/a',
    'https://[::1]/a',
    'https://[::ffff:127.0.0.1]/a',
    'https://[2606:4700::1111]/a',
    'https://app.123/a',
    // the app that everybody may be, and others of this machine
    'http://localhost',
    'http://localhost/',
    'http://localhost/?redirect_uri=http%3A%2F%2F127.0.0.1%2F',
    'http://localhost/a',
    'http://localhost:80/a',
    'http://localhost:3000',
    'http://localhost:3000/',
    'http://localhost:3000/?x=1',
    'http://localhost:65536/a',
    'http://u@localhost:3000/a',
    'http://127.0.0.1:3000/a',
    'http://[::1]:3000/a',
    // no place at all
    'ftp://app.org/a',
    'file:///a',
    'data:application/json,{}',
    'blob:https://app.org/a',
    'javascript:0',
    'did:web:app.org',
    '//app.org/a',
    'app.org/a',
    '',
    7,
    null,
    ['https://app.org/a'],
  ])('is nothing else: %j', (text) => expect(parseClientId(text)).toBeNull())
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

it('keeps a service by its one spelling, in plain characters', () => {
  const did = 'did:web:example.com'
  for (const text of [did, `${did}#reeve`, `${did}#a/b:c%20`, `did:plc:${'a'.repeat(24)}#forum`]) {
    expect(parsePlainServiceId(text)).toBe(text)
    expect(didOfService(text as ServiceId)).toBe(text.split('#')[0])
  }
  const others = [`${did}#`, `${did}#a#b`, `${did}#a b`, `${did}#\u00e4`, `${did}#a\n`, `${did}#${'a'.repeat(300)}`]
  const strange = ['did:web:EXAMPLE.com#reeve', 'did:key:z6Mk#reeve', 'https://example.com', '', 7, null, [did]]
  for (const text of [...others, ...strange]) expect(parsePlainServiceId(text)).toBeNull()
})
