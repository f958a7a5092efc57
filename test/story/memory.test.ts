/**
 * What is left of private keys in the memory of a process that founded, signed and forgot, counted in that process's own memory.
 *
 * Looked for are the raw bytes, the same backwards (as OpenSSL keeps numbers on the common machines), and the texts that
 * somebody might have made of them. The test opens the envelopes itself, out here, to learn what to look for.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { open } from '../../src/keys/envelope.ts'
import { openKek } from '../../src/keys/kek.ts'
import type { DidKey } from '../../src/names.ts'
import { randomHex, systemRandom } from '../../src/platform/random.ts'
import { describeOnLinux } from '../kit/linux.ts'
import { type countInOwnMemory, MASK, masked } from '../kit/memory-scan.ts'
import { type Founded, INSTANCE, type Order } from '../kit/signing-process-words.ts'

const CHILD = fileURLToPath(new URL('../kit/signing-process.ts', import.meta.url))
const FORMS: Readonly<Record<string, (secret: Buffer) => Uint8Array>> = {
  raw: (secret) => secret,
  backwards: (secret) => Buffer.from(secret).reverse(),
  hex: (secret) => Buffer.from(secret.toString('hex')),
  base64: (secret) => Buffer.from(secret.toString('base64').slice(0, 42)),
  base64url: (secret) => Buffer.from(secret.toString('base64url').slice(0, 42)),
}

describeOnLinux('the memory of a process that signs', () => {
  const kekHex = randomHex(systemRandom, 32)
  let folder: string
  let child: ChildProcess
  let secrets: Readonly<Record<string, Buffer>>

  async function tell(order: Order): Promise<unknown> {
    const answered = once(child, 'message')
    child.send(order)
    const [{ result }] = await answered
    return result
  }

  /** How often each secret is there in each form, by `name form`. */
  async function countForms(): Promise<Record<string, number>> {
    const needles: Record<string, string> = {}
    for (const [name, secret] of Object.entries(secrets)) {
      for (const [form, as] of Object.entries(FORMS)) needles[`${name} ${form}`] = masked(as(secret))
    }
    const looked = (await tell({ kind: 'count', needles })) as ReturnType<typeof countInOwnMemory>
    // A process of Node has tens of megabytes at least; a look at less than that would be no look.
    expect(looked.bytesRead).toBeGreaterThan(32 * 1024 * 1024)
    return looked.counts
  }

  /** The same over all forms, by name. */
  async function count(): Promise<Record<string, number>> {
    const bySecret: Record<string, number> = {}
    for (const [name, found] of Object.entries(await countForms())) {
      const [secret = ''] = name.split(' ')
      bySecret[secret] = (bySecret[secret] ?? 0) + found
    }
    return bySecret
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reeve-memory-'))
    const kekPath = join(folder, 'kek')
    await writeFile(kekPath, kekHex, { mode: 0o600 })
    const execArgv = ['--expose-gc', '--disable-warning=ExperimentalWarning']
    child = fork(CHILD, [join(folder, 'data'), `file:${kekPath}`], { execArgv })
    await once(child, 'message')

    const founded = (await tell({ kind: 'found' })) as Founded
    secrets = await secretsOf(founded)
  })
  afterAll(async () => {
    if (child.connected) await tell({ kind: 'end' })
    await rm(folder, { recursive: true, force: true })
  })

  async function secretsOf({ community, wrapped, keys }: Founded): Promise<Record<string, Buffer>> {
    const kek = openKek('env:KEK', { readEnv: () => kekHex, envIsPermitted: true, random: systemRandom })
    const about = { instanceId: INSTANCE, community, dekVersion: 1 }
    const dek = await kek.unwrap(Buffer.from(wrapped, 'hex'), about)
    if (!dek) throw new Error('the DEK does not open')
    const found: Record<string, Buffer> = { kek: Buffer.from(kekHex, 'hex'), dek: Buffer.from(dek) }
    for (const { id, purpose, didKey, sealed } of keys) {
      const place = { ...about, purpose, keyId: id, publicKey: didKey as DidKey }
      const scalar = open(dek, Buffer.from(sealed, 'hex'), place)
      if (!scalar) throw new Error('a key does not open')
      found[purpose] = Buffer.from(scalar)
    }
    return found
  }

  it('has nothing of the new keys after a founding; the KEK stays, on purpose', async () => {
    expect(await count()).toEqual({ kek: expect.any(Number), dek: 0, rotation: 0, atproto: 0, space: 0 })
  })

  it('shows a copy that was put there, in every form, and doesn’t once it is wiped', async () => {
    const secret = secrets['rotation'] ?? Buffer.alloc(0)
    const everyForm = Buffer.concat(Object.values(FORMS).map((as) => as(secret)))
    await tell({ kind: 'plant', masked: masked(everyForm), mask: MASK })
    const planted = await countForms()
    for (const form of Object.keys(FORMS)) expect([form, planted[`rotation ${form}`]]).not.toEqual([form, 0])
    await tell({ kind: 'unplant' })
    expect((await count())['rotation']).toBe(0)
  })

  it('has the signing key alone while it is alive, and nothing once the vault dropped it', async () => {
    expect(await tell({ kind: 'sign', times: 50 })).toMatch(/^eyJ/)
    const alive = await count()
    expect(alive['space']).toBeGreaterThanOrEqual(1)
    expect(alive).toMatchObject({ dek: 0, rotation: 0, atproto: 0 })

    await tell({ kind: 'drop' })
    const dropped = await count()
    expect(dropped).toMatchObject({ dek: 0, rotation: 0, atproto: 0, space: 0 })
    // The key object of the KEK is what opens the next key: it is there before and after.
    expect(dropped['kek']).toBeGreaterThanOrEqual(1)
    process.stdout.write(`copies in memory, alive ${JSON.stringify(alive)}, dropped ${JSON.stringify(dropped)}\n`)
  })

  it('has nothing either after many rounds of opening, signing and dropping', async () => {
    for (let round = 0; round < 20; round++) {
      await tell({ kind: 'sign', times: 5 })
      await tell({ kind: 'drop' })
    }
    expect(await count()).toMatchObject({ dek: 0, rotation: 0, atproto: 0, space: 0 })
  })
})
