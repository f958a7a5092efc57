/**
 * Somebody who reads on and on: gets a credential every so often, keeps each until it ends or is taken back, and shows every one of them to
 * every host that speaks its generation, each time they are told to. What they were refused is written down.
 */

import type { PlayedRepoHost, Verdict } from './played-repo-host.ts'
import { type Held, jtiOf } from './presentation.ts'
import type { Binding } from './world.ts'

/** One credential, shown at one host. */
export interface Showing {
  readonly host: string
  /** The name of the key that signed, as the credential says it. */
  readonly kid: string
  readonly jti: string
  readonly ageSec: number
  readonly atSec: number
  readonly verdict: Verdict
}

export interface CredentialHolder {
  /** Gets another credential of each generation when it is time, then shows all that live. What was refused in this turn. */
  turn(): Promise<readonly Showing[]>
  /** This one was taken back: it is shown no more. */
  takenBack(jti: string): void
  readonly refused: readonly Showing[]
  /** How often something was shown, by the name of the key that signed it. */
  shown(): ReadonlyMap<string, number>
  living(): readonly Held[]
}

const partOf = ({ credential }: Held, at: 0 | 1) =>
  JSON.parse(Buffer.from(credential.split('.')[at] ?? '', 'base64url').toString())

export function openCredentialHolder(given: {
  readonly clock: { nowSec(): number }
  readonly hosts: readonly PlayedRepoHost[]
  /** Between two credentials of the same generation. */
  readonly everySec: number
  readonly mint: (binding: Binding) => Promise<Held> | Held
}): CredentialHolder {
  const { clock, hosts, everySec, mint } = given
  const generations = [...new Set(hosts.map(({ generation }) => generation))]
  const held: Held[] = []
  const gone = new Set<string>()
  const refused: Showing[] = []
  const shown = new Map<string, number>()
  let dueSec = Number.NEGATIVE_INFINITY

  const living = () => held.filter((one) => Number(partOf(one, 1).exp) > clock.nowSec() && !gone.has(jtiOf(one)))

  const show = async (one: Held, host: PlayedRepoHost): Promise<Showing> => {
    const kid = String(partOf(one, 0).kid)
    const atSec = clock.nowSec()
    shown.set(kid, (shown.get(kid) ?? 0) + 1)
    const verdict = await host.read(one)
    return { host: host.name, kid, jti: jtiOf(one), ageSec: atSec - Number(partOf(one, 1).iat), atSec, verdict }
  }

  return {
    refused,
    living,
    shown: () => shown,
    takenBack: (jti) => void gone.add(jti),
    async turn() {
      if (clock.nowSec() >= dueSec) {
        for (const generation of generations) held.push(await mint(generation))
        dueSec = clock.nowSec() + everySec
      }
      const showings: Showing[] = []
      for (const one of living()) {
        for (const host of hosts.filter(({ generation }) => generation === one.binding))
          showings.push(await show(one, host))
      }
      const noes = showings.filter(({ verdict }) => verdict !== '200')
      refused.push(...noes)
      return noes
    },
  }
}
