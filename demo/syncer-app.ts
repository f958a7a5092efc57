/**
 * A syncer, as small as one can be: it keeps a copy of what changed in a space. It registers, believes only what the community signed,
 * notices by itself when it has missed something, and then asks what it has missed.
 *
 * One part is played here for somebody else. When a user writes, their PDS tells the community's host; the published PDS can't do that
 * yet. The bytes of `announceWrite` are what it would send, signed by the account's real key.
 */
import { createHash, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Account } from '../test/kit/pds.ts'
import { base64Url, makeSpaceSignature, type TestKey } from '../test/kit/tokens.ts'
import { verifyServiceAuth } from './independent-verifier.ts'
import { type Answer, answerOf, type Network } from './network.ts'

const NOTIFY_WRITE = 'com.atproto.space.notifyWrite'
const FRAGMENT = 'sync'
const TOKEN_LIFETIME_SEC = 60

/** A credential, the key that it is bound to, and the space and community that it is for. */
export interface Holding {
  readonly credential: string
  readonly holder: TestKey
  readonly space: string
  readonly community: string
}

/** One notification as the syncer took it. */
export interface Heard {
  readonly repo: string
  readonly repoRev: string
  readonly spaceRev: string
  /** What the space stood at before, as it was said; absent for the first write of a space. */
  readonly prevSpaceRev?: string
  /** Whether something between that and this never arrived. */
  readonly isAfterGap: boolean
}

export interface SyncerApp {
  /** As it registers: its DID, and which of its services is meant. */
  readonly service: string
  readonly url: string
  /** What it heard, in order. */
  readonly heard: readonly Heard[]
  /** The newest revision that it knows of each repo. */
  readonly copy: ReadonlyMap<string, string>
  /** Where it stands in the order of the space's writes. */
  checkpoint(): string
  /** Loses the next notification, as a syncer does whose disk is full: it says that it has it, and hasn't. */
  loseNext(): void
  /** What `listRepos` answered is taken over, and its cursor becomes the checkpoint. */
  takeOver(page: { repos: { did: string; repoRev: string }[]; cursor?: string }): void
  close(): Promise<void>
}

/** Starts one that follows a single space. */
export async function startSyncerApp(
  network: Network,
  about: { space: string; community: string },
): Promise<SyncerApp> {
  const heard: Heard[] = []
  const copy = new Map<string, string>()
  let checkpoint = ''
  let isLosing = false
  const server = createServer(async (incoming, outgoing) => {
    if (incoming.url === '/.well-known/did.json') {
      const service = [{ id: `#${FRAGMENT}`, type: 'SpaceSyncer', serviceEndpoint: url }]
      outgoing.setHeader('content-type', 'application/json')
      outgoing.end(JSON.stringify({ id: did, service }))
      return
    }
    try {
      const body = await bodyOf(incoming)
      const token = (incoming.headers.authorization ?? '').replace(/^Bearer /, '')
      const { plcUrl } = network
      await verifyServiceAuth({
        plcUrl,
        community: about.community,
        token,
        audience: `${did}#${FRAGMENT}`,
        method: NOTIFY_WRITE,
      })
      if (body.space !== about.space) throw new Error('another space')
      if (isLosing) isLosing = false
      else take(body)
      outgoing.writeHead(200).end()
    } catch {
      // Whoever can't prove that the community speaks is not heard.
      outgoing.writeHead(401).end()
    }
  })

  function take({ repo, repoRev, spaceRev, prevSpaceRev }: Omit<Heard, 'isAfterGap'>): void {
    // TIDs sort by time. What the space stood at before is known already, or something is missing.
    const isAfterGap = prevSpaceRev !== undefined && prevSpaceRev > checkpoint
    heard.push({ repo, repoRev, spaceRev, ...(prevSpaceRev === undefined ? {} : { prevSpaceRev }), isAfterGap })
    copy.set(repo, repoRev)
    // After a gap the checkpoint stays: the next `listRepos` begins where nothing was missing yet.
    if (!isAfterGap && spaceRev > checkpoint) checkpoint = spaceRev
  }

  server.listen(0, 'localhost')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const url = `http://localhost:${port}`
  const did = `did:web:localhost%3A${port}`
  return {
    service: `${did}#${FRAGMENT}`,
    url,
    heard,
    copy,
    checkpoint: () => checkpoint,
    loseNext() {
      isLosing = true
    },
    takeOver({ repos, cursor }) {
      for (const { did: repo, repoRev } of repos) copy.set(repo, repoRev)
      if (cursor !== undefined) checkpoint = cursor
    },
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function bodyOf(incoming: IncomingMessage) {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString('utf8'))
}

/** The headers by which whoever holds a credential shows it to the community's host (October). */
function shown({ credential, holder, community }: Holding): Record<string, string> {
  const authorization = `Atproto-Space ${credential}`
  const { signatureInput, signature } = makeSpaceSignature({ key: holder, authorization, audience: community })
  return { authorization, 'atproto-space-audience': community, 'signature-input': signatureInput, signature }
}

/** Asks to hear of every write in the space. */
export const register = async ({ reeve }: Network, holding: Holding, service: string): Promise<Answer> =>
  answerOf(
    await fetch(`${reeve.url}/xrpc/com.atproto.space.registerNotify`, {
      method: 'POST',
      headers: { ...shown(holding), 'content-type': 'application/json' },
      body: JSON.stringify({ space: holding.space, service }),
    }),
  )

/** Who wrote since a checkpoint; without one, everybody who ever did. */
export const listRepos = async ({ reeve }: Network, holding: Holding, since: string): Promise<Answer> => {
  const params = new URLSearchParams({ space: holding.space, ...(since === '' ? {} : { cursor: since }) })
  const url = `${reeve.url}/xrpc/com.atproto.space.listRepos?${params}`
  return answerOf(await fetch(url, { headers: shown(holding) }))
}

/** The part of the writer's PDS: "this account's repo in that space is at this revision now". The status that came back. */
export async function announceWrite(
  { reeve }: Network,
  writer: Account,
  write: { community: string; space: string; repoRev: string },
): Promise<number> {
  const { community, space, repoRev } = write
  const iat = Math.floor(Date.now() / 1000)
  const claims = {
    iss: writer.did,
    aud: community,
    lxm: NOTIFY_WRITE,
    iat,
    exp: iat + TOKEN_LIFETIME_SEC,
    jti: randomUUID(),
  }
  const signingInput = `${base64Url(JSON.stringify({ typ: 'JWT', alg: 'ES256K' }))}.${base64Url(JSON.stringify(claims))}`
  const token = `${signingInput}.${base64Url(await writer.signAs(Buffer.from(signingInput)))}`
  // What a repo holds is hashed by its host; nobody else can tell whether it is true, and the space's host doesn't try.
  const $bytes = createHash('sha256').update(repoRev).digest('base64').replace(/=+$/, '')
  const { status } = await fetch(`${reeve.url}/xrpc/${NOTIFY_WRITE}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ space, repo: writer.did, repoRev, hash: { $bytes } }),
  })
  return status
}
