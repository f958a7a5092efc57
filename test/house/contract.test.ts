/** The lexicons are the contract: what is generated from them, which doors there are, which refusals may leave. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { buildLexicons } from '../../scripts/build-lexicons.ts'
import { refusalsOf } from '../../src/doors/door.ts'
import { STATUS_OF_REFUSAL } from '../../src/doors/refusal-to-http.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { ROLE_SPACE_TYPE, ROSTER_TYPE } from '../../src/names.ts'
import { filesUnder, readSources, readText, sourceOf } from '../kit/source.ts'
import { methodsOfLexicons } from './checks/lexicons.ts'
import { type Row, reachableCodes, rowsOf } from './checks/refusal-paths.ts'
import { differences, undocumented } from './checks/tables.ts'

const methods = methodsOfLexicons()
const codes = new Set(Object.keys(STATUS_OF_REFUSAL))

describe('lexicons', () => {
  it('stand where their names say', () => {
    for (const path of filesUnder('lexicons')) {
      const { id } = JSON.parse(readText(path))
      expect(path).toBe(`lexicons/${id.replaceAll('.', '/')}.json`)
    }
  })

  it('are what src/lexicons was generated from', () => {
    const folder = mkdtempSync(join(tmpdir(), 'reeve-lexicons-'))
    try {
      buildLexicons(folder)
      expect(differences(new URL('../../src/lexicons/', import.meta.url), folder)).toEqual([])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('have one door each, and every door has its lexicon', () => {
    const doors = DOORS.map(({ method }) => `${method.type} ${method.nsid}`)
    expect(doors.toSorted()).toEqual(methods.map(({ type, nsid }) => `${type} ${nsid}`).sort())
    expect(new Set(doors).size).toBe(doors.length)
  })

  it('have a permission set that covers every method, and one for people that changes nothing of others', () => {
    const own = methods.map(({ nsid }) => nsid).filter((nsid) => nsid.startsWith('community.reeve.'))
    expect(permittedBy('authGovern')).toEqual(own.sort())
    const ofPeople = permittedBy('authMember')
    expect(own).toEqual(expect.arrayContaining([...ofPeople]))
    const changing = methods.filter(({ nsid, type }) => ofPeople.includes(nsid) && type === 'procedure')
    expect(changing.map(({ nsid }) => nsid).toSorted()).toEqual([
      'community.reeve.member.acceptInvite',
      'community.reeve.member.acceptOwnership',
      'community.reeve.member.leave',
      'community.reeve.member.requestJoin',
    ])
  })

  it('declare the types of space that are our own, in which nobody writes', () => {
    const declared = filesUnder('lexicons')
      .map((path) => JSON.parse(readText(path)))
      .filter(({ defs }) => defs.main?.type === 'space')
    expect(declared.map(({ id }) => id).toSorted()).toEqual([ROLE_SPACE_TYPE, ROSTER_TYPE])
    for (const { defs } of declared) {
      expect(defs.main).toMatchObject({ key: expect.any(String), name: expect.any(String), collections: [] })
      expect(defs.main.name.length).toBeLessThanOrEqual(64)
    }
  })

  it('name only refusals that there are, and the one that blurs', () => {
    for (const { nsid, errors } of methods) {
      expect(
        errors.filter((name) => !codes.has(name) && name !== 'NotAuthorized'),
        nsid,
      ).toEqual([])
    }
  })

  it('say at their doors what they say on paper', () => {
    for (const { nsid, errors } of methods) {
      const door = DOORS.find(({ method }) => method.nsid === nsid)
      expect([...(door ? refusalsOf(door) : [])], nsid).toEqual(expect.arrayContaining([...errors]))
    }
  })
})

/** The methods that one of our permission sets lets an app call in somebody's name. */
const permittedBy = (name: string): readonly string[] =>
  JSON.parse(readText(`lexicons/community/reeve/${name}.json`)).defs.main.permissions.flatMap(
    ({ lxm }: { lxm: readonly string[] }) => lxm,
  )

