/**
 * Carries the steps of the Dockerfile out where there is no container engine: in a clean directory, from what is committed, as
 * a user who is not root; then starts, checks and stops the service as an engine would. Needs the package registry.
 *
 * Absolute paths of the image lie under a directory of its stage. The base image is played by the Node that runs this and by
 * the npm of this machine. The image itself is not built by it.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseDockerfile, type Stage, type Step } from './dockerfile.ts'

/** What an engine allows between asking a container to stop and ending it. */
const STOPPING_MAX_MS = 10_000
const STARTING_MAX_MS = 40_000
/** sysexits(3): the configuration is wrong. */
const EXIT_CONFIG = 78

const isRoot = process.getuid?.() === 0
/** Who runs what the Dockerfile runs: `nobody` where we are root, else whoever we are. */
const user: { uid?: number; gid?: number } = isRoot ? { uid: idOf('-u'), gid: idOf('-g') } : {}

interface Image {
  /** What is `/` in the image. */
  readonly root: string
  workdir: string
  user: string
  volume: string | null
  stopSignal: NodeJS.Signals
  readonly env: Record<string, string>
  readonly ports: string[]
  healthcheck: readonly string[]
  cmd: readonly string[]
}

const scratch = mkdtempSync(join(tmpdir(), 'reeve-container-'))
try {
  chmodSync(scratch, 0o755)
  const context = join(scratch, 'context')
  const base = layBase(join(scratch, 'base'))
  unpack(process.argv[2] ?? 'HEAD', context)
  const stages = parseDockerfile(readFileSync(join(context, 'Dockerfile'), 'utf8'))
  const built = new Map<string, Image>()
  let image: Image | null = null
  for (const [index, stage] of stages.entries()) {
    image = build(stage, join(scratch, `stage-${index}`), { context, base, built })
    if (stage.name !== null) built.set(stage.name, image)
  }
  if (!image) throw new Error('the Dockerfile has no stage')
  judge(image, context)
  await live(image, base)
  console.log('The steps of the Dockerfile hold.')
} finally {
  execFileSync('chmod', ['-R', 'u+w', scratch])
  rmSync(scratch, { recursive: true, force: true })
}

/** The commands of the base image: Node, and the npm that it comes with, played by this machine's. */
function layBase(folder: string): string {
  mkdirSync(folder)
  copyFileSync(process.execPath, join(folder, 'node'))
  chmodSync(join(folder, 'node'), 0o755)
  return folder
}

function unpack(commit: string, folder: string): void {
  mkdirSync(folder)
  const archive = execFileSync('git', ['archive', commit], { maxBuffer: 512 * 1024 * 1024 })
  execFileSync('tar', ['-x', '-C', folder], { input: archive })
}

interface Given {
  readonly context: string
  readonly base: string
  readonly built: ReadonlyMap<string, Image>
}

function build(stage: Stage, root: string, given: Given): Image {
  requireBase(stage.image)
  const image: Image = {
    root,
    workdir: '/',
    user: 'root',
    volume: null,
    stopSignal: 'SIGTERM',
    env: {},
    ports: [],
    healthcheck: [],
    cmd: [],
  }
  // What the base image has: a home for its user, and a place for temporary files.
  for (const folder of ['home/node', 'tmp']) ownFolder(join(root, folder))
  for (const step of stage.steps) {
    console.log(`  ${stage.name ?? 'image'}: ${JSON.stringify(step)}`)
    carryOut(step, image, given)
  }
  return image
}

/** Pinned by its whole version, and of the generation that runs this. */
function requireBase(name: string): void {
  const major = /^node:([0-9]+)\.[0-9]+\.[0-9]+-slim$/.exec(name)?.[1]
  must(major !== undefined, `${name} is pinned by its whole version`)
  must(process.version.startsWith(`v${major}.`), `Node ${process.version} can play ${name}`)
}

function carryOut(step: Step, image: Image, given: Given): void {
  switch (step.kind) {
    case 'workdir':
      image.workdir = step.value
      ownFolder(join(image.root, step.value))
      break
    case 'user':
      image.user = step.value
      break
    case 'volume':
      image.volume = step.value
      break
    case 'expose':
      image.ports.push(step.value)
      break
    case 'stopsignal':
      image.stopSignal = step.value as NodeJS.Signals
      break
    case 'env':
      image.env[step.name] = step.value
      break
    case 'copy':
      copy(step, image, given)
      break
    case 'run':
      run(step.line, image, given)
      break
    case 'healthcheck':
    case 'cmd':
      image[step.kind] = step.argv
  }
}

