/** How a community moves: the operations that the holder of its own key makes, signed by hand. */
import type { Did } from '../../src/names.ts'
import type { FakePlc } from './fake-plc.ts'
import { changeBehindOurBack, type inForce } from './handles.ts'
import { headOf, signed, submitOperation } from './people.ts'
import { makeKey, type TestKey } from './tokens.ts'

/** What a new home says of itself, as far as a document names it. */
export interface NewHome {
  readonly rotationKey: string
  readonly verificationMethods: Readonly<Record<string, string>>
  readonly services: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>
}

/** Some home elsewhere, of which nobody here knows. */
export function elsewhere(endpoint = 'https://elsewhere.example'): NewHome {
  const [atproto, space] = [makeKey('p256').didKey, makeKey('p256').didKey]
  return {
    rotationKey: makeKey('k256').didKey,
    verificationMethods: { atproto, atproto_space: space },
    services: {
      atproto_space_host: { type: 'AtprotoSpaceHost', endpoint },
      atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint },
    },
  }
}

/** The community's own key moves it: out with everything of the old home, in with the new. */
export const moveTo = (plc: FakePlc, did: Did, key: TestKey, home: NewHome, change: object = {}): Promise<void> =>
  changeBehindOurBack(plc, did, key, {
    rotationKeys: [key.didKey, home.rotationKey],
    verificationMethods: home.verificationMethods,
    services: home.services,
    ...change,
  })

/** A mightier key takes back what stands there, by saying again what stood before. */
export async function putBack(plc: FakePlc, did: Did, key: TestKey, before: Awaited<ReturnType<typeof inForce>>) {
  const { sig: _, ...said } = before
  await submitOperation(plc.honestUrl, did, signed(key, { ...said, prev: await headOf(plc.honestUrl, did) }))
}
