/**
 * A real PDS that knows spaces: the published server, which has none yet, with their scopes and the methods that manage them played in it.
 *
 * The published server drops the scopes that it doesn't know when it is asked for them. Here `space:` scopes pass, `self` in them becomes
 * the account's DID when a token is given, and from there on they are the server's own: kept with the session, in the answer of
 * `/oauth/token`, on the holder's page, there again after a refresh, and gone with a revocation. Only the answers of
 * `com.atproto.simplespace.*` are played; who asks, and with which proof and nonce, is found out by the server as for its own methods.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PDS } from '@atproto/pds'
import { json } from './managing-app.ts'
import { type OAuthProvider, providerOf } from './oauth-knobs.ts'
import { type InFront, startPds, type TestPds } from './pds.ts'
import { type PlayedOptions, PlayedSimplespaces } from './played-simplespaces.ts'
import { answerSimplespace, simplespaceOf } from './simplespace-pds.ts'
import { forAccount, isSpaceScope, parseSpaceScope } from './space-scopes.ts'

/** What is granted of the scopes that were asked for and let through by the holder. */
export type Granting = (scopes: readonly string[]) => readonly string[]

export interface SpacesPds extends TestPds {
  /** The spaces of its accounts, and what tests do to them. */
  readonly spaces: PlayedSimplespaces
  /** Sessions that begin from now on get no more than this. */
  grantsOnly(granting: Granting): void
  /** Space types whose declaration nobody finds from now on: being asked for one of them ends a login with `invalid_scope`. */
  undeclared(...types: readonly string[]): void
}

/** Starts one. A PDS that doesn't know spaces is the published one as it is. */
export async function startSpacesPds(
  plcUrl: string,
  given: PlayedOptions & { readonly knowsSpaces?: boolean; readonly grantsOnly?: Granting },
): Promise<SpacesPds> {
  const { knowsSpaces = true, grantsOnly = (scopes) => scopes } = given
  const spaces = new PlayedSimplespaces(given)
  const state: Scopes = { granting: grantsOnly, undeclared: new Set() }
  const pds = await startPds(plcUrl, (published) => {
    if (!knowsSpaces) return null
    const provider = providerOf(published)
    passSpaceScopes(provider)
    grantScopes(provider, state)
    wantDeclarations(provider, state)
    return playedBefore(published, spaces)
  })
  return {
    ...pds,
    spaces,
    grantsOnly(granting) {
      state.granting = granting
    },
    undeclared(...types) {
      state.undeclared = new Set(types)
    },
  }
}

interface Scopes {
  granting: Granting
  undeclared: ReadonlySet<string>
}

type Validate = (client: unknown, auth: unknown, asked: { readonly scope?: string }) => Promise<object>

const scopesIn = (scope: string | undefined): readonly string[] => scope?.split(' ') ?? []

/** Has the scopes of spaces stay in what an app asks for. Whether it may ask for them is judged before, by its metadata. */
function passSpaceScopes({ requestManager }: OAuthProvider): void {
  const validate: Validate = Reflect.get(requestManager, 'validate').bind(requestManager)
  const passing: Validate = async (client, auth, asked) => {
    const taken: { readonly scope?: string } = await validate(client, auth, asked)
    const known = new Set(scopesIn(taken.scope))
    const scope = [...new Set(scopesIn(asked.scope))]
      .filter((value) => known.has(value) || isSpaceScope(value))
      .join(' ')
    return { ...taken, scope: scope === '' ? undefined : scope }
  }
  Reflect.set(requestManager, 'validate', passing)
}

function grantScopes({ tokenManager }: OAuthProvider, state: Scopes): void {
  const create = tokenManager.createToken.bind(tokenManager)
  tokenManager.createToken = (client, auth, metadata, account, deviceId, parameters, code) => {
    const asked = scopesIn(parameters.scope).map((scope) => forAccount(scope, account.did))
    const granted = { ...parameters, scope: state.granting(asked).join(' ') }
    return create(client, auth, metadata, account, deviceId, granted, code)
  }
}

function wantDeclarations({ lexiconManager }: OAuthProvider, state: Scopes): void {
  const read = lexiconManager.getPermissionSetsFromScope.bind(lexiconManager)
  lexiconManager.getPermissionSetsFromScope = async (scope) => {
    const types = scopesIn(scope).map((value) => parseSpaceScope(value)?.type)
    if (types.some((type) => type !== undefined && state.undeclared.has(type))) throw new Error('no declaration')
    return read(scope)
  }
}

function playedBefore(pds: PDS, spaces: PlayedSimplespaces): InFront {
  const authenticate = pds.ctx.authVerifier.authorization({ checkTakedown: true, authorize: () => {} })
  const answer = async (nsid: string, incoming: IncomingMessage, outgoing: ServerResponse) => {
    const who = await authenticate({ req: incoming, res: outgoing, params: {} } as never)
    if (!('credentials' in who)) throw new Error('nobody')
    const { credentials } = who
    const scopes = credentials.type === 'oauth' ? [...credentials.permissions.scopes] : null
    await answerSimplespace(spaces, { account: credentials.did, scopes, nsid }, incoming, outgoing)
  }
  return (incoming, outgoing) => {
    const nsid = simplespaceOf(incoming)
    if (nsid === null) return false
    answer(nsid, incoming, outgoing).catch((error) => refuse(outgoing, error))
    return true
  }
}

/** The server's own refusals, as it would have written them; what it had to say in headers stands there already. */
function refuse(outgoing: ServerResponse, error: { readonly statusCode?: number; readonly payload?: object }): void {
  if (outgoing.headersSent || error.statusCode === undefined) return void outgoing.destroy()
  json(outgoing, error.statusCode, error.payload)
}
