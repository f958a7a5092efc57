/**
 * The authority of a space with keys of the test's own in a real directory: it swaps them when it is told to, and signs credentials by any key
 * and under any name, good ones and others.
 */
import { cidOf, didOf, encodeOperation, type UnsignedPlcOperation } from '../../src/identity/plc-operation.ts'
import { type Did, type Nsid, spaceUriOf } from '../../src/names.ts'
import type { Held } from './presentation.ts'
import { base64Url, type Changes, freshJti, makeJws, makeKey, signBytes, type TestKey, thumbprintOf } from './tokens.ts'
import { type Binding, sendRaw } from './world.ts'

export type KeyName = 'atproto' | 'atproto_space'
type Keys = Readonly<Partial<Record<KeyName, TestKey>>>

/** A credential with its parts open to change; what is left out is as it should be. */
export interface Minted extends Changes {
  readonly binding: Binding
  readonly name?: KeyName
  readonly key?: TestKey
  readonly holder?: TestKey
  readonly jti?: string
}

export interface PlayedAuthority {
  readonly did: Did
  readonly space: string
  keys(): Keys
  /** Another set of keys, by one operation. A name that is left out is in the document no more. */
  swap(keys: Keys): Promise<void>
  mint(made: Minted): Held
}

const LIFETIME_SEC = 600

/** Registers one: `#atproto` and `#atproto_space`, both P-256, or the keys that are given. */
export async function playAuthority(given: {
  readonly plcUrl: string
  readonly clock: { nowMs(): number }
  readonly keys?: Keys
}): Promise<PlayedAuthority> {
  const { plcUrl, clock } = given
  const rotation = makeKey('k256')
  let keys: Keys = given.keys ?? { atproto: makeKey('p256'), atproto_space: makeKey('p256') }
  const signed = (prev: string | null) => {
    const methods = Object.entries(keys).map(([name, { didKey }]) => [name, didKey] as const)
    const unsigned: UnsignedPlcOperation = {
      type: 'plc_operation',
      rotationKeys: [rotation.didKey],
      verificationMethods: Object.fromEntries(methods),
      alsoKnownAs: [],
      services: { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: 'https://pds.example.com' } },
      prev,
    }
    return { ...unsigned, sig: base64Url(signBytes(rotation, encodeOperation(unsigned))) }
  }
  let head = signed(null)
  const did = didOf(head)
  const space = spaceUriOf(did, 'com.atmoboards.forum' as Nsid, 'main').uri
  const submit = async () => {
    const answer = await sendRaw(plcUrl, {
      ...{ method: 'POST', path: `/${encodeURIComponent(did)}`, body: JSON.stringify(head) },
      headers: [['content-type', 'application/json']],
    })
    if (answer.status !== 200) throw new Error(`the directory answered ${answer.status}`)
  }
  await submit()
  return {
    did,
    space,
    keys: () => keys,
    async swap(next) {
      keys = next
      head = signed(cidOf(head))
      await submit()
    },
    mint({ binding, name = 'atproto_space', key = keys[name], holder = makeKey('p256'), jti = freshJti(), ...more }) {
      if (!key) throw new Error(`there is no ${name}`)
      const { header, payload, ...how } = more
      const iat = Math.floor(clock.nowMs() / 1000)
      const cnf = binding === 'august' ? { jkt: thumbprintOf(holder) } : { kid: holder.didKey }
      const claims = { iss: did, sub: space, cnf, iat, exp: iat + LIFETIME_SEC, jti }
      const credential = makeJws({
        ...{
          key,
          header: { typ: 'atproto-space-credential+jwt', alg: key.alg, kid: `#${name}`, ...(header as object) },
        },
        payload: typeof payload === 'string' ? payload : { ...claims, ...payload },
        ...how,
      })
      return { credential, holder, binding, space }
    },
  }
}
