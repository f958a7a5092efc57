/**
 * A key of a community on its way out, on real databases and with a real directory: who has to want it, how long it waits, who can
 * stop it, that nothing is opened before its day, that there is one file and it is what it says, and that the key is nowhere else.
 */
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { makeExports } from '../../src/community/make-exports.ts'
import { rosterOf } from '../../src/names.ts'
import type { Log } from '../../src/platform/log.ts'
import { dyingAfter } from '../kit/crashing.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { honestLog, json } from '../kit/fake-plc.ts'
import { inForce } from '../kit/handles.ts'
import { askExport, ENROL, enrol, enrolmentOf, makeKeeperKeys, openFile, stepUpOf } from '../kit/keepers.ts'
import {
  approve,
  asked,
  cancel,
  DAY_SEC,
  databaseText,
  type ExportWorld,
  exportRows,
  type Founded,
  type Owner,
  openExportWorld,
  putOut,
  take,
} from '../kit/key-exports.ts'
import { headOf, signed, submitOperation } from '../kit/people.ts'
import { spellingsOf, where } from '../kit/secret-search.ts'
import { keyOfScalar, makeKey, type TestKey } from '../kit/tokens.ts'
import type { Answer } from '../kit/world.ts'

const refused = (status: number, error: string) => ({ status, body: { error } })

