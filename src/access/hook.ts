/** What the questions of PDSes share in one process. */

import type { AuditFact } from '../audit/chain.ts'
import { appendAllUnsealed, appendUnsealed } from '../audit/store.ts'
import type { Db } from '../platform/database.ts'
import { type Gather, openGather } from '../platform/gather.ts'
import type { Sizes } from '../platform/sizes.ts'
import { FewApps, HookTurns, KeptDecisions, Pauses, Strangers } from './hook-memory.ts'

export interface Hook {
  readonly kept: KeptDecisions
  readonly apps: FewApps
  readonly strangers: Strangers
  readonly turns: HookTurns
  /** By space: when it was last noted that its PDS asked, with or without saying what for. */
  readonly asked: Pauses
  /** By community: when it was last put on record that somebody else asked about its spaces, or that too many strangers were asked about. */
  readonly foreign: Pauses
  readonly manyStrangers: Pauses
  /** Where decisions meet on their way to the log. */
  readonly log: Gather<AuditFact, void>
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

export const openHook = (db: Db, sizes?: Sizes): Hook => ({
  kept: new KeptDecisions(sizes),
  apps: new FewApps(sizes),
  strangers: new Strangers(undefined, sizes),
  turns: new HookTurns(sizes),
  asked: new Pauses(MINUTE_MS, undefined, sizes?.keptAs('spaces asked about')),
  foreign: new Pauses(HOUR_MS, undefined, sizes?.keptAs('communities asked about by others')),
  manyStrangers: new Pauses(HOUR_MS, undefined, sizes?.keptAs('communities of many strangers')),
  log: openGather<AuditFact, void>(
    {
      keysOf: () => [],
      alone: (fact) => appendUnsealed(db, fact),
      together: async (facts) => {
        await appendAllUnsealed(db, facts)
        return facts.map(() => undefined)
      },
      // Perhaps it was kept all the same. A row too many does no harm, one too few would.
      again: (fact) => appendUnsealed(db, fact),
    },
    {},
    sizes?.line('decisions on their way to the log'),
  ),
})