function copy(step: Extract<Step, { kind: 'copy' }>, image: Image, { context, built }: Given): void {
  const from = step.from === null ? context : built.get(step.from)?.root
  if (from === undefined) throw new Error(`there is no stage ${step.from}`)
  for (const source of step.sources) {
    if (step.from === null) requireInContext(context, source)
    const path = join(from, source)
    const target = join(image.root, resolve(image.workdir, step.to))
    const isInto = step.to.endsWith('/') && statSync(path).isFile()
    cpSync(path, isInto ? join(target, basename(source)) : target, { recursive: true, verbatimSymlinks: true })
    // An owner that is named is the one who runs the service.
    if (step.owner !== null) giveTo(target)
  }
}

/** `.dockerignore` keeps everything out but what it names. */
function requireInContext(context: string, source: string): void {
  const lines = readFileSync(join(context, '.dockerignore'), 'utf8').split('\n')
  must(lines.includes('*') && lines.includes(`!${source}`), `.dockerignore lets ${source} through`)
}

function run(line: string, image: Image, { base }: Given): void {
  const rooted = line.replaceAll(/(?<=\s)\/(?=\w)/g, `${image.root}/`)
  const { status } = spawnSync('sh', ['-ec', rooted], { ...surroundings(image, base), stdio: 'inherit' })
  must(status === 0, `RUN ${line}`)
}

/** Where and as whom a command of the image runs; nothing of our own environment comes along but where packages are found. */
function surroundings(image: Image, base: string, more: Record<string, string> = {}) {
  const rooted = Object.entries(image.env).map(([name, value]) => [
    name,
    value.startsWith('/') ? join(image.root, value) : value,
  ])
  const fromUs = Object.entries(process.env).filter(([name]) =>
    /^(npm_config_registry|https?_proxy|NODE_EXTRA_CA_CERTS)$/i.test(name),
  )
  return {
    ...user,
    cwd: join(image.root, image.workdir),
    env: {
      ...Object.fromEntries([...fromUs, ...rooted]),
      PATH: `${base}:${withoutOurs(process.env.PATH ?? '')}`,
      HOME: join(image.root, 'home/node'),
      TMPDIR: join(image.root, 'tmp'),
      ...more,
    },
  }
}

/** The machine's own commands: none that this project's packages brought. */
function withoutOurs(path: string): string {
  const folders = path.split(':').filter((folder) => !folder.includes('node_modules'))
  return folders.join(':')
}

/** What the image has to be before it is started. */
function judge(image: Image, context: string): void {
  must(!['root', '0'].includes(image.user), `the service runs as ${image.user}`)
  must(image.env.NODE_ENV === 'production', 'NODE_ENV is production')
  must(image.volume !== null && image.volume === image.env.REEVE_DATA_DIR, 'the volume is the data directory')
  must(image.ports.includes('3400'), 'the port of the service is exposed')
  const manifest = JSON.parse(readFileSync(join(context, 'package.json'), 'utf8'))
  const modules = join(image.root, image.workdir, 'node_modules')
  const has = (name: string) => existsSync(join(modules, name))
  for (const name of Object.keys(manifest.dependencies)) must(has(name), `${name} is in the image`)
  // What is optional is wanted, but for the copies of Node.
  const [copiesOfNode, optional] = partition(Object.keys(manifest.optionalDependencies), (name) =>
    name.startsWith('node-'),
  )
  for (const name of optional) must(has(name), `${name} is in the image`)
  for (const name of [...Object.keys(manifest.devDependencies), ...copiesOfNode]) {
    // A package may be there because one that runs needs it.
    if (has(name)) must(!isOnlyOurs(name, context), `${name} is not in the image`)
  }
  closeToWriting(join(image.root, image.workdir))
}

function partition(names: readonly string[], isFirst: (name: string) => boolean): readonly [string[], string[]] {
  return [names.filter(isFirst), names.filter((name) => !isFirst(name))]
}

/** Whether the lock file has a package for development alone. */
function isOnlyOurs(name: string, context: string): boolean {
  const { packages } = JSON.parse(readFileSync(join(context, 'package-lock.json'), 'utf8'))
  const entry = packages[`node_modules/${name}`]
  return entry?.dev === true || entry?.optional === true || entry?.devOptional === true
}

