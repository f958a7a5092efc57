/**
 * The pages by which an owner connects an account, as HTML: no script, nothing from elsewhere, and every word that isn't ours escaped.
 * What is about to happen, to whom, and how it is undone stands before the button.
 */
import { sha256 } from '../platform/bytes.ts'
import type { Connected, Shown } from '../steering/connecting.ts'
import type { Answer } from './answer.ts'

const STYLE = `:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}code{overflow-wrap:anywhere;font-size:.9em}li{margin:.3rem 0}
button{font:inherit;padding:.7rem 1.2rem;border-radius:.5rem;border:1px solid currentColor;cursor:pointer}
.quiet{opacity:.75;font-size:.9rem}`
const STYLE_HASH = Buffer.from(sha256(STYLE)).toString('base64')

/** Where a browser may send the form on this page, and whatever answers it. */
const policy = (formActions: readonly string[]): string =>
  [
    `default-src 'none'`,
    `style-src 'sha256-${STYLE_HASH}'`,
    `form-action ${formActions.length === 0 ? "'none'" : formActions.join(' ')}`,
    `frame-ancestors 'none'`,
    `base-uri 'none'`,
  ].join('; ')

/** Headers of every page. Addresses hold words that are nobody else's to know; our own form still says where it comes from. */
const headersOf = (formActions: readonly string[]): Record<string, string> => ({
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': policy(formActions),
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'x-frame-options': 'DENY',
})

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => ESCAPES[char] ?? '')

function page(status: number, title: string, body: string, formActions: readonly string[] = []): Answer {
  const html = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><main><h1>${escaped(title)}</h1>
${body}
</main></body>
</html>
`
  return { status, body: html, isPage: true, headers: headersOf(formActions) }
}

const listOf = (scopes: readonly string[]): string =>
  `<ul>${scopes.map((scope) => `<li>${escaped(meaningOf(scope))}<br><code class="quiet">${escaped(scope)}</code></li>`).join('')}</ul>`

/** A scope in words, as far as it is one that we ask for. */
function meaningOf(scope: string): string {
  if (scope === 'atproto') return 'Know which account it is.'
  if (scope.startsWith('space:*'))
    return 'Make, set up and delete spaces of any type, and see who is in them. Not their records.'
  const type = /^space:([^?]+)\?/.exec(scope)?.[1]
  if (type !== undefined && scope.includes('manage='))
    return `Make, set up and delete spaces of the type ${type}, and see who is in them. Not their records.`
  if (scope.startsWith('rpc:com.atproto.space.notifyCredentialRevoked'))
    return 'Tell the hosts of members that access which was given has been taken back.'
  return 'A permission of the account.'
}

/** What a link leads to, with the button. */
export function connectPage(shown: Shown, link: string): Answer {
  const { community, name, asked, signsInAt } = shown
  const host = new URL(signsInAt).host
  return page(
    200,
    `Connect ${name}`,
    `<p>You are about to let this service keep the spaces of <strong>${escaped(name)}</strong> at the PDS of its account.</p>
<p>The account is <code>${escaped(community)}</code>. On the next page, at <strong>${escaped(host)}</strong>, whoever signs in must be this account itself; anybody else is turned away, and nothing is changed.</p>
<p>The PDS will be asked for this:</p>
${listOf(asked)}
<p>You can take it back at any time: here by disconnecting, or on the account’s own page at its PDS.</p>
<form method="post" action="/steering/connect"><input type="hidden" name="link" value="${escaped(link)}"><button type="submit">Go on to your PDS</button></form>
<p class="quiet">It is for one browser, the one that goes on first, and for ten minutes.</p>`,
    ["'self'", signsInAt],
  )
}

/** What was granted, and what is missing. */
export function connectedPage({ name, community, granted, missing }: Connected): Answer {
  const lacking =
    missing.length === 0
      ? '<p>All that was asked for was granted. You can close this page.</p>'
      : `<p><strong>The PDS granted less than was asked.</strong> Spaces that need what is missing are not kept. Missing:</p>${listOf(missing)}<p>You can connect again at any time.</p>`
  return page(
    200,
    missing.length === 0 ? `${name} is connected` : `${name} is connected, with less than was asked`,
    `<p>The account <code>${escaped(community)}</code> lets this service in.</p>
${lacking}
<p>Granted:</p>
${listOf(granted.slice(0, 64))}`,
  )
}

/** What went wrong, by its name and in words. */
export const failedPage = (status: number, name: string, says: string): Answer => ({
  ...page(
    status,
    'Not connected',
    `<p>${escaped(capital(says))}.</p><p>Nothing about the account or its grant here was changed.</p><p class="quiet">${escaped(name)}</p>`,
  ),
  error: name,
})

/** Refusals are parts of sentences; here each is one. */
const capital = (says: string): string => says.charAt(0).toUpperCase() + says.slice(1).replace(/\.$/, '')
