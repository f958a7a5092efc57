/** A process that does nothing but keep spaces at a played PDS, so that it can be ended with SIGKILL in the middle. */
import { repeat, systemClock } from '../../src/platform/clock.ts'
import { openDatabase } from '../../src/platform/database.ts'
import { silentLog } from '../../src/platform/log.ts'
import { Secret } from '../../src/platform/secret.ts'
import { openSteering } from '../../src/steering/projector.ts'
import { httpPds } from './http-pds.ts'
import { steeringOn } from './steered.ts'

const [, , dataDir = '', databaseUrl = '', url = '', authorization = ''] = process.argv
const database = await openDatabase({
  ...{ url: databaseUrl === '' ? null : new Secret(databaseUrl), dataDir },
  ...{ allowUnsafe: true, log: silentLog, clock: systemClock },
})
const ctx = { ...steeringOn(database.db, httpPds({ url, authorization })), clock: systemClock }
const steering = openSteering(ctx, { atOnce: 4, perSec: Number.POSITIVE_INFINITY, slice: 200 })
const turns = repeat((signal) => steering.turn(signal), 100)
process.once('SIGTERM', () => {
  turns
    .stop()
    .then(() => steering.settled())
    .then(() => database.close())
    .then(() => process.exit(0))
})
process.stdout.write('ready\n')
