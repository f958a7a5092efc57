/**
 * The page of rules in `policies/` is the specification of `src/policy/decide*.ts`: asked by Cedar's own engine, it says the same in
 * every combination of facts, and every word of it matters.
 */
import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ACTIONS, isManaging, OWNER_MARK } from '../../src/policy/roles.ts'
import {
  ASKABLE,
  actionsOf,
  complaintsAbout,
  formatted,
  Judge,
  type Mutant,
  mutantsOf,
  PAGE,
  PAGE_TEXT,
  parsePage,
  rightsOfSchema,
  type Verdict,
} from '../kit/cedar.ts'
import { standingByDefinition } from '../kit/graphs.ts'
import { everyCase } from '../kit/rule-cases.ts'
import { type Case, placesOf } from '../kit/rule-stage.ts'
import { filesUnder } from '../kit/source.ts'

/** On a machine that is busy with other things. */
const PATIENCE = 600_000

const cases = everyCase()
const possible = cases.filter(({ scenes }) => typeof scenes !== 'string')
const scenesOf = ({ scenes }: Case) => (typeof scenes === 'string' ? [] : scenes)

/** What the engine says, scene by scene. */
const verdictsOf = (one: Case): readonly Verdict[] =>
  scenesOf(one).map(({ decide }) => {
    const decision = decide()
    return decision.ok ? 'ok' : decision.code
  })

const countBy = <T>(rows: readonly T[], keyOf: (row: T) => string): Record<string, number> =>
  Object.fromEntries([...Map.groupBy(rows, keyOf)].map(([key, group]) => [key, group.length]))

describe('the page of rules', () => {
  it('fits its schema, without a warning', () => {
    expect(complaintsAbout(PAGE)).toEqual([])
  })

  it('is written as the formatter writes it', () => {
    expect(formatted(PAGE_TEXT)).toBe(PAGE_TEXT)
  })

  it('has a name for every rule, and a code for every one that forbids', () => {
    expect(PAGE.size).toBe((PAGE_TEXT.match(/^(?:permit|forbid)/gm) ?? []).length)
    for (const [id, { effect, annotations }] of PAGE) {
      expect(id).toMatch(/^[a-z]+(?:-[a-z]+)+$/)
      expect(annotations?.['code'] !== undefined, id).toBe(effect === 'forbid')
    }
  })

  it('knows the rights that roles are made of, and rules on everything that can be asked', () => {
    expect(rightsOfSchema()).toEqual(ACTIONS)
    expect(new Set([...PAGE.values()].flatMap(actionsOf))).toEqual(new Set(ASKABLE))
  })

  it('with a right that no role can have, or a rule without a name, is seen', () => {
    const typo = parsePage(PAGE_TEXT.replace('"members.add"', '"member.add"'))
    expect(complaintsAbout(typo).join()).toContain('member.add')
    const nameless = parsePage('permit (principal, action, resource);')
    expect([...nameless.keys()]).toEqual(['rule 0 without a name'])
  })
})

/** The verdicts that the engine has, in all of its files. */
async function verdictsOfEngine(): Promise<readonly string[]> {
  const names = filesUnder('src/policy').flatMap((path) => /\/(decide[^/]*)\.ts$/.exec(path)?.[1] ?? [])
  const files = await Promise.all(names.map((name): Promise<object> => import(`../../src/policy/${name}.ts`)))
  return files.flatMap((exported) => Object.keys(exported).filter((name) => name.startsWith('decide')))
}

const isOwnEntry = ({ family }: Case): boolean => family === 'decidePut' || family === 'decideRemove'

