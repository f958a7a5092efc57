/** The port to a played PDS that listens on a socket: what a grant would make of it, without one. */
import type { Pds } from '../../src/steering/pds.ts'
import { heard } from './steered.ts'

export function httpPds({ url, authorization }: { readonly url: string; readonly authorization: string }): Pds {
  return {
    async call(_account, { nsid, params = {}, body }) {
      const init =
        body === undefined
          ? { headers: { authorization } }
          : {
              method: 'POST',
              headers: { authorization, 'content-type': 'application/json' },
              body: JSON.stringify(body),
            }
      try {
        const answer = await fetch(`${url}/xrpc/${nsid}?${new URLSearchParams(params)}`, init)
        const text = await answer.text()
        const headers = Object.fromEntries(answer.headers)
        return heard({ status: answer.status, headers, ...(text === '' ? {} : { body: JSON.parse(text) }) })
      } catch {
        return { is: 'failed', because: 'network', pauseMs: null }
      }
    },
  }
}
