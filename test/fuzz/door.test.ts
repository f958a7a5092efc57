/**
 * What the doors read, spoilt: JSON text beside a reader that keeps every member, bodies and queries beside the lexicons as they are
 * written, and the header in which proxies say whom they speak for.
 */
import { globSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parseInput, parseParams } from '../../src/doors/contract.ts'
import type { Door } from '../../src/doors/door.ts'
import { addressReader } from '../../src/doors/rate-buckets.ts'
import { readQuery } from '../../src/doors/request.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { parseStrictJson } from '../../src/platform/strict-json.ts'
import { answerOrRefusal, CANARY, type Dice, fuzz, mutateJson, mutateText, respellJson, SEED } from '../kit/mutate.ts'

const DID = 'did:plc:cccccccccccccccccccccccc'
const SPACE = `at://${DID}/space/com.example.forum/self`

/** A JSON object by the letter of RFC 8259, with every member that is written; null for anything else, a name twice, or too much depth. */
function readPlainly(text: string, maxDepth: number): Record<string, unknown> | null {
  // Half of a character as it is, behind the other half as an escape, would make a whole one.
  if (/\p{Surrogate}/u.test(text)) return null
  let at = 0
  const no = (): never => {
    throw new SyntaxError('no strict JSON')
  }
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0] ?? null
    at += found?.length ?? 0
    return found
  }
  const space = () => take(/[ \t\r\n]*/y)
  const string = (): string => {
    const quoted = take(/"(?:[^"\\\p{Cc}]|[\x7f-\x9f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"/uy) ?? no()
    const value: string = JSON.parse(quoted)
    return /\p{Surrogate}/u.test(value) ? no() : value
  }
  const list = (close: string, item: () => void): void => {
    space()
    if (text[at] === close) at++
    else
      for (;;) {
        item()
        space()
        const mark = text[at++]
        if (mark === close) return
        if (mark !== ',') no()
        space()
      }
  }
  const value = (depth: number): unknown => {
    space()
    if (text[at] === '"') return string()
    if (text[at] !== '{' && text[at] !== '[') {
      const read: unknown = JSON.parse(take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y) ?? no())
      // Past the largest number there is no value that two readers would agree on.
      return typeof read === 'number' && !Number.isFinite(read) ? no() : read
    }
    if (depth === maxDepth) no()
    if (text[at++] === '[') {
      const items: unknown[] = []
      list(']', () => void items.push(value(depth + 1)))
      return items
    }
    const members = new Map<string, unknown>()
    list('}', () => {
      const name = string()
      space()
      if (text[at++] !== ':' || members.has(name) || name === '__proto__') no()
      members.set(name, value(depth + 1))
    })
    return Object.fromEntries(members)
  }
  try {
    const read = value(0)
    space()
    const isObject = typeof read === 'object' && read !== null && !Array.isArray(read)
    return isObject && at === text.length ? (read as Record<string, unknown>) : null
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
}

describe('spoilt JSON', () => {
  it(`is read exactly when a plainer reader finds each member once, and says the same (seed ${SEED})`, async () => {
    const good = {
      ...{ space: SPACE, did: DID, role: 'member', ifRevision: 7, open: true, none: null, '': '', é: '😀' },
      list: [1, 2.5e3, [], {}, { a: { b: ['"', '\\', '{', '}:,'] } }],
    }
    const scraps = [
      '"space":',
      '{"a":',
      '}',
      ']',
      ',"did":""',
      '\\u0061',
      '\\ud800',
      '\\ud83d\\ude00',
      '"__proto__":1,',
      '\\u005f',
    ]
    const spoilt = (dice: Dice): string => {
      const text = JSON.stringify(dice.oneIn(2) ? mutateJson(dice, good) : good) ?? ''
      return dice.pick([
        () => text,
        () => respellJson(dice, text),
        () => respellJson(dice, text),
        () => mutateText(dice, text, scraps),
      ])()
    }
    const words = await fuzz('strict JSON', 8_000, spoilt, (text, ours) => {
      for (const maxDepth of [8, 3]) {
        const read = ours(() => parseStrictJson(text, { maxDepth }))
        expect(read).toEqual(readPlainly(text, maxDepth))
        // Numbers past the largest have no second spelling, so it's the text written again that must be steady.
        const again = JSON.stringify(read)
        if (read) expect(JSON.stringify(parseStrictJson(again, { maxDepth }))).toBe(again)
      }
      return parseStrictJson(text, { maxDepth: 8 }) ? 'read' : 'none'
    })
    expect(words.get('read')).toBeGreaterThan(1_000)
    expect(words.get('none')).toBeGreaterThan(1_000)
  })
})

