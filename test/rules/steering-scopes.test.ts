/** Which scopes are asked for, and which grants cover them, however a PDS writes them. */
import { describe, expect, it } from 'vitest'
import type { Did, Nsid } from '../../src/names.ts'
import { clientIdOf, metadataOf, siteOf, typesOfQuery } from '../../src/steering/client-metadata.ts'
import { missingOf, parseSpaceScope, scopesFor, typesOf } from '../../src/steering/scopes.ts'

const account = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' as Did
const FORUM = 'com.example.forum' as Nsid
const CHAT = 'com.example.chat' as Nsid
const KEEPING = 'action=read_self&manage=create&manage=update&manage=delete'
const CALL = 'rpc:com.atproto.space.notifyCredentialRevoked?aud=*'

describe('asking', () => {
  it('is for as little as keeping spaces takes, in one order, each type once', () => {
    const scopes = ['atproto', `space:${CHAT}?${KEEPING}`, `space:${FORUM}?${KEEPING}`, CALL]
    expect(scopesFor([FORUM, CHAT, FORUM])).toEqual(scopes)
    expect(typesOf(scopes)).toEqual([CHAT, FORUM])
    expect(scopesFor('any')).toEqual(['atproto', `space:*?${KEEPING}`, CALL])
    expect(typesOf(scopesFor('any'))).toBe('any')
  })

  it('is under a name whose document lists just that', () => {
    const site = siteOf('https://reeve.community')
    for (const types of [[FORUM], [FORUM, CHAT], 'any'] as const) {
      const url = new URL(clientIdOf(site, types))
      const named = typesOfQuery(url.search.slice(1))
      expect(named).not.toBeNull()
      const metadata = metadataOf(site, named ?? [])
      expect(metadata.client_id).toBe(url.href)
      expect(metadata.scope).toBe(scopesFor(types).join(' '))
    }
  })

  it('is on this machine by a name that says it all, with a callback on 127.0.0.1', () => {
    const site = siteOf('http://localhost:3400')
    const params = new URL(clientIdOf(site, [FORUM])).searchParams
    expect(params.get('scope')).toBe(scopesFor([FORUM]).join(' '))
    expect(params.get('redirect_uri')).toBe('http://127.0.0.1:3400/oauth/callback')
  })

  it.each([
    'type=b.c.d&type=a.b.c',
    'type=a.b.c&type=a.b.c',
    'type=community.reeve.role',
    'type=A.b.c',
    'x=1',
    'type=a.b.c&',
  ])('is under no other name: %s', (query) => {
    expect(typesOfQuery(query)).toBeNull()
  })
})

const missing = (granted: readonly string[]) => missingOf(scopesFor([FORUM]), ['atproto', CALL, ...granted], account)
const ASKED = `space:${FORUM}?${KEEPING}`

describe('a grant covers what was asked', () => {
  it.each([
    ['as it was asked', ASKED],
    ['with the account in place of self', `space:${FORUM}?authority=${account}&${KEEPING}`],
    ['with self said', `space:${FORUM}?${KEEPING}&authority=self`],
    ['of every authority', `space:${FORUM}?${KEEPING}&authority=*`],
    ['of every type', `space:*?${KEEPING}`],
    ['in another order', `space:${FORUM}?manage=delete&manage=update&action=read_self&manage=create`],
    ['said twice', `space:${FORUM}?${KEEPING}&manage=create&action=read_self`],
    ['with more', `space:${FORUM}?${KEEPING}&action=create&collection=com.example.post&collection=*`],
    ['with every key said', `space:${FORUM}?${KEEPING}&skey=*`],
    [
      'reading all, which is reading the own part',
      `space:${FORUM}?action=read&manage=create&manage=update&manage=delete`,
    ],
    ['with the actions that hold where none is said', `space:${FORUM}?manage=create&manage=update&manage=delete`],
    ['escaped', `space:${FORUM}?authority=${encodeURIComponent(account)}&${KEEPING}`],
    ['escaped in its type', `space:${FORUM.replaceAll('.', '%2E')}?${KEEPING}`],
  ])('%s', (_, scope) => {
    expect(missing([scope])).toEqual([])
  })

  it('when each call has one that covers it', () => {
    const one = `space:${FORUM}?action=read_self&manage=create`
    const other = `space:*?action=create&manage=update&manage=delete`
    expect(missing([one, other])).toEqual([])
  })
})

describe('a grant does not cover what was asked', () => {
  it.each([
    ['for another account', `space:${FORUM}?authority=did:plc:bbbbbbbbbbbbbbbbbbbbbbbb&${KEEPING}`],
    ['for another type', `space:${CHAT}?${KEEPING}`],
    ['for one key', `space:${FORUM}?${KEEPING}&skey=main`],
    ['without a verb', `space:${FORUM}?action=read_self&manage=create&manage=update`],
    ['without any verb', `space:${FORUM}`],
    ['without reading', `space:${FORUM}?action=create&manage=create&manage=update&manage=delete`],
    ['with a part that nobody knows', `space:${FORUM}?${KEEPING}&only=sundays`],
    ['with a verb that nobody knows', `space:${FORUM}?${KEEPING}&manage=burn`],
    ['with two authorities', `space:${FORUM}?${KEEPING}&authority=self&authority=*`],
    ['of all but spaces', 'transition:generic'],
    ['in broken escapes', `space:%E0%A4%A?${KEEPING}`],
  ])('%s', (_, scope) => {
    expect(missing([scope])).toEqual([ASKED])
  })

  it('of one type where any was asked', () => {
    expect(missingOf(scopesFor('any'), ['atproto', CALL, ASKED], account)).toEqual([`space:*?${KEEPING}`])
  })

  it('of no calls, or of others', () => {
    const granted = (call: string) => missingOf(scopesFor([FORUM]), ['atproto', ASKED, call], account)
    expect(granted('rpc:com.atproto.space.notifyWrite?aud=*')).toEqual([CALL])
    expect(granted('rpc:com.atproto.space.notifyCredentialRevoked?aud=did:web:a.example%23x')).toEqual([CALL])
    expect(granted('rpc?lxm=com.example.a&lxm=com.atproto.space.notifyCredentialRevoked&aud=*')).toEqual([])
    expect(granted('rpc:com.atproto.space.notifyCredentialRevoked?aud=%2A')).toEqual([])
  })
})

it('a scope of another resource is none of spaces', () => {
  for (const scope of ['repo:com.example.forum', 'spaces:com.example.forum', '', 'space', 'space:', 'space:a?b?c'])
    expect(parseSpaceScope(scope), scope).toBeNull()
})
