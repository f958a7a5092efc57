/** A command's way to the database of the service: by the service's own environment, opened for this one work, and closed again. */
import { systemClock } from '../platform/clock.ts'
import { type Config, parseConfig, processEnvironment } from '../platform/config.ts'
import { type Db, openDatabase } from '../platform/database.ts'
import { silentLog } from '../platform/log.ts'

/** @throws ConfigError for an environment that isn't the service's */
export async function onDatabase(work: (db: Db, config: Config) => Promise<number>): Promise<number> {
  const config = parseConfig(processEnvironment())
  const { databaseUrl: url, dataDir, allowUnsafeDatabase: allowUnsafe } = config
  const opened = await openDatabase({ url, dataDir, allowUnsafe, log: silentLog, clock: systemClock })
  try {
    return await work(opened.db, config)
  } finally {
    await opened.close()
  }
}
