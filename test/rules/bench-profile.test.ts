/** Where a processor profile says that the time went. */
import { expect, it } from 'vitest'
import { lineOfShares, type Profile, sharesOf } from '../../bench/profile.ts'

const HOUSE = 'file:///anywhere/reeve'

/** A call tree, one frame a line: its caller's number, its name, its script, and for how long it ran itself. */
function profileOf(frames: readonly [caller: number | null, name: string, url: string, time: number][]): Profile {
  const nodes = frames.map(([, functionName, url], at) => ({
    id: at + 1,
    callFrame: { functionName, url, scriptId: '0', lineNumber: 0, columnNumber: 0 },
    children: frames.flatMap(([caller], child) => (caller === at ? [child + 1] : [])),
  }))
  return { nodes, samples: nodes.map(({ id }) => id), timeDeltas: [0, ...frames.map(([, , , time]) => time)] }
}

it.each([
  ['doors', `${HOUSE}/src/doors/xrpc-app.ts`],
  ['credential', `${HOUSE}/src/credential/getSpaceCredential.ts`],
  ['membership+policy', `${HOUSE}/src/membership/facts.ts`],
  ['membership+policy', `${HOUSE}/src/policy/decide.ts`],
  ['reeve', `${HOUSE}/src/reeve.ts`],
  ['platform/ecdsa', `${HOUSE}/src/platform/native-es256k.ts`],
  ['platform/sql', `${HOUSE}/src/platform/sql-driver.ts`],
  ['platform/strict-json', `${HOUSE}/src/platform/strict-json.ts`],
  ['pg', `${HOUSE}/node_modules/pg/lib/client.js`],
  ['@hono/node-server', `${HOUSE}/node_modules/@hono/node-server/dist/index.mjs`],
  ['pg-types', `${HOUSE}/node_modules/pg/node_modules/pg-types/index.js`],
  ['node:crypto', 'node:internal/crypto/sig'],
  ['node:http', 'node:_http_server'],
  ['node:net', 'node:net'],
  ['node:net', 'node:internal/stream_base_commons'],
  ['node:other', 'node:internal/process/task_queues'],
  ['bench', `${HOUSE}/bench/served.ts`],
])('time is counted for %s in %s', (stage, url) => {
  expect(
    sharesOf(
      profileOf([
        [null, '(root)', '', 0],
        [0, 'f', url, 5],
      ]),
    ).stages,
  ).toEqual({ [stage]: 1 })
})

it('native code and WebAssembly count for their caller, however deep', () => {
  const profile = profileOf([
    [null, '(root)', '', 0],
    [0, 'verify', `${HOUSE}/src/platform/ecdsa.ts`, 10],
    [1, 'verify', 'node:internal/crypto/sig', 10],
    [2, 'verifyOneShot', '', 40],
    [0, 'exec', `${HOUSE}/node_modules/@electric-sql/pglite/dist/index.js`, 0],
    [4, 'wasm-function[1]', 'wasm://wasm/0123', 30],
    [5, 'fsync', '', 10],
  ])
  expect(sharesOf(profile).stages).toEqual({ 'node:crypto': 0.5, '@electric-sql/pglite': 0.4, 'platform/ecdsa': 0.1 })
})

it('idle time is no share of the work, garbage and the program’s own time are', () => {
  const profile = profileOf([
    [null, '(root)', '', 0],
    [0, '(idle)', '', 60],
    [0, '(garbage collector)', '', 10],
    [0, '(program)', '', 10],
    [0, 'answer', `${HOUSE}/src/doors/answers.ts`, 20],
  ])
  expect(sharesOf(profile)).toEqual({ idle: 0.6, stages: { doors: 0.5, gc: 0.25, program: 0.25 } })
})

it('an empty profile has no shares', () => {
  expect(sharesOf({ nodes: [] })).toEqual({ idle: 0, stages: {} })
  expect(sharesOf(profileOf([[null, '(root)', '', 0]]))).toEqual({ idle: 0, stages: {} })
})

it('the line has the largest first and leaves crumbs out', () => {
  const profile = profileOf([
    [null, '(root)', '', 0],
    [0, 'query', `${HOUSE}/node_modules/pg/lib/client.js`, 39],
    [0, 'verify', 'node:internal/crypto/sig', 60],
    [0, 'crumb', `${HOUSE}/src/names.ts`, 1],
  ])
  expect(lineOfShares(sharesOf(profile))).toBe('node:crypto 60, pg 39')
})
