import { describe, expect, it } from 'vitest'
import { keySourceOf, keysOfSet } from '../../src/identity/app-document.ts'
import type { ClientId } from '../../src/names.ts'
import { Refusal } from '../../src/refusals.ts'
import { ALGS, CLIENT_ID, makeAppKey } from '../kit/attestations.ts'
import { makeKey } from '../kit/tokens.ts'

const clientId = CLIENT_ID as ClientId
const KEYS = ALGS.map((alg) => makeAppKey(alg))
const jwks = { keys: KEYS.map(({ jwk }) => jwk) }
const [one = makeAppKey('ES256')] = KEYS

/** What was said against it; anything but a refusal by the one name is thrown on. */
function saysOf(work: () => unknown): string | null {
  try {
    work()
    return null
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== 'InvalidClientAttestation') throw error
    return error.says
  }
}

describe('the metadata of an app', () => {
  const metadata = { client_id: CLIENT_ID, client_name: 'An app', redirect_uris: ['https://app.example.com/back'] }

  it('says where the keys are', () => {
    expect(keySourceOf(clientId, { ...metadata, jwks })).toEqual({ inline: jwks })
    expect(keySourceOf(clientId, { ...metadata, jwks_uri: 'https://x.org/keys' })).toEqual({
      uri: 'https://x.org/keys',
    })
  })

  it.each([
    // 120
    ['has no client_id', { jwks }, /client_id/],
    ['is about another app', { ...metadata, client_id: `${CLIENT_ID}2`, jwks }, /client_id/],
    ['has its client_id in another spelling', { client_id: CLIENT_ID.replace('app', 'APP'), jwks }, /client_id/],
    ['has a client_id that is no text', { client_id: [CLIENT_ID], jwks }, /client_id/],
    // 121
    ['has no keys', metadata, /needs jwks or jwks_uri/],
    ['has keys and an address for them', { ...metadata, jwks, jwks_uri: 'https://app.example.com/keys' }, /not both/],
    ['has keys and null for their address', { ...metadata, jwks, jwks_uri: null }, /not both/],
    ['has null for the address', { ...metadata, jwks_uri: null }, /jwks_uri must be/],
    ['has an object for the address', { ...metadata, jwks_uri: { href: 'https://app.example.com/keys' } }, /jwks_uri/],
    ['has an address of 2,049 characters', { ...metadata, jwks_uri: `https://a.org/${'a'.repeat(2_035)}` }, /jwks_uri/],
  ])('that %s is refused', (_says, json, told) => {
    expect(saysOf(() => keySourceOf(clientId, json))).toMatch(told)
  })
})

describe('the key set of an app', () => {
  const unusable = [{ kty: 'AKP' }, { ...one.jwk, kid: 'enc', use: 'enc' }, { ...makeKey('k256').jwk, kid: 'k256' }]

  it('is read, and what can’t verify in it is passed over', () => {
    expect(keysOfSet(jwks).map(({ kid }) => kid)).toEqual(KEYS.map(({ jwk }) => jwk.kid))
    expect(keysOfSet({ keys: [...unusable, one.jwk] }).map(({ kid }) => kid)).toEqual([one.jwk.kid])
    const twenty = Array.from({ length: 20 }, (_none, at) => ({ ...one.jwk, kid: `k${at}` }))
    expect(keysOfSet({ keys: twenty })).toHaveLength(20)
  })

  const { kid: _kid, ...nameless } = one.jwk
  it('may have several keys without a kid', () => {
    expect(keysOfSet({ keys: [nameless, nameless] })).toHaveLength(2)
  })

  const many = Array.from({ length: 21 }, (_none, at) => ({ ...one.jwk, kid: `k${at}` }))
  it.each([
    // 121
    ['is nothing', undefined, /1 to 20/],
    ['is null', null, /1 to 20/],
    ['is a list', [one.jwk], /1 to 20/],
    ['has no list', { keys: { 0: one.jwk } }, /1 to 20/],
    ['is empty', { keys: [] }, /1 to 20/],
    ['has 21 keys', { keys: many }, /1 to 20/],
    ['has a key that is none', { keys: [one.jwk, 'x'] }, /1 to 20/],
    ['has a key that is null', { keys: [one.jwk, null] }, /1 to 20/],
    ['has a key that is a list', { keys: [one.jwk, [one.jwk]] }, /1 to 20/],
    // 123
    ['has a private key', { keys: [one.jwk, makeAppKey('ES384').privateJwk] }, /private/],
    ['has a private key of a kind that is passed over', { keys: [one.jwk, { kty: 'AKP', priv: 'x' }] }, /private/],
    ['has a symmetric key', { keys: [one.jwk, { kty: 'oct', kid: 'o' }] }, /private or a symmetric/],
    // 124, 125
    ['has a kid twice', { keys: [one.jwk, { ...makeAppKey('ES384').jwk, kid: one.jwk.kid }] }, /same kid/],
    [
      'has a kid twice, once on a key that is passed over',
      { keys: [one.jwk, { kty: 'AKP', kid: one.jwk.kid }] },
      /same/,
    ],
    ['has nothing that can verify', { keys: unusable }, /can verify/],
  ])('that %s is refused', (_says, set, told) => {
    expect(saysOf(() => keysOfSet(set))).toMatch(told)
  })
})
