/**
 * Time at the exchange, a second to either side of every edge, in both generations: when a token and a proof begin and cease to be
 * taken, and that their use is remembered for longer than that. The clock stands still and is moved by hand.
 */
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SPENT_MARGIN_SEC } from '../../src/platform/limits.ts'
import { forgetSpent } from '../../src/platform/once.ts'
import { describeOnEachEngine, type TestDatabase } from '../kit/databases.ts'
import { BINDINGS, exchange, issuances, openScene, type Scene } from '../kit/exchange.ts'
import { goodToken, verdictOf } from '../kit/refusals.ts'
import { stopClock } from '../kit/stopped-clock.ts'
import { makeDpopProof, makeKey, makeSpaceSignature, type TestKey } from '../kit/tokens.ts'
import { EXCHANGE_PATH } from '../kit/world.ts'

/** How long after `exp` a token is still taken, less one second. */
const SKEW_SEC = 5
/** How long a DPoP proof is taken after its `iat`, skew included. */
const PROOF_AGE_MAX_SEC = 65

/** The two lines of a signature with these parameters. */
function signed(token: string, key: TestKey, params: string): readonly (readonly [string, string])[] {
  const { signatureInput, signature } = makeSpaceSignature({ key, authorization: `Bearer ${token}`, params })
  return [
    ['signature-input', signatureInput],
    ['signature', signature],
  ]
}

