/**
 * `npm run test:failover`: of `npm run test:faults` what is about several processes of Reeve on a PostgreSQL that takes over by itself, and nothing
 * else. Takes the same variables.
 */
import { FAILOVER } from './rows.ts'

process.env['FAULTS_ONLY'] ??= FAILOVER.map(({ name }) => name).join()
process.env['FAULTS_ENGINES'] ??= 'postgres'
await import('./faults.ts')
