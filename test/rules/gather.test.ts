/** Gathering many askers into few calls: what holds for every order in which they come and calls end. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openGather } from '../../src/platform/gather.ts'

const SEED = 20_261_120
const RUNS = 1_000
const FEW = 4
const MOST = 6

interface Item {
  readonly at: number
  readonly keys: readonly string[]
}
interface Call {
  readonly how: 'alone' | 'together' | 'again'
  readonly items: readonly Item[]
  end(isGood: boolean): void
}

/** Work that ends when a test says so, and notes what it was given. */
function stage() {
  const calls: Call[] = []
  const running: Call[] = []
  const answers = new Map<number, string[]>()
  const begin = (how: Call['how'], items: readonly Item[]): Promise<readonly string[]> => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>()
    const call: Call = {
      how,
      items,
      end(isGood) {
        running.splice(running.indexOf(call), 1)
        if (isGood) resolve(items.map(({ at }) => `${how} ${at}`))
        else reject(new Error(`${how} ${items.map(({ at }) => at)} failed`))
      },
    }
    calls.push(call)
    running.push(call)
    return promise
  }
  const first = async (outcomes: Promise<readonly string[]>) => (await outcomes)[0] ?? 'nothing'
  const gather = openGather<Item, string>(
    {
      keysOf: ({ keys }) => keys,
      alone: (item) => first(begin('alone', [item])),
      together: (items) => begin('together', items),
      again: (item) => first(begin('again', [item])),
    },
    { few: FEW, togetherMax: MOST },
  )
  let asked = 0
  const ask = (keys: readonly string[] = []) => {
    const at = asked++
    const told: string[] = []
    answers.set(at, told)
    gather.ask({ at, keys }).then(
      (outcome) => told.push(outcome),
      (error: Error) => told.push(error.message),
    )
  }
  return { calls, running, answers, ask, asked: () => asked }
}

/** Lets everything happen that can happen without anybody's doing. */
const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

const shown = ({ how, items }: Call) => `${how} ${items.map(({ at }) => at)}`

describe('who asks', () => {
  it('alone goes alone and at once', async () => {
    const { calls, running, ask, answers } = stage()
    ask()
    expect(calls.map(shown)).toEqual(['alone 0'])
    running[0]?.end(true)
    await settle()
    ask()
    expect(calls.map(shown)).toEqual(['alone 0', 'alone 1'])
    expect(answers.get(0)).toEqual(['alone 0'])
  })

  it('while others are under way waits for one of them, or until enough wait to go together', async () => {
    const { calls, running, ask } = stage()
    for (let i = 0; i < 7; i++) ask()
    expect(calls.map(shown)).toEqual(['alone 0', 'alone 1', 'alone 2', 'together 3,4,5,6'])
    ask()
    running[0]?.end(true)
    await settle()
    expect(calls).toHaveLength(4)
    for (let i = 0; i < 4; i++) ask()
    running.find(({ how }) => how === 'together')?.end(true)
    await settle()
    expect(calls.slice(4).map(shown)).toEqual(['together 7,8,9,10,11'])
  })

  it('for what somebody before asks for too goes after them', async () => {
    const { calls, running, ask } = stage()
    for (let i = 0; i < 3; i++) ask()
    for (const keys of [['a'], ['a', 'b'], ['b'], ['c']]) ask(keys)
    expect(calls.slice(3).map(shown)).toEqual(['together 3,6'])
    for (const call of [...running]) call.end(true)
    await settle()
    expect(calls.slice(4).map(shown)).toEqual(['alone 4', 'alone 5'])
  })

  it('with somebody who fails is asked again alone, and only that one is told of the failure', async () => {
    const { calls, running, ask, answers } = stage()
    for (let i = 0; i < 7; i++) ask()
    running.find(({ how }) => how === 'together')?.end(false)
    await settle()
    expect(calls.slice(4).map(shown)).toEqual(['again 3', 'again 4', 'again 5', 'again 6'])
    for (const call of [...running]) call.end(call.items[0]?.at !== 5)
    await settle()
    expect([3, 4, 5, 6].map((at) => answers.get(at)?.[0])).toEqual(['again 3', 'again 4', 'again 5 failed', 'again 6'])
  })

  it('is asked again when the answers are not as many as the askers', async () => {
    const gather = openGather<number, string>(
      {
        keysOf: () => [],
        alone: async (item) => `alone ${item}`,
        together: async () => ['one'],
        again: async (item) => `again ${item}`,
      },
      { few: 2 },
    )
    expect(await Promise.all([0, 1, 2].map((item) => gather.ask(item)))).toEqual(['alone 0', 'again 1', 'again 2'])
  })
})

const anyKeys = fc.oneof(
  { weight: 4, arbitrary: fc.constant<readonly string[]>([]) },
  { weight: 1, arbitrary: fc.subarray(['a', 'b', 'c'], { minLength: 1, maxLength: 2 }) },
)
/** So many come, or one of the calls that are running ends. */
const anyStep = fc.oneof(
  fc.record({ come: fc.array(anyKeys, { minLength: 1, maxLength: 12 }) }),
  fc.record({ ends: fc.nat(20), isGood: fc.boolean() }),
)

function requireOrder(calls: readonly Call[], running: readonly Call[]): void {
  const together = calls.filter(({ how }) => how === 'together')
  for (const { items } of together) {
    expect(items.length).toBeLessThanOrEqual(MOST)
    const keys = items.flatMap((item) => item.keys)
    expect(new Set(keys).size).toBe(keys.length)
  }
  expect(running.filter(({ how }) => how === 'together').length).toBeLessThanOrEqual(1)
  expect(running.filter(({ how }) => how === 'alone').length).toBeLessThan(FEW)
  const begun = calls.filter(({ how }) => how !== 'again').flatMap(({ items }) => items)
  expect(new Set(begun).size).toBe(begun.length)
  for (const key of ['a', 'b', 'c']) {
    const order = begun.filter(({ keys }) => keys.includes(key)).map(({ at }) => at)
    expect(order).toEqual(order.toSorted((a, b) => a - b))
  }
}

it(`answers each once, in order where keys are shared, however they come and end (seed ${SEED})`, async () => {
  let most = 0
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { maxLength: 30 }), async (steps) => {
      const { calls, running, answers, ask, asked } = stage()
      for (const step of steps) {
        if ('come' in step) for (const keys of step.come) ask(keys)
        else running[step.ends % Math.max(1, running.length)]?.end(step.isGood)
        await settle()
        requireOrder(calls, running)
        const isWaiting = calls.filter(({ how }) => how !== 'again').flatMap(({ items }) => items).length < asked()
        if (isWaiting) expect(running).not.toHaveLength(0)
      }
      while (running.length > 0) {
        running[0]?.end(true)
        await settle()
      }
      requireOrder(calls, running)
      expect([...answers.values()].map((told) => told.length)).toEqual(Array.from({ length: asked() }, () => 1))
      for (const [at, [told]] of answers) {
        const [word, of] = (told ?? '').split(' ')
        expect([word === 'together' ? 'one' : word, of]).toEqual([
          expect.stringMatching(/^(?:one|alone|again)$/),
          `${at}`,
        ])
      }
      most = Math.max(most, ...calls.map(({ items }) => items.length))
    }),
    { seed: SEED, numRuns: RUNS },
  )
  expect(most).toBe(MOST)
})
