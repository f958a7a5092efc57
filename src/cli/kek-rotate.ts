/**
 * `reeve kek rotate` and `reeve kek status`: the operator's way to another key-encryption key (KEK), while the service goes on.
 *
 * It says what it will do and asks for the new key's id before the first row, and it stops before that when something is missing. Killed at
 * any moment it is simply run again. What it did stands in the audit chain of this service's own DID, not in those of the communities: no key
 * of theirs changes and there is nothing for their owners to do, and ten thousand entries would have to be written as one.
 */
import { appendChained } from '../audit/store.ts'
import { sealedCeremonies } from '../community/sealed-ceremonies.ts'
import { type Kek, type KekDeps, openKek } from '../keys/kek.ts'
import { assertKekWorks, rewrapDeks, type Unopened, verifySealed } from '../keys/rewrap.ts'
import { countDeksByKek } from '../keys/rewrap-store.ts'
import { systemClock } from '../platform/clock.ts'
import { type Config, parseConfig, processEnvironment, readVariable } from '../platform/config.ts'
import { type Db, withTransaction } from '../platform/database.ts'
import { loadInstanceId } from '../platform/instance.ts'
import { systemRandom } from '../platform/random.ts'
import { sealedThings } from '../steering/sealed-session.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments } from './command.ts'
import { onDatabase } from './on-database.ts'
import { say, typedLine } from './terminal.ts'

/** Rows that are named one by one when they don't open. */
const NAMED_MAX = 20

export const kekStatus: Command = {
  words: ['kek', 'status'],
  takes: '',
  does: ['Count the data keys by the key-encryption key that wraps them. Changes nothing.'],
  async run(args) {
    readArguments(args, 0, {})
    return onDatabase((db) => status(db, parseConfig(processEnvironment())))
  },
}

export const kekRotate: Command = {
  words: ['kek', 'rotate'],
  takes: '',
  does: [
    'Wrap every data key again by REEVE_KEK that REEVE_KEK_PREVIOUS wrapped, beside the running service.',
    'Says what it will do and how to undo it, and asks.',
  ],
  async run(args) {
    readArguments(args, 0, {})
    return onDatabase((db) => rotate(db, parseConfig(processEnvironment())))
  },
}

/** Prints how many DEKs each KEK wraps. Changes nothing. 1 when there are settings, and one that wraps is in none of them. */
async function status(db: Db, config: Config): Promise<number> {
  const roles = new Map<string, string>()
  if (config.kekPrevious) roles.set(openedKek(config.kekPrevious, config).id, 'REEVE_KEK_PREVIOUS')
  if (config.kek) roles.set(openedKek(config.kek, config).id, 'REEVE_KEK')
  const counts = await countDeksByKek(db)
  for (const id of roles.keys()) say(`${id} wraps ${counts.get(id) ?? 0}  ${roles.get(id)}`)
  const strangers = [...counts].filter(([id]) => !roles.has(id))
  for (const [id, count] of strangers) say(`${id} wraps ${count}  not in these settings`)
  return strangers.length === 0 || roles.size === 0 ? EXIT_FINE : EXIT_FAILED
}

/**
 * Wraps every DEK again by `REEVE_KEK` that `REEVE_KEK_PREVIOUS` wrapped, opens everything with the new one alone, and writes it down.
 * Nothing is changed before both keys have proved that they open what they wrap, and the operator has given the new one's id.
 * 0 when everything opens with the new key and nothing is left to any other.
 * @throws Error with one clear line for a setting that is missing or a key that can't be used
 */
