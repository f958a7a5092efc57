/**
 * The verdict on what is said about apps, and the hosts of which nobody may vouch for all.
 *
 * To judge an app is `apps.review`. What lets in apps that nobody has looked at, or keeps people from learning why they were
 * turned away, is an owner's to say.
 */
import { type Did, rosterOf, type SpaceUri } from '../names.ts'
import type { AppAccess, AppMode, AppVerdict } from './apps.ts'
import { OWNER_MARK } from './roles.ts'
import { holds, type StandingFacts, standingOf } from './standing.ts'
import { type Decision, judgeAct, type Permit } from './verdict.ts'

/** May the actor see what is said about apps, in a space or (`scope` is its DID) for the whole community, and judge them? */
export function decideApps(actor: StandingFacts, did: Did, scope: SpaceUri | Did): Decision<Permit<'apps.review'>> {
  const community = actor.graph.community
  const where = scope === community ? rosterOf(community).uri : (scope as SpaceUri)
  return judgeAct(standingOf(actor), did, 'apps.review', where)
}

/** How apps are judged in a scope, as it is and as it shall be. */
export interface AccessChange {
  readonly before: { readonly mode: AppMode; readonly isSilent: boolean }
  readonly after: { readonly mode: AppMode; readonly isSilent: boolean }
}

/** May the actor change how apps are judged? Whoever opens what was closed by a list, or has a community keep silent, is an owner. */
export function decideAppAccess(
  actor: StandingFacts,
  did: Did,
  scope: SpaceUri | Did,
  { before, after }: AccessChange,
): Decision<Permit<'apps.review'>> {
  const opens = before.mode !== 'open' && after.mode === 'open'
  return decideOf(actor, did, scope, opens || before.isSilent !== after.isSilent)
}

/** May the actor say this of an app, or of every app at a host? Whoever lets in apps that aren't written yet is an owner. */
export const decideAppRule = (
  actor: StandingFacts,
  did: Did,
  scope: SpaceUri | Did,
  rule: { readonly isHost: boolean; readonly verdict: AppVerdict },
): Decision<Permit<'apps.review'>> => decideOf(actor, did, scope, rule.isHost && rule.verdict === 'allow')

function decideOf(
  actor: StandingFacts,
  did: Did,
  scope: SpaceUri | Did,
  isForOwners: boolean,
): Decision<Permit<'apps.review'>> {
  const ordinary = decideApps(actor, did, scope)
  const roster = rosterOf(actor.graph.community).uri
  if (!ordinary.ok || !isForOwners || holds(standingOf(actor), roster, OWNER_MARK)) return ordinary
  return { ok: false, code: 'Forbidden', because: [{ rule: 'noPath', into: roster, action: OWNER_MARK }] }
}

/** The names that are let in, besides one. */
export const othersAllowed = ({ rules }: AppAccess, besides: string): readonly string[] =>
  [...rules].filter(([name, verdict]) => verdict === 'allow' && name !== besides).map(([name]) => name)

/**
 * Where anybody can publish a page, and so an app, under a name of their own or in a folder. To allow such a host would be to
 * allow everybody.
 */
const STRANGERS_PUBLISH: ReadonlySet<string> = new Set(
  `github.io githubusercontent.com githubpreview.dev app.github.dev gitlab.io bitbucket.io codeberg.page sourcehut.org srht.site
  pages.dev workers.dev r2.dev trycloudflare.com netlify.app netlify.com vercel.app now.sh web.app firebaseapp.com appspot.com
  run.app cloudfunctions.net storage.googleapis.com sites.google.com googleusercontent.com herokuapp.com glitch.me surge.sh
  onrender.com render.com fly.dev railway.app amazonaws.com cloudfront.net awsapprunner.com amplifyapp.com elasticbeanstalk.com
  azurewebsites.net azurestaticapps.net azureedge.net cloudapp.azure.com core.windows.net digitaloceanspaces.com
  ondigitalocean.app backblazeb2.com supabase.co deno.dev deno.net val.run val.town replit.app replit.dev repl.co codesandbox.io
  csb.app stackblitz.io webcontainer.io lovable.app bolt.host hf.space streamlit.app pythonanywhere.com wasmer.app zeabur.app
  koyeb.app northflank.app ngrok.io ngrok.app ngrok.dev ngrok-free.app ngrok-free.dev loca.lt ts.net neocities.org tiiny.site
  jsdelivr.net unpkg.com esm.sh ipfs.io dweb.link wisp.place wordpress.com blogspot.com tumblr.com wixsite.com weebly.com
  webflow.io framer.app framer.website notion.site squarespace.com myshopify.com`.split(/\s+/),
)

/** Whether strangers publish at a host: it is one of those that are known for it, or under one. */
export function isOpenToPublishers(host: string): boolean {
  const labels = host.split('.')
  return labels.some((_label, at) => STRANGERS_PUBLISH.has(labels.slice(at).join('.')))
}
