/** What domains say about themselves: in DNS, from a name server that can say anything, and at the well-known place. */
import { afterEach, describe, expect, it } from 'vitest'
import { didNamedBy, isUncertain, openHandleProofs } from '../../src/identity/handle-proofs.ts'
import type { Did, Handle } from '../../src/names.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { openHostLookup, openTxtLookup } from '../../src/platform/host-lookup.ts'
import { type Outbound, type OutboundAsk, OutboundFailure, openOutbound } from '../../src/platform/outbound.ts'
import { startNameServer, type Told } from '../kit/name-server.ts'

const HANDLE = 'roses.garden.org' as Handle
const DID = `did:plc:${'a'.repeat(24)}` as Did
const OTHER = `did:plc:${'b'.repeat(24)}` as Did
const NOTHING = { found: 'nothing' }
const NO_ANSWER = { found: 'noAnswer' }

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const silent: Outbound = {
  mayCall: () => true,
  request: async () => {
    throw new OutboundFailure('failed', 'nobody')
  },
  close: async () => {},
}

async function nameServer(answer: (host: string) => Told | null) {
  const server = await startNameServer(answer)
  closers.push(server.close)
  return server
}

describe('a domain’s DNS', () => {
  async function said(told: Told | null) {
    const server = await nameServer(() => told)
    const proofs = openHandleProofs({ outbound: silent, lookupTxt: openTxtLookup([server.address]) })
    const { dns } = await proofs.ask(HANDLE)
    expect(server.asked).toEqual([`TXT _atproto.${HANDLE}`])
    return dns
  }

  it.each<[string, Told | null, object]>([
    ['names a DID', { txt: [`did=${DID}`] }, { did: DID }],
    ['names a DID among other texts', { txt: ['v=spf1 -all', `did=${DID}`, 'didn’t'] }, { did: DID }],
    ['names a DID in several pieces', { txt: [['did=', DID.slice(0, 10), DID.slice(10)]] }, { did: DID }],
    ['names a DID of the web', { txt: ['did=did:web:garden.org'] }, { did: 'did:web:garden.org' }],
    ['names two', { txt: [`did=${DID}`, `did=${OTHER}`] }, { found: 'ambiguous' }],
    ['names one twice', { txt: [`did=${DID}`, `did=${DID}`] }, { found: 'ambiguous' }],
    ['names one beside rubbish that looks like one', { txt: [`did=${DID}`, 'did='] }, { found: 'ambiguous' }],
    ['has a DID without its mark', { txt: [DID] }, NOTHING],
    ['has the mark in capitals', { txt: [`DID=${DID}`] }, NOTHING],
    ['has a space before the DID', { txt: [`did= ${DID}`] }, NOTHING],
    ['has more behind the DID', { txt: [`did=${DID};v=1`] }, NOTHING],
    ['has a DID of a kind that nobody resolves', { txt: ['did=did:key:zQ3sh'] }, NOTHING],
    ['has other texts', { txt: ['v=spf1 -all'] }, NOTHING],
    ['has no text', {}, NOTHING],
    ['doesn’t exist', { rcode: 3 }, NOTHING],
    ['is broken', { rcode: 2 }, NO_ANSWER],
    ['refuses', { rcode: 5 }, NO_ANSWER],
    ['says nothing', null, NO_ANSWER],
  ])('that %s', async (_says, told, expected) => {
    expect(await said(told)).toEqual(expected)
  })
})

