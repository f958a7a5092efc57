/** What is told of a write: nothing beyond a closed list of fields, in the words of both generations. */
import { describe, expect, it } from 'vitest'
import type { Did, SpaceUri } from '../../src/names.ts'
import { forwardOf, type WriterRow } from '../../src/notify/forward.ts'
import { microsOf, tidOf } from '../../src/platform/tid.ts'

const SPACE = 'at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/space/com.atmoboards.forum/main' as SpaceUri
const REPO = 'did:plc:z72i7hdynmk6r22z27h6tvur' as Did
const MICROS = 1_795_000_000_000_000
const ROW: WriterRow = { repo: REPO, repoRev: '3n2q4swd7dc2j', hash: new Uint8Array(32).fill(255), spaceRev: MICROS }

describe('a forward', () => {
  it('is these fields and no others', () => {
    expect(forwardOf(SPACE, ROW, MICROS - 1)).toMatchInlineSnapshot(`
      {
        "hash": {
          "$bytes": "//////////////////////////////////////////8",
        },
        "prevSpaceRev": "3n2lg2pyfzz22",
        "repo": "did:plc:z72i7hdynmk6r22z27h6tvur",
        "repoRev": "3n2q4swd7dc2j",
        "rev": "3n2q4swd7dc2j",
        "space": "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz/space/com.atmoboards.forum/main",
        "spaceRev": "3n2lg2pyg2222",
      }
    `)
  })

  it('says nothing of a row but what is on the list', () => {
    const more = { ...ROW, host: 'https://pds.example.com', community: REPO, sponsor: REPO }
    expect(forwardOf(SPACE, more, MICROS - 1)).toEqual(forwardOf(SPACE, ROW, MICROS - 1))
  })

  it('has the same revision under the words of both generations', () => {
    const { rev, repoRev } = forwardOf(SPACE, ROW, 0)
    expect([rev, repoRev]).toEqual([ROW.repoRev, ROW.repoRev])
  })

  it('says what came before only where something did', () => {
    expect(forwardOf(SPACE, ROW, 0)).not.toHaveProperty('prevSpaceRev')
    expect(forwardOf(SPACE, ROW, 1).prevSpaceRev).toBe(tidOf(1))
  })

  it('has space revisions that stand in the order of time as text', () => {
    const { spaceRev, prevSpaceRev = '' } = forwardOf(SPACE, ROW, MICROS - 1)
    expect(prevSpaceRev < spaceRev).toBe(true)
    expect(microsOf(spaceRev)).toBe(MICROS)
  })

  it('has 32 bytes in place of a hash that nobody said', () => {
    const { hash } = forwardOf(SPACE, { ...ROW, hash: null }, 0)
    expect(Buffer.from(hash.$bytes, 'base64')).toEqual(Buffer.alloc(32))
    expect(hash.$bytes).not.toContain('=')
  })
})
