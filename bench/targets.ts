/** The table of targets: what each row compares, and how good it has to be and would better be. */
import type { Aim, Figure } from './rows.ts'

const atMost = (value: number, better: number | null = null): Aim => ({ atMost: value, better })
const atLeast = (value: number, better: number | null = null): Aim => ({ atLeast: value, better })

/** The rows by their number, as a run that did not measure one names it. */
export const ROWS: Readonly<Record<number, string>> = {
  1: 'the exchange on PostgreSQL, of what its cryptography alone could do',
  2: 'the exchange on the embedded engine, of what its cryptography alone could do',
  3: 'our cryptography of an exchange / the same by @atproto/crypto',
  4: 'the hook, of what verifying its tokens alone could do',
  5: 'an empty POST through every check of the door / a bare POST of node:http',
  6: 'group commit: 64 in flight / one statement each',
  7: 'a check among ten times as many people / among the smaller number',
  8: 'a check in the worst shape / in the mixed one',
  9: 'a check of somebody on 1,000 rosters / of anybody',
  10: 'p99 of a check / of a point select',
  11: 'a change in the hub / in a leaf',
  12: 'stale decisions of a second process after a change through the first',
  13: 'rounds in which many who spent one token at once were not exactly one',
  14: 'a page of the roll / the same by a plain scan of the index',
  15: 'a decision / the cryptography of an exchange',
  16: 'deliveries / bare POSTs',
  17: 'one write to a thousand',
  18: 'processor time of a delivery besides its POST',
  19: 'deliveries of ten writes to those who are busy',
  20: 'exchanges with a bad signature / verifying alone; statements for each',
  21: 'an exchange at rest / its cryptography, a select and a claim',
  22: 'from the start to the first healthy answer',
  23: 'memory, idle and under load',
  24: 'memory after ten times as many exchanges',
  25: 'what was acknowledged and lost over SIGKILL; fsyncs of a commit',
  26: 'p99 delay of the event loop at 80 % of saturation',
  27: 'a second process on an open embedded directory',
}

/** Of the parts whose rows are set here. */
export const AIMS = {
  exchangeNative: atLeast(0.65, 0.8),
  exchangeOpenssl: atLeast(0.75, 0.9),
  exchangeEmbedded: atLeast(0.4, 0.55),
  cryptoNative: atLeast(16, 20),
  cryptoOpenssl: atLeast(8),
  hook: atLeast(0.6, 0.75),
  writeOverRead: atMost(1.1, 1),
  door: atMost(1.6, 1.4),
  groupCommit: atMost(0.25, 0.15),
  stale: atMost(0),
  notOnce: atMost(0),
  decisionWarm: atMost(0.02, 0.01),
  decisionCold: atMost(0.5, 0.3),
  rejects: atLeast(0.6, 0.7),
  rejectStatements: atMost(0, 0),
  atRest: atMost(2.2, 1.4),
  atRestP99: atMost(5, 3),
  startPostgres: atMost(400, 250),
  startEdges: atMost(50),
  startEmbedded: atMost(800, 400),
  idlePostgres: atMost(130, 100),
  loadedPostgres: atMost(320, 250),
  idleEmbedded: atMost(300, 220),
  memoryGrowth: atMost(1.1, 1.05),
  lost: atMost(0),
  fsyncs: atLeast(1),
  loopPostgres: atMost(20, 10),
  loopEmbedded: atMost(40, 25),
  secondProcess: atMost(1_000),
} as const satisfies Record<string, Aim>

export type Verdict = 'ambition' | 'met' | 'MISSED' | ''

/** `ambition` where what would be better was reached as well; empty where nothing was promised. */
export function verdictOf({ value, aim }: Pick<Figure, 'value' | 'aim'>): Verdict {
  if (aim === null) return ''
  const reaches = (bound: number) => ('atMost' in aim ? value <= bound : value >= bound)
  if (!reaches('atMost' in aim ? aim.atMost : aim.atLeast)) return 'MISSED'
  return aim.better !== null && reaches(aim.better) ? 'ambition' : 'met'
}
