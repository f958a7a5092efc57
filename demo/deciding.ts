/** The part of the story about a space that stays on somebody's PDS, which asks Reeve whom to let in. */
import { chapter, fact, holds, says } from './narrator.ts'
import { accepted, answerOf, call, must, type Network } from './network.ts'

const METHOD = 'com.atproto.simplespace.checkUserAccess'

/** The account `meadow` has a space at its PDS, and alice keeps its roll here. */
export async function theMeadow(network: Network): Promise<void> {
  const { alice, bob, carol, meadow, reeve } = network
  chapter('Another community stays on its PDS, and has only its roll here')
  says(`The account meadow.test has a space at its own PDS, with its keys and its records. It consents, through its PDS, that
    Reeve decides who comes in, and names alice as the first owner. Nothing of its identity is changed.`)
  const forwarded = await meadow.proxied(`${reeve.did}#reeve`, 'community.reeve.community.adopt', {
    name: 'Meadow',
    owner: alice.did,
  })
  const { did, managingApp } = accepted('adopting meadow.test', await answerOf(forwarded))
  must(did === meadow.did, 'the account is the community')
  const name = { community: did, spaceType: 'com.atmoboards.forum', skey: 'hedge', host: 'pds' }
  const { uri } = accepted('binding its space', await call(network, alice, 'community.reeve.space.create', name))
  accepted(
    'adding bob',
    await call(network, alice, 'community.reeve.member.put', { space: uri, did: bob.did, role: 'member' }),
  )
  fact('the space', uri)
  fact('its PDS stores', `${managingApp}  as the managing app`)

  says(`From now on the PDS asks about everybody who wants to read or write. The published PDS has no spaces yet, so the demo
    sends its question, with a token that the PDS really signed for this account and this one method.`)
  for (const [who, isIn] of [
    [bob, true],
    [carol, false],
  ] as const) {
    must((await checkUserAccess(network, uri, who.did)) === isIn, `the answer about ${who.handle}`)
    fact(`may ${who.handle} read?`, String(isIn))
  }
  accepted('removing bob', await call(network, alice, 'community.reeve.member.remove', { space: uri, did: bob.did }))
  must(!(await checkUserAccess(network, uri, bob.did)), 'the answer about bob once he is out')
  holds('alice takes bob out, and the very next answer about him is no')
}

/** What the host of a space asks its managing app, as it was seen to ask. */
async function checkUserAccess({ meadow, reeve }: Network, space: string, user: string): Promise<boolean> {
  const token = await meadow.serviceAuth(`${reeve.did}#reeve`, METHOD)
  const query = new URLSearchParams({ space, user, access: 'read' })
  const response = await fetch(`${reeve.url}/xrpc/${METHOD}?${query}`, {
    headers: { authorization: `Bearer ${token}` },
  })
  return accepted('the question of the PDS', await answerOf(response)).authorized
}