describeOnEachEngine('a second to either side', (open) => {
  let database: TestDatabase
  let scene: Scene

  beforeAll(async () => {
    database = await open()
    scene = await openScene(database)
    stopClock(scene.world.clock)
  })
  afterAll(() => scene.close())

  const nowSec = () => scene.world.clock.nowSec()
  const move = (sec: number) => scene.world.clock.moveSec(sec)
  /** What the house does every minute: forgets what need not be remembered any more. */
  const sweep = () => forgetSpent(scene.world.reeve.house.db, nowSec(), 1_000)
  const remembered = async (): Promise<number> => {
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from spent`.execute(database.db)
    return rows[0]?.n ?? 0
  }

  describe.each(BINDINGS)('%s', (binding) => {
    it.each([
      ['exp − 1', -1, 'in'],
      ['exp', 0, 'in'],
      ['exp + 4', 4, 'in'],
      ['exp + 5', 5, '401 JwtExpired'],
      ['exp + 6', 6, '401 JwtExpired'],
    ] as const)('a token at %s is %3$s', async (_edge, sec, verdict) => {
      const payload = { iat: nowSec() - 60, exp: nowSec() - sec }
      expect(verdictOf(await exchange(scene, { binding, changes: { payload } }))).toBe(verdict)
    })

    it.each([
      ['a life of 300 s', { iat: 0, exp: 300 }, 'in'],
      ['a life of 301 s', { iat: 0, exp: 301 }, '401 BadJwt'],
      ['no iat, exp 305 s ahead', { iat: null, exp: 305 }, 'in'],
      ['no iat, exp 306 s ahead', { iat: null, exp: 306 }, '401 BadJwt'],
      ['iat 30 s ahead', { iat: 30, exp: 60 }, 'in'],
      ['iat 31 s ahead', { iat: 31, exp: 60 }, '401 BadJwt'],
      ['nbf 30 s ahead', { iat: 0, exp: 60, nbf: 30 }, 'in'],
      ['nbf 31 s ahead', { iat: 0, exp: 60, nbf: 31 }, '401 BadJwt'],
    ] as const)('a token with %s is %3$s', async (_says, times, verdict) => {
      const payload = Object.fromEntries(
        Object.entries(times).map(([name, sec]) => [name, sec === null ? undefined : nowSec() + sec]),
      )
      expect(verdictOf(await exchange(scene, { binding, changes: { payload } }))).toBe(verdict)
    })

    it.each([
      ['exp − 1', 59],
      ['exp', 60],
      ['exp + 4', 64],
    ] as const)('a token used at %s is used up to its very last second, swept or not', async (_edge, sec) => {
      const { token } = goodToken(scene)
      const expSec = nowSec() + 60
      const at = async (second: number) => {
        move(second - nowSec())
        await sweep()
        return verdictOf(await exchange(scene, { token, binding }))
      }
      const before = (await issuances(database)).length
      expect(await at(expSec - 60 + sec)).toBe('in')
      for (const late of [-1, 0, 3, 4]) {
        if (late >= sec - 60) expect(await at(expSec + late), `exp + ${late}`).toBe('401 JwtReplayed')
      }
      for (const late of [5, 6, 64, 65, 66, 67]) expect(await at(expSec + late)).toBe('401 JwtExpired')
      expect((await issuances(database)).length - before).toBe(1)
    })

    it('the memory of a use ends a minute after the last second at which it is needed, and no sooner', async () => {
      move(1_000)
      await sweep()
      expect(await remembered()).toBe(0)
      const { token } = goodToken(scene)
      const endSec = nowSec() + 60 + SKEW_SEC + SPENT_MARGIN_SEC
      expect(verdictOf(await exchange(scene, { token, binding }))).toBe('in')
      const kept: number[] = []
      for (const edge of [-1, 0, 1]) {
        move(endSec + edge - nowSec())
        await sweep()
        kept.push(await remembered())
      }
      // A proof of the older generation was kept beside the token: for 65 s from its iat and the same minute, as it happens.
      const both = binding === 'august' ? 2 : 1
      expect(kept).toEqual([both, both, 0])
    })
  })

  describe('a DPoP proof', () => {
    it.each([
      ['65 s old', -65, 'in'],
      ['66 s old', -66, '401 DpopProofExpired'],
      ['5 s ahead', 5, 'in'],
      ['6 s ahead', 6, '401 BadDpopProofSignature'],
    ] as const)('%s is %3$s', async (_says, sec, verdict) => {
      const proof = { payload: { iat: nowSec() + sec } }
      expect(verdictOf(await exchange(scene, { binding: 'august', proof }))).toBe(verdict)
    })

    it.each([0, 64, 65])('used %i s after its iat is used up to its very last second, swept or not', async (sec) => {
      const iatSec = nowSec()
      const about = { key: makeKey('p256'), method: 'POST', url: scene.world.url + EXCHANGE_PATH, nowSec: iatSec }
      const proofLines = [['dpop', makeDpopProof(about)]] as const
      const at = async (second: number) => {
        move(iatSec + second - nowSec())
        await sweep()
        return verdictOf(await exchange(scene, { proofLines }))
      }
      expect(await at(sec)).toBe('in')
      for (const late of [64, 65]) if (late >= sec) expect(await at(late)).toBe('401 BadDpopProof')
      for (const late of [66, 124, 125, 126]) expect(await at(late)).toBe('401 DpopProofExpired')
    })

    it('that was ahead of our clock is remembered for longer by as much', async () => {
      move(1_000)
      await sweep()
      const proof = { payload: { iat: nowSec() + 5 } }
      expect(verdictOf(await exchange(scene, { binding: 'august', proof }))).toBe('in')
      const endSec = nowSec() + 5 + PROOF_AGE_MAX_SEC + SPENT_MARGIN_SEC
      const kept: number[] = []
      for (const edge of [-1, 0, 1]) {
        move(endSec + edge - nowSec())
        await sweep()
        kept.push(await remembered())
      }
      expect(kept).toEqual([1, 1, 0])
    })
  })

  it.each([
    ['expires a second ahead', 1, 'expires', 'in'],
    ['expires now', 0, 'expires', '401 BadSpaceSignature'],
    ['created 30 s ahead', 30, 'created', 'in'],
    ['created 31 s ahead', 31, 'created', '401 BadSpaceSignature'],
  ] as const)('a signature that %s is %4$s', async (_says, sec, name, verdict) => {
    const { token } = goodToken(scene)
    const key = makeKey('p256')
    const params = `;keyid="${key.didKey}";${name}=${nowSec() + sec}`
    expect(verdictOf(await exchange(scene, { token, proofLines: signed(token, key, params) }))).toBe(verdict)
  })
})
