/** What is signed in a ceremony: each signature is by one key, for one act, one gift, one ceremony and one instant, and good for nothing else. */
import { decode, encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type ActClaim,
  actWords,
  type CeremonyAct,
  type CeremonyKind,
  encodeTranscript,
  hexOf,
  isActBy,
  isConcludedBy,
  isSignedBy,
  isStatementBy,
  isTranscriptProven,
  isVouched,
  openerWords,
  ownershipWords,
  statementHashOf,
  statementWords,
  type Transcript,
  transcriptHashOf,
  transcriptWords,
  wordsToSign,
} from '../../src/keys/ceremony-statements.ts'
import type { Did } from '../../src/names.ts'
import { utf8 } from '../../src/platform/bytes.ts'
import { OPERATION, QUORUM_KEY, SIGN_KEYS, statementOf } from '../kit/ceremony-words.ts'
import { SEED } from '../kit/mutate.ts'
import { base64Url, makeKey, signBytes, type TestKey, twinOf } from '../kit/tokens.ts'
import { spoilt, withBitFlipped } from '../kit/verdicts.ts'

const KINDS = ['split', 'drill', 'combine', 'ownership'] as const satisfies readonly CeremonyKind[]
const ACTS = [
  'approve',
  'reject',
  'deal',
  'acknowledge',
  'submit',
  'conclude',
  'cancel',
] as const satisfies readonly CeremonyAct[]
const [KEY = makeKey('p256')] = SIGN_KEYS
const bytesOf = (kind: CeremonyKind): Uint8Array => encode(statementOf(kind))
const hashOf = (kind: CeremonyKind): string => hexOf(statementHashOf(bytesOf(kind)))
const signed = (key: TestKey, words: Uint8Array): string => base64Url(signBytes(key, words))

describe.each(['p256', 'k256'] as const)('a signature over %s', (curve) => {
  const key = makeKey(curve)
  const claim: ActClaim = {
    statementHash: hashOf('drill'),
    act: 'submit',
    subject: 'cd'.repeat(32),
    at: '2026-11-29T11:00:00.000Z',
  }
  const words = ['reeve-ceremony-act-v1', claim.statementHash, 'submit', claim.subject, claim.at].join('\n')

  it('is over words that anybody can write down', () => {
    expect(Buffer.from(actWords(claim)).toString()).toBe(words)
    expect(Buffer.from(actWords({ ...claim, subject: null })).toString()).toBe(words.replace('cd'.repeat(32), '-'))
    expect(isActBy(claim, key.didKey, signed(key, utf8(words)))).toBe(true)
  })

  it('is worth nothing in another ceremony, for another act, over another gift, at another time, or as another’s', () => {
    const sig = signed(key, actWords(claim))
    for (const act of ACTS) expect(isActBy({ ...claim, act }, key.didKey, sig)).toBe(act === 'submit')
    const others: Partial<ActClaim>[] = [
      { statementHash: hashOf('combine') },
      { subject: 'ce'.repeat(32) },
      { subject: null },
      { subject: '-' },
      { subject: '' },
      { at: '2026-11-29T11:00:00.001Z' },
      { at: '2026-11-29T11:00:00Z' },
    ]
    for (const other of others) expect(isActBy({ ...claim, ...other }, key.didKey, sig)).toBe(false)
    expect(isActBy(claim, makeKey(curve).didKey, sig)).toBe(false)
    // Over the statement itself, or over what the key of the quorum signs, it says nothing.
    expect(isStatementBy(bytesOf('drill'), key.didKey, sig)).toBe(false)
    expect(
      isConcludedBy(
        statementOf('drill', { quorum: { ...statementOf('drill').quorum, pub: key.didKey } }),
        hashOf('drill'),
        sig,
      ),
    ).toBe(false)
  })

  it('of an act has words of its own for each act, ceremony, gift and instant', () => {
    const part = fc.constantFrom('a', 'b', 'ab', '-')
    const claims = fc.record({ statementHash: part, act: fc.constantFrom(...ACTS), subject: part, at: part })
    fc.assert(
      fc.property(claims, claims, (one, other) => {
        const isSame = Buffer.from(actWords(one)).equals(Buffer.from(actWords(other)))
        expect(isSame).toBe(JSON.stringify(Object.values(one)) === JSON.stringify(Object.values(other)))
      }),
      { seed: SEED },
    )
  })

  it('of a statement is by its signer, over that statement', () => {
    const bytes = bytesOf('combine')
    const sig = signed(key, statementWords(bytes))
    expect(isStatementBy(bytes, key.didKey, sig)).toBe(true)
    expect(isStatementBy(bytesOf('drill'), key.didKey, sig)).toBe(false)
    expect(isStatementBy(bytes, makeKey(curve).didKey, sig)).toBe(false)
    // Nor does a signature over the bare bytes, as those of operations are, pass for one over a statement.
    expect(isStatementBy(bytes, key.didKey, signed(key, bytes))).toBe(false)
  })

  it('has one spelling, with a low S, and a key that is none has none', () => {
    const signature = signBytes(key, words)
    const sig = base64Url(signature)
    expect(isSignedBy(key.didKey, utf8(words), sig)).toBe(true)
    expect(isSignedBy(key.didKey, utf8(words), base64Url(twinOf(curve, signature)))).toBe(false)
    fc.assert(
      fc.property(spoilt(sig), (text) => {
        expect(isSignedBy(key.didKey, utf8(words), text)).toBe(text === sig)
      }),
      { seed: SEED },
    )
    for (let bit = 0; bit < 512; bit += 1) {
      expect(isSignedBy(key.didKey, utf8(words), base64Url(withBitFlipped(signature, bit)))).toBe(false)
    }
    const none = ['', 'did:key:', key.didKey.slice(0, -1), key.didKey.toUpperCase(), 'did:web:alice.example.com']
    for (const text of none) expect(isSignedBy(text, utf8(words), sig)).toBe(false)
    for (const text of ['', base64Url(Buffer.alloc(64)), base64Url(Buffer.alloc(64, 255)), '='.repeat(86)]) {
      expect(isSignedBy(key.didKey, utf8(words), text)).toBe(false)
    }
  })
})

