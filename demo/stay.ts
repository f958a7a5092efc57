/** What `--stay` prints: how to call the network that was left running, as lines for a shell. */
import type { Network } from './network.ts'

/** The passwords are those of accounts that were made a minute ago on this machine and are gone with it. */
export function howToCall(
  { pds, reeve, plcUrl, alice, bob, carol }: Network,
  { did, forum }: { did: string; forum: string },
): string {
  const accounts = [alice, bob, carol].map(({ handle, password }) => `  ${handle.padEnd(12)} ${password}`).join('\n')
  return `It is still running; Ctrl-C ends it. The accounts on the PDS, with their passwords:

${accounts}

Open questions, answered to everybody:

  curl -sw '\\n' ${reeve.url}/xrpc/_health
  curl -sw '\\n' ${reeve.url}/.well-known/did.json
  curl -sw '\\n' ${reeve.url}/xrpc/community.reeve.service.describe
  curl -sw '\\n' ${plcUrl}/${did}

As alice: sign in to the PDS, and let it make a token for one method of Reeve (a minute long):

  ACCESS=$(curl -s ${pds.url}/xrpc/com.atproto.server.createSession \\
    -H 'content-type: application/json' -d '{"identifier":"${alice.handle}","password":"${alice.password}"}' \\
    | sed 's/.*"accessJwt":"\\([^"]*\\)".*/\\1/')
  token() { curl -s -G ${pds.url}/xrpc/com.atproto.server.getServiceAuth -H "authorization: Bearer $ACCESS" \\
    --data-urlencode 'aud=${reeve.did}' --data-urlencode "lxm=$1" | sed 's/.*"token":"\\([^"]*\\)".*/\\1/'; }

  curl -sw '\\n' -G ${reeve.url}/xrpc/community.reeve.community.get --data-urlencode 'community=${did}' \\
    -H "authorization: Bearer $(token community.reeve.community.get)"
  curl -sw '\\n' -G ${reeve.url}/xrpc/community.reeve.member.list --data-urlencode 'space=${forum}' \\
    -H "authorization: Bearer $(token community.reeve.member.list)"

The same through the PDS, which then makes the token by itself; and bob is let in again:

  curl -sw '\\n' -G ${pds.url}/xrpc/community.reeve.audit.list --data-urlencode 'community=${did}' \\
    -H "authorization: Bearer $ACCESS" -H 'atproto-proxy: ${reeve.did}#reeve'
  curl -sw '\\n' ${pds.url}/xrpc/community.reeve.member.put -H 'content-type: application/json' \\
    -H "authorization: Bearer $ACCESS" -H 'atproto-proxy: ${reeve.did}#reeve' \\
    -d '{"space":"${forum}","did":"${bob.did}","role":"member"}'
`
}
