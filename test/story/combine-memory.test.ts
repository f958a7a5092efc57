/**
 * What is left of a key, and of the shares that made it, in the memory of a process that combined them as a service does: counted from
 * outside, and nothing collected before. The process is given nothing but what a service is given, which is ciphertext.
 *
 * Not promised is that nobody sees the key in the moment in which it is there, nor that the garbage collector, if it runs within the
 * microseconds in which the sharing library has the key in 32 bytes on the heap, leaves no copy behind. Of 400 runs, none did.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CeremonyStatement, encodeStatement, hexOf, isConcludedBy } from '../../src/keys/ceremony-statements.ts'
import type { GivenShare } from '../../src/keys/combining.ts'
import { open } from '../../src/keys/envelope.ts'
import { openKek } from '../../src/keys/kek.ts'
import { withScalar } from '../../src/keys/private-keys.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { type Answer, COMMUNITY, INSTANCE, type Made, type Order } from '../kit/combining-process-words.ts'
import { ceremonyOf, type Dealing, type DealtCeremony, dealt } from '../kit/dealt-keys.ts'
import { describeOnLinux } from '../kit/linux.ts'
import { countInMemoryOf, masked } from '../kit/memory-scan.ts'
import { makeKey } from '../kit/tokens.ts'
import { withBitFlipped } from '../kit/verdicts.ts'

const CHILD = fileURLToPath(new URL('../kit/combining-process.ts', import.meta.url))
/** `backwards` is how OpenSSL keeps numbers on the common machines. */
const FORMS: Readonly<Record<string, (secret: Buffer) => Uint8Array>> = {
  raw: (secret) => secret,
  backwards: (secret) => Buffer.from(secret).reverse(),
  hex: (secret) => Buffer.from(secret.toString('hex')),
  base64: (secret) => Buffer.from(secret.toString('base64').slice(0, 42)),
  base64url: (secret) => Buffer.from(secret.toString('base64url').slice(0, 42)),
}
const RUNS = 20
const NOTHING = { raw: 0, backwards: 0, hex: 0, base64: 0, base64url: 0 }

