/** Yesterday's backup is put back in the place of what came since, as an operator does it, and then accepted as the true one. */
import { execFile } from 'node:child_process'
import { cp, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Did, SpaceUri } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { type Db, openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { foundLongAgo } from '../../test/kit/checkpoints.ts'
import { type Run, runCli } from '../../test/kit/cli.ts'
import { createOnServer } from '../../test/kit/databases.ts'
import { postgresProgram } from '../../test/kit/own-postgres.ts'
import { makeSomebody, requestAs, type Somebody } from '../../test/kit/people.ts'
import { eventually } from '../../test/kit/waiting.ts'
import { freshRev, writeOf } from '../../test/kit/writers.ts'
import { readFinal } from '../final.ts'
import { Load } from '../load.ts'
import { faultsIn, type Notebook, type Row, recovers, type Tried, together, underLoad, warm } from '../row.ts'
import { isEnough, times } from '../settings.ts'
import { callBy, clock, exchangeBy, FORUM, noteChange, R, type Stage, show, tokenOf } from '../stage.ts'
import { survivorsOf } from '../survivors.ts'
import { type Final, type Heard, judge } from '../verdicts.ts'

const run = promisify(execFile)

/** Longer than from one checkpoint to the next, where there are few communities. */
const SEEN_BY_THEN_MS = 12_000
const ROUNDS = times(12, 4)
const PUT_OFF = '503 NotEnoughResources'
const REFUSED = '503 RestoredFromPast'

export const past: Row = {
  name: 'past',
  does: 'a backup is made under load (`pg_dump`; a copy of the directory), much is acknowledged after it, the process is stopped or killed, and the backup is put back with the checkpoints of now; then the operator accepts it, and an owner looks and wakes the community',
  holds:
    '`RestoredFromPast` at every way in and at `_health`, also on a machine without checkpoints; nobody gets a credential and nothing changes until it is accepted, and in a community that lacks entries until it is woken; one that lacks nothing goes on; somebody who was removed after the backup, and is in it, gets nothing at any time',
  engines: ['embedded', 'postgres'],
  run: async (tried) => {
    const all = []
    for (let nth = 0; nth < times(4, 1) && (nth === 0 || !isEnough()); nth++) {
      all.push(await putBackOnce(tried, nth % 2 === 1))
      tried.says(`${nth + 1} of ${times(4, 1)}`)
    }
    return together(all)
  },
}

async function putBackOnce(tried: Tried, isKilled: boolean) {
  const folder = await mkdtemp(join(tmpdir(), 'reeve-past-'))
  const checkpoints = join(folder, 'checkpoints')
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })]
  try {
    return await underLoad(
      tried,
      { environment: { REEVE_CHECKPOINT_DIR: checkpoints } },
      async (stage, load, notebook) => {
        const { recorder, community, hall } = stage
        const { expectThat } = notebook
        const quiet = await foundQuietCommunity(stage)
        // Somebody who is in the backup, and was removed after it.
        const removed = await makeSomebody(stage.plc.honestUrl)
        await changeOf(stage, 'put', hall, removed.did)
        await warm(load)

        const backedUp = recorder.begin()
        const putBack = await backUp(stage, folder, undo)
        await warm(load)
        await changeOf(stage, 'remove', hall, removed.did)
        const before = load.total()
        await sleep(SEEN_BY_THEN_MS)
        await warm(load)
        await load.stop()
        if (isKilled) await stage.reeve.kill()
        else expectThat((await stage.reeve.stop()) === 0, 'past: it did not end in order')
        const ended = await readFinal(stage, community)
        expectHeld(stage, ended, isKilled, notebook)
        notebook.notes['acknowledged after the backup'] = load.total() - before

        await putBack()
        notebook.times += 1
        const restored = await readFinal(stage, community)
        const isIn = restored.people.some(({ space, did }) => space === hall && did === removed.did)
        expectThat(isIn, 'past: the backup does not have who was removed later, so nothing was shown')
        expectThat(restored.revision < ended.revision, 'past: nothing was changed after the backup')
        notebook.notes['revisions lost'] = ended.revision - restored.revision
        const heardBefore = stage.syncers.map((syncer) => syncer.told.length)
        const putBackAt = recorder.begin()

        // Where the checkpoints are, and where there are none.
        for (const place of [checkpoints, join(folder, 'empty')]) {
          await stage.restart({ REEVE_CHECKPOINT_DIR: place })
          for (let round = 0; round < ROUNDS; round++) await expectNothing(stage, removed, quiet.space, notebook)
          expectThat((await stage.reeve.stop()) === 0, 'past: it did not end in order')
          const after = await readFinal(stage, community)
          expectThat(JSON.stringify(after) === JSON.stringify(restored), 'past: something changed in the meantime')
        }

        await acceptIt(stage, { checkpoints, quiet: quiet.community }, notebook)
        const frozen = await readFinal(stage, community)
        const rest = { op: 'rest', community, isFrozen: true, says: 'ok', revision: frozen.revision } as const
        recorder.end(recorder.begin(), rest)
        await stage.restart()
        expectThat((await health(stage)) === 'ok', `past: accepted, and health says ${await health(stage)}`)
        for (const person of [removed, ...stage.steady, ...stage.movers]) {
          const { says } = await show(stage, tokenOf(stage, person, hall))
          expectThat(/^400 \w+/.test(says), `resting: somebody was told ${says}`)
        }
        const inQuiet = await stage.send(exchangeBy(stage, quiet.member, quiet.space), quiet.member.did)
        expectThat(inQuiet.says === 'ok', `quiet: a community that lacks nothing said ${inQuiet.says}`)

        // The owner looks, takes out who doesn't belong there, and wakes it.
        await changeOf(stage, 'remove', hall, removed.did)
        await wake(stage)
        const woken = recorder.begin()
        const { says } = await show(stage, tokenOf(stage, removed, hall))
        expectThat(says === '400 UserNotAuthorized', `woken: who was removed again was told ${says}`)
        const later = new Load(stage, tried.dice, restored.people)
        later.start()
        try {
          await recovers(later, notebook, 'after it was woken')
          await warm(later)
        } finally {
          await later.stop()
        }
        return (_final, evidence) => {
          const heardLater = stage.syncers.map(({ told }, nth) => told.slice(heardBefore[nth]))
          expectNoneShared(
            stage.syncers.map(({ told }, nth) => told.slice(0, heardBefore[nth])),
            heardLater,
            notebook,
          )
          const operations = survivorsOf(evidence.operations, { backedUp, putBack: putBackAt, woken, restored })
          for (const one of operations)
            if (one.began > putBackAt && one.ended < woken && one.op === 'exchange')
              notebook.faults.push(`past: ${one.did} got a credential before the community was woken`)
          return { ...evidence, operations, heard: heardLater }
        }
      },
    )
  } finally {
    for (const one of undo.toReversed()) await one()
  }
}

