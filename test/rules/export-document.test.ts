/** What an exported key comes with: its rank in plain words, true wherever it stands, and nothing that a name could add. */
import { describe, expect, it } from 'vitest'
import { exportDocument } from '../../src/community/export-document.ts'
import type { Did, DidKey } from '../../src/names.ts'
import { makeKey } from '../kit/tokens.ts'

const community = `did:plc:${'a'.repeat(24)}` as Did
const [mine, above, below] = [makeKey('k256').didKey, makeKey('k256').didKey, makeKey('k256').didKey]

function written(rotationKeys: readonly DidKey[], more: { name?: string } = {}) {
  const operation = {
    ...{ type: 'plc_operation' as const, rotationKeys: [...rotationKeys], verificationMethods: {}, alsoKnownAs: [] },
    ...{ services: {}, prev: null, sig: 'sig' },
  }
  const entry = { cid: 'cid', operation, createdAt: '2026-01-01T00:00:00.000Z', createdAtMs: 0, nullified: false }
  const head = { ...entry, signer: mine }
  return exportDocument({
    ...{ community, name: 'Gardeners', custody: 'custodial', didKey: mine, service: 'https://reeve.example.com' },
    ...{ log: { did: community, head, ops: [head] }, nowMs: 0 },
    ...more,
  })
}

const NOBODY_ABOVE = 'No key stands above it: nobody can undo what is done with it.'
const SOMEBODY_ABOVE = 'Whoever has a key above it can undo for 72 hours what is done with it.'
const NOBODY_BELOW = 'No key stands below it: there is nothing that it could undo.'
const SOMEBODY_BELOW = 'For 72 hours it can undo what is done with a key below it.'

describe('the document of an exported key', () => {
  it.each([
    ['alone', [mine], [NOBODY_ABOVE, NOBODY_BELOW]],
    ['last', [above, mine], [SOMEBODY_ABOVE, NOBODY_BELOW]],
    ['first', [mine, below], [NOBODY_ABOVE, SOMEBODY_BELOW]],
    ['between', [above, mine, below], [SOMEBODY_ABOVE, SOMEBODY_BELOW]],
  ] as const)('says who can undo what where it stands %s', (_where, keys, says) => {
    const { head } = written(keys)
    const all = [NOBODY_ABOVE, SOMEBODY_ABOVE, NOBODY_BELOW, SOMEBODY_BELOW]
    expect(all.filter((sentence) => head.includes(sentence))).toEqual(
      all.filter((one) => says.some((it) => it === one)),
    )
    expect(head).toContain(`${keys.indexOf(mine) + 1}. ${mine}   this one`)
  })

  it('says when it stands there no more', () => {
    const { head } = written([above])
    expect(head).toContain('nothing can be changed with it')
    expect(head).not.toContain('this one')
  })

  it('says first that a copy stays, and where', () => {
    const { head } = written([mine])
    expect(head).toMatch(/^A KEY OF YOUR COMMUNITY\..*\n\nWE STILL HAVE A COPY\. To be alone you must replace this key/)
    expect(head).toContain('https://reeve.example.com')
    expect(head).toContain('Custody:      custodial')
  })

  it('says the whole command, with a key in it that only its owner has', () => {
    const { head } = written([mine])
    expect(head).toContain('\n  reeve recovery new new.key\n')
    expect(head).toContain(
      `\n  reeve exit ${community} --key exported.key --new-recovery-key new.key --to new-home.json --for <your DID>\n`,
    )
  })

  it('quotes the name, so that none can pass for a line of ours', () => {
    const { head } = written([mine], { name: 'A\nCustody:      nobody"' })
    expect(head).toContain('Community:    "A\\nCustody:      nobody\\""')
    expect(head.match(/^Custody:/gm)).toHaveLength(1)
  })

  it('ends with the log as a directory shows it', () => {
    const { tail } = written([mine])
    const log = JSON.parse(tail.slice(tail.indexOf('\n[\n')))
    expect(log).toEqual([
      {
        ...{ did: community, cid: 'cid', nullified: false, createdAt: '2026-01-01T00:00:00.000Z' },
        operation: expect.objectContaining({ rotationKeys: [mine] }),
      },
    ])
  })
})
