/** A process that writes checkpoints one after the other, removes what it wrote before, and says the time in each once it is on the disk. */
import { checkpointFolder } from '../../src/audit/checkpoint-folder.ts'
import { systemRandom } from '../../src/platform/random.ts'
import { madeCheckpoint } from './checkpoints.ts'

const [, , path = '', chains = '0', startMs = '0'] = process.argv
const folder = checkpointFolder(path, systemRandom)
let before: readonly string[] = []
for (let atMs = Number(startMs); ; atMs++) {
  const { name } = await folder.write(madeCheckpoint({ atMs, chains: Number(chains) }))
  process.stdout.write(`${atMs}\n`)
  await folder.remove(before)
  before = [name]
}
