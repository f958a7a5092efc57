/** The played simplespace methods of a PDS take and refuse what the reference's do, of August and of October. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { GENERATIONS, type Generation } from '../kit/asking-host.ts'
import { PlayedSimplespaces, SETTINGS, SIMPLESPACE, type SpaceAnswer } from '../kit/played-simplespaces.ts'
import { type SimplespacePds, startSimplespacePds } from '../kit/simplespace-pds.ts'
import { coversSpace, forAccount, parseSpaceScope } from '../kit/space-scopes.ts'

const OWNER = 'did:plc:ownerownerownerownerow22'
const OTHER = 'did:plc:otherotherotherotherot22'
const TYPE = 'com.example.group'
const URI = `at://${OWNER}/space/${TYPE}/garden`
const APP = 'did:web:app.example.com#bouncer'
const CREATE = { type: TYPE, spaceType: TYPE, skey: 'garden', appAccess: SETTINGS.open }
/** Of all generations at once: each reads its own names. */
const CREATED = {
  ...CREATE,
  policy: SETTINGS.memberList,
  readPolicy: SETTINGS.memberList,
  writePolicy: SETTINGS.managedBy(APP),
}

let spaces: PlayedSimplespaces
const ask = (name: string, params: Record<string, string>, more: object = {}) =>
  spaces.handle({ ...from, nsid: SIMPLESPACE + name, verb: 'GET', params: new URLSearchParams(params), ...more })
const call = (name: string, body: unknown, more: object = {}) =>
  spaces.handle({ ...from, nsid: SIMPLESPACE + name, verb: 'POST', body, ...more })
const from = { account: OWNER, scopes: null, params: new URLSearchParams(), body: undefined }
const errorOf = ({ status, body }: SpaceAnswer) => `${status} ${(body as { error?: string })?.error}`

describe.each(GENERATIONS)('a PDS of %s', (generation: Generation) => {
  const isAugust = generation === 'august'
  const policies = isAugust ? ['policy'] : ['readPolicy', 'writePolicy']
  const put = (did: string) => (isAugust ? call('addMember', { space: URI, did }) : call('putMember', access(did)))
  const access = (did: string, read = true, write = true) => ({ space: URI, did, read, write })

  beforeEach(() => {
    spaces = new PlayedSimplespaces({ generation })
    expect(call('createSpace', CREATED)).toEqual({ status: 200, body: { uri: URI } })
  })

  it('tells of a space by its own names only, what it was given', () => {
    const own = isAugust
      ? { policy: SETTINGS.memberList }
      : { readPolicy: SETTINGS.memberList, writePolicy: SETTINGS.managedBy(APP) }
    expect(ask('getSpace', { space: URI }).body).toEqual({ uri: URI, appAccess: SETTINGS.open, ...own })
  })

  it('makes no space twice, but again after its end, and ends it as often as asked', () => {
    expect(errorOf(call('createSpace', CREATED))).toBe('400 SpaceAlreadyExists')
    expect(errorOf(call('createSpace', { ...CREATED, skey: 'a/b' }))).toBe('400 InvalidRequest')
    expect(put(OTHER)).toEqual({ status: 200 })
    expect(call('deleteSpace', { space: URI })).toEqual({ status: 200 })
    expect(call('deleteSpace', { space: URI })).toEqual({ status: 200 })
    expect(errorOf(call('deleteSpace', { space: `${URI}s` }))).toBe('400 SpaceNotFound')
    expect(errorOf(ask('getSpace', { space: URI }))).toBe('400 SpaceNotFound')
    expect(call('createSpace', CREATED).status).toBe(200)
    expect(spaces.members(URI).size).toBe(0)
  })

  it('patches one setting at a time and drops the managing app with its policy', () => {
    for (const name of policies) {
      call('updateSpace', { space: URI, [name]: SETTINGS.managedBy(APP) })
      call('updateSpace', { space: URI, [name]: { ...SETTINGS.public, managingApp: APP } })
      expect(ask('getSpace', { space: URI }).body).toMatchObject({ [name]: SETTINGS.public, appAccess: SETTINGS.open })
    }
    const appAccess = SETTINGS.allowList(['https://app.example.com/client-metadata.json'])
    expect(call('updateSpace', { space: URI, appAccess })).toEqual({ status: 200 })
    expect(spaces.config(URI)).toEqual({ readPolicy: SETTINGS.public, writePolicy: SETTINGS.public, appAccess })
  })

  it('refuses settings that it does not know, and changes nothing', () => {
    const before = spaces.config(URI)
    for (const name of policies)
      for (const policy of [{ $type: 'a#b' }, SETTINGS.managedBy('https://app.example.com')])
        expect(errorOf(call('updateSpace', { space: URI, [name]: policy }))).toBe('400 UnsupportedPolicy')
    const answer = call('updateSpace', { space: URI, appAccess: { $type: 'a#b' } })
    expect(errorOf(answer)).toBe('400 UnsupportedAppAccess')
    expect(spaces.config(URI)).toEqual(before)
  })

  it('adds and removes as often as asked, and pages until nothing comes', () => {
    const people = ['a', 'b', 'c'].map((letter) => `did:plc:${letter.repeat(24)}`)
    for (const did of [...people, ...people]) expect(put(did)).toEqual({ status: 200 })
    expect(call('removeMember', { space: URI, did: people[1] })).toEqual({ status: 200 })
    expect(call('removeMember', { space: URI, did: people[1] })).toEqual({ status: 200 })
    const entry = (did = '') => (isAugust ? { did } : { did, read: true, write: true })
    const page = (cursor: object) => ask('listMembers', { space: URI, limit: '1', ...cursor }).body
    expect(page({})).toEqual({ members: [entry(people[0])], cursor: people[0] })
    expect(page({ cursor: people[0] })).toEqual({ members: [entry(people[2])], cursor: people[2] })
    expect(page({ cursor: people[2] })).toEqual({ members: [] })
    expect(errorOf(ask('listMembers', { space: URI, limit: '1001' }))).toBe('400 InvalidRequest')
  })

  it('looks at the scope first, then at whose space it is, then for the space', () => {
    const scopes = [`space:${TYPE}?action=read_self&manage=update`, 'atproto'].map((scope) => forAccount(scope, OWNER))
    const update = (space: string, more = {}) => errorOf(call('updateSpace', { space }, { scopes, ...more }))
    expect(errorOf(call('createSpace', { ...CREATED, skey: 'second' }, { scopes }))).toBe('403 ScopeMissingError')
    expect(update(`at://${OTHER}/space/${TYPE}/none`)).toBe('403 ScopeMissingError')
    expect(update(`at://${OTHER}/space/${TYPE}/none`, { scopes: null })).toBe('400 NotSpaceOwner')
    expect(update(`at://${OWNER}/space/${TYPE}/none`)).toBe('400 SpaceNotFound')
    expect(ask('getSpace', { space: URI }, { scopes }).status).toBe(200)
    expect(errorOf(ask('listMembers', { space: URI }, { account: OTHER }))).toBe('400 NotSpaceOwner')
  })

  it('has only the methods of its time', () => {
    const [, other] = isAugust ? ['addMember', 'putMember'] : ['putMember', 'addMember']
    expect(errorOf(call(String(other), access(OTHER)))).toBe('501 MethodNotImplemented')
    const forwarding = new PlayedSimplespaces({ generation, unknownMethod: 'app view' })
    const asked = { ...from, nsid: SIMPLESPACE + other, verb: 'POST', body: {} }
    expect(errorOf(forwarding.handle(asked))).toBe('501 MethodNotImplemented')
    expect(errorOf(forwarding.handle({ ...asked, scopes: ['atproto'] }))).toBe('403 ScopeMissingError')
    if (!isAugust) {
      call('putMember', access(OTHER))
      call('putMember', access(OTHER, true, false))
      expect(spaces.members(URI).get(OTHER)).toEqual({ read: true, write: false })
    }
  })
})

