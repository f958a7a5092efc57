/** Which addresses count as public, and which spellings of a URL may be called at all. */
import * as fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { describe, expect, it, vi } from 'vitest'
import { isPublicAddress, isPublicHostName, type TargetRules, targetOf } from '../../src/platform/addresses.ts'

const PRIVATE_IPV4 = [
  '0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254',
  '169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1',
  '192.168.0.1 192.175.48.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1',
  '255.255.255.255 168.63.129.16',
].flatMap((line) => line.split(' '))

const PRIVATE_IPV6 = [
  ':: ::1 ::127.0.0.1 ::7f00:1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:0:7f00:1 64:ff9b::7f00:1 64:ff9b::808:808',
  '64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1:: 2001:2::1 2001:4:112::1 2001:10::1 2001:20::1 2001:30::1 2001:1ff::1',
  '2001:db8::1 2002:7f00:1:: 2002:808:808::1 2620:4f:8000::1 3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254',
  'fe80::1 fec0::1 feff::1 ff02::1 fe80::1%eth0 2a00:1450::1%1',
].flatMap((line) => line.split(' '))

const PUBLIC = '1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.32.0.1 192.169.0.1 198.20.0.1 223.255.255.255'
  .concat(' 2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 3ffe::1')
  .split(' ')

describe('an address', () => {
  it.each(PRIVATE_IPV4)('%s is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })
  it.each(PRIVATE_IPV6)('%s is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })
  it.each(PUBLIC)('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })
  it.each(['127.1', '0x7f.1', '2130706433', '017700000001', '8.8.8', '08.8.8.8', '1.1.1.1 ', '[::1]', '', 'one.one'])(
    'in an odd spelling is no public address: %j',
    (text) => {
      expect(isPublicAddress(text)).toBe(false)
    },
  )
  it('is private by our own list also where the library has lost a range, and by the library where it knows one more', () => {
    const inside = PRIVATE_IPV6.filter((address) => /^[23][0-9a-f]{3}:/.test(address) && !address.includes('%'))
    expect(inside.length).toBeGreaterThan(10)
    const range = vi.spyOn(ipaddr.IPv6.prototype, 'range')
    range.mockReturnValue('unicast')
    expect(inside.filter(isPublicAddress)).toEqual([])
    expect(isPublicAddress('2606:4700::1111')).toBe(true)
    range.mockReturnValue('reserved')
    expect(isPublicAddress('2606:4700::1111')).toBe(false)
    range.mockRestore()
  })
  it('outside 2000::/3 is never public, whatever follows', () => {
    const outside = fc
      .tuple(
        fc.integer({ min: 0, max: 0xffff }),
        fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 7, maxLength: 7 }),
      )
      .filter(([first]) => first >> 13 !== 1)
    fc.assert(
      fc.property(outside, ([first, rest]) => {
        expect(isPublicAddress([first, ...rest].map((part) => part.toString(16)).join(':'))).toBe(false)
      }),
    )
  })
})

const production: TargetRules = {
  allowLoopback: false,
  ownHosts: ['reeve.forum.org', 'other.forum.org:8443'],
  trustedOrigins: [],
}
const development: TargetRules = {
  allowLoopback: true,
  ownHosts: ['localhost:3400'],
  trustedOrigins: ['http://10.1.2.3:2582', 'https://plc.directory'],
}

/** Spellings that a stranger may write, none of which may be called. */
const REFUSED: Record<string, string[]> = {
  'a literal address': [
    'https://127.0.0.1/',
    'https://127.1/',
    'https://0x7f.1/',
    'https://2130706433/',
    'https://017700000001/',
    'https://１２７.０.０.１/',
    'https://127。0。0。1/',
    'https://8.8.8.8/',
    'https://10.0.0.1/',
    'https://169.254.169.254/latest/meta-data/',
    'https://0.0.0.0/',
    'https://255.255.255.255/',
    'https://[::1]/',
    'https://[::]/',
    'https://[::ffff:127.0.0.1]/',
    'https://[::ffff:7f00:1]/',
    'https://[::127.0.0.1]/',
    'https://[::7f00:1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[2002:7f00:1::]/',
    'https://[fd00:ec2::254]/',
    'https://[2606:4700::1111]/',
  ],
  'a name that is not of the public internet': [
    'https://localhost/',
    'https://localhost./',
    'https://foo.localhost/',
    'https://printer/',
    'https://com/',
    'https://a.local/',
    'https://x.test/',
    'https://x.invalid/',
    'https://x.example/',
    'https://x.onion/',
    'https://router.home.arpa/',
    'https://1.0.0.127.in-addr.arpa/',
    'https://nas.lan/',
    'https://metadata.google.internal/computeMetadata/v1/',
    'https://forum.org./',
    'https://a..org/',
    'https://-a.org/',
    'https://a_b.org/',
    'https://a.123/',
    'https://*.org/',
  ],
  ourselves: ['https://reeve.forum.org/', 'https://reeve.forum.org', 'https://reeve.forum.org/xrpc/_health'],
  'another scheme': [
    'http://forum.org/',
    'ftp://forum.org/',
    'file:///etc/passwd',
    'data:application/json,{}',
    'blob:https://forum.org/1b9d6bcd',
    'javascript:alert(1)',
    'ws://forum.org/',
    'gopher://forum.org/',
  ],
  'a port': ['https://forum.org:22/', 'https://forum.org:8443/', 'https://forum.org:443/', 'https://forum.org:/'],
  'user info': [
    'https://a@forum.org/',
    'https://a:b@forum.org/',
    'https://:b@forum.org/',
    'https://@forum.org/',
    'https://forum.org@10.0.0.1/',
  ],
  'a fragment': ['https://forum.org/#a', 'https://forum.org/#', 'https://forum.org#'],
  'another spelling of the same': [
    'HTTPS://forum.org/',
    'https://Forum.org/',
    'https://forum.org/a/../b',
    'https://forum.org/%2e%2e/b',
    'https:forum.org/',
    'https:/forum.org/',
    'https://forum.org\\a',
    'https://forum.org/a b',
    ' https://forum.org/',
    'https://forum.org/\n',
    'https://fo\trum.org/',
    'https://forum%2eorg/',
    'https://ｆorum.org/',
    'https://forum.org?a',
    '//forum.org/',
    'forum.org',
    '',
    `https://forum.org/${'a'.repeat(2_048 - 17)}`,
  ],
}

describe('the URL of a stranger', () => {
  for (const [reason, urls] of Object.entries(REFUSED)) {
    it.each(urls)(`is refused for ${reason}: %j`, (url) => {
      expect(targetOf(url, production)).toBeNull()
    })
  }
  it.each([
    'https://forum.org',
    'https://forum.org/',
    'https://a.xn--p1ai/.well-known/did.json',
    'https://a.b.org/c?d=%20',
    `https://forum.org/${'a'.repeat(2_048 - 18)}`,
  ])('may be called: %s', (url) => {
    expect(targetOf(url, production)?.kind).toBe('stranger')
  })
})

describe('a host name', () => {
  const label = (chars: number) => 'a'.repeat(chars)
  const long = `${`${label(63)}.`.repeat(3)}${label(57)}`

  it.each(['forum.org', 'a.b', 'forum.x', 'a-b.c-d.org', '1.org', `${label(63)}.org`, `a.${label(63)}`, `${long}.org`])(
    'is one of the public internet: %s',
    (host) => {
      expect(isPublicHostName(host)).toBe(true)
    },
  )
  it.each([
    ...[
      '',
      'org',
      '.org',
      'forum.org.',
      'forum.1rg',
      'forum.org-',
      'forum.-org',
      'Forum.org',
      'fo_rum.org',
      'forum.org\n',
    ],
    ...[`${label(64)}.org`, `a.${label(64)}`, `${long}a.org`, 'forum.local'],
  ])('is none: %j', (host) => {
    expect(isPublicHostName(host)).toBe(false)
  })
})

describe('where loopback is allowed', () => {
  it.each(['http://localhost:2583/a', 'http://127.0.0.1:2583', 'https://localhost:1/', 'http://localhost/'])(
    'this machine may be called: %s',
    (url) => {
      expect(targetOf(url, development)?.kind).toBe('loopback')
      expect(targetOf(url, production)).toBeNull()
    },
  )
  it.each([
    'http://[::1]:2583/',
    'http://127.0.0.2/',
    'http://127.1:2583/',
    'http://10.0.0.1/',
    'http://forum.org/',
    'http://a@localhost/',
  ])('nothing else becomes so: %s', (url) => {
    expect(targetOf(url, development)).toBeNull()
  })
  it.each(['http://localhost:3400/', 'http://127.0.0.1:3400/'])('our own port stays closed: %s', (url) => {
    expect(targetOf(url, development)).toBeNull()
    expect(targetOf(url, { ...development, ownHosts: ['127.0.0.1:3400'] })).toBeNull()
    expect(targetOf(url, { ...development, ownHosts: ['reeve.forum.org', 'LOCALHOST:3400'] })).toBeNull()
  })
  it.each(['http://localhost/', 'http://127.0.0.1/'])('our own port stays closed without being named: %s', (url) => {
    for (const own of ['localhost', '127.0.0.1']) {
      expect(targetOf(url, { ...development, ownHosts: [own] })).toBeNull()
      expect(targetOf(url, { ...development, ownHosts: [`${own}:3400`] })?.kind).toBe('loopback')
    }
  })
})

describe('an origin that the operator configured', () => {
  it('may be called whatever its scheme, port and address', () => {
    expect(targetOf('http://10.1.2.3:2582/did%3Aplc%3Aabc', development)?.kind).toBe('trusted')
    expect(targetOf('https://plc.directory/did%3Aplc%3Aabc', development)?.kind).toBe('trusted')
  })
  it.each([
    'http://10.1.2.3/',
    'https://10.1.2.3:2582/',
    'http://10.1.2.4:2582/',
    'http://a@10.1.2.3:2582/',
    'http://10.1.2.3:2582/#a',
    'blob:https://plc.directory/a',
  ])('says nothing for its neighbours or other spellings: %s', (url) => {
    expect(targetOf(url, development)).toBeNull()
  })
})