describe('what the key of a quorum signs', () => {
  const ownership = [
    ...['reeve-ownership-v1', 'did:web:reeve.example.com', `did:plc:${'g'.repeat(24)}`, '2026-11-29T10:00:00.000Z'],
    ...['did:web:carol.example.com', 'did:web:dora.example.com'],
  ].join('\n')

  it.each<[CeremonyKind, string | null]>([
    ['split', null],
    ['drill', `reeve-drill-v1\n${hashOf('drill')}`],
    ['combine', OPERATION.toString('latin1')],
    ['ownership', ownership],
  ])('in a %s is what it is for', (kind, words) => {
    const said = statementOf(kind)
    const found = wordsToSign(said, hashOf(kind))
    expect(found && Buffer.from(found).toString('latin1')).toBe(words)
    const sig = signed(QUORUM_KEY, Buffer.from(words ?? 'nothing', 'latin1'))
    expect(isConcludedBy(said, hashOf(kind), sig)).toBe(words !== null)
    const keyed = statementOf(kind, { quorum: { ...said.quorum, pub: KEY.didKey } })
    expect(isConcludedBy(keyed, hashOf(kind), sig)).toBe(false)
    expect(isConcludedBy(statementOf(kind, { quorum: { ...said.quorum, pub: null } }), hashOf(kind), sig)).toBe(false)
  })

  it('in one ceremony concludes no other', () => {
    for (const kind of ['drill', 'combine', 'ownership'] as const) {
      const sig = signed(QUORUM_KEY, wordsToSign(statementOf(kind), hashOf(kind)) ?? new Uint8Array(0))
      for (const other of KINDS) expect(isConcludedBy(statementOf(other), hashOf(other), sig)).toBe(other === kind)
    }
    const drilled = signed(QUORUM_KEY, wordsToSign(statementOf('drill'), hashOf('drill')) ?? new Uint8Array(0))
    expect(isConcludedBy(statementOf('drill'), hashOf('combine'), drilled)).toBe(false)
  })

  it('for owners is the same whatever their order, and another for any other people, place or time', () => {
    const { service, community, createdAt: at } = statementOf('ownership')
    const owners = ['b', 'a'].map((name) => `did:web:${name}.example.com` as Did)
    const claim = { service, community, at, owners }
    const words = Buffer.from(ownershipWords(claim)).toString()
    expect(Buffer.from(ownershipWords({ ...claim, owners: claim.owners.toReversed() })).toString()).toBe(words)
    const others = [
      { service: `${service}x` },
      { community: `${community}x` },
      { at: `${at}x` },
      { owners: claim.owners.slice(1) },
    ]
    for (const other of others) expect(Buffer.from(ownershipWords({ ...claim, ...other })).toString()).not.toBe(words)
    expect(claim.owners).toEqual(['did:web:b.example.com', 'did:web:a.example.com'])
  })
})

