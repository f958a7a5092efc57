/**
 * The ways in which people have taken over communities elsewhere, tried here by name, over real sockets: each is refused by its
 * name, and nobody has more afterwards than before.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Did, rosterOf } from '../../src/names.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { eventually } from '../kit/waiting.ts'
import { type Answer, openWorld, type Person, type World } from '../kit/world.ts'

const R = 'community.reeve'
const ROLE = `${R}.role`

describeOnEachEngine('somebody who wants more than they were given', (open) => {
  let world: World
  /** The owner; an admin of the roster and the forum; a moderator there; a helper; and somebody from outside. */
  let [alice, admin, moderator, helper, eve]: Person[] = []
  let community: Did
  let roster: string
  let forum: string
  let circle: string

  beforeAll(async () => {
    world = await openWorld({ database: await open() })
    ;[alice, admin, moderator, helper, eve] = await Promise.all(Array.from({ length: 5 }, () => world.person()))
  })
  afterAll(() => world.close())

  const who = (person: Person | undefined): Person => {
    if (!person) throw new Error('nobody')
    return person
  }
  const put = (by: Person | undefined, space: string, person: Person | undefined, role: string, more: object = {}) =>
    who(by).call(`${R}.member.put`, { space, did: who(person).did, role, ...more })
  const nest = (by: Person | undefined, space: string, memberSpace: string, role: string, more: object = {}) =>
    who(by).call(`${R}.member.put`, { space, memberSpace, role, ...more })
  const codeOf = ({ status, body }: Answer): string => (status === 200 ? 'accepted' : body.error)
  const may = async (person: Person | undefined, action: string, space: string): Promise<boolean> => {
    const did = who(person).did
    return (await who(person).ask(`${R}.member.check`, { space, did, action })).body.allowed
  }

  beforeEach(async () => {
    community = await world.found(who(alice))
    roster = rosterOf(community).uri
    forum = await world.makeSpace(who(alice), community, { skey: 'main' })
    circle = await world.makeSpace(who(alice), community, { spaceType: ROLE, skey: 'circle' })
    for (const space of [roster, forum]) await put(alice, space, admin, 'admin')
    await put(alice, forum, moderator, 'moderator')
  })

  it('is a helper who may add people to a role space: their friend gets no power that they lack', async () => {
    await who(alice).call(`${R}.role.put`, {
      community,
      name: 'helper',
      actions: ['read', 'members.add', 'role.assign'],
    })
    await put(alice, circle, helper, 'helper')
    await nest(alice, forum, circle, 'moderator', { holding: 'write' })
    // The helper stands in the circle without writing, and so does not moderate; a friend with writing would.
    expect(codeOf(await put(helper, circle, eve, 'member'))).toBe('EscalationDenied')
    expect(codeOf(await put(helper, circle, eve, 'reader'))).toBe('accepted')
    expect([await may(eve, 'members.ban', forum), await may(helper, 'members.ban', forum)]).toEqual([false, false])
  })

  it('is an admin who gives an action to a role that others have where the admin has nothing', async () => {
    const vault = await world.makeSpace(who(alice), community, { skey: 'vault' })
    await who(alice).call(`${R}.role.put`, { community, name: 'guest', actions: ['read'] })
    await put(alice, vault, eve, 'guest')
    const gains = { community, name: 'guest', actions: ['read', 'members.ban'] }
    expect(codeOf(await who(admin).call(`${R}.role.put`, gains))).toBe('EscalationDenied')
    expect(await may(eve, 'members.ban', vault)).toBe(false)
    // Nor does giving it a quiet action help, where that opens a way on to power.
    await nest(alice, forum, vault, 'moderator', { holding: 'write' })
    const quiet = { community, name: 'guest', actions: ['read', 'write'] }
    const stranger = await world.person()
    await put(alice, roster, stranger, 'admin')
    expect(codeOf(await stranger.call(`${R}.role.put`, quiet))).toBe('EscalationDenied')
    expect(await may(eve, 'members.ban', forum)).toBe(false)
  })

  it('is somebody who invites a friend into a space that feeds another with power', async () => {
    await who(alice).call(`${R}.role.put`, { community, name: 'host', actions: ['read', 'invite'] })
    await put(alice, circle, helper, 'host')
    const early = await who(helper).call(`${R}.member.createInvite`, { space: circle, role: 'reader' })
    expect(early.status).toBe(200)
    await nest(alice, forum, circle, 'moderator', { holding: 'read' })
    await who(alice).call(`${R}.role.put`, { community, name: 'host', actions: ['invite'] })
    // What was fine when it was made is judged again when it is taken.
    expect(codeOf(await who(eve).call(`${R}.member.acceptInvite`, { token: early.body.token }))).toBe('InviteNotValid')
    const late = await who(helper).call(`${R}.member.createInvite`, { space: circle, role: 'reader' })
    expect(codeOf(late)).toBe('EscalationDenied')
    expect(await may(eve, 'members.ban', forum)).toBe(false)
  })

  it('is a moderator who bans the admins above them', async () => {
    expect(codeOf(await who(moderator).call(`${R}.member.ban`, { space: forum, did: who(admin).did }))).toBe(
      'EscalationDenied',
    )
    expect(codeOf(await who(moderator).call(`${R}.member.remove`, { space: forum, did: who(admin).did }))).toBe(
      'EscalationDenied',
    )
    expect(codeOf(await put(moderator, forum, admin, 'reader'))).toBe('Forbidden')
    expect(await may(admin, 'role.assign', forum)).toBe(true)
  })

  it('are two communities that nest each other: neither keeps somebody in whom the other put out', async () => {
    const elsewhere = await world.found(who(eve), { name: 'Fishers' })
    const theirs = await world.makeSpace(who(eve), elsewhere, { spaceType: ROLE, skey: 'crew' })
    await who(alice).call(`${R}.federation.offer`, { space: circle, to: elsewhere })
    await who(eve).call(`${R}.federation.offer`, { space: theirs, to: community })
    await nest(alice, circle, theirs, 'writer')
    await nest(eve, theirs, circle, 'writer')
    await put(alice, circle, helper, 'writer')
    expect([await may(helper, 'write', circle), await may(helper, 'write', theirs)]).toEqual([true, true])
    await who(alice).call(`${R}.member.remove`, { space: circle, did: who(helper).did })
    expect([await may(helper, 'read', circle), await may(helper, 'read', theirs)]).toEqual([false, false])
    // And nobody governs anything by it.
    expect(codeOf(await nest(alice, circle, theirs, 'moderator'))).toBe('InvalidRequest')
    expect(codeOf(await who(eve).call(`${R}.member.put`, { space: circle, did: who(eve).did, role: 'admin' }))).toBe(
      'NotFound',
    )
  })

  describe('are the two last owners', () => {
    it('who put each other out at once: one stays', async () => {
      for (let round = 0; round < 5; round++) {
        const olga = await world.person()
        const ours = await world.found(who(alice))
        const theRoster = rosterOf(ours).uri
        await put(alice, theRoster, olga, 'owner')
        const answers = await Promise.all([
          who(alice).call(`${R}.member.remove`, { space: theRoster, did: olga.did }),
          olga.call(`${R}.member.remove`, { space: theRoster, did: who(alice).did }),
        ])
        // Whose turn comes second stands outside already, and is told what any stranger is told.
        expect(answers.map(codeOf).sort()).toEqual(['NotFound', 'accepted'])
        const left = [alice, olga].map((one) => may(one, 'community.transfer', theRoster))
        expect((await Promise.all(left)).filter(Boolean)).toHaveLength(1)
      }
    })

    it('who leave, ban or demote each other at once: one stays', async () => {
      const ways = [
        (by: Person) => by.call(`${R}.member.leave`, { space: roster }),
        (by: Person) => put(by, roster, by, 'member'),
        (by: Person, other: Person) => by.call(`${R}.member.ban`, { community, did: other.did }),
      ]
      const olga = await world.person()
      for (const way of ways) {
        await put(alice, roster, olga, 'owner')
        await who(alice).call(`${R}.member.unban`, { community, did: olga.did })
        const answers = await Promise.all([way(who(alice), olga), way(olga, who(alice))])
        expect(answers.map(codeOf).filter((code) => code === 'accepted')).toHaveLength(1)
        const stays = (await may(alice, 'community.transfer', roster)) ? who(alice) : olga
        expect(await may(stays, 'community.transfer', roster)).toBe(true)
        await stays.call(`${R}.member.unban`, { community, did: who(alice).did })
        await put(stays, roster, alice, 'owner')
      }
    })
  })

  it('is an admin who brings an owner in among others', async () => {
    const lines = [
      ...Array.from({ length: 20 }, (_, at) => ({
        did: `did:plc:${'a'.repeat(22)}${'bcdefghijklmnopqrstu'[at]}2`,
        role: 'member',
      })),
      { did: who(eve).did, role: 'owner' },
      { did: who(helper).did, role: 'admin' },
    ]
    const text = lines.map((line) => JSON.stringify(line)).join('\n')
    const begun = await who(admin).call(`${R}.member.import`, { space: roster, lines: text })
    expect(codeOf(begun)).toBe('accepted')
    const { import: id } = begun.body
    const shown = await who(admin).call(`${R}.member.applyImport`, { import: id, dryRun: true })
    expect(JSON.stringify(shown.body)).toContain('EscalationDenied')
    await who(admin).call(`${R}.member.applyImport`, { import: id })
    const state = await eventually('the import is applied', async () => {
      const { body } = await who(admin).ask(`${R}.member.getImport`, { import: id })
      return body.state === 'done' ? body : null
    })
    expect(state).toMatchObject({ put: 21, refused: 1 })
    expect(JSON.stringify(state)).toContain('EscalationDenied')
    expect([await may(eve, 'read', roster), await may(helper, 'role.assign', roster)]).toEqual([false, true])
  })
})