describeOnLinux('the memory of a process that combined shares', () => {
  const kekHex = randomHex(systemRandom, 32)
  /** The scalars of the quorums' keys, their shares, and the scalars of the ceremonies' keys. */
  const secrets = { key: [] as Buffer[], share: [] as Buffer[], ceremony: [] as Buffer[] }
  let folder: string
  let child: ChildProcess

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reeve-combine-'))
    const kekPath = join(folder, 'kek')
    await writeFile(kekPath, kekHex, { mode: 0o600 })
    const execArgv = ['--expose-gc', '--disable-warning=ExperimentalWarning']
    child = fork(CHILD, [join(folder, 'data'), `file:${kekPath}`], { execArgv })
    await once(child, 'message')
  })
  afterAll(async () => {
    if (child.connected) await tell({ kind: 'end' })
    await rm(folder, { recursive: true, force: true })
  })

  async function tell(order: Order): Promise<Answer> {
    const answered = once(child, 'message')
    child.send(order)
    const [{ result }] = await answered
    return result
  }

  /** How often the secrets are there, by what they are and in which form. */
  function count(): Record<keyof typeof secrets, Record<string, number>> {
    const needles: Record<string, string> = {}
    for (const [what, all] of Object.entries(secrets)) {
      for (const [at, secret] of all.entries()) {
        for (const [form, as] of Object.entries(FORMS)) needles[`${what} ${form} ${at}`] = masked(as(secret))
      }
    }
    const { counts, bytesRead } = countInMemoryOf(child.pid ?? 0, needles)
    // A process of Node has tens of megabytes at least; a look at less than that would be no look.
    expect(bytesRead).toBeGreaterThan(32 * 1024 * 1024)
    const found = { key: { ...NOTHING }, share: { ...NOTHING }, ceremony: { ...NOTHING } }
    for (const [name, times] of Object.entries(counts)) {
      const [what, form] = name.split(' ') as [keyof typeof secrets, keyof typeof NOTHING]
      found[what][form] += times
    }
    return found
  }

  let made = 0

  /** A ceremony of a key that was dealt out here, of which every secret is written down. */
  async function begin(quorum: Partial<CeremonyStatement['quorum']> = {}): Promise<DealtCeremony & { key: Dealing }> {
    made += 1
    const ceremony = `ceremony-${made}`
    const { sealTo, sealed, wrapped } = (await tell({ kind: 'make', ceremony })) as Made
    const kek = openKek('env:KEK', { readEnv: () => kekHex, envIsPermitted: true, random: systemRandom })
    const place = { instanceId: INSTANCE, community: COMMUNITY, dekVersion: 1 }
    const dek = await kek.unwrap(Buffer.from(wrapped, 'hex'), place)
    const about = { ...place, purpose: 'ceremony' as const, keyId: ceremony, publicKey: null }
    const scalar = dek && open(dek, Buffer.from(sealed, 'hex'), about)
    if (!scalar) throw new Error('the key of the ceremony does not open')
    const key = await dealt(3, 5)
    secrets.ceremony.push(Buffer.from(scalar))
    secrets.key.push(withScalar(key.pair, (bytes) => Buffer.from(bytes)))
    secrets.share.push(...key.shares.slice(0, key.k).map(({ y }) => Buffer.from(y)))
    const said = ceremonyOf(key, sealTo, 'combine', { community: COMMUNITY, ceremony })
    const changed = { community: COMMUNITY, ceremony, quorum: { ...said.statement.quorum, ...quorum } }
    return { ...ceremonyOf(key, sealTo, 'combine', changed), key }
  }

  const give = ({ give, key }: DealtCeremony & { key: Dealing }): Promise<GivenShare[]> =>
    Promise.all(Array.from({ length: key.k }, (_, at) => give(at)))

  async function put(kind: 'combine' | 'keep', { statement }: DealtCeremony, given: readonly GivenShare[]) {
    const answer = await tell({ kind, statement: hexOf(encodeStatement(statement)), given })
    if (answer === null || !('kind' in answer)) throw new Error('nothing came of it')
    return answer
  }

  it(`has none of the keys and none of the shares, in any form, after ${RUNS} signatures`, async () => {
    for (let run = 0; run < RUNS; run += 1) {
      const one = await begin()
      const combined = await put('combine', one, await give(one))
      const signature = combined.kind === 'signed' ? combined.signature : ''
      expect(isConcludedBy(one.statement, hexOf(one.statementHash), signature)).toBe(true)
      if (run === 0) expect(count()).toMatchObject({ key: NOTHING, share: NOTHING })
    }
    const found = count()
    expect(found).toMatchObject({ key: NOTHING, share: NOTHING })
    // The key to which the shares were sealed is a key object, whose scalar OpenSSL lets go of when it is collected: worth something only to
    // whoever has what was sealed to it as well. No copy of it is anywhere else.
    expect(found.ceremony).toEqual({ ...NOTHING, backwards: expect.any(Number) })
    process.stdout.write(`copies in memory after ${RUNS} signatures: ${JSON.stringify(found)}\n`)
  })

  it('nor after a share that was none, or after shares that make another key', async () => {
    const one = await begin()
    const [first, second, third] = await give(one)
    const own = one.key.shares[1]
    if (!first || !second || !third || !own) throw new Error('nothing was given')
    const bad = await one.give(1, { share: { ...own, y: withBitFlipped(own.y, 3) } })
    expect(await put('combine', one, [first, bad, third])).toEqual({ kind: 'bad', dids: [second.did] })
    const other = await begin({ pub: makeKey('k256').didKey })
    expect(await put('combine', other, await give(other))).toEqual({ kind: 'mismatch' })
    expect(count()).toMatchObject({ key: NOTHING, share: NOTHING })
  })

  it('nor, once everything is collected, of the keys to which they were sealed', async () => {
    await tell({ kind: 'collect' })
    expect(count()).toEqual({ key: NOTHING, share: NOTHING, ceremony: NOTHING })
  })

  it('and would be seen if it kept them, in each form', async () => {
    const one = await begin()
    await put('keep', one, await give(one))
    await tell({ kind: 'collect' })
    const found = count()
    expect(found.key.backwards).toBeGreaterThanOrEqual(1)
    expect(found.ceremony.backwards).toBeGreaterThanOrEqual(1)
    for (const form of ['raw', 'hex', 'base64', 'base64url']) expect(found.share[form], form).toBeGreaterThanOrEqual(3)
  })
})
