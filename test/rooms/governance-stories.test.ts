/** The stories of `test/governance/`, acted out on real databases by the actions themselves. */
import { beforeAll, expect, it } from 'vitest'
import type { Db } from '../../src/platform/database.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { RollStage } from '../kit/roll-calls.ts'
import { readStories, tell } from '../kit/stories.ts'

const STORIES = readStories(new URL('../governance/', import.meta.url))

describeOnEachEngine('a story of governance', (open) => {
  let db: Db
  beforeAll(async () => {
    db = (await open()).db
  })

  it.each(STORIES.map((story) => [story.says, story] as const))('%s', async (_, story) => {
    expect(await tell(story, await RollStage.open(db, story))).toEqual([])
  })
})
