/** A file imports from its own room, from lower floors, and on its own floor only from the left along a drawn arrow. */
import { describe, expect, it } from 'vitest'
import { readSources, sourceOf } from '../kit/source.ts'
import { floorFaults, ROOMS } from './checks/floors.ts'

it('the house is built as it is drawn', () => {
  expect(floorFaults(readSources('src'))).toEqual([])
})

it('and the picture is about rooms that are there', () => {
  const rooms = new Set(readSources('src').map(({ path }) => path.split('/')[1]))
  for (const room of ['policy', 'keys', 'identity', 'audit', 'membership', 'apps', 'access', 'credential', 'doors']) {
    expect([...rooms]).toContain(room)
    expect(ROOMS).toHaveProperty(room)
  }
})

describe('a stair that is not in the picture is seen', () => {
  const faults = (path: string, from: string, how = 'import { a }') =>
    floorFaults([sourceOf(path, `/** A file. */\n${how} from '${from}'\n`)])

  it.each([
    ['src/platform/a.ts', '../policy/decide.ts', 'a stair that leads up, from ground (floor 0) to policy (floor 1)'],
    ['src/names.ts', './keys/vault.ts', 'a stair that leads up, from ground (floor 0) to keys (floor 2)'],
    [
      'src/keys/a.ts',
      '../identity/document.ts',
      'keys and identity are neighbours, and no arrow leads from identity to keys',
    ],
    ['src/audit/a.ts', '../keys/vault.ts', 'audit and keys are neighbours, and no arrow leads from keys to audit'],
    [
      'src/membership/a.ts',
      '../space/store.ts',
      'membership and space are neighbours, and no arrow leads from space to membership',
    ],
    [
      'src/apps/a.ts',
      '../community/store.ts',
      'apps and community are neighbours, and no arrow leads from community to apps',
    ],
    [
      'src/community/a.ts',
      '../access/may-read.ts',
      'a stair that leads up, from community (floor 3) to access (floor 4)',
    ],
    [
      'src/access/a.ts',
      '../credential/store.ts',
      'access and credential are neighbours, and no arrow leads from credential to access',
    ],
    [
      'src/notify/a.ts',
      '../credential/store.ts',
      'notify and credential are neighbours, and no arrow leads from credential to notify',
    ],
    ['src/credential/a.ts', '../doors/xrpc.ts', 'a stair that leads up, from credential (floor 4) to doors (floor 5)'],
    ['src/doors/a.ts', '../reeve.ts', 'a stair that leads up, from doors (floor 5) to roof (floor 6)'],
    ['src/community/a.ts', '../cli/terminal.ts', 'a stair that leads up, from community (floor 3) to roof (floor 6)'],
    ['src/keys/a.ts', '../../test/kit/tokens.ts', 'keys takes nothing from outside src/'],
    ['src/doors/a.ts', '../../package.json', 'doors takes nothing from outside src/'],
    ['src/doors/a.ts', '../cellar/a.ts', 'it is in no room of the picture'],
  ])('from %s to %s', (path, from, fault) => {
    const [line] = faults(path, from)
    expect(line).toMatch(new RegExp(`^${path}:2 imports `))
    expect(line).toContain(fault)
    expect(faults(path, from, 'import type { a }'), 'also for types').toHaveLength(1)
    expect(faults(path, from, 'export *'), 'also handed on').toHaveLength(1)
  })

  it.each([
    ['src/keys/a.ts', './vault.ts'],
    ['src/keys/a.ts', '../policy/decide.ts'],
    ['src/space/a.ts', '../membership/store.ts'],
    ['src/federation/a.ts', '../community/store.ts'],
    ['src/credential/a.ts', '../access/may-read.ts'],
    ['src/doors/a.ts', '../credential/store.ts'],
    ['src/main.ts', './reeve.ts'],
    ['src/cli.ts', './cli/exit.ts'],
    ['src/cli/a.ts', '../community/store.ts'],
    ['src/reeve.ts', '../package.json'],
    ['src/membership/a.ts', '../lexicons/community.ts'],
    ['src/keys/a.ts', 'node:crypto'],
    ['src/policy/a.ts', '../../policies/roles.json'],
  ])('and one that is in it is not, from %s to %s', (path, from) => {
    expect(faults(path, from)).toEqual([])
  })

  it('in the pure room, which takes no clock, no package and no refusal', () => {
    for (const from of ['../platform/clock.ts', 'node:crypto', 'zod', '../refusals.ts', '../lexicons/community.ts']) {
      expect(faults('src/policy/a.ts', from)).toHaveLength(1)
    }
    expect(faults('src/policy/a.ts', '../refusals.ts', 'import type { RefusalCode }')).toEqual([])
  })

  it('in generated files', () => {
    expect(faults('src/lexicons/a.ts', '../names.ts')).toHaveLength(1)
    expect(faults('src/lexicons/a.ts', 'zod')).toHaveLength(1)
    expect(faults('src/lexicons/a.ts', './b.ts')).toEqual([])
    expect(faults('src/lexicons/a.ts', '@atproto/lex-schema')).toEqual([])
  })

  it('in a room that nobody drew', () => {
    expect(floorFaults([sourceOf('src/cellar/a.ts', '')])).toEqual(['src/cellar/a.ts is in no room of the picture'])
    expect(floorFaults([sourceOf('src/stray.ts', '')])).toEqual(['src/stray.ts is in no room of the picture'])
  })
})
