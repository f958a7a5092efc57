/** Who may be called now: places in two pools, hosts that are left alone, and repos that are told of too often. */
import { describe, expect, it } from 'vitest'
import type { Did } from '../../src/names.ts'
import { laneWaitMs, openBreaker, openRepoPace, openSlots, type Place, POOLS } from '../../src/notify/host-pace.ts'

const [ONE, OTHER] = [
  'did:plc:ewvi7nxzyoun6zhxrhs64oiz',
  'did:plc:z72i7hdynmk6r22z27h6tvur',
] as readonly string[] as readonly [Did, Did]
const HOST = 'https://sync.example.com'
const place = (more: Partial<Place> = {}): Place => ({ community: ONE, host: HOST, isAlone: false, ...more })

describe('slots', () => {
  it('are many for lanes that are well, and few for those that are not, and no community has all of either', () => {
    expect(POOLS.sound.ofCommunity).toBeLessThan(POOLS.sound.atOnce)
    expect(POOLS.doubtful.ofCommunity).toBeLessThan(POOLS.doubtful.atOnce)
    const slots = openSlots()
    expect([slots.room('sound'), slots.room('doubtful')]).toEqual([1_536, 64])
  })

  it('are counted for each pool and each community, and given back once', () => {
    const slots = openSlots({ sound: { atOnce: 3, ofCommunity: 2 }, doubtful: { atOnce: 1, ofCommunity: 1 } })
    const give = slots.take('sound', place())
    slots.take('sound', place({ community: OTHER }))
    slots.take('doubtful', place())
    expect([slots.room('sound'), slots.room('doubtful')]).toEqual([1, 0])
    expect([...slots.used('sound')]).toEqual([
      [ONE, 1],
      [OTHER, 1],
    ])
    give()
    give()
    expect(slots.room('sound')).toBe(2)
    expect([...slots.used('sound')]).toEqual([[OTHER, 1]])
    expect([...slots.used('doubtful')]).toEqual([[ONE, 1]])
  })

  it('are never less than none, whatever was taken', () => {
    const slots = openSlots({ sound: { atOnce: 1, ofCommunity: 1 }, doubtful: { atOnce: 1, ofCommunity: 1 } })
    for (let count = 0; count < 3; count++) slots.take('sound', place())
    expect(slots.room('sound')).toBe(0)
  })

  it('tell how many call each host, over both pools', () => {
    const slots = openSlots()
    slots.take('sound', place())
    const give = slots.take('doubtful', place())
    expect([...slots.usedHosts()]).toEqual([[HOST, 2]])
    give()
    expect([...slots.usedHosts()]).toEqual([[HOST, 1]])
  })

  it('tell which hosts somebody has to be alone with', () => {
    const slots = openSlots()
    slots.take('doubtful', place({ host: 'https://well.example.com' }))
    const give = slots.take('doubtful', place({ isAlone: true }))
    expect(slots.lonelyHosts()).toEqual([HOST])
    give()
    expect(slots.lonelyHosts()).toEqual([])
  })
})

describe('a lane that was not heard', () => {
  it('waits twice as long each time, up to a quarter of an hour', () => {
    const longest = [1, 2, 3, 4, 10, 11, 12, 1_000_000].map((failures) => laneWaitMs(failures, 1))
    expect(longest).toEqual([1_000, 2_000, 4_000, 8_000, 512_000, 900_000, 900_000, 900_000])
  })

  it.each([0, 0.25, 0.5, 0.999])('waits from half of that to all of it, by chance (%s)', (chance) => {
    expect(laneWaitMs(3, chance)).toBe(Math.round(4_000 * (0.5 + chance / 2)))
  })
})

describe('the breaker', () => {
  const failing = (times: number) => {
    const breaker = openBreaker()
    for (let count = 0; count < times; count++) breaker.failed(HOST, 0, 1)
    return breaker
  }

  it('opens after five failures in a row, and not before', () => {
    expect(failing(4).openHosts()).toEqual([])
    expect(failing(5).openHosts()).toEqual([HOST])
  })

  it('forgets them all when the host answers', () => {
    const breaker = failing(5)
    breaker.answered(HOST)
    expect(breaker.openHosts()).toEqual([])
    breaker.failed(HOST, 0, 1)
    expect(breaker.openHosts()).toEqual([])
  })

  it('leaves the host alone for a while, and then stays open for one who tries', () => {
    const breaker = failing(5)
    expect(breaker.restingHosts(999)).toEqual([HOST])
    expect(breaker.restingHosts(1_000)).toEqual([])
    expect(breaker.openHosts()).toEqual([HOST])
  })

  it('waits longer after each try that failed, up to a minute', () => {
    const breaker = failing(6)
    expect([breaker.restingHosts(1_999), breaker.restingHosts(2_000)]).toEqual([[HOST], []])
    for (let count = 0; count < 50; count++) breaker.failed(HOST, 0, 1)
    expect([breaker.restingHosts(59_999), breaker.restingHosts(60_000)]).toEqual([[HOST], []])
  })

  it('says nothing of other hosts', () => {
    const breaker = failing(5)
    breaker.failed('https://well.example.com', 0, 1)
    expect(breaker.openHosts()).toEqual([HOST])
  })

  it('remembers so many hosts, and forgets the one that failed longest ago', () => {
    const breaker = openBreaker({ hostsMax: 2 })
    for (const host of ['a', 'b', 'a', 'c']) for (let count = 0; count < 5; count++) breaker.failed(host, 0, 1)
    expect(breaker.openHosts()).toEqual(['a', 'c'])
  })
})

describe('the pace of a repo', () => {
  it('is one message to one lane in a second', () => {
    const pace = openRepoPace()
    expect(pace.leftMs(1, ONE, 5_000)).toBe(0)
    pace.told(1, ONE, 5_000)
    expect(pace.leftMs(1, ONE, 5_000)).toBe(1_000)
    expect(pace.leftMs(1, ONE, 5_999)).toBe(1)
    expect(pace.leftMs(1, ONE, 6_000)).toBe(0)
  })

  it('is for each lane and each repo its own', () => {
    const pace = openRepoPace()
    pace.told(1, ONE, 0)
    expect([pace.leftMs(2, ONE, 0), pace.leftMs(1, OTHER, 0)]).toEqual([0, 0])
  })

  it('counts from the last time', () => {
    const pace = openRepoPace()
    pace.told(1, ONE, 0)
    pace.told(1, OTHER, 100)
    pace.told(1, ONE, 1_000)
    expect([pace.leftMs(1, ONE, 1_500), pace.leftMs(1, OTHER, 1_050)]).toEqual([500, 50])
  })

  it('is forgotten of those who were told longest ago when they are too many', () => {
    const pace = openRepoPace({ reposMax: 2 })
    for (const lane of [1, 2, 3]) pace.told(lane, ONE, 0)
    expect([1, 2, 3].map((lane) => pace.leftMs(lane, ONE, 0))).toEqual([0, 1_000, 1_000])
  })
})
