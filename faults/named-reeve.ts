/** Reeve as `src/main.ts` starts it, but for one thing that no operator can set: which name server it asks about names that strangers name. */
import { parseConfig, processEnvironment } from '../src/platform/config.ts'
import { openReeve } from '../src/reeve.ts'

const nameServer = process.env['FAULTS_NAME_SERVER']
if (nameServer === undefined) throw new Error('FAULTS_NAME_SERVER is missing')
const reeve = await openReeve(parseConfig(processEnvironment()), { nameServers: [nameServer] })
process.once('SIGTERM', () => void reeve.close().then(() => process.exit(0)))
