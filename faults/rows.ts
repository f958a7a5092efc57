/** The table of faults. A new one is a file or a function in `rows/`, and a line here. */
import type { Row } from './row.ts'
import { behind } from './rows/behind.ts'
import { steps } from './rows/clock.ts'
import { backend, commit, server } from './rows/database.ts'
import { directory } from './rows/directory.ts'
import { disk } from './rows/disk.ts'
import { etcd, hung, primary, reeve, replicas, switchover } from './rows/failover.ts'
import { kek } from './rows/kek.ts'
import { kill } from './rows/kills.ts'
import { managing } from './rows/managing.ts'
import { memory } from './rows/memory.ts'
import { network } from './rows/network.ts'
import { past } from './rows/past.ts'
import { second, sigterm, stall } from './rows/process.ts'

/** A database that takes over by itself, and several processes behind a proxy: `npm run test:failover`. */
export const FAILOVER: readonly Row[] = [primary, hung, switchover, reeve, replicas, etcd, behind]

export const ROWS: readonly Row[] = [
  kill,
  backend,
  server,
  commit,
  sigterm,
  second,
  past,
  disk,
  network,
  directory,
  managing,
  kek,
  memory,
  stall,
  steps,
  ...FAILOVER,
]
