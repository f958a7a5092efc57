/** The folder of checkpoints in memory: what a process wrote is there for the next one, as on a disk that outlives it. */
import { type Checkpoint, parseCheckpoint, textOfCheckpoint } from '../src/audit/checkpoint.ts'
import type { CheckpointFolder } from '../src/audit/checkpoint-folder.ts'

export function openFolder(): CheckpointFolder {
  const files = new Map<string, string>()
  let made = 0
  const read = (name: string, text: string) => {
    const checkpoint: Checkpoint = parseCheckpoint(text)
    return { name, bytes: Buffer.byteLength(text), checkpoint }
  }
  return {
    path: 'memory',
    async read(instance) {
      const all = [...files].map(([name, text]) => read(name, text))
      const kept = all.filter(({ checkpoint }) => checkpoint.instance === instance)
      return {
        kept: kept.toSorted((a, b) => a.checkpoint.atMs - b.checkpoint.atMs),
        strangers: all.length - kept.length,
      }
    },
    async write(checkpoint) {
      made += 1
      const name = `checkpoint-${made}`
      const text = textOfCheckpoint(checkpoint)
      files.set(name, text)
      return read(name, text)
    },
    async remove(names) {
      for (const name of names) files.delete(name)
    },
    async setAside(names) {
      for (const name of names) files.delete(name)
      return 'memory'
    },
  }
}