async function rotate(db: Db, config: Config): Promise<number> {
  const { kek, previous } = bothKeks(config)
  const instanceId = await loadInstanceId(db, systemRandom, systemClock)
  for (const each of [previous, kek]) await assertKekWorks(each, config.serviceDid, instanceId, systemRandom)
  const counts = await countDeksByKek(db)
  const due = counts.get(previous.id) ?? 0
  const strangers = [...counts].filter(([id]) => id !== kek.id && id !== previous.id)
  tellStrangers(strangers)
  if (due === 0 && strangers.length > 0)
    throw new Error(`${previous.id} (REEVE_KEK_PREVIOUS) wraps nothing here: nothing was changed`)
  say(...planOf({ due, done: counts.get(kek.id) ?? 0, kek, previous }))
  const typed = await typedLine('stdin', () => say('Type the id of the new key to begin:'))
  if (typed !== kek.id) throw new Error('that is not the id of the new key: nothing was changed')

  const note = (action: string, because: object) => noteDown(db, config, kek, action, { from: previous.id, ...because })
  if (due > 0) await note('kek.rotate', { due })
  const deps = { db, kek, instanceId }
  const { rewrapped, unopened } = await rewrapDeks(deps, previous, (done) => say(`wrapped ${done} of ${due}`))
  say('opening everything with the new key alone')
  const verified = await verifySealed(deps, everythingSealed(db))
  say(`opened ${verified.deks} data keys, ${verified.keys} keys, ${verified.blobs} other sealed things`)
  const left = [...(await countDeksByKek(db))].filter(([id]) => id !== kek.id)
  const faults = [...unopened, ...verified.unopened]
  tellUnopened(faults)
  for (const [id, count] of left) say(`LEFT ${count} data keys are wrapped by ${id}`)
  if (left.length > 0 || faults.length > 0) {
    say(`Not finished. Keep REEVE_KEK_PREVIOUS and ${previous.id}; see what is said above, and run this again.`)
    return EXIT_FAILED
  }
  await note('kek.rotated', { rewrapped })
  say(...endOf(kek, previous))
  return EXIT_FINE
}

async function* everythingSealed(db: Db) {
  yield* sealedThings(db)
  yield* sealedCeremonies(db)
}

const openedKek = (setting: string, config: Config): Kek => {
  const deps: KekDeps = { readEnv: readVariable, envIsPermitted: config.allowEnvKek, random: systemRandom }
  return openKek(setting, deps)
}

function bothKeks(config: Config): { kek: Kek; previous: Kek } {
  if (!config.kek) throw new Error('REEVE_KEK is missing: it names the new key')
  if (!config.kekPrevious) throw new Error('REEVE_KEK_PREVIOUS is missing: it names the key that is to be replaced')
  const [kek, previous] = [openedKek(config.kek, config), openedKek(config.kekPrevious, config)]
  if (kek.id === previous.id) throw new Error('REEVE_KEK and REEVE_KEK_PREVIOUS name the same key')
  return { kek, previous }
}

interface Plan {
  readonly due: number
  readonly done: number
  readonly kek: Kek
  readonly previous: Kek
}

const planOf = ({ due, done, kek, previous }: Plan): readonly string[] => [
  '',
  `${due} data keys are wrapped by ${previous.id} (REEVE_KEK_PREVIOUS), ${done} by ${kek.id} (REEVE_KEK).`,
  '',
  `What happens now: each of the ${due} is opened with the previous key and wrapped again by the new one, one after the other.`,
  'Then everything that lies sealed is opened with the new key alone. This concerns every community here and the service itself,',
  'and none of them notices: no key changes, no DID document changes, nobody has to do anything.',
  '',
  'Before you go on: EVERY process of this service must be running with both settings as they are here. One that knows only the',
  'previous key cannot open what the new one wraps, and answers KekUnavailable.',
  '',
  'Stopped at any moment, also by kill -9, it is run again and goes on. To undo it, swap the two settings, in every process and',
  'here, and run it again.',
  '',
]

const endOf = (kek: Kek, previous: Kek): readonly string[] => [
  '',
  `Done: everything opens with ${kek.id} alone. REEVE_KEK_PREVIOUS can go from every process's settings.`,
  '',
  `- Backups from before now still need ${previous.id}. Keep it apart, for as long as you keep them. Destroying it is what`,
  '  makes the keys in those backups unreadable for ever.',
  `- If ${previous.id} has LEAKED, this does not mend it: whoever has it and a copy of the database has the keys themselves.`,
  '  They have to be replaced: reeve key rotate-all --reason kek-leak',
]

function tellStrangers(strangers: readonly (readonly [string, number])[]): void {
  for (const [id, count] of strangers)
    say(`UNKNOWN ${count} data keys are wrapped by ${id}, which is neither of the two: they stay as they are`)
}

function tellUnopened(faults: readonly Unopened[]): void {
  for (const { community, what } of faults.slice(0, NAMED_MAX)) say(`NOT OPENED ${what} of ${community}`)
  if (faults.length > NAMED_MAX) say(`NOT OPENED and ${faults.length - NAMED_MAX} more`)
}

function noteDown(db: Db, config: Config, kek: Kek, action: string, because: object): Promise<void> {
  const { serviceDid } = config
  const about = { community: serviceDid, actor: serviceDid, action, target: kek.id, subject: null }
  return withTransaction(db, (tx) => appendChained(tx, { ...about, atMs: systemClock.nowMs(), because }))
}
