/** The schema as the migrations leave it. */
import { expect, it } from 'vitest'
import { describeOnEachEngine } from '../kit/databases.ts'
import { dumpSchema, expectGolden } from '../kit/golden.ts'

describeOnEachEngine('the schema after all migrations', (open) => {
  it('is the one that was reviewed', async () => {
    const { db } = await open()
    const text = await dumpSchema(db)
    expect(text).toContain('table spent\n')
    expectGolden('schema.sql', text)
  })
})