describe('refusals', () => {
  const sources = readSources('src')
  const table = sources.find(({ path }) => path === 'src/doors/xrpc.ts')
  const rows = rowsOf(table?.text ?? '')
  const placeOf = (name: string) => ({
    path: table?.imports.find(({ names }) => names.includes(name))?.path ?? '',
    name,
  })

  /** Codes that are on the way and never get out, by method, or by knock for all its doors. */
  const NEVER: Readonly<Record<string, readonly string[]>> = {
    // Only a procedure spends its token.
    query: ['JwtReplayed'],
    // Whose credential would not be given any more is told that it was taken back, and not why.
    presented: ['AppNotAuthorized', 'UserNotAuthorized', 'SpaceDeleted'],
    presentedProcedure: ['AppNotAuthorized', 'UserNotAuthorized', 'SpaceDeleted'],
    presentedBytes: ['AppNotAuthorized', 'UserNotAuthorized', 'SpaceDeleted'],
    // Of a write it is told as Forbidden.
    'com.atproto.space.notifyWrite': ['UserNotAuthorized'],
    // It lists what others were refused for.
    'community.reeve.credential.list': ['AppNotAuthorized', 'UserNotAuthorized', 'NotAuthorized'],
    // Their answers tell of verdicts, and are none.
    'community.reeve.member.check': ['AppNotAuthorized', 'UserNotAuthorized'],
    'community.reeve.member.explain': ['AppNotAuthorized', 'UserNotAuthorized'],
    'community.reeve.member.preview': ['AppNotAuthorized', 'UserNotAuthorized'],
    // What its maker may not do any more is told as an invite that isn't valid, and a community that has invites is there.
    'community.reeve.member.acceptInvite': ['Forbidden', 'EscalationDenied', 'NotFound'],
    // Whoever offered it and may no longer do so is told as an offer that isn't open.
    'community.reeve.member.acceptOwnership': ['Forbidden'],
    // What a PDS asks is answered by yes or no, whatever the verdict is called.
    'com.atproto.simplespace.checkUserAccess': ['AppNotAuthorized', 'UserNotAuthorized'],
    // Nobody says at which revision; and what isn't there yet is made.
    'community.reeve.community.adopt': ['NotFound', 'StaleRevision'],
    'community.reeve.community.release': ['StaleRevision'],
    // It holds a link that is shown once, so nothing of it is remembered; and what it begins is no change yet.
    'community.reeve.steering.connect': ['IdempotencyConflict', 'StaleRevision'],
    // Which apps may read is not among what it changes.
    'community.reeve.space.update': ['UnsupportedAppAccess'],
    // What is said of one line is noted with the line.
    'community.reeve.member.import': ['UnknownRole'],
    'community.reeve.member.applyImport': ['UnknownRole', 'EscalationDenied', 'LastOwner'],
    // So a change of handle ends that is called off with its community: noted, and told to nobody.
    'community.reeve.community.delete': ['PlcConflict'],
    // And a space is bound when it is made: what waits about it was judged by that.
    // A community whose keys are here keeps them here: that was judged with the proposal as well.
    'community.reeve.proposal.approve': ['PlcConflict', 'UnsupportedPolicy', 'UnsupportedCustody'],
    // What is due at once is done in the name of the community, whom nobody refuses anything; and what ends with a proposal isn't refused either.
    'community.reeve.key.claimOwnership': [
      ...['Forbidden', 'UnsupportedCustody', 'CeremonyInProgress', 'PlcConflict', 'UnknownRole', 'OpenToAnybody'],
      ...['UnsupportedPolicy', 'EscalationDenied', 'StaleRevision', 'IdempotencyConflict'],
    ],
    // It waits until the directory is open for it, and a change of handle that comes first is told to whoever asked for that.
    'community.reeve.key.rotate': ['PlcQuiet', 'PlcBudget', 'PlcLimit', 'HandleNotAvailable'],
    // What keepers have signed goes on by itself from there, and nothing of it is judged anew.
    'community.reeve.key.submitShare': ['PlcRejected', 'HandleNotAvailable', 'PlcRank', 'CeremonyInProgress'],
    'community.reeve.key.conclude': ['PlcRejected', 'HandleNotAvailable'],
    // Nobody acts by a seat there; and whoever is suspended may still call off what they began.
    'community.reeve.key.cancel': ['KeeperRevoked', 'KeeperSuspended'],
    // Whoever may not see it hears that there is none.
    'community.reeve.key.get': ['Forbidden'],
    // It carries nothing out; what else ends with a proposal is never refused.
    'community.reeve.proposal.cancel': [
      ...['PlcConflict', 'UnknownRole', 'OpenToAnybody', 'UnsupportedPolicy', 'EscalationDenied', 'UnsupportedCustody'],
    ],
  }

  it('every row of the table is read', () => {
    expect(rows.map(({ nsid }) => nsid)).toEqual(DOORS.map(({ method }) => method.nsid))
  })

  it.each(rows.map((row) => [row.nsid, row] as const))(
    'that %s can give may leave it',
    (nsid, { knock, action }: Row) => {
      const door = DOORS.find(({ method }) => method.nsid === nsid)
      const may = door ? refusalsOf(door) : new Set()
      const byKnocking = reachableCodes(sources, codes, { path: 'src/doors/door.ts', name: knock })
      const byActing = reachableCodes(sources, codes, placeOf(action))
      expect(byKnocking.size + byActing.size).toBeGreaterThan(0)
      const never = [...(NEVER[knock] ?? []), ...(NEVER[nsid] ?? [])]
      const stray = [...byKnocking, ...byActing].filter(([code]) => !may.has(code) && !never.includes(code))
      expect(stray.map(([code, path]) => `${code} of ${path}`)).toEqual([])
    },
  )

  it('are followed through functions and files, and lists of codes are not taken for refusals', () => {
    const files = [
      sourceOf(
        'src/space/a.ts',
        `import { b, type T } from '../membership/b.ts'
const KEPT = new Set(['LastOwner'])
export async function act() {
  if (KEPT.size) return b()
  return near()
}
const near = () => fail('Forbidden')
export function other() { throw new Refusal('SpaceDeleted', '') }
`,
      ),
      sourceOf('src/membership/b.ts', `export const b = () => {\n  throw new Refusal('NotFound', "'PlcRank'")\n}\n`),
    ]
    const reached = reachableCodes(files, codes, { path: 'src/space/a.ts', name: 'act' })
    expect(Object.fromEntries(reached)).toMatchObject({ Forbidden: 'src/space/a.ts', NotFound: 'src/membership/b.ts' })
    expect([...reached.keys()]).not.toContain('LastOwner')
    expect([...reached.keys()]).not.toContain('SpaceDeleted')
  })
})

describe('dependencies', () => {
  it('have a line each that says what they are for, and no line is about one that is gone', () => {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(readText('package.json'))
    const names = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
    expect(undocumented(names, readText('docs/dependencies.md'))).toEqual([])
  })

  it('without a line, or a line without one, are seen', () => {
    const page = '| package | why |\n|---|---|\n| `pg` | dials |\n\n`kysely` is mentioned\n| `gone` | was here |\n'
    expect(undocumented(['pg', 'kysely'], page)).toEqual(['kysely has no line', 'gone has a line and is no dependency'])
    expect(undocumented(['pg', 'gone'], page)).toEqual([])
  })
})

describe('generated files that differ are seen', () => {
  it('changed, missing, or left over', () => {
    const folder = mkdtempSync(join(tmpdir(), 'reeve-lexicons-'))
    try {
      buildLexicons(folder)
      rmSync(join(folder, 'index.ts'))
      const found = differences(new URL('../../src/lexicons/', import.meta.url), folder)
      expect(found).toEqual(['index.ts is left over'])
      expect(differences(folder, new URL('../../src/lexicons/', import.meta.url))).toEqual(['index.ts is missing'])
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }, 120_000)
})
