/** Changes of one community take turns, and stand in no other community's way. */
import { expect, it } from 'vitest'
import { Pace } from '../../src/membership/pace.ts'
import type { Did } from '../../src/names.ts'

const [one, other] = [`did:plc:${'a'.repeat(24)}`, `did:plc:${'b'.repeat(24)}`] as [Did, Did]

it('so many are under way, so many wait, the next is told to come again, and another community goes on', async () => {
  const pace = new Pace({ atOnce: 1, waitingMax: 1 })
  const held = Promise.withResolvers<void>()
  const done: string[] = []
  const first = pace.inTurn(one, () => held.promise.then(() => done.push('first')))
  const second = pace.inTurn(one, async () => done.push('second'))
  await expect(pace.inTurn(one, async () => done.push('third'))).rejects.toMatchObject({ code: 'NotEnoughResources' })
  await pace.inTurn(other, async () => done.push('other'))
  expect(done).toEqual(['other'])
  held.resolve()
  await Promise.all([first, second])
  expect(done).toEqual(['other', 'first', 'second'])
})

it('a turn ends when its work fails', async () => {
  const pace = new Pace({ atOnce: 1, waitingMax: 0 })
  await expect(pace.inTurn(one, () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await pace.inTurn(one, async () => 'next')).toBe('next')
})
