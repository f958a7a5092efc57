/**
 * `reeve keeper …`: an owner's own keys, made, enrolled and used without any service: to confirm what can't be taken back, and to open
 * what only they may read.
 */
import { readFileSync } from 'node:fs'
import { makeKeeperFiles, openKeeper } from '../keys/keeper-keys.ts'
import { fingerprintOf, inputHashOf, type KeeperKeys } from '../keys/keeper-statements.ts'
import { parseDid, parseNsid } from '../names.ts'
import { isoOf, systemClock } from '../platform/clock.ts'
import { makeFile } from '../platform/kept-files.ts'
import { communityIn, followsOf } from './act-words.ts'
import { type Command, EXIT_FAILED, EXIT_FINE, readArguments, WrongUsage } from './command.ts'
import { assertNewFile, readBytes, readJsonFile } from './files.ts'
import { sealedIn } from './packets.ts'
import { complain, say, sayAside, typedLine } from './terminal.ts'

const INPUT_MAX_BYTES = 64 * 1024
/** A sealed file with a long log in it. */
const SEALED_MAX_BYTES = 64 * 1024 * 1024
const STDIN = 0

const publicLines = (keys: KeeperKeys): readonly string[] => [
  `seal key:    ${keys.sealKey}`,
  `sign key:    ${keys.signKey}`,
  `fingerprint: ${fingerprintOf(keys)}`,
]

export const keeperInit: Command = {
  words: ['keeper', 'init'],
  takes: '<folder>',
  does: ['Make keys of your own in two new files that only you can read, and say their public halves.'],
  async run(args) {
    const [folder = ''] = readArguments(args, 1, {}).plain
    say(...publicLines(await makeKeeperFiles(folder)))
    say(
      '',
      'Now enrol them: reeve keeper enrol <folder> --community <did> --caller <your DID> --service <the DID of the Reeve>',
      'and read the fingerprint to another owner by a way that the service has no hand in. They count a day later.',
    )
    return EXIT_FINE
  },
}

export const keeperShow: Command = {
  words: ['keeper', 'show'],
  takes: '<folder>',
  does: ['Say the public halves of your keys, and their fingerprint.'],
  async run(args) {
    const [folder = ''] = readArguments(args, 1, {}).plain
    say(...publicLines(await openKeeper(folder)))
    return EXIT_FINE
  },
}

export const keeperEnrol: Command = {
  words: ['keeper', 'enrol'],
  takes: '<folder> --community <did> --caller <did> --service <did>',
  does: ['Write the body of community.reeve.key.enrolKeeper: the public halves, and the proof that they are yours.'],
  async run(args) {
    const { plain, options } = readArguments(args, 1, { community: 'text', caller: 'text', service: 'text' })
    const [community, caller, service] = [options.community, options.caller, options.service].map(parseDid)
    if (!community || !caller || !service) throw new WrongUsage('--community, --caller and --service must be DIDs')
    const keeper = await openKeeper(plain[0] ?? '')
    const { sealKey, signKey } = keeper
    say(JSON.stringify({ community, sealKey, signKey, proof: keeper.proofFor({ community, caller, service }) }))
    sayAside(
      'WARNING: do not send this where you keep a share of a key already, and do not enrol anew on a new machine: copy the folder there.',
      'Other keys end those that you enrolled before, and your seat with them: your share then counts for nothing at the service. The same keys count anew in some days.',
    )
    return EXIT_FINE
  },
}

export const keeperStepUp: Command = {
  words: ['keeper', 'step-up'],
  takes: '<folder> --act <method> --input <file|-> --caller <did> --service <did> [--community <did>]',
  does: [
    'Confirm one call of a method that cannot be taken back: --input is its body in JSON. Says what follows, asks for the DID of',
    'the community (--community, where the body names none), and writes the stepUp to be sent with it. Good for five minutes, once.',
  ],
  async run(args) {
    const declared = { act: 'text', input: 'text', caller: 'text', service: 'text', community: 'text' } as const
    const { plain, options } = readArguments(args, 1, declared)
    const [caller, service] = [parseDid(options.caller), parseDid(options.service)]
    const act = parseNsid(options.act)
    if (!caller || !service || !act || options.input === undefined)
      throw new WrongUsage('--caller and --service must be DIDs, --act a method, and --input a file')
    const body = options.input === '-' ? jsonOf(readFileSync(STDIN)) : readJsonFile(options.input, INPUT_MAX_BYTES)
    if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Error('the input is no object')
    const input = body as Readonly<Record<string, unknown>>
    const community = communityIn(input) ?? parseDid(options.community)
    if (!community) throw new Error('the input names no community: say by --community which one it is about')
    if (options.community !== undefined && options.community !== community)
      throw new Error('the input is about another community than --community')
    const keeper = await openKeeper(plain[0] ?? '')
    const ask = () =>
      sayAside(
        `You confirm ${act} at ${service}, as ${caller}, with:`,
        ...Object.entries(input).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`),
        ...followsOf(act, input, caller),
        'To sign this, type the whole DID of the community. Anything else ends here, and nothing has happened.',
      )
    const typed = await typedLine(options.input === '-' ? 'terminal' : 'stdin', ask)
    if (typed === null && options.input === '-')
      throw new WrongUsage(
        'with the input on the standard input there must be a terminal to type at: give it as a file',
      )
    if (typed !== community) {
      sayAside('That is not the DID. Nothing was signed.')
      return EXIT_FAILED
    }
    const at = isoOf(systemClock.nowMs())
    const claim = { service, community, caller, act, inputHash: inputHashOf(input), at }
    say(JSON.stringify({ at, sig: keeper.confirm(claim) }))
    return EXIT_FINE
  },
}

export const keeperOpen: Command = {
  words: ['keeper', 'open'],
  takes: '<folder> <file> --out <new file>',
  does: ['Open a file that was sealed to your keys, such as an exported key, into a new file that only you can read.'],
  async run(args) {
    const { plain, options } = readArguments(args, 2, { out: 'text' })
    const [folder = '', path = ''] = plain
    const { out = '' } = options
    assertNewFile(out)
    const keeper = await openKeeper(folder)
    const opened = await keeper.open(sealedIn(readBytes(path, SEALED_MAX_BYTES)))
    if (!opened) {
      complain('the file is not for these keys, or it was changed')
      return EXIT_FAILED
    }
    try {
      makeFile(out, opened, { what: 'the opened file', mode: 0o600 })
    } finally {
      opened.fill(0)
    }
    say(
      `Opened into ${out}, which only you can read. Read it first; then take it off every machine that is used for more.`,
    )
    return EXIT_FINE
  },
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'))
  } catch {
    throw new Error('what should be JSON on the standard input is not')
  }
}
