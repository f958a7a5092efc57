/** What is bounded says where it stands. */
import { expect, it } from 'vitest'
import { openFairTurns } from '../../src/platform/fair-turns.ts'
import { openGather } from '../../src/platform/gather.ts'
import { Sizes } from '../../src/platform/sizes.ts'
import { openTurns } from '../../src/platform/turns.ts'

it('is listed with its bound, as it is in the moment of the question', () => {
  const sizes = new Sizes()
  const names = new Set<string>()
  sizes.kept('names', 3, () => names.size)
  expect(sizes.list()).toEqual([{ name: 'names', kind: 'kept', size: 0, most: 3 }])
  names.add('a')
  expect(sizes.list()).toEqual([{ name: 'names', kind: 'kept', size: 1, most: 3 }])
})

it('in the order in which it was opened, and of two that are called the same the later one', () => {
  const sizes = new Sizes()
  sizes.keptAs('a')(1, () => 1)
  sizes.line('b')(2, () => 2)
  sizes.keptAs('a')(3, () => 3)
  expect(sizes.list().map(({ name, kind, size }) => [name, kind, size])).toEqual([
    ['a', 'kept', 3],
    ['b', 'waiting', 2],
  ])
})

it('turns count who is in them and who waits, and nobody when all have ended', async () => {
  const sizes = new Sizes()
  const { take } = openTurns({ atOnce: 1, waitingMax: 2 }, sizes.line('turns'))
  const { signal } = new AbortController()
  const size = () => sizes.list().map(({ size: now, most }) => [now, most])
  const end = await take(signal)
  const next = take(signal)
  expect(size()).toEqual([[2, 3]])
  end()
  expect(size()).toEqual([[1, 3]])
  ;(await next)()
  expect(size()).toEqual([[0, 3]])
})

it('so do fair turns', async () => {
  const sizes = new Sizes()
  const limits = { atOnce: 2, ofOne: 1, waitingOfOne: 1, waitingMax: 4 }
  const { take } = openFairTurns(limits, sizes.line('turns'))
  const { signal } = new AbortController()
  const end = await take('a', signal)
  const next = take('a', signal)
  expect(sizes.list()).toEqual([{ name: 'turns', kind: 'waiting', size: 2, most: 6 }])
  end()
  ;(await next)()
  expect(sizes.list()).toEqual([{ name: 'turns', kind: 'waiting', size: 0, most: 6 }])
})

it('what is gathered counts who waits for the next call', async () => {
  const sizes = new Sizes()
  let goOn: () => void = () => {}
  const held = new Promise<void>((resolve) => {
    goOn = resolve
  })
  const alone = async (item: number) => {
    await held
    return item
  }
  const together = async (items: readonly number[]) => {
    await held
    return items
  }
  const work = { keysOf: () => [], alone, together, again: alone }
  const gather = openGather(work, { few: 1, waitingMax: 9 }, sizes.line('asked'))
  const all = [1, 2, 3].map((item) => gather.ask(item))
  expect(sizes.list()).toEqual([{ name: 'asked', kind: 'waiting', size: 2, most: 9 }])
  goOn()
  expect(await Promise.all(all)).toEqual([1, 2, 3])
  expect(sizes.list()).toEqual([{ name: 'asked', kind: 'waiting', size: 0, most: 9 }])
})