describe('a domain’s well-known place', () => {
  const bytes = (text: string) => new TextEncoder().encode(text)

  async function said(answer: { status?: number; body?: string } | OutboundFailure) {
    const asks: OutboundAsk[] = []
    const outbound: Outbound = {
      mayCall: () => true,
      async request(ask) {
        asks.push(ask)
        if (answer instanceof OutboundFailure) throw answer
        return { status: answer.status ?? 200, contentType: 'text/plain', body: bytes(answer.body ?? '') }
      },
      close: async () => {},
    }
    const { wellKnown } = await openHandleProofs({ outbound, lookupTxt: async () => [] }).ask(HANDLE)
    expect(asks).toEqual([
      {
        method: 'GET',
        url: `https://${HANDLE}/.well-known/atproto-did`,
        headers: { accept: 'text/plain' },
        maxBytes: 512,
        timeoutMs: 3_000,
        contentTypes: ['text/plain'],
      },
    ])
    return wellKnown
  }

  it.each<[string, Parameters<typeof said>[0], object]>([
    ['names a DID', { body: DID }, { did: DID }],
    ['names a DID and ends its line', { body: `${DID}\n` }, { did: DID }],
    ['names two', { body: `${DID}\n${OTHER}` }, NOTHING],
    ['has the value of a DNS record', { body: `did=${DID}` }, NOTHING],
    ['is empty', { body: '' }, NOTHING],
    ['isn’t there', { status: 404, body: DID }, NOTHING],
    ['is closed', { status: 403, body: DID }, NOTHING],
    ['is broken', { status: 500, body: DID }, NO_ANSWER],
    ['is being mended', { status: 503 }, NO_ANSWER],
    ['is a web page', new OutboundFailure('wrong-type', 'type'), NOTHING],
    ['is far too long', new OutboundFailure('too-large', 'bytes'), NOTHING],
    ['leads elsewhere', new OutboundFailure('failed', 'redirect'), NOTHING],
    ['is on no host', new OutboundFailure('failed', 'ENOTFOUND'), NOTHING],
    ['can’t be connected to', new OutboundFailure('failed', 'ECONNREFUSED'), NO_ANSWER],
    ['says nothing', new OutboundFailure('timeout', 'time limit'), NO_ANSWER],
    ['is at an address that may not be called', new OutboundFailure('refused', 'address'), NO_ANSWER],
  ])('that %s', async (_says, answer, expected) => {
    expect(await said(answer)).toEqual(expected)
  })

  it.each<[string, Told | null, object]>([
    [
      'inside the operator’s network is not called, and told like one that says nothing',
      { ipv4: ['10.0.0.1'] },
      NO_ANSWER,
    ],
    ['on no host is nothing', { rcode: 3 }, NOTHING],
    ['on a host without an address is nothing', {}, NOTHING],
    ['whose host can’t be looked up may be there', { rcode: 2 }, NO_ANSWER],
  ])('%s', async (_says, told, wellKnown) => {
    const server = await nameServer(() => told)
    const outbound = openOutbound({
      allowLoopback: true,
      ownHosts: [],
      trustedOrigins: [],
      lookup: openHostLookup([server.address]),
      clock: systemClock,
    })
    closers.push(() => outbound.close())
    const word = await openHandleProofs({ outbound, lookupTxt: async () => [] }).ask(HANDLE)
    expect(word).toEqual({ dns: NOTHING, wellKnown })
    expect(server.asked).toContain(`A ${HANDLE}`)
  })
})

describe('of the two places', () => {
  const nothing = { found: 'nothing' } as const
  const ambiguous = { found: 'ambiguous' } as const
  const noAnswer = { found: 'noAnswer' } as const
  const ours = { did: DID }
  const other = { did: OTHER }

  it('DNS decides where it names a DID, and the other one where it doesn’t', () => {
    expect(didNamedBy({ dns: ours, wellKnown: other })).toBe(DID)
    expect(didNamedBy({ dns: other, wellKnown: ours })).toBe(OTHER)
    for (const dns of [nothing, ambiguous, noAnswer]) expect(didNamedBy({ dns, wellKnown: ours })).toBe(DID)
    for (const dns of [nothing, ambiguous, noAnswer]) expect(didNamedBy({ dns, wellKnown: nothing })).toBeNull()
  })

  it('one that is silent leaves it uncertain', () => {
    expect(isUncertain({ dns: noAnswer, wellKnown: nothing })).toBe(true)
    expect(isUncertain({ dns: nothing, wellKnown: noAnswer })).toBe(true)
    expect(isUncertain({ dns: ambiguous, wellKnown: nothing })).toBe(false)
  })
})