/** Starts the image as an engine would: wrongly, rightly, and once more on the same data. */
async function live(image: Image, base: string): Promise<void> {
  const bare = spawnSync(image.cmd[0] ?? '', image.cmd.slice(1), { ...surroundings(image, base), encoding: 'utf8' })
  must(bare.status === EXIT_CONFIG, `without a public URL it ends with ${EXIT_CONFIG}: ${bare.stderr.trim()}`)

  const kek = join(scratch, 'kek')
  writeFileSync(kek, `${randomBytes(32).toString('hex')}\n`, { mode: 0o600 })
  giveTo(kek)
  const settings = {
    REEVE_PUBLIC_URL: 'https://reeve.example.com',
    REEVE_KEK: `file:${kek}`,
    REEVE_PORT: String(await freePort()),
  }
  const before = listing(image)
  for (const time of ['for the first time', 'again on the same data']) {
    await liveOnce(image, surroundings(image, base, settings), time)
  }
  const after = listing(image)
  const changed = [...after].filter(([path, stamp]) => before.get(path) !== stamp).map(([path]) => path)
  must(changed.length === 0, `nothing is written outside of the volume${changed.map((path) => ` ${path}`).join('')}`)
  must(globSync('**', { cwd: join(image.root, image.volume ?? '') }).length > 1, 'the data is in the volume')
}

async function liveOnce(image: Image, where: ReturnType<typeof surroundings>, time: string): Promise<void> {
  const child = spawn(image.cmd[0] ?? '', image.cmd.slice(1), { ...where, stdio: 'inherit' })
  const ended = once(child, 'exit')
  try {
    const startedMs = performance.now()
    for (;;) {
      const [command = '', ...args] = image.healthcheck
      if (spawnSync(command, args, where).status === 0) break
      const isLate = performance.now() - startedMs > STARTING_MAX_MS
      if (child.exitCode !== null || isLate) throw new Error(`it does not get well, ${time}`)
      await sleep(200)
    }
    console.log(`  well ${time} after ${Math.round(performance.now() - startedMs)} ms`)
    must(uidOf(child.pid) !== 0, `the service runs as user ${uidOf(child.pid)}, who is not root`)
    const stoppedMs = performance.now()
    child.kill(image.stopSignal)
    const force = setTimeout(() => child.kill('SIGKILL'), STOPPING_MAX_MS)
    const [code] = await ended
    clearTimeout(force)
    must(code === 0, `it ends with 0 within ${STOPPING_MAX_MS} ms of ${image.stopSignal}`)
    console.log(`  ended by ${image.stopSignal} after ${Math.round(performance.now() - stoppedMs)} ms`)
  } finally {
    child.kill('SIGKILL')
  }
}

/** Whose process it is, where the system says so. */
function uidOf(pid: number | undefined): number {
  const status = `/proc/${pid}/status`
  if (!existsSync(status)) return user.uid ?? process.getuid?.() ?? Number.NaN
  return Number(/^Uid:\t([0-9]+)/m.exec(readFileSync(status, 'utf8'))?.[1])
}

/** Every file of an image but those of its volume, with what would change if it were written to. */
function listing({ root, volume }: Image): Map<string, string> {
  const paths = globSync(['**', '**/.*'], { cwd: root }).filter((path) => !`/${path}`.startsWith(`${volume}`))
  return new Map(
    paths.map((path) => {
      const { size, mtimeMs, mode } = lstatSync(join(root, path))
      return [path, `${size} ${mtimeMs} ${mode}`]
    }),
  )
}

/** Makes a folder, and gives it and what is above it to who runs the steps. */
function ownFolder(path: string): void {
  mkdirSync(path, { recursive: true })
  for (let each = path; relative(scratch, each) !== ''; each = dirname(each)) giveTo(each)
}

function giveTo(path: string): void {
  if (user.uid !== undefined) chownSync(path, user.uid, user.gid ?? user.uid)
}

/** As in the image, where the code belongs to root. */
function closeToWriting(folder: string): void {
  if (isRoot) execFileSync('chown', ['-R', '0:0', folder])
  execFileSync('chmod', ['-R', 'a-w', folder])
}

function idOf(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'nobody'], { encoding: 'utf8' }))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`this does not hold: ${what}`)
  console.log(`  ✓ ${what}`)
}
