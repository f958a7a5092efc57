/** Things that live in one room only, each with its places and the reason: who needs one of them asks that room. */
import { type Import, lineAt, type SourceFile } from '../../kit/source.ts'

interface Rule {
  readonly thing: string
  /** Files, or folders with a slash at the end. */
  readonly places: readonly string[]
  readonly because: string
  readonly find: (file: SourceFile) => readonly Finding[]
}

interface Finding {
  readonly what: string
  readonly line: number
}

/** Every place in the code that matches, comments and texts left out. */
const code =
  (pattern: RegExp) =>
  (file: SourceFile): readonly Finding[] =>
    [...file.code.matchAll(pattern)].map((match) => ({
      what: match[0].trim().replace(/\s+/g, ' '),
      line: lineAt(file.code, match.index),
    }))

const imports =
  (isThing: (taken: Import, file: SourceFile) => boolean) =>
  (file: SourceFile): readonly Finding[] =>
    file.imports
      .filter((taken) => isThing(taken, file))
      .map(({ names, from, line }) => ({ what: `${names.join(', ')} of ${from}`, line }))

const from = (...modules: readonly string[]) =>
  imports((taken) => modules.some((module) => taken.from === module || taken.from.startsWith(`${module}/`)))

/** Names of a module; who takes all of it, or its default, takes these as well. */
const named = (module: string, ...names: readonly string[]) =>
  imports(
    (taken) =>
      (taken.path ?? taken.from.replace(/^crypto$/, 'node:crypto')) === module &&
      taken.names.some((name) => name === '*' || name === 'default' || names.includes(name)),
  )

const either =
  (...finders: readonly Rule['find'][]) =>
  (file: SourceFile): readonly Finding[] =>
    finders.flatMap((find) => find(file))

const bare = (module: string): readonly string[] => [module, module.replace('node:', '')]
const NETWORK = ['net', 'tls', 'dns', 'http', 'https', 'http2', 'dgram', 'quic'].flatMap((name) => bare(`node:${name}`))

const STORES = /\/(?:[\w-]+-)?store\.ts$/