describe('scopes for spaces', () => {
  const need = { type: TYPE, authority: OWNER, skey: 'garden' }
  const covers = (scope: string, more: object) =>
    coversSpace([forAccount(scope, OWNER)], { ...need, action: 'read', ...more })

  it.each([
    [`space:${TYPE}`, { action: 'read' }, true],
    [`space:${TYPE}`, { action: 'read', authority: OTHER }, false],
    ['space:*?authority=*', { action: 'read', authority: OTHER }, true],
    [`space:${TYPE}?skey=forest`, { action: 'read' }, false],
    [`space:${TYPE}?action=read`, { action: 'read_self' }, true],
    [`space:${TYPE}?action=read_self`, { action: 'read' }, false],
    [`space:${TYPE}`, { manage: 'create' }, false],
    [`space:${TYPE}?manage=create`, { manage: 'update' }, false],
    [`space:${TYPE}?manage=create&manage=update`, { manage: 'update' }, true],
  ])('%s, asked for %j: %s', (scope, more, isCovered) => {
    expect(covers(scope, more)).toBe(isCovered)
  })

  it('grant nothing where self was never turned into somebody, or where a part is unknown', () => {
    expect(coversSpace([`space:${TYPE}?manage=update`], { ...need, manage: 'update' })).toBe(false)
    for (const scope of ['space:', 'space:group', `space:${TYPE}?manage=all`, `space:${TYPE}?action=write`])
      expect(parseSpaceScope(scope)).toBeNull()
  })
})

describe('on a port', () => {
  let pds: SimplespacePds
  beforeAll(async () => {
    pds = await startSimplespacePds({ generation: 'october', account: OWNER })
  })
  afterAll(() => pds.close())

  const send = (name: string, init: RequestInit, authorization = pds.authorization) =>
    fetch(`${pds.url}/xrpc/${SIMPLESPACE}${name}`, { ...init, headers: { authorization, ...init.headers } })
  const post = (name: string, body: object) =>
    send(name, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })

  it('answers whoever has the token', async () => {
    expect((await send('getSpace', {}, 'Bearer nobody')).status).toBe(401)
    expect(await (await post('createSpace', CREATED)).json()).toEqual({ uri: URI })
    const changed = await post('putMember', { space: URI, did: OTHER, read: true, write: false })
    expect([changed.status, await changed.text()]).toEqual([200, ''])
    const listed = await send(`listMembers?space=${encodeURIComponent(URI)}`, {})
    expect(await listed.json()).toEqual({ members: [{ did: OTHER, read: true, write: false }], cursor: OTHER })
  })

  it('meets trouble as often as it is told to, and keeps to a rate', async () => {
    pds.spaces.trouble({ how: 'cut', isDone: true })
    pds.spaces.trouble({ how: { status: 503 }, times: 2 })
    await expect(post('removeMember', { space: URI, did: OTHER })).rejects.toThrow()
    expect(pds.spaces.members(URI).size).toBe(0)
    expect((await post('deleteSpace', { space: URI })).status).toBe(503)
    expect((await post('deleteSpace', { space: URI })).status).toBe(503)
    expect(pds.spaces.count('deleteSpace')).toBe(2)
    pds.spaces.limitTo({ points: 1, perSec: 60 })
    expect((await post('deleteSpace', { space: URI })).headers.get('ratelimit-remaining')).toBe('0')
    const refused = await post('deleteSpace', { space: URI })
    expect([refused.status, Number(refused.headers.get('retry-after')) > 58]).toEqual([429, true])
  })
})