/** Another community, with somebody in it, which nobody asks for anything after the backup. */
async function foundQuietCommunity(stage: Stage): Promise<{ community: Did; space: SpaceUri; member: Somebody }> {
  const { founder, steady } = stage
  const [member = founder] = steady
  const must = async (method: string, input: object) => {
    const outcome = await stage.send(callBy(stage, founder, method, input), founder.did)
    if (outcome.status !== 200) throw new Error(`${method}: ${outcome.says}`)
    return outcome.body
  }
  const custody = { $type: `${R}.community.mint#custodial` }
  const { did: community } = await must('community.mint', { name: 'Fishers', custody })
  const { uri: space } = await must('space.create', { community, spaceType: FORUM, skey: 'pier' })
  await must('member.put', { space, did: member.did, role: 'member' })
  // What has no place in its chain yet when the backup is made counts as missing from it.
  await eventually('its log is chained', async () => {
    const at = { ...stage.reeve, nowSec: clock.nowSec() }
    const raw = requestAs(founder, at, `${R}.audit.list`, { community }, 'query')
    const { status, body } = await stage.send(raw, founder.did)
    return status === 200 && body.entries.every(({ seq }: { seq?: number }) => typeof seq === 'number')
  })
  return { community, space, member }
}

/** One change by the founder, until it is answered. */
async function changeOf(stage: Stage, does: 'put' | 'remove', space: SpaceUri, did: Did): Promise<void> {
  const { founder, recorder, community } = stage
  const input = { space, did, ...(does === 'put' ? { role: 'member' } : {}) }
  const began = recorder.begin()
  const { status, says, body } = await stage.send(callBy(stage, founder, `member.${does}`, input), founder.did)
  if (status !== 200) throw new Error(`member.${does}: ${says}`)
  const deed = does === 'put' ? ({ does, space, did, role: 'member' } as const) : ({ does, space, did } as const)
  noteChange(recorder, began, deed, community, body.revision)
}