interface Lexicon {
  readonly type: string
  readonly properties?: Readonly<Record<string, Lexicon>>
  readonly required?: readonly string[]
  readonly items?: Lexicon
  readonly refs?: readonly string[]
  readonly [rule: string]: unknown
}
interface LexiconFile {
  readonly id: string
  readonly defs: Readonly<Record<string, Lexicon & { input?: { schema: Lexicon }; parameters?: Lexicon }>>
}

const LEXICONS = new Map(
  globSync('lexicons/**/*.json').map((path) => {
    const file: LexiconFile = JSON.parse(readFileSync(path, 'utf8'))
    return [file.id, file] as const
  }),
)
const defOf = (nsid: string, name: string) => {
  const def = LEXICONS.get(nsid)?.defs[name]
  if (!def) throw new Error(`no lexicon ${nsid}#${name}`)
  return def
}

/** What a value breaks of a lexicon as it is written; a space between path and rule, nothing when all is kept. */
function faultsOf(nsid: string, schema: Lexicon, value: unknown, path: string): string[] {
  const fault = (isBroken: boolean, rule: string) => (isBroken ? [`${path} ${rule}`] : [])
  const {
    minLength = 0,
    maxLength = Infinity,
    maxGraphemes = Infinity,
    minimum = -Infinity,
    maximum = Infinity,
  } = schema as Record<string, unknown>
  if (schema.type === 'string') {
    if (typeof value !== 'string') return fault(true, 'is no text')
    const bytes = Buffer.byteLength(value)
    const graphemes = [...new Intl.Segmenter().segment(value)].length
    return [
      ...fault(bytes < Number(minLength) || bytes > Number(maxLength), 'is of another length'),
      ...fault(graphemes > Number(maxGraphemes), 'has too many graphemes'),
      ...fault(schema['format'] === 'did' && !/^did:[a-z]+:[\w.:%-]*[\w.-]$/.test(value), 'is no DID'),
    ]
  }
  if (schema.type === 'integer') {
    return fault(
      !Number.isSafeInteger(value) || Number(value) < Number(minimum) || Number(value) > Number(maximum),
      'is no such number',
    )
  }
  if (schema.type === 'array') {
    if (!Array.isArray(value)) return fault(true, 'is no list')
    return value.flatMap((item, at) => faultsOf(nsid, schema.items ?? schema, item, `${path}/${at}`))
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return fault(true, 'is no object')
  const $type: unknown = Reflect.get(value, '$type')
  if (schema.type === 'union') {
    if (typeof $type !== 'string') return fault(true, 'names no type')
    const ref = schema.refs?.map((one) => (one.startsWith('#') ? nsid + one : one)).find((one) => one === $type)
    const [file = '', name = ''] = ref?.split('#') ?? []
    // A type that the lexicon doesn't name is for the action to refuse.
    return ref === undefined ? [] : faultsOf(file, defOf(file, name), value, path)
  }
  return [
    ...fault($type !== undefined && typeof $type !== 'string', 'has an odd $type'),
    ...(schema.required ?? []).flatMap((name) => fault(!Object.hasOwn(value, name), `lacks ${name}`)),
    ...Object.entries(value).flatMap(([name, inner]) => {
      const member = Object.hasOwn(schema.properties ?? {}, name) ? schema.properties?.[name] : undefined
      if (member === undefined) return fault(name !== '$type', `knows no ${name}`)
      return faultsOf(nsid, member, inner, `${path}/${name}`)
    }),
  ]
}

const doorOf = (nsid: string): Door => {
  const door = DOORS.find(({ method }) => method.nsid === nsid)
  if (!door) throw new Error(`no door ${nsid}`)
  return door
}

const policy = (name: string, more: object = {}) => ({ $type: `com.atproto.simplespace.defs#${name}`, ...more })
const BODIES: readonly (readonly [string, object])[] = [
  [
    'community.reeve.member.put',
    {
      space: SPACE,
      did: DID,
      role: 'member',
      since: '2026-01-01T00:00:00Z',
      until: '2026-02-01T00:00:00.000Z',
      idempotencyKey: 'k',
      ifRevision: 3,
    },
  ],
  ['community.reeve.member.remove', { space: SPACE, did: DID, idempotencyKey: 'k', ifRevision: 0 }],
  [
    'community.reeve.space.create',
    {
      community: DID,
      spaceType: 'com.example.forum',
      skey: 'self',
      name: 'Forum',
      readPolicy: policy('memberListPolicy'),
      writePolicy: policy('managingAppPolicy', { managingApp: DID }),
      appAccess: policy('allowList', { allowed: ['https://app.example'] }),
    },
  ],
  [
    'community.reeve.community.mint',
    {
      name: 'Village',
      handle: 'village.example.com',
      idempotencyKey: 'k',
      custody: { $type: 'community.reeve.community.mint#custodial' },
    },
  ],
]

describe('a spoilt body', () => {
  it(`is taken only when the lexicon, read as it is written, allows every member of it (seed ${SEED})`, async () => {
    const values = [
      SPACE,
      DID,
      CANARY,
      policy('open'),
      policy('publicPolicy'),
      policy('elsewhere', { x: 1 }),
      'com.example.forum',
      1,
      0,
    ]
    const names = BODIES.flatMap(([, body]) => Object.keys(body)).concat('untill', 'managingApp', 'allowed')
    const spoilt = (dice: Dice) => {
      const [nsid, body] = dice.pick(BODIES)
      return { nsid, body: dice.oneIn(12) ? body : mutateJson(dice, body, { names, values }) }
    }
    const words = await fuzz('body', 8_000, spoilt, ({ nsid, body }, ours) => {
      // A body came through the reader of strict JSON before.
      const read = parseStrictJson(JSON.stringify(body) ?? '', { maxDepth: 32 })
      if (read === null) return 'no object'
      const { method } = doorOf(nsid)
      if (method.type !== 'procedure') throw new Error('a query has no body')
      const before = JSON.stringify(read)
      const { answer, refusal } = answerOrRefusal(() => ours(() => parseInput(method, read)), /^InvalidRequest$/)
      expect(JSON.stringify(read)).toBe(before)
      const faults = faultsOf(nsid, defOf(nsid, 'main').input?.schema ?? { type: 'none' }, read, '')
      if (refusal) return faults.length > 0 ? 'refused' : 'refused for its format'
      expect(faults, before).toEqual([])
      expect(answer).toEqual(read)
      return 'taken'
    })
    for (const word of ['taken', 'refused', 'refused for its format'])
      expect(words.get(word), word).toBeGreaterThan(100)
  })
})

const QUERIES: readonly (readonly [string, string])[] = [
  [
    'community.reeve.audit.list',
    `community=${DID}&limit=5&cursor=abc&actor=did%3Aweb%3Aexample.com&subject=${encodeURIComponent(SPACE)}&action=member.put`,
  ],
  ['community.reeve.member.list', `space=${SPACE}&limit=1000&cursor=`],
  [
    'community.reeve.member.check',
    `space=${encodeURIComponent(SPACE)}&did=${DID}&action=read&clientId=https://app.example/x+y`,
  ],
  ['community.reeve.service.describe', ''],
  ['community.reeve.member.put', ''],
]

describe('a spoilt query', () => {
  it(`is taken only with the parameters of the lexicon, each once, and reads the same when written again (seed ${SEED})`, async () => {
    const scraps = [
      ...[
        '&limit=5',
        '&limit=',
        '&limit=0',
        '&limit=1001',
        '&limit=5.0',
        '&limit=0x5',
        '&limit=%205',
        '&limit=1e1',
        '&limit=+5',
        '&limit[]=5',
        '&Limit=5',
      ],
      ...[
        '&cursor=%00',
        '&cursor=%E2%80%AE',
        '&cursor=%C0%80',
        '&cursor=%',
        '&cursor=%ED%A0%80',
        '&x=1',
        '&__proto__=1',
        '&constructor=1',
        '&toString=',
      ],
      ...[`&space=${SPACE}`, `&did=${DID}`, '&', '&&', '=', ';', '#', '?', '+', `&cursor=${CANARY}`],
    ]
    const spoilt = (dice: Dice) => {
      const [nsid, query] = dice.pick(QUERIES)
      return { nsid, query: dice.oneIn(10) ? query : mutateText(dice, query, scraps) }
    }
    const words = await fuzz('query', 10_000, spoilt, ({ nsid, query }, ours) => {
      const { method } = doorOf(nsid)
      const read = () => ours(() => [readQuery(query), parseParams(method, readQuery(query))] as const)
      const { answer } = answerOrRefusal(read, /^InvalidRequest$/)
      if (answer === null) return 'refused'
      const [sent, params] = answer
      const schema = defOf(nsid, 'main').parameters ?? { type: 'params' }
      const names = [...sent.keys()]
      expect(names.filter((name) => !Object.hasOwn(schema.properties ?? {}, name))).toEqual([])
      expect(new Set(names).size, 'one parameter twice').toBe(names.length)
      expect([...sent.values()].join('')).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u)
      expect(faultsOf(nsid, { ...schema, type: 'object' }, params, '')).toEqual([])
      const again = new URLSearchParams(
        Object.entries(params as Record<string, unknown>).map(([name, value]): [string, string] => [
          name,
          String(value),
        ]),
      )
      expect(parseParams(method, readQuery(again.toString()))).toEqual(params)
      return 'taken'
    })
    expect(words.get('taken')).toBeGreaterThan(1_000)
    expect(words.get('refused')).toBeGreaterThan(1_000)
  })
})

