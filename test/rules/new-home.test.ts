/** What counts as the statement of a new home: the exact one that it signed, at the address that it is named for. */
import { describe, expect, it } from 'vitest'
import { fingerprintOfNewHome, parseNewHome, type UnsignedNewHome } from '../../src/identity/new-home.ts'
import type { Did } from '../../src/names.ts'
import { newHomeFor } from '../kit/leaving.ts'

const did = `did:plc:${'b'.repeat(24)}` as Did
const at = (endpoint: string, other = endpoint): UnsignedNewHome['services'] => ({
  atproto_space_host: { type: 'AtprotoSpaceHost', endpoint },
  atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: other },
})
/** Signed by the key in it, whatever it says. */
const said = (service: string, services: object) =>
  newHomeFor(did, { service: service as Did, services: services as UnsignedNewHome['services'] }).statement

describe('the statement of a new home', () => {
  it.each([
    ['by the name of its address', 'did:web:new.example.org', at('https://new.example.org')],
    ['by a name that says nothing of an address', `did:plc:${'c'.repeat(24)}`, at('https://new.example.org')],
    ['on this machine, for trying', 'did:web:localhost%3A3000', at('http://localhost:3000')],
  ])('is taken %s', (_how, service, services) => {
    expect(parseNewHome(said(service, services))).toMatchObject({ service, services })
  })

  it.each([
    ['at the address of somebody else', at('https://old.example.org')],
    ['at two addresses', at('https://new.example.org', 'https://old.example.org')],
    ['without https', at('http://new.example.org')],
    ['with a path', at('https://new.example.org/reeve')],
    ['with a slash behind it', at('https://new.example.org/')],
    ['with a name and a password', at('https://new.example.org@old.example.org')],
    ['at no address', at('new.example.org')],
    [
      'with a service of another type',
      { ...at('https://new.example.org'), atproto_pds: { type: 'Pds', endpoint: 'https://new.example.org' } },
    ],
    [
      'with the types the other way round',
      {
        atproto_space_host: at('https://new.example.org').atproto_pds,
        atproto_pds: at('https://new.example.org').atproto_space_host,
      },
    ],
  ])('is not taken %s, though it is signed', (_how, services) => {
    expect(parseNewHome(said('did:web:new.example.org', services))).toBeNull()
  })

  it('has a fingerprint to be read aloud, which no changed letter leaves as it was', () => {
    const { statement } = newHomeFor(did)
    const print = fingerprintOfNewHome(statement)
    expect(print).toMatch(/^([0-9a-f]{4} ){4}[0-9a-f]{4}$/)
    expect(fingerprintOfNewHome({ ...statement })).toBe(print)
    for (const change of [
      { for: `did:plc:${'e'.repeat(24)}` as Did },
      { service: 'did:web:other.example.org' as Did },
      { rollSha256: 'ab'.repeat(32) },
      { sig: statement.sig.replace(/^./, (first) => (first === 'A' ? 'B' : 'A')) },
    ])
      expect(fingerprintOfNewHome({ ...statement, ...change })).not.toBe(print)
  })
})
