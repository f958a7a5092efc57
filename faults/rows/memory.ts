/** The process has little memory, and those who don't mean well ask for much. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Side } from '../../soak/side.ts'
import type { HostileReport, LoadOrder, Plan } from '../../soak/words.ts'
import type { Did, SpaceUri } from '../../src/names.ts'
import { makeSomebody, type Somebody } from '../../test/kit/people.ts'
import { type Row, recovers, underLoad } from '../row.ts'
import { times } from '../settings.ts'
import { callBy, FORUM, type Stage } from '../stage.ts'

const HEAP_MIB = 256
const MINUTES = times(1, 0.3)
const LOOK_MS = 250
/** Of the whole process, its database not in it. */
const RESIDENT_MAX_MIB = 400

function residentMiB(pid: number): number {
  try {
    const [, kiB] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
    return Number(kiB ?? 0) / 1024
  } catch {
    return 0
  }
}

/** An account with a space at its PDS, in whose name others ask. @throws Error when anything is refused */
async function adopt(stage: Stage): Promise<{ account: Did; board: SpaceUri }> {
  const { founder, plc } = stage
  const account = await makeSomebody(plc.honestUrl)
  const must = async (person: Somebody, method: string, input: object) => {
    const { status, says, body } = await stage.send(callBy(stage, person, method, input), person.did)
    if (status !== 200) throw new Error(`${method}: ${says} ${JSON.stringify(body)}`)
    return body
  }
  await must(account, 'community.adopt', { name: 'Allotments', owner: founder.did })
  const input = { community: account.did, spaceType: FORUM, skey: 'board', host: 'pds' }
  return { account: account.did, board: (await must(founder, 'space.create', input)).uri }
}

export const memory: Row = {
  name: 'memory',
  does: `a heap of ${HEAP_MIB} MiB (\`--max-old-space-size\`), and floods of bad requests of sixteen kinds and half-open connections`,
  holds: `it refuses before it dies, and doesn’t die; nobody bad gets anything; on PostgreSQL the process stays under ${RESIDENT_MAX_MIB} MiB`,
  engines: ['embedded', 'postgres'],
  run: (tried) =>
    underLoad(tried, { place: { execArgv: [`--max-old-space-size=${HEAP_MIB}`] } }, async (stage, load, notebook) => {
      const { community, hall, founder, reeve, plc } = stage
      const { account, board } = await adopt(stage)
      const hostile = new Side<LoadOrder, HostileReport>('hostile.ts')
      try {
        const place = { url: reeve.url, serviceDid: reeve.serviceDid, plcUrl: plc.honestUrl, syncers: [] }
        await hostile.ask({ kind: 'furnish', place }, 'furnished')
        const none = { exchangesPerSec: 0, questionsPerSec: 0, writesPerSec: 0, changesPerSec: 0, pagesPerSec: 0 }
        const floods = { hostilePerSec: 50, burstPerSec: 500, bursts: [{ fromSec: 3, toSec: MINUTES * 60 - 3 }] }
        const plan: Plan = { minutes: MINUTES, ...none, ...floods, stalls: [], rotationsAtSec: [] }
        const world = { hall, community, account, board, victim: founder.did }
        hostile.order({ kind: 'go', plan, world })
        let isOver = false
        const over = hostile.report('over', 2 ** 31 - 1).then(() => {
          isOver = true
        })
        let most = 0
        while (!isOver && !reeve.hasEnded()) {
          most = Math.max(most, residentMiB(reeve.pid))
          await sleep(LOOK_MS)
        }
        notebook.expectThat(!reeve.hasEnded(), 'death: the process ended')
        if (reeve.hasEnded()) return
        await over
        const { count } = await hostile.ask({ kind: 'collect' }, 'collected')
        for (const fault of new Set(count.faults)) notebook.faults.push(`hostile: ${fault}`)
        const answers = Object.values(count.answers).flatMap((one) => Object.values(one))
        notebook.times = 1
        notebook.notes['bad requests'] = answers.reduce((sum, one) => sum + one, 0)
        notebook.notes['resident MiB, the most'] = Math.round(most)
        const isBound = tried.engine === 'postgres'
        notebook.expectThat(!isBound || most < RESIDENT_MAX_MIB, `memory: ${Math.round(most)} MiB`)
        await recovers(load, notebook, 'after the flood')
      } finally {
        await hostile.end({ kind: 'end' })
      }
    }),
}