async function wake(stage: Stage): Promise<void> {
  const { founder, recorder, community } = stage
  const began = recorder.begin()
  const raw = callBy(stage, founder, 'community.freeze', { community, isFrozen: false })
  const { status, says, body } = await stage.send(raw, founder.did)
  if (status !== 200) throw new Error(`community.freeze: ${says}`)
  recorder.end(began, { op: 'rest', community, isFrozen: false, says, revision: body.revision })
}

/** A backup as `docs/operations.md` has it made; answers what puts it back, beside what is there. */
async function backUp(stage: Stage, folder: string, undo: (() => Promise<unknown>)[]): Promise<() => Promise<void>> {
  if (stage.databaseUrl === null) {
    const copy = join(folder, 'copy')
    await stage.reeve.stop()
    await cp(stage.dataDir, copy, { recursive: true, preserveTimestamps: true })
    await stage.restart()
    return async () => {
      await rename(stage.dataDir, join(folder, 'broken'))
      await cp(copy, stage.dataDir, { recursive: true, preserveTimestamps: true })
    }
  }
  const file = join(folder, 'reeve.dump')
  await run(postgresProgram('pg_dump'), ['--format=custom', `--file=${file}`, stage.databaseUrl])
  return async () => {
    const { url, drop } = await createOnServer()
    undo.push(drop)
    await run(postgresProgram('pg_restore'), ['--exit-on-error', '--no-owner', `--dbname=${url.reveal()}`, file])
    stage.moveTo(url.reveal())
  }
}

/** What was there before the backup was put back kept what was promised. */
function expectHeld(stage: Stage, final: Final, isKilled: boolean, notebook: Notebook): void {
  const { community, founder, recorder, syncers } = stage
  const heard = syncers.map((syncer) => syncer.told)
  const verdicts = judge({ community, founder: founder.did, operations: [...recorder.operations], heard, final })
  // Nothing was finished by a process that was killed: what it had not chained, the next one would.
  const isOpen = (fault: string) => isKilled && fault.startsWith('Chain: unchained')
  notebook.faults.push(
    ...faultsIn(verdicts)
      .filter((fault) => !isOpen(fault))
      .map((fault) => `before: ${fault}`),
  )
}

async function health(stage: Stage): Promise<string> {
  return (await stage.send({ path: '/xrpc/_health' }, stage.founder.did)).says
}