describe('a parameter', () => {
  it.each(['limit=&limit=5', 'limit=5&limit=', 'limit=&limit=', 'cursor=&cursor=a', 'cursor=a&cursor=a'])(
    'that is there twice is refused, also when one of the two is empty: %s',
    (twice) => {
      const { method } = doorOf('community.reeve.audit.list')
      const { refusal } = answerOrRefusal(
        () => parseParams(method, readQuery(`community=${DID}&${twice}`)),
        /^InvalidRequest$/,
      )
      expect(refusal).not.toBeNull()
      expect(parseParams(method, readQuery(`community=${DID}&limit=&cursor=`))).toEqual({ community: DID, limit: 50 })
    },
  )
})

describe('a spoilt forwarded header', () => {
  const readAddress = addressReader(['10.0.0.0/8', 'fd00::/8', '127.0.0.1/32'])
  const TRUSTED = ['10.0.0.1', '10.255.255.255', 'fd00::1', '127.0.0.1', '::ffff:10.0.0.2']
  const CLIENTS = [
    '203.0.113.7',
    '198.51.100.9',
    '2001:db8:1:2:3:4:5:6',
    '2001:db8:1:2::',
    '::ffff:203.0.113.7',
    '11.0.0.1',
  ]
  const spoilt = (dice: Dice) => {
    const hops = Array.from({ length: dice.below(30) }, () => dice.pick([...TRUSTED, ...TRUSTED, ...CLIENTS]))
    const header = hops.join(dice.pick([', ', ',', ' , ']))
    return {
      socket: dice.oneIn(4) ? mutateText(dice, dice.pick(CLIENTS)) : dice.pick([...TRUSTED, ...TRUSTED, ...CLIENTS]),
      header: dice.oneIn(2)
        ? header
        : mutateText(dice, header, [
            ...TRUSTED,
            ...CLIENTS,
            'unknown',
            '1.2.3.4:80',
            '[::1]',
            '1',
            '0x7f.1',
            '%eth0',
            'for=1.2.3.4',
          ]),
      client: dice.pick(CLIENTS),
    }
  }

  it(`leads to one plain address, and what stands before the first stranger from the right changes nothing (seed ${SEED})`, async () => {
    const words = await fuzz('forwarded header', 10_000, spoilt, ({ socket, header, client }, ours) => {
      const bucket = ours(() => readAddress(socket, header))
      expect(bucket).toMatch(/^(unknown|\d{1,3}(\.\d{1,3}){3}|[0-9a-f]{1,4}(:[0-9a-f]{1,4}){3})$/)
      // A caller writes what they like; the proxy puts their address behind it.
      for (const proxy of ['10.0.0.1', 'fd00::1']) {
        expect(readAddress(proxy, `${header}, ${client}`)).toBe(readAddress(proxy, client))
        expect(readAddress(proxy, `${header},${client},10.9.9.9`)).toBe(readAddress(proxy, client))
      }
      // Nobody but a proxy is believed about anybody.
      expect(readAddress(client, header)).toBe(readAddress(client, undefined))
      return bucket === readAddress(socket, undefined) ? 'its own' : 'by the header'
    })
    expect(words.get('its own')).toBeGreaterThan(1_000)
    expect(words.get('by the header')).toBeGreaterThan(1_000)
  })
})
