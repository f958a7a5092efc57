/** `reeve roll export`: everything on the roll of a community, of one moment. Changes nothing. */
import { once } from 'node:events'
import { type ExportPage, exportPage, type Position } from '../community/roll-export.ts'
import { type Did, parseDid } from '../names.ts'
import { systemClock } from '../platform/clock.ts'
import { type Db, withTransaction } from '../platform/database.ts'
import { type Command, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { onDatabase } from './on-database.ts'

/** Lines that are read from the database at once. */
const EXPORT_LINES = 2_000

export const rollExport: Command = {
  words: ['roll', 'export'],
  takes: '<did>',
  does: ['Write everything on the roll of a community to the standard output, as JSON Lines, of one moment.'],
  async run(args) {
    const { plain } = readArguments(args, 1, {})
    const community = parseDid(plain[0])
    if (!community) throw new WrongUsage('that is not a DID')
    return onDatabase((db) => exported(db, community))
  },
}

/** All pages of one snapshot. Whoever reads slower than they come holds them up. */
function exported(db: Db, community: Did): Promise<number> {
  return withTransaction(
    db,
    async (tx) => {
      for (let at: Position | null = null; ; ) {
        const page: ExportPage | null = await exportPage({ clock: systemClock }, tx, community, {
          at,
          limit: EXPORT_LINES,
        })
        if (!page) throw new Error('there is no such community')
        if (!process.stdout.write(page.lines)) await once(process.stdout, 'drain')
        at = page.next
        if (!at) return EXIT_FINE
      }
    },
    { isolation: 'repeatable read' } as const,
  )
}