describe('a transcript', () => {
  const transcript: Transcript = {
    v: 1,
    ...{ dealtBy: 'ab'.repeat(32), pub: QUORUM_KEY.didKey, xs: [7, 200, 31] },
    commitments: ['alice', 'bob', 'carol'].map((name) => `commitment-${name}`),
    packets: ['cd'.repeat(32), 'cd'.repeat(32), 'cd'.repeat(32)],
  }

  it('has the hash that it always had, written with another encoder', () => {
    expect(transcriptHashOf(transcript)).toBe('cf7a42bef8499bd847eea35fdfaab2ceed8554c491d984997d305ea9ff5439b6')
    expect(decode(encodeTranscript(transcript))).toEqual(transcript)
  })

  it('is proven by the key that it names, and by no other; and for nothing else that it might say', () => {
    const proof = signed(QUORUM_KEY, transcriptWords(transcript))
    expect(isTranscriptProven(transcript, proof)).toBe(true)
    const others: Partial<Transcript>[] = [
      { dealtBy: 'ac'.repeat(32) },
      { pub: KEY.didKey },
      { xs: [200, 7, 31] },
      { commitments: transcript.commitments.toReversed() },
      { packets: ['ce'.repeat(32), ...transcript.packets.slice(1)] },
    ]
    for (const other of others) {
      expect(isTranscriptProven({ ...transcript, ...other }, proof)).toBe(false)
      expect(transcriptHashOf({ ...transcript, ...other })).not.toBe(transcriptHashOf(transcript))
    }
    expect(isTranscriptProven(transcript, signed(KEY, transcriptWords(transcript)))).toBe(false)
    expect(isTranscriptProven(transcript, signed(QUORUM_KEY, encodeTranscript(transcript)))).toBe(false)
    expect(isTranscriptProven(transcript, '')).toBe(false)
  })
})

describe('an opener', () => {
  const [KEY = makeKey('p256'), OTHER = makeKey('p256')] = SIGN_KEYS
  const said = { ...statementOf('drill'), sealTo: 'the opener' }
  const voucherOf = (claim: { community: string; sealTo: string }, key = KEY) =>
    base64Url(signBytes(key, Buffer.from(openerWords(claim))))
  const claim = { community: said.community, sealTo: 'the opener' }

  it('is vouched for by the key of whoever combines, over this community and this opener', () => {
    const vouched = { ...said, voucher: voucherOf(claim) }
    expect(isVouched(vouched, KEY.didKey)).toBe(true)
    expect(isVouched(vouched, OTHER.didKey)).toBe(false)
    expect(isVouched({ ...vouched, sealTo: 'the service’s own' }, KEY.didKey)).toBe(false)
    expect(isVouched({ ...vouched, voucher: null }, KEY.didKey)).toBe(false)
    expect(isVouched({ ...vouched, sealTo: null }, KEY.didKey)).toBe(false)
    const elsewhere = voucherOf({ ...claim, community: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' })
    expect(isVouched({ ...said, voucher: elsewhere }, KEY.didKey)).toBe(false)
    expect(isVouched({ ...said, voucher: 'no signature' }, KEY.didKey)).toBe(false)
  })
})
