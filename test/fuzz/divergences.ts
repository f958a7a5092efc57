/** The list of places where Reeve is stricter, read as data: what isn't on it must not be refused. */
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'

const text = readFileSync(new URL('../../docs/divergences.md', import.meta.url), 'utf8')
const stricter = text.slice(text.indexOf('## Stricter'), text.indexOf('## Looser'))
/** First cells of the table, as they are written. */
const places = [...stricter.matchAll(/^\| (.+?) \| /gm)].map(([, place]) => place)

/**
 * Where the list speaks of a refusal that another implementation did not share. `reasons` leads from what a refusal says to a first
 * cell of the table, or to `protocol`: a rule that the token's own format has and a JWT library can't know.
 */
export function requireListed(reasons: Readonly<Record<string, string>>, says: string): string {
  const place = reasons[says]
  expect(place, `stricter than another implementation, and nobody wrote down why: ${says}`).toBeDefined()
  if (place === undefined || place === 'protocol') return 'protocol'
  expect(places, 'the list of divergences has no such line').toContain(place)
  return place
}