/** Everybody asks for something, and nobody gets anything but a look. */
async function expectNothing(stage: Stage, removed: Somebody, quiet: SpaceUri, notebook: Notebook): Promise<void> {
  const { founder, steady, movers, hall, yard } = stage
  const expectSaid = (what: string, due: string, says: string) =>
    notebook.expectThat(says === due, `past: ${what} was told ${says}`)
  const people = [removed, ...steady, ...movers]
  const exchanges = people.map(async (person, nth) => {
    const { says } = await show(stage, tokenOf(stage, person, nth % 2 === 0 ? hall : yard))
    expectSaid('an exchange', PUT_OFF, says)
  })
  const others = {
    'an exchange of another community': [PUT_OFF, exchangeBy(stage, steady[0] ?? founder, quiet)],
    'a removal': [REFUSED, callBy(stage, founder, 'member.remove', { space: hall, did: removed.did })],
    'a new member': [REFUSED, callBy(stage, founder, 'member.put', { space: yard, did: removed.did, role: 'admin' })],
    'a new space': [REFUSED, callBy(stage, founder, 'space.create', { community: stage.community, spaceType: FORUM })],
    'a write': [
      PUT_OFF,
      writeOf({ clock }, { writer: steady[0] ?? founder, space: hall, rev: freshRev(clock.nowMs()) }),
    ],
    health: [REFUSED, { path: '/xrpc/_health' }],
  } as const
  const asked = Object.entries(others).map(async ([what, [due, raw]]) =>
    expectSaid(what, due, (await stage.send(raw, founder.did)).says),
  )
  const at = { ...stage.reeve, nowSec: clock.nowSec() }
  const looks = ['member.list', 'space.get'].map(async (method) => {
    const raw = requestAs(founder, at, `${R}.${method}`, { space: hall }, 'query')
    expectSaid(`who looks by ${method}`, 'ok', (await stage.send(raw, founder.did)).says)
  })
  await Promise.all([...exchanges, ...asked, ...looks])
}

/** The operator's way on, as `docs/running.md` has it: a look, too early, and then in time. */
async function acceptIt(stage: Stage, about: { checkpoints: string; quiet: Did }, notebook: Notebook): Promise<void> {
  const { place, community, reeve } = stage
  const { expectThat } = notebook
  const tool = (args: readonly string[], typed = ''): Promise<Run> =>
    runCli({ args, typed, environment: place.environment })
  const status = await tool(['restored', 'status'])
  expectThat(status.code === 1 && status.out.includes(`BEHIND    ${community}:`), `status: ${status.out}${status.err}`)
  expectThat(!status.out.includes(about.quiet), 'status: it names a community that lacks nothing')
  const early = await tool(['restored', 'accept'], `${reeve.serviceDid}\n`)
  expectThat(early.code === 1 && /too early/.test(early.err), `accept: too early, it said ${early.out}${early.err}`)
  await onDatabase(stage, (db) => foundLongAgo(db, about.checkpoints))
  const accepted = await tool(['restored', 'accept'], `${reeve.serviceDid}\n`)
  const isDone = accepted.code === 0 && accepted.out.includes(`FROZEN           ${community}`)
  expectThat(isDone && !accepted.out.includes(about.quiet), `accept: ${accepted.out}${accepted.err}`)
  const after = await tool(['restored', 'status'])
  expectThat(after.code === 0, `status: after accepting it, ${after.out}${after.err}`)
}

async function onDatabase(stage: Stage, work: (db: Db) => Promise<void>): Promise<void> {
  const { databaseUrl, dataDir } = stage
  const url = databaseUrl === null ? null : new Secret(databaseUrl)
  const { db, close } = await openDatabase({ url, dataDir, allowUnsafe: true, log: silentLog, clock: systemClock })
  await work(db).finally(close)
}

/** A space revision that was told before the backup was put back means the same afterwards, or is never given again. */
function expectNoneShared(
  before: readonly (readonly Heard[])[],
  later: readonly (readonly Heard[])[],
  notebook: Notebook,
): void {
  const meaningOf = ({ body }: Heard) => `${body.repo} ${body.repoRev}`
  const placeOf = ({ body }: Heard) => `${body.space} ${body.spaceRev}`
  const isWrite = ({ body }: Heard) => typeof body?.spaceRev === 'string'
  const meanings = new Map(
    before
      .flat()
      .filter(isWrite)
      .map((one) => [placeOf(one), meaningOf(one)]),
  )
  for (const one of later.flat().filter(isWrite)) {
    const meaning = meanings.get(placeOf(one)) ?? meaningOf(one)
    notebook.expectThat(meaning === meaningOf(one), `past: ${placeOf(one)} was ${meaning} and is ${meaningOf(one)}`)
  }
}
