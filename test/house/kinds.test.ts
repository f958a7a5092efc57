/** In the rooms that govern and serve, a file is a wire method, a store or a noun; and no file anywhere is a drawer. */
import { expect, it } from 'vitest'
import { filesUnder } from '../kit/source.ts'
import { kindFaults } from './checks/kinds.ts'
import { methodsOfLexicons } from './checks/lexicons.ts'

it('every file is of one of the three kinds', () => {
  const methods = methodsOfLexicons().map(({ nsid }) => nsid)
  expect(kindFaults(filesUnder('src'), methods)).toEqual([])
  expect(kindFaults([...filesUnder('test'), ...filesUnder('scripts')], [])).toEqual([])
})

const METHODS = ['community.reeve.member.put', 'com.atproto.space.getSpaceCredential', 'community.reeve.audit.list']

it.each([
  ['src/membership/memberPut.ts'],
  ['src/credential/getSpaceCredential.ts'],
  ['src/community/auditList.ts'],
  ['src/membership/store.ts'],
  ['src/membership/roster-copy-store.ts'],
  ['src/credential/http-signature.ts'],
  ['src/access/roll.ts'],
  ['src/keys/private-keys.ts'],
])('takes %s', (path) => {
  expect(kindFaults([path], METHODS)).toEqual([])
})

it.each([
  ['src/membership/memberRemove.ts', 'no lexicon has it'],
  ['src/membership/put.service.ts', 'none of the three kinds'],
  ['src/membership/MemberPut.ts', 'none of the three kinds'],
  ['src/membership/member_put.ts', 'none of the three kinds'],
  ['src/membership/edges/put.ts', 'a room within a room'],
  ['src/membership/util.ts', 'a drawer'],
  ['src/membership/edge-helpers.ts', 'a drawer'],
  ['src/common/dates.ts', 'a drawer'],
  ['src/doors/utils.ts', 'a drawer'],
  ['test/helpers/people.ts', 'a drawer'],
])('does not take %s', (path, fault) => {
  const faults = kindFaults([path], METHODS)
  expect(faults).toHaveLength(1)
  expect(faults[0]).toContain(fault)
})