describe('the combinations of facts', () => {
  it('are made for every verdict that the engine has', async () => {
    const verdicts = await verdictsOfEngine()
    expect(verdicts.length).toBeGreaterThan(15)
    const families = new Set(cases.map(({ family }) => family.split(' ')[0]))
    // Asked of nobody's standing: a community that is being founded, what was begun under a permit, the operator's own work, a keeper's share,
    // what a key of the community says.
    const askNobody = [
      ...['decideOperatorsFreeze', 'decideFounding', 'decideBegun', 'decideOperatorsRotation'],
      ...['decideKeeper', 'decideOwnKey'],
    ]
    expect(verdicts.filter((name) => !families.has(name))).toEqual(askNobody)
  })

  it('are all there, by what is asked of the engine', () => {
    expect(countBy(cases, ({ family }) => family)).toMatchInlineSnapshot(`
      {
        "decideAccept": 576,
        "decideAct": 105,
        "decideAppAccess": 720,
        "decideAppRule": 120,
        "decideApps": 20,
        "decideAsking": 8,
        "decideBan": 160,
        "decideDelete": 10,
        "decideEnrolment": 2,
        "decideFor": 1296,
        "decideFreeze": 20,
        "decideInvite": 36,
        "decideJoin": 32,
        "decideJoining": 10,
        "decideLeave": 16,
        "decideListBans": 20,
        "decideNest": 320,
        "decideOpening": 10,
        "decidePerson anything else": 6840,
        "decidePerson read": 1080,
        "decidePerson write": 1080,
        "decidePut": 9216,
        "decideRead": 2160,
        "decideRead by both": 765,
        "decideRead by the community": 732,
        "decideRead by the space": 732,
        "decideRemove": 160,
        "decideRevoke": 20,
        "decideRole": 40,
        "decideTakingOver": 20,
        "decideUnban": 40,
        "decideUnnest": 20,
        "decideWithdrawal": 8,
        "decideWrite": 1080,
      }
    `)
  })

  it('are left out only where no community can be like that', () => {
    const left = cases.flatMap(({ family, scenes }) => (typeof scenes === 'string' ? [`${family}: ${scenes}`] : []))
    expect(countBy(left, (why) => why)).toMatchInlineSnapshot(`
      {
        "decideAccept: new power is beyond those who have none": 8,
        "decideAccept: whoever left has no entry": 144,
        "decideAppAccess: in the roster, an owner is who holds community.transfer": 180,
        "decideAppRule: in the roster, an owner is who holds community.transfer": 30,
        "decideApps: in the roster, an owner is who holds community.transfer": 5,
        "decideAsking: whoever is kept out holds nothing": 2,
        "decideBan: a ban from the whole community is judged in its roster": 40,
        "decideBan: what is taken from an owner is taken from above, but for those who hold everything": 16,
        "decideFor: whoever is kept out holds nothing": 576,
        "decideInvite: new power is beyond those who have none": 2,
        "decideJoin: whoever is kept out holds nothing": 8,
        "decideJoin: whoever left stands there as an owner only, from whom leaving takes nothing": 4,
        "decideListBans: in the roster, an owner is who holds community.transfer": 5,
        "decidePerson anything else: whoever is kept out holds nothing": 2736,
        "decidePerson read: whoever is kept out holds nothing": 432,
        "decidePerson write: whoever is kept out holds nothing": 432,
        "decidePut: an owner holds everything where they are one": 140,
        "decidePut: an owner is given nothing that they have not": 864,
        "decidePut: an owner lacks nothing of what there was before": 288,
        "decidePut: an ownership carries power": 2304,
        "decidePut: an ownership is replaced by anything but an ownership": 1728,
        "decidePut: new power is beyond those who have none": 24,
        "decidePut: nothing is taken where nothing is replaced": 1008,
        "decidePut: what is taken from an owner is taken from above, but for those who hold everything": 72,
        "decidePut: who makes an owner gives community.transfer, and has to hold it": 104,
        "decidePut: who makes an owner of somebody new has to hold everything": 48,
        "decidePut: whoever left has no entry": 1080,
        "decidePut: whoever left stands there as an owner only, from whom leaving takes nothing": 192,
        "decideRead by the community: nothing is said of an app that proves nothing": 270,
        "decideRead by the community: who denies this app denies one": 63,
        "decideRead by the space: nothing is said of an app that proves nothing": 270,
        "decideRead by the space: who denies this app denies one": 63,
        "decideRead: whoever is kept out holds nothing": 864,
        "decideRemove: an owner holds everything where they are one": 24,
        "decideRemove: what is taken from an owner is taken from above, but for those who hold everything": 20,
        "decideRevoke: in the roster, an owner is who holds community.transfer": 5,
        "decideUnban: in the roster, an owner is who holds community.transfer": 10,
        "decideWithdrawal: whoever is kept out holds nothing": 2,
        "decideWrite: whoever is kept out holds nothing": 432,
      }
    `)
  })

  it('are what they say of the standing that is judged', () => {
    for (const one of possible) {
      const { space, roster } = placesOf(one)
      for (const { actor } of scenesOf(one)) {
        const standing = standingByDefinition(actor)
        expect(standing.has(space)).toBe(one.says.stands)
        // Who changes their own entry may have reading and the like by it as well.
        const isCounted = isOwnEntry(one) ? isManaging : () => true
        const held = [...(standing.get(space) ?? [])].filter(isCounted).sort()
        expect(held).toEqual(one.says.held.filter(isCounted).sort())
        if (one.says.isOwner !== null) expect(standing.get(roster)?.has(OWNER_MARK) ?? false).toBe(one.says.isOwner)
      }
    }
  })
})

