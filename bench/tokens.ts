/** Exchange requests signed beforehand, each with a token, a holder key and a proof that were never used. */
import { type Did, parseSpaceUri } from '../src/names.ts'
import { makeDelegation, makeDpopProof, makeKey, makeSpaceSignature, type TestKey } from '../test/kit/tokens.ts'

export type Generation = 'october' | 'august'

/** What one request carries; the proof of the other generation is empty. */
export interface Prepared {
  readonly token: string
  readonly didKey: string
  readonly dpop: string
  readonly signatureInput: string
  readonly signature: string
}

export function prepare(
  people: readonly { did: Did; key: TestKey }[],
  about: { space: string; url: string; generation: Generation; count: number; nowSec: number },
): Prepared[] {
  const space = parseSpaceUri(about.space)
  if (!space) throw new Error('no space URI')
  const { nowSec, url } = about
  return Array.from({ length: about.count }, (_, at) => {
    const person = people[at % people.length]
    if (!person) throw new Error('nobody to ask for')
    const holder = makeKey('p256')
    // As long-lived as a token may be: all of them are signed before the first is used.
    const payload = { exp: nowSec + 290 }
    const token = makeDelegation({ key: person.key, iss: person.did, space, nowSec, payload })
    const didKey = person.key.didKey
    if (about.generation === 'august') {
      const dpop = makeDpopProof({ key: holder, method: 'POST', url, nowSec })
      return { token, didKey, dpop, signatureInput: '', signature: '' }
    }
    const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization: `Bearer ${token}` })
    return { token, didKey, dpop: '', signatureInput, signature }
  })
}