describeOnEachEngine('an export of a key', (open) => {
  let hers: ExportWorld
  const logged: string[] = []

  beforeAll(async () => {
    const write = (event: string, fields?: object) => void logged.push(`${event} ${JSON.stringify(fields)}`)
    const log: Log = { debug: write, info: write, warn: write, error: write }
    hers = await openExportWorld(await open(), log)
  })
  afterEach(() => hers.plc.misbehave(null))
  afterAll(() => hers.close())

  /** The day of what was asked for, and the workers' turns on it. */
  const dayComes = async (days = 1) => {
    hers.world.clock.moveSec(days * DAY_SEC)
    await hers.turn()
  }

  const alarmNames = async ({ did }: Founded) => (await exportRows(hers, did)).alarms.map(({ name }) => name)

  /** An export of a community with one owner, made. */
  async function ready(): Promise<{ of: Founded; id: string }> {
    const of = await hers.founded()
    const id = await asked(hers, of, of)
    await dayComes()
    return { of, id }
  }

  describe('of a community with one owner', () => {
    it('waits a day after the step up, is made, and is given out once', async () => {
      const of = await hers.founded()
      const id = await asked(hers, of, of)
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CoolingDown'))
      hers.world.clock.moveSec(DAY_SEC - 60)
      await hers.turn()
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CoolingDown'))
      hers.world.clock.moveSec(60)
      await hers.turn()
      const taken = await take(of, of, id)
      expect(taken).toMatchObject({ status: 200, body: { file: expect.any(String), sha256: expect.any(String) } })
      expect(await take(of, of, id)).toMatchObject(refused(404, 'NotFound'))
      expect((await exportRows(hers, of.did)).exports).toEqual([{ state: 'taken', has_file: false }])
    })

    it('is told in the audit at each step, and in alarms: while it waits, and that a copy is outside', async () => {
      const of = await hers.founded()
      const id = await asked(hers, of, of)
      const [alarm] = (await exportRows(hers, of.did)).alarms
      expect(alarm).toMatchObject({
        name: 'keyExport',
        about: { proposal: id, askedBy: of.person.did, recipients: of.person.did, state: 'approved' },
      })
      expect(alarm?.about['dueAt']).toMatch(/^\d{4}-/)
      expect(alarm?.about['stopBy']).toBe('community.reeve.proposal.cancel')
      await dayComes()
      expect(await alarmNames(of)).toEqual(['keyExport', 'keyExported'])
      await take(of, of, id)
      expect(await alarmNames(of)).toEqual(['keyExported'])
      const { audit, flags } = await exportRows(hers, of.did)
      expect(flags).toEqual(['exported'])
      expect(audit).toEqual([
        ...['community.mint', 'key.enrolKeeper', 'proposal.make', 'key.exportDue', 'key.export', 'key.takeExport'],
      ])
    })

    it('asked for twice is one, and asked for again after it was taken is another', async () => {
      const of = await hers.founded()
      const id = await asked(hers, of, of)
      hers.world.clock.moveSec(1)
      expect(await asked(hers, of, of)).toBe(id)
      await dayComes()
      const again = await askExport(hers.world, of.person, of.keys, { community: of.did })
      expect(again).toMatchObject(refused(409, 'CeremonyInProgress'))
      await take(of, of, id)
      hers.world.clock.moveSec(1)
      expect(await asked(hers, of, of)).not.toBe(id)
    })

    it('lost on its way is not lost under an idempotencyKey, and for nobody else there', async () => {
      const { of, id } = await ready()
      const first = await take(of, of, id, { idempotencyKey: 'mine' })
      expect(await take(of, of, id, { idempotencyKey: 'mine' })).toMatchObject({ status: 200, body: first.body })
      expect(await take(of, of, id, { idempotencyKey: 'another' })).toMatchObject(refused(404, 'NotFound'))
    })

    it('is for one who asks first when two ask at once', async () => {
      const { of, id } = await ready()
      const answers = await Promise.all([take(of, of, id), take(of, of, id)])
      expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 404])
    })

    it('that nobody takes in a day is thrown away, and says so', async () => {
      const { of, id } = await ready()
      hers.world.clock.moveSec(DAY_SEC)
      expect(await take(of, of, id)).toMatchObject(refused(404, 'NotFound'))
      await hers.turn()
      const { exports, audit, flags } = await exportRows(hers, of.did)
      expect(exports).toEqual([{ state: 'lapsed', has_file: false }])
      expect(audit.at(-1)).toBe('key.exportLapse')
      expect(flags).toEqual(['exported'])
      expect(await alarmNames(of)).toEqual(['keyExported'])
      expect(await take(of, of, id)).toMatchObject(refused(404, 'NotFound'))
    })
  })

  describe('of a community with two owners', () => {
    it('waits for the second one, then for its day', async () => {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      const id = await asked(hers, of, of)
      expect((await exportRows(hers, of.did)).alarms[0]?.about).toMatchObject({ state: 'open', dueAt: null })
      expect(await take(of, of, id)).toMatchObject(refused(409, 'QuorumNotMet'))
      await dayComes(2)
      expect(await take(of, of, id)).toMatchObject(refused(409, 'QuorumNotMet'))
      expect(await approve(hers, of, of, id)).toMatchObject(refused(403, 'Forbidden'))
      expect(await approve(hers, of, olga, id)).toMatchObject({ status: 200 })
      expect((await exportRows(hers, of.did)).alarms[0]?.about).toMatchObject({ state: 'approved' })
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CoolingDown'))
      await dayComes()
      expect(await take(of, olga, id)).toMatchObject(refused(404, 'NotFound'))
      expect(await take(of, of, id)).toMatchObject({ status: 200 })
    })

    it('opens for each of its recipients, and for nobody else', async () => {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      const id = await asked(hers, of, of, { recipients: [olga.person.did, of.person.did] })
      await approve(hers, of, olga, id)
      await dayComes()
      const { file } = (await take(of, of, id)).body
      const text = await openFile(of.keys.identity, file)
      expect(await openFile(olga.keys.identity, file)).toBe(text)
      await expect(openFile((await makeKeeperKeys()).identity, file)).rejects.toThrow()
    })

    it('is stopped by the other owner at the last moment, without a step up', async () => {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      const id = await asked(hers, of, of)
      await approve(hers, of, olga, id)
      hers.world.clock.moveSec(DAY_SEC)
      expect(await cancel(olga, id)).toMatchObject({ status: 200 })
      const before = hers.sealings()
      await hers.turn()
      expect(hers.sealings()).toBe(before)
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
      const { exports, flags, alarms } = await exportRows(hers, of.did)
      expect({ exports, flags, alarms }).toEqual({ exports: [], flags: [], alarms: [] })
    })

    it('is stopped by the other owner after its day as well, made or not, until the file was taken', async () => {
      for (const isMade of [false, true]) {
        const of = await hers.founded()
        const olga = await hers.secondOwner(of)
        const id = await asked(hers, of, of)
        await approve(hers, of, olga, id)
        hers.world.clock.moveSec(DAY_SEC)
        if (!isMade) hers.plc.misbehave(({ kind }) => (kind === 'log' ? json(500) : undefined))
        await hers.turn()
        hers.plc.misbehave(null)
        const { exports } = await exportRows(hers, of.did)
        expect(exports).toEqual([{ state: isMade ? 'ready' : 'due', has_file: isMade }])
        expect(await cancel(olga, id)).toMatchObject({ status: 200 })
        const before = hers.sealings()
        await hers.turn()
        expect(hers.sealings()).toBe(before)
        expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
        expect(await cancel(olga, id)).toMatchObject(refused(409, 'ProposalNotOpen'))
        const after = await exportRows(hers, of.did)
        expect(after).toMatchObject({
          exports: [{ state: 'lapsed', has_file: false }],
          proposals: [{ state: 'cancelled' }],
        })
        // The mark stays: the file was made, and nobody knows who saw the database meanwhile.
        expect(after.alarms.map(({ name }) => name)).toEqual(isMade ? ['keyExported'] : [])
        expect(after.flags).toEqual(isMade ? ['exported'] : [])
        expect(after.audit.at(-1)).toBe('proposal.cancel')
        hers.world.clock.moveSec(1)
        expect(await asked(hers, of, of)).not.toBe(id)
      }
    })

    it('is not stopped any more once the file was taken, nor by a member or a stranger at any time', async () => {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      const [member, eve] = [await hers.world.person(), await hers.world.person()]
      await of.person.call('community.reeve.member.put', {
        space: rosterOf(of.did).uri,
        did: member.did,
        role: 'member',
      })
      const id = await asked(hers, of, of)
      await approve(hers, of, olga, id)
      await dayComes()
      expect(await cancel({ person: member }, id)).toMatchObject(refused(403, 'Forbidden'))
      expect(await cancel({ person: eve }, id)).toMatchObject(refused(404, 'NotFound'))
      expect(await take(of, of, id)).toMatchObject({ status: 200 })
      expect(await cancel(olga, id)).toMatchObject(refused(409, 'ProposalNotOpen'))
    })

    it('says in red who asked, for whom, when it is done, how it is stopped, and until when the file is there', async () => {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      const id = await asked(hers, of, of)
      const red = async () => {
        const { alarms } = (await olga.person.ask('community.reeve.community.get', { community: of.did })).body
        return alarms.find(({ name }: { name: string }) => name === 'keyExport').says as string
      }
      const open = await red()
      for (const part of [of.person.did, 'waits for another owner', 'proposal.cancel', id]) expect(open).toContain(part)
      const { dueAt } = (await approve(hers, of, olga, id)).body
      expect(await red()).toContain(`It is done at ${dueAt}`)
      await dayComes()
      const made = await red()
      expect(made).toMatch(/The file is made, and can be taken until \d{4}-/)
      expect(made).toContain(id)
    })

    it('comes to nothing when nobody approves it in seven days', async () => {
      const of = await hers.founded()
      await hers.secondOwner(of)
      const id = await asked(hers, of, of)
      hers.world.clock.moveSec(7 * DAY_SEC)
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
      await hers.turn()
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
      const { audit, alarms } = await exportRows(hers, of.did)
      expect(audit.at(-1)).toBe('proposal.lapse')
      expect(alarms).toEqual([])
    })

    it('waits three days where the other was just put out, and that one can stop it', async () => {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      expect(await putOut(of, of.did, olga.person.did)).toMatchObject({ status: 200 })
      const id = await asked(hers, of, of)
      await dayComes(2)
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CoolingDown'))
      expect(await cancel(olga, id)).toMatchObject({ status: 200 })
      await dayComes(2)
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
    })
  })

  describe('ends', () => {
    /** One that two owners want, for both of them. */
    async function wanted(): Promise<{ of: Founded; olga: Owner; id: string }> {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      const id = await asked(hers, of, of, { recipients: [olga.person.did, of.person.did] })
      await approve(hers, of, olga, id)
      return { of, olga, id }
    }

    async function expectNothing(of: Founded): Promise<void> {
      const before = hers.sealings()
      await dayComes()
      expect(hers.sealings()).toBe(before)
      const { exports, flags } = await exportRows(hers, of.did)
      expect(exports).toEqual([])
      expect(flags).toEqual([])
      expect(await alarmNames(of)).toEqual([])
      expect((await exportRows(hers, of.did)).proposals).toEqual([{ state: 'cancelled' }])
    }

    it('with who asked for it', async () => {
      const { of, olga } = await wanted()
      await putOut(olga, of.did, of.person.did)
      await expectNothing(of)
    })

    it('with a recipient who is put out', async () => {
      const { of, olga, id } = await wanted()
      const eve = await hers.world.person()
      const space = rosterOf(of.did).uri
      await of.person.call('community.reeve.member.put', { space, did: eve.did, role: 'owner' })
      await putOut(of, of.did, olga.person.did)
      await expectNothing(of)
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
    })

    it('with a recipient who is an admin from now on', async () => {
      const { of, olga } = await wanted()
      const space = rosterOf(of.did).uri
      await of.person.call('community.reeve.member.put', { space, did: olga.person.did, role: 'admin' })
      await expectNothing(of)
    })

    it('with a recipient’s keys: enrolled anew, the same ones too, or ended', async () => {
      const again = await wanted()
      const { person, keys } = again.olga
      await person.call(ENROL, enrolmentOf(hers.world, { community: again.of.did, caller: person.did, keys }))
      await expectNothing(again.of)
      const ended = await wanted()
      const [act, input] = ['community.reeve.key.endKeeper', { community: ended.of.did, did: ended.olga.person.did }]
      const { person: other, keys: theirs } = ended.of
      const stepUp = stepUpOf(hers.world, { person: other, key: theirs.signKey, act, input })
      expect(await other.call(act, { ...input, stepUp })).toMatchObject({ status: 200 })
      await expectNothing(ended.of)
    })

    it('when keys were enrolled anew in the moment between its day and its making', async () => {
      const of = await hers.founded()
      const id = await asked(hers, of, of)
      hers.world.clock.moveSec(DAY_SEC)
      hers.plc.misbehave(({ kind }) => (kind === 'log' ? json(500) : undefined))
      await hers.turn()
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CoolingDown'))
      hers.plc.misbehave(null)
      await enrol(hers.world, of.person, of.did)
      const before = hers.sealings()
      await hers.turn()
      expect(hers.sealings()).toBe(before)
      expect((await exportRows(hers, of.did)).exports).toEqual([{ state: 'lapsed', has_file: false }])
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
      expect(await alarmNames(of)).toEqual([])
    })

    it('when keys were enrolled anew while it was being sealed: what was made is thrown away, and the key has no mark', async () => {
      const of = await hers.founded()
      const id = await asked(hers, of, of)
      hers.world.clock.moveSec(DAY_SEC)
      hers.plc.misbehave(({ kind }) => (kind === 'log' ? json(500) : undefined))
      await hers.turn()
      hers.plc.misbehave(null)
      const vault: typeof hers.ctx.vault = {
        async sealExport(use) {
          await enrol(hers.world, of.person, of.did)
          return hers.ctx.vault.sealExport(use)
        },
      }
      const before = hers.sealings()
      expect(await makeExports({ ...hers.ctx, vault })).toBe(0)
      expect(hers.sealings()).toBe(before + 1)
      const { exports, flags, audit } = await exportRows(hers, of.did)
      expect(exports).toEqual([{ state: 'lapsed', has_file: false }])
      expect(flags).toEqual([])
      expect(audit).not.toContain('key.export')
      expect(await take(of, of, id)).toMatchObject(refused(409, 'CeremonyCancelled'))
    })

    it('with the key itself, when another takes its place', async () => {
      const { of } = await wanted()
      await sql`update key set state = 'retiring' where community = ${of.did} and purpose = 'rotation'`.execute(
        hers.database.db,
      )
      await expectNothing(of)
    })

    it('with its community', async () => {
      const { of, id } = await ready()
      await of.person.call('community.reeve.community.delete', { community: of.did })
      hers.world.clock.moveSec(7 * DAY_SEC)
      await hers.turn()
      expect((await exportRows(hers, of.did)).exports).toEqual([{ state: 'lapsed', has_file: false }])
      expect(await take(of, of, id)).toMatchObject(refused(404, 'NotFound'))
    })
  })

  describe('is refused', () => {
    it('to a recipient who enrolled today, to one without keys, and to one who is no owner', async () => {
      const of = await hers.founded()
      const { did: admin, ...eve } = await hers.world.person()
      const space = rosterOf(of.did).uri
      await of.person.call('community.reeve.member.put', { space, did: admin, role: 'admin' })
      const ask = (recipients: readonly string[]) =>
        askExport(hers.world, of.person, of.keys, { community: of.did, recipients })
      expect(await ask([admin])).toMatchObject(refused(400, 'InvalidRequest'))
      await of.person.call('community.reeve.member.put', { space, did: admin, role: 'owner' })
      expect(await ask([admin])).toMatchObject(refused(400, 'InvalidRequest'))
      await enrol(hers.world, { did: admin, ...eve }, of.did)
      const today = await ask([of.person.did, admin])
      expect(today).toMatchObject(refused(400, 'InvalidRequest'))
      expect(today.body.message).toMatch(/enrolled at \d{4}-.*, and count from \d{4}-/)
      hers.world.clock.moveSec(DAY_SEC - 60)
      expect(await ask([admin])).toMatchObject(refused(400, 'InvalidRequest'))
      hers.world.clock.moveSec(60)
      expect(await ask([admin])).toMatchObject({ status: 200, body: { proposal: { state: 'open' } } })
    })

    it('to whoever enrolled today themself', async () => {
      const person = await hers.world.person()
      const did = await hers.world.found(person)
      const keys = await enrol(hers.world, person, did)
      expect(await askExport(hers.world, person, keys, { community: did })).toMatchObject(
        refused(400, 'InvalidRequest'),
      )
    })

    it('of an account whose keys are elsewhere', async () => {
      const [account, owner] = [await hers.world.person(), await hers.world.person()]
      await account.call('community.reeve.community.adopt', { name: 'Meadow', owner: owner.did })
      const keys = await enrol(hers.world, owner, account.did)
      hers.world.clock.moveSec(DAY_SEC)
      expect(await askExport(hers.world, owner, keys, { community: account.did })).toMatchObject(
        refused(400, 'UnsupportedCustody'),
      )
    })

    it('to admins and members, whatever they send, and to strangers', async () => {
      const of = await hers.founded()
      const eve = await hers.world.person()
      const keys = await makeKeeperKeys()
      const ask = () => askExport(hers.world, eve, keys, { community: of.did })
      expect(await ask()).toMatchObject(refused(404, 'NotFound'))
      for (const role of ['member', 'admin']) {
        await of.person.call('community.reeve.member.put', { space: rosterOf(of.did).uri, did: eve.did, role })
        expect(await ask()).toMatchObject(refused(403, 'Forbidden'))
        const enrolment = enrolmentOf(hers.world, { community: of.did, caller: eve.did, keys })
        // Whoever is in the roster enrols keys: they may keep a share. No export follows from them.
        expect(await eve.call(ENROL, enrolment)).toMatchObject({ status: 200 })
        expect(await ask()).toMatchObject(refused(403, 'Forbidden'))
        expect(await take(of, { person: eve, keys }, 'any')).toMatchObject(refused(403, 'Forbidden'))
      }
    })
  })

  describe('opens nothing before its day', () => {
    it('not even with every key-encryption key lost: then, and not before, it fails, and goes on when it is back', async () => {
      const of = await hers.founded()
      const olga = await hers.secondOwner(of)
      const { db } = hers.database
      const { rows } = await sql<{ wrapped: Uint8Array }>`select wrapped from dek where community = ${of.did}`.execute(
        db,
      )
      hers.world.reeve.house.vault.drop()
      await sql`update dek set wrapped = '\\x00' where community = ${of.did}`.execute(db)
      const id = await asked(hers, of, of)
      await approve(hers, of, olga, id)
      hers.world.clock.moveSec(DAY_SEC - 60)
      await hers.turn()
      expect(logged.filter((line) => line.startsWith('kek.unwrapFailed') && line.includes(of.did))).toEqual([])
      hers.world.clock.moveSec(60)
      await hers.turn()
      expect(logged.filter((line) => line.startsWith('kek.unwrapFailed') && line.includes(of.did))).toHaveLength(1)
      expect((await exportRows(hers, of.did)).exports).toEqual([{ state: 'due', has_file: false }])
      expect((await exportRows(hers, of.did)).flags).toEqual([])
      await sql`update dek set wrapped = ${rows[0]?.wrapped} where community = ${of.did}`.execute(db)
      await hers.turn()
      expect((await exportRows(hers, of.did)).exports).toEqual([{ state: 'ready', has_file: true }])
    })
  })

  describe('goes on where a process died', () => {
    it('after each statement: one file, one mark, one entry', async () => {
      const of = await hers.founded()
      const id = await asked(hers, of, of)
      hers.world.clock.moveSec(DAY_SEC)
      await hers.turn()
      const count = async () =>
        (await exportRows(hers, of.did)).audit.filter((action) => action === 'key.export').length
      expect(await count()).toBe(1)
      let died = true
      for (let statements = 0; died; statements += 1) {
        // As it was when its day had come.
        await sql`update key_export set state = 'due', sealed = null, expires_at_ms = null where id = ${id}`.execute(
          hers.database.db,
        )
        await sql`update key set flags = '{}' where community = ${of.did}`.execute(hers.database.db)
        const before = await count()
        const dying = dyingAfter(hers.database.db, statements)
        await makeExports({ ...hers.ctx, db: dying.db }).catch(() => {})
        died = dying.hasDied()
        const between = await exportRows(hers, of.did)
        const isReady = between.exports[0]?.['state'] === 'ready'
        expect(between.flags, 'the mark comes with the file').toEqual(isReady ? ['exported'] : [])
        expect(await count(), 'and so does the entry').toBe(before + (isReady ? 1 : 0))
        await hers.turn()
        const { exports, flags } = await exportRows(hers, of.did)
        expect(exports).toEqual([{ state: 'ready', has_file: true }])
        expect(flags).toEqual(['exported'])
        expect(await count()).toBe(before + 1)
      }
      expect(await take(of, of, id)).toMatchObject({ status: 200 })
    })

    it('and two processes that make it at once keep one', async () => {
      const of = await hers.founded()
      const id = await asked(hers, of, of)
      hers.world.clock.moveSec(DAY_SEC)
      hers.plc.misbehave(({ kind }) => (kind === 'log' ? json(500) : undefined))
      await hers.turn()
      hers.plc.misbehave(null)
      const before = hers.sealings()
      const made = await Promise.all([makeExports(hers.ctx), makeExports(hers.ctx)])
      expect(hers.sealings() - before).toBe(2)
      expect(made.toSorted()).toEqual([0, 1])
      const { file, sha256 } = (await take(of, of, id)).body
      expect(await openFile(of.keys.identity, file)).toContain(of.did)
      const { rows } = await sql<{ said: string }>`select because->>'sha256' as said from audit_entry
        where community = ${of.did} and action = 'key.export'`.execute(hers.database.db)
      expect(rows).toEqual([{ said: sha256 }])
    })
  })

  describe('is the key', () => {
    let of: Founded
    let text: string
    let key: TestKey
    const answers: Answer[] = []

    beforeAll(async () => {
      of = await hers.founded({ name: 'Gardeners "we have no copy"' })
      const input = { community: of.did, reason: 'a better home' }
      const answer = await askExport(hers.world, of.person, of.keys, input)
      const id = answer.body.proposal.id
      answers.push(answer, await of.person.ask('community.reeve.proposal.list', { community: of.did }))
      await dayComes()
      const taken = await take(of, of, id, { idempotencyKey: 'kept' })
      answers.push(taken, await of.person.ask('community.reeve.audit.list', { community: of.did }))
      text = await openFile(of.keys.identity, taken.body.file)
      key = keyOfScalar('k256', Buffer.from(/^[0-9a-f]{64}$/m.exec(text)?.[0] ?? '', 'hex'))
    })

    it('says in plain words what it is, what we keep, and whose word counts', async () => {
      const { rotationKeys } = await inForce(hers.plc, of.did)
      expect(rotationKeys).toEqual([of.recovery.didKey, key.didKey])
      expect(text).toContain('WE STILL HAVE A COPY. To be alone you must replace this key')
      expect(text).toContain('Community:    "Gardeners \\"we have no copy\\""')
      expect(text).toContain(`DID:          ${of.did}`)
      expect(text).toContain(`Public half:  ${key.didKey}`)
      expect(text).toContain('Custody:      memberHeld')
      expect(text).toContain(`  1. ${of.recovery.didKey}\n  2. ${key.didKey}   this one\n`)
      expect(text).toContain('Whoever has a key above it can undo for 72 hours what is done with it.')
      expect(text).toContain('No key stands below it')
      expect(text).toContain('reeve exit')
    })

    it('in three forms that are one: hexadecimal, multibase, and PKCS#8 that OpenSSL reads', async () => {
      const { createPrivateKey } = await import('node:crypto')
      const { base58btc } = await import('multiformats/bases/base58')
      const scalar = Buffer.from(key.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url')
      const multibase = /^z\S+$/m.exec(text)?.[0] ?? ''
      expect(Buffer.from(base58btc.decode(multibase))).toEqual(Buffer.concat([Buffer.of(0x81, 0x26), scalar]))
      const pem = /-----BEGIN PRIVATE KEY-----[\s\S]+?-----END PRIVATE KEY-----\n/.exec(text)?.[0] ?? ''
      const jwk = createPrivateKey(pem).export({ format: 'jwk' })
      expect(jwk).toEqual(key.privateKey.export({ format: 'jwk' }))
    })

    it('with the log of the identity, as the directory has it', async () => {
      const log = JSON.parse(text.slice(text.indexOf('\n[\n')))
      const honest = (await honestLog(hers.plc, of.did)) ?? []
      expect(log).toEqual(
        honest.map((entry) => expect.objectContaining({ cid: entry.cid, operation: entry.operation })),
      )
    })

    it('and is nowhere else: not in the database, not in what was logged, not in any answer', async () => {
      const scalar = Buffer.from(key.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url')
      const needles = { key: spellingsOf(scalar) }
      const places = {
        ...(await databaseText(hers)),
        log: Buffer.from(logged.join('\n')),
        answers: Buffer.from(JSON.stringify(answers)),
      }
      expect(where(needles, { 'the open file': Buffer.from(text) })).not.toEqual([])
      expect(logged.length).toBeGreaterThan(0)
      expect(where(needles, places)).toEqual([])
    })

    it('that signs an operation which a real directory takes', async () => {
      const { sig: _sig, ...rest } = await inForce(hers.plc, of.did)
      const mine = makeKey('p256')
      const prev = await headOf(hers.plc.honestUrl, of.did)
      const operation = signed(key, { ...rest, rotationKeys: [of.recovery.didKey, mine.didKey], prev })
      await submitOperation(hers.plc.honestUrl, of.did, operation)
      expect((await inForce(hers.plc, of.did)).rotationKeys).toEqual([of.recovery.didKey, mine.didKey])
    })
  })
})