describe('the page and the engine', () => {
  it('say the same in every combination of facts, with the same code', { timeout: PATIENCE }, () => {
    const judge = new Judge('the page', PAGE, { isStrict: true })
    const seen: Partial<Record<string, number>> = {}
    const differences: string[] = []
    const told = new Map<string, ReturnType<Judge['verdict']>>()
    for (const one of possible) {
      const question = JSON.stringify(one.ask)
      const verdict = told.get(question) ?? judge.verdict(one.ask)
      told.set(question, verdict)
      const decided = verdictsOf(one)
      const row = `${one.family} ${verdict}`
      seen[row] = (seen[row] ?? 0) + 1
      if (decided.some((said) => said !== verdict)) {
        differences.push(`${one.family}: ${question}: ${decided} by the engine, ${verdict} by the page`)
      }
    }
    expect(differences.slice(0, 5)).toEqual([])
    expect(seen).toMatchInlineSnapshot(`
      {
        "decideAccept EscalationDenied": 30,
        "decideAccept Forbidden": 59,
        "decideAccept NotFound": 11,
        "decideAccept UserNotAuthorized": 318,
        "decideAccept ok": 6,
        "decideAct Forbidden": 42,
        "decideAct NotFound": 21,
        "decideAct ok": 42,
        "decideAppAccess Forbidden": 282,
        "decideAppAccess NotFound": 108,
        "decideAppAccess ok": 150,
        "decideAppRule Forbidden": 39,
        "decideAppRule NotFound": 18,
        "decideAppRule ok": 33,
        "decideApps Forbidden": 6,
        "decideApps NotFound": 3,
        "decideApps ok": 6,
        "decideAsking UserNotAuthorized": 4,
        "decideAsking ok": 2,
        "decideBan EscalationDenied": 24,
        "decideBan Forbidden": 40,
        "decideBan LastOwner": 1,
        "decideBan NotFound": 20,
        "decideBan ok": 19,
        "decideDelete EscalationDenied": 2,
        "decideDelete Forbidden": 4,
        "decideDelete NotFound": 2,
        "decideDelete ok": 2,
        "decideEnrolment Forbidden": 1,
        "decideEnrolment ok": 1,
        "decideFor UserNotAuthorized": 258,
        "decideFor ok": 462,
        "decideFreeze EscalationDenied": 4,
        "decideFreeze Forbidden": 8,
        "decideFreeze NotFound": 4,
        "decideFreeze ok": 4,
        "decideInvite EscalationDenied": 6,
        "decideInvite Forbidden": 19,
        "decideInvite NotFound": 3,
        "decideInvite ok": 6,
        "decideJoin EscalationDenied": 2,
        "decideJoin OpenToAnybody": 2,
        "decideJoin UserNotAuthorized": 14,
        "decideJoin ok": 2,
        "decideJoining Forbidden": 4,
        "decideJoining NotFound": 2,
        "decideJoining OpenToAnybody": 2,
        "decideJoining ok": 2,
        "decideLeave LastOwner": 1,
        "decideLeave NotFound": 8,
        "decideLeave ok": 7,
        "decideListBans Forbidden": 3,
        "decideListBans NotFound": 2,
        "decideListBans ok": 10,
        "decideNest EscalationDenied": 68,
        "decideNest Forbidden": 128,
        "decideNest NotFound": 64,
        "decideNest OpenToAnybody": 6,
        "decideNest ok": 54,
        "decideOpening Forbidden": 6,
        "decideOpening NotFound": 2,
        "decideOpening ok": 2,
        "decidePerson anything else UserNotAuthorized": 2736,
        "decidePerson anything else ok": 1368,
        "decidePerson read UserNotAuthorized": 234,
        "decidePerson read ok": 414,
        "decidePerson write UserNotAuthorized": 234,
        "decidePerson write ok": 414,
        "decidePut EscalationDenied": 404,
        "decidePut Forbidden": 568,
        "decidePut LastOwner": 6,
        "decidePut NotFound": 168,
        "decidePut ok": 218,
        "decideRead UserNotAuthorized": 468,
        "decideRead by both AppNotAuthorized": 692,
        "decideRead by both ok": 73,
        "decideRead by the community AppNotAuthorized": 256,
        "decideRead by the community UserNotAuthorized": 22,
        "decideRead by the community ok": 121,
        "decideRead by the space AppNotAuthorized": 256,
        "decideRead by the space UserNotAuthorized": 22,
        "decideRead by the space ok": 121,
        "decideRead ok": 828,
        "decideRemove EscalationDenied": 16,
        "decideRemove Forbidden": 24,
        "decideRemove LastOwner": 4,
        "decideRemove NotFound": 12,
        "decideRemove ok": 60,
        "decideRevoke Forbidden": 6,
        "decideRevoke NotFound": 3,
        "decideRevoke ok": 6,
        "decideRole EscalationDenied": 12,
        "decideRole Forbidden": 16,
        "decideRole NotFound": 8,
        "decideRole OpenToAnybody": 2,
        "decideRole ok": 2,
        "decideTakingOver Forbidden": 4,
        "decideTakingOver NotFound": 2,
        "decideTakingOver UserNotAuthorized": 10,
        "decideTakingOver ok": 4,
        "decideUnban EscalationDenied": 3,
        "decideUnban Forbidden": 6,
        "decideUnban NotFound": 4,
        "decideUnban ok": 17,
        "decideUnnest EscalationDenied": 2,
        "decideUnnest Forbidden": 8,
        "decideUnnest NotFound": 4,
        "decideUnnest ok": 6,
        "decideWithdrawal ok": 6,
        "decideWrite Forbidden": 234,
        "decideWrite ok": 414,
      }
    `)
  })

  it('would differ if any rule, condition, right or code on the page were another', { timeout: PATIENCE }, () => {
    const asked = new Map(possible.map((one) => [JSON.stringify(one.ask), { ask: one.ask, said: verdictsOf(one)[0] }]))
    // Neighbours differ by one fact alone; mixed, few of them tell what many would.
    const mixed = [...asked].map(([key, one]) => ({ ...one, at: hash('sha256', key) }))
    mixed.sort((one, other) => (one.at < other.at ? -1 : 1))
    const byAction = Map.groupBy(mixed, ({ ask }) => ask.action)
    const isSeen = ({ page, actions }: Mutant): boolean => {
      // Rules that are about something else can say nothing here, and would take their time.
      const near = new Map([...page].filter(([, rule]) => actionsOf(rule).some((action) => actions.includes(action))))
      const judge = new Judge('a spoilt page', near, { isStrict: false })
      return actions.some((action) => {
        const questions = byAction.get(action) ?? []
        const telling = questions.findIndex(({ ask, said }) => judge.verdict(ask) !== said)
        // What told one spoilt page from the real one is likely to tell the next.
        if (telling > 0) questions.unshift(...questions.splice(telling, 1))
        return telling >= 0
      })
    }
    const mutants = mutantsOf(PAGE)
    expect(mutants.length).toBeGreaterThan(300)
    expect(isSeen({ fault: 'none', page: PAGE, actions: ASKABLE })).toBe(false)
    const unseen = mutants.filter((mutant) => !isSeen(mutant))
    expect(unseen.map(({ fault }) => fault)).toEqual([])
  })
})