export const RULES: readonly Rule[] = [
  {
    thing: 'the HTTP framework',
    places: ['src/doors/'],
    because: 'HTTP stands apart from what is decided',
    find: imports(
      ({ from: module, path }) => path === null && /^(?:hono|@hono\/)/.test(module) && module !== '@hono/node-server',
    ),
  },
  {
    thing: 'the HTTP server',
    places: ['src/doors/'],
    because: 'who listens and how that ends is one thing',
    find: from('@hono/node-server'),
  },
  {
    thing: 'helpers of the HTTP framework with a history of holes',
    places: [],
    because: 'each decides something about strangers that is decided here by what was measured',
    find: imports(({ from: module }) =>
      /^hono\/(?:jwt|jwk|bearer-auth|basic-auth|csrf|cors|cache|ip-restriction|serve-static|body-limit|cookie)$|node-server\/(?:serve-static|conninfo)/.test(
        module,
      ),
    ),
  },
  {
    thing: 'HTTP status numbers',
    places: [
      'src/doors/',
      'src/platform/outbound.ts',
      'src/platform/xrpc-answer.ts',
      'src/platform/xrpc-post.ts',
      'src/identity/did-documents.ts',
      'src/identity/handle-proofs.ts',
      'src/identity/plc-directory.ts',
      'src/identity/app-metadata.ts',
    ],
    because: 'a no has a name; the doors give it a number. The others read the numbers of answers they receive',
    find: either(
      code(/(?<![\w.])(?:40[0-9]|41[0-9]|42[0-9]|431|451|50[1-5])(?![\w.])/g),
      code(/\bstatus(?:Code)?\b\s*[!=<>:]=*\s*[1-5]\d\d\b/g),
    ),
  },
  {
    thing: 'SQL',
    places: ['src/platform/'],
    because: 'each table is written by one file, which shows every statement about it',
    find: (file) => (STORES.test(file.path) ? [] : from('kysely', 'pg', '@electric-sql/pglite')(file)),
  },
  {
    thing: 'the database drivers',
    places: ['src/platform/'],
    because: 'stores build statements and never dial',
    find: from('pg', '@electric-sql/pglite'),
  },
  {
    thing: 'ciphers',
    places: ['src/keys/', 'src/platform/sealed-words.ts'],
    because:
      'what is kept secret is sealed in keys/; words that callers carry for a while are no secrets of theirs, and have a file',
    find: named('node:crypto', 'createCipheriv', 'createDecipheriv'),
  },
  {
    thing: 'makers and signers of private keys',
    places: ['src/keys/'],
    because: 'keys/ lends signatures, and no key ever leaves it',
    find: named(
      'node:crypto',
      ...['createPrivateKey', 'generateKeyPair', 'generateKeyPairSync', 'generateKey', 'generateKeySync', 'sign'],
      ...['createSign', 'createSecretKey', 'createECDH', 'createDiffieHellman'],
      ...['webcrypto', 'subtle', 'privateDecrypt', 'hkdf', 'hkdfSync', 'scrypt', 'scryptSync', 'pbkdf2', 'pbkdf2Sync'],
    ),
  },
  {
    thing: 'files sealed to people',
    places: ['src/keys/age.ts'],
    because: 'one place knows the library, and what it copies',
    find: from('age-encryption'),
  },
  {
    thing: 'the splitting of secrets',
    places: ['src/keys/shares.ts'],
    because:
      'the library makes a key of whatever it is given; one place knows what has to be looked at before and after',
    find: from('shamir-secret-sharing'),
  },
  {
    thing: 'the sealing of shares',
    places: ['src/keys/share-seal.ts'],
    because: 'one place says to whom and for what a share is sealed, and in which suite',
    find: from('@hpke'),
  },
  {
    thing: 'verification of signatures by a library',
    places: ['src/platform/ecdsa.ts', 'src/platform/jwk.ts'],
    because: 'one place knows about low S, lengths and curves, and one about the keys that apps choose',
    find: either(
      named('node:crypto', 'verify', 'createVerify'),
      named('src/platform/native-es256k.ts', 'nativeEs256k'),
    ),
  },
  {
    thing: 'verification of signatures',
    places: ['src/credential/', 'src/identity/', 'src/keys/', 'src/apps/attestation.ts', 'src/federation/'],
    because: 'whoever verifies decides whom to believe',
    find: either(
      named('src/platform/ecdsa.ts', 'verify', 'verifyBy', 'OPENSSL_ES256K', 'openNativeEs256k'),
      named('src/platform/jwk.ts', 'verifyByJwk'),
    ),
  },
  {
    thing: 'libsecp256k1',
    places: ['src/platform/native-es256k.ts'],
    because: 'it is used once it has proved itself, and nothing secret ever goes near it',
    // A loader of one's own would take packages past every rule here.
    find: from('secp256k1', ...bare('node:module')),
  },
  {
    thing: 'libsecp256k1 by another way than its bindings',
    places: [],
    because: 'the index of the package falls back in silence to slow code with a history of forgeries',
    find: either(
      imports(({ from: module }) => /^secp256k1(?:\/|$)/.test(module) && module !== 'secp256k1/bindings.js'),
      from('elliptic', 'node-gyp-build'),
    ),
  },
  {
    thing: 'the network',
    places: ['src/platform/outbound.ts', 'src/platform/host-lookup.ts', 'src/platform/postgres.ts'],
    because: 'every call goes by the one door that knows which addresses may be called',
    find: either(
      from('undici'),
      // A type can't dial.
      imports(
        ({ from: module, isType }) => !isType && NETWORK.some((one) => module === one || module.startsWith(`${one}/`)),
      ),
      code(/(?<![\w.$])(?:fetch|WebSocket|EventSource|XMLHttpRequest)\s*\(/g),
      code(/\bglobalThis\b/g),
    ),
  },
  {
    thing: 'the keeping of numbers by a library',
    places: ['src/doors/metrics.ts'],
    because: 'one place says what is counted and by which names, so that nothing of a stranger becomes one',
    find: from('prom-client'),
  },
  {
    thing: 'the following of requests by a library',
    places: ['src/platform/open-telemetry.ts'],
    because: 'one place says what is in a span, and it is loaded only where somebody wants traces',
    find: from(
      ...['api', 'core', 'otlp-transformer', 'resources', 'sdk-trace', 'sdk-trace-base'].map(
        (name) => `@opentelemetry/${name}`,
      ),
    ),
  },
  {
    thing: 'the clock and timers',
    places: ['src/platform/'],
    because: 'a clock is handed in, so that a test can stand at exactly the end of a token',
    find: either(
      code(/(?<![\w.$])(?:Date|performance|Temporal)\b/g),
      code(/(?<![\w.$])(?:setTimeout|setInterval|setImmediate)\b/g),
      code(/\bAbortSignal\s*\.\s*timeout\b/g),
      code(/\bprocess\s*\.\s*(?:hrtime|uptime)\b/g),
      from(...['node:timers', 'node:perf_hooks'].flatMap(bare)),
    ),
  },
  {
    thing: 'chance',
    places: ['src/platform/random.ts'],
    because: 'a source is handed in, and there is one good one',
    find: either(
      code(/\bMath\s*\.\s*random\b/g),
      code(/(?<![\w.$])crypto\s*\./g),
      named('node:crypto', 'randomBytes', 'randomUUID', 'randomInt', 'randomFill', 'randomFillSync', 'getRandomValues'),
    ),
  },
  {
    thing: 'the environment',
    places: ['src/platform/config.ts'],
    because: 'one list says which settings there are',
    find: either(
      code(/\bprocess\s*\.\s*(?:env|loadEnvFile)\b/g),
      code(/\bprocess\s*\[\s*['"`]/g),
      from(...bare('node:process')),
    ),
  },
  {
    thing: 'the making of grants and permits',
    places: ['src/policy/'],
    because: 'they exist only as the outcome of a decision; made elsewhere, they would prove nothing',
    find: code(
      /(?<!\bimport\b[^;]{0,200})\bas\s+(?:unknown\s+as\s+)?(?:Grant|Permit)\b|<\s*(?:Grant|Permit<[^>]*>)\s*>\s*[({]|\bpermitFor\b/g,
    ),
  },
  {
    thing: 'printing',
    places: [],
    because: 'the log has a closed list of fields; the tool prints by its terminal, which escapes',
    find: either(code(/\bconsole\b/g), from(...bare('node:console'))),
  },
  {
    thing: 'code from texts',
    places: [],
    because: 'nothing of what strangers send is ever run',
    find: either(
      code(/(?<![\w.$])eval\s*\(|\bnew\s+Function\b/g),
      from(...['node:vm', 'node:child_process'].flatMap(bare)),
    ),
  },
]

const isIn = (path: string, places: readonly string[]): boolean =>
  places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place))

/** What stands where it has no place, one readable line each. */
export const roomFaults = (files: readonly SourceFile[], rules: readonly Rule[] = RULES): readonly string[] =>
  files
    .filter(({ path }) => !path.startsWith('src/lexicons/'))
    .flatMap((file) =>
      rules
        .filter((rule) => !isIn(file.path, rule.places))
        .flatMap((rule) =>
          rule.find(file).map(({ what, line }) => `${file.path}:${line} ${what}: ${rule.thing}; ${rule.because}`),
        ),
    )
