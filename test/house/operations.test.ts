/** What an operator is told at night is true: alerts ask for numbers that there are, the runbook has commands that there are, the list of events is whole. */
import { existsSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { COUNTED_FROM_ZERO, openMetrics } from '../../src/doors/metrics.ts'
import { STATUS_OF_REFUSAL, STATUS_OF_UNAVAILABLE } from '../../src/doors/refusal-to-http.ts'
import { DOORS } from '../../src/doors/xrpc.ts'
import { Sizes } from '../../src/platform/sizes.ts'
import { ROOT, readSources, readText, sourceOf } from '../kit/source.ts'
import {
  alertsOf,
  anchorOf,
  anchorsOf,
  askedBy,
  commandsOf,
  eventsOf,
  listedEvents,
  metricsOn,
  runbookOf,
  scriptsIn,
} from './checks/operations.ts'

const DOC = 'docs/operations.md'
const doc = readText(DOC)
const alerts = alertsOf(readText('ops/alerts.yml'))
const runbook = runbookOf(doc)
const { events, unclear } = eventsOf(readSources('src').filter(({ path }) => path !== 'src/platform/log.ts'))
const listed = listedEvents(doc)
let page: string

beforeAll(async () => {
  const metrics = openMetrics()
  const opened = { engine: 'postgres', connections: () => ({ most: 8, inUse: 1, waiting: 0 }) } as const
  const nothing = { count: 0, oldestAtMs: null }
  const sizes = new Sizes()
  sizes.line('exchanges')(9, () => 1)
  const found = {
    ...{ isDatabaseUp: true, audit: nothing, lanes: nothing, plcWork: nothing, foundings: nothing },
    ...{ spacesToTell: 0, lockedDataKeys: 0, atMs: 0, alarms: new Map([['plcRollback', 1]]) },
  }
  metrics.watch({ version: '0.1.0', opened, sizes, look: async () => found })
  metrics.answered(DOORS[0]?.method.nsid ?? '', '200', 3)
  metrics.workerFailed('seal')
  page = await metrics.page()
})

describe('each alert', () => {
  it('has a name of its own, a weight, a summary, and an entry in the runbook', () => {
    expect(alerts.length).toBeGreaterThan(15)
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length)
    for (const { alert, labels, annotations } of alerts) {
      expect(['page', 'look'], alert).toContain(labels['severity'])
      expect(annotations['summary']?.length, alert).toBeGreaterThan(20)
      expect(annotations['runbook'], alert).toBe(`${DOC}#${anchorOf(alert)}`)
      expect([...runbook.keys()], alert).toContain(alert)
    }
  })

  it('asks for numbers that the page has, by labels that they have', () => {
    const names = metricsOn(page)
    for (const { alert, expr } of alerts) {
      const { metrics, picked, grouped } = askedBy(expr)
      expect(metrics.length, alert).toBeGreaterThan(0)
      expect(
        metrics.filter((name) => !names.includes(name)),
        alert,
      ).toEqual([])
      for (const { metric, label } of picked)
        expect(page, alert).toMatch(new RegExp(`^${metric}\\{[^}]*\\b${label}="`, 'm'))
      for (const label of grouped)
        expect(page, alert).toMatch(new RegExp(`^(?:${metrics.join('|')})\\{[^}]*\\b${label}="`, 'm'))
    }
  })

  it('picks by events, refusals and methods that there are, and by events that are counted from the start', () => {
    const known: Readonly<Record<string, readonly string[]>> = {
      event: COUNTED_FROM_ZERO.map(([, event]) => event),
      outcome: [...Object.keys(STATUS_OF_REFUSAL), ...Object.keys(STATUS_OF_UNAVAILABLE)],
      method: DOORS.map(({ method }) => method.nsid),
      state: ['inUse', 'waiting'],
      kind: ['kept', 'waiting'],
    }
    const picked = alerts.flatMap(({ expr }) => askedBy(expr).picked).filter(({ label }) => label !== 'alarm')
    for (const { label, values } of picked) expect(known[label], label).toEqual(expect.arrayContaining([...values]))
    const alarms = readText('src/community/identity-alarm-store.ts')
    const named = alerts.flatMap(({ expr }) => askedBy(expr).picked).filter(({ label }) => label === 'alarm')
    expect(named.length).toBeGreaterThan(0)
    for (const { values } of named) for (const name of values) expect(alarms).toContain(`| '${name}'`)
  })

  it('that asks for something else is seen', () => {
    const asked = askedBy(
      'sum by (worker, le) (rate(reeve_gone_total{event=~"a|b", x="c"}[5m])) / 1.2e9 > 0 and on (job) up',
    )
    expect(asked.metrics).toEqual(['reeve_gone_total', 'up'])
    expect(asked.grouped).toEqual(['worker'])
    expect(asked.picked).toEqual([
      { metric: 'reeve_gone_total', label: 'event', values: ['a', 'b'] },
      { metric: 'reeve_gone_total', label: 'x', values: ['c'] },
    ])
  })
})

describe('the runbook', () => {
  it('has no entry without an alert that doesn’t say so', () => {
    const others = [...runbook].filter(([heading]) => !alerts.some(({ alert }) => alert === heading))
    expect(others.filter(([, text]) => !text.startsWith('No alert:')).map(([heading]) => heading)).toEqual([])
  })

  it('says of each what it means, what to look at, what to do and what not to do', () => {
    for (const { alert } of alerts) {
      const parts = [...(runbook.get(alert) ?? '').matchAll(/^\*\*(Means|Look|Do|Don't):\*\*/gm)].map(
        ([, part]) => part,
      )
      expect(parts, alert).toEqual(['Means', 'Look', 'Do', "Don't"])
    }
  })

  it('has commands that there are', () => {
    const { scripts } = JSON.parse(readText('package.json'))
    const commands = commandsOf(readSources('src/cli'))
    const run = scriptsIn(doc)
    expect(run.length).toBeGreaterThan(8)
    for (const { script, words } of run) {
      expect(Object.keys(scripts)).toContain(script)
      if (script !== 'reeve' || words.length === 0) continue
      expect(
        commands.some((command) => words.join(' ').startsWith(command)),
        words.join(' '),
      ).toBe(true)
    }
  })

  it('leads to headings that there are', () => {
    const links = [...doc.matchAll(/\]\(([\w./-]*)#([\w-]+)\)/g)].map(([, path = '', anchor = '']) => ({
      path,
      anchor,
    }))
    expect(links.length).toBeGreaterThan(20)
    for (const { path, anchor } of links) {
      const target = path === '' ? DOC : `docs/${path}`
      expect(existsSync(ROOT + target), target).toBe(true)
      expect(anchorsOf(readText(target)), `${target}#${anchor}`).toContain(anchor)
    }
  })
})

describe('the page of numbers', () => {
  it('has no number of ours that is not explained, and none is explained that it doesn’t have', () => {
    const names = metricsOn(page)
    const table = /^\| number \|.*?(?=\n\n)/ms.exec(doc)?.[0] ?? ''
    const explained = [...table.matchAll(/`((?:reeve|process|nodejs)_\w*[a-z])`/g)].map(([, name = '']) => name)
    expect(explained.filter((name) => !names.includes(name))).toEqual([])
    const ours = names.filter((name) => name.startsWith('reeve_') && !/_(?:bucket|sum|count)$/.test(name))
    expect(ours.filter((name) => !explained.includes(name))).toEqual([])
  })

  it('counts from the start what the log can say', () => {
    for (const [level, event] of COUNTED_FROM_ZERO) {
      expect([...events]).toContain(`${level} ${event}`)
      expect(page).toContain(`reeve_log_events_total{level="${level}",event="${event}"} 0`)
    }
  })
})

describe('the list of events', () => {
  it('has every event that the code writes, with its level, and no other', () => {
    expect(listed.map(({ event, level }) => `${level} ${event}`).toSorted()).toEqual([...events].toSorted())
  })

  it('is about events that are plain texts, so that none is made of what a stranger sent', () => {
    expect(unclear).toEqual([])
    expect(events.size).toBeGreaterThan(60)
  })

  it('shows in bold those by which somebody is woken', () => {
    const picked = alerts.flatMap(({ expr }) => askedBy(expr).picked)
    const woken = picked.filter(({ label }) => label === 'event').flatMap(({ values }) => values)
    expect(
      listed
        .filter(({ isBold }) => isBold)
        .map(({ event }) => event)
        .toSorted(),
    ).toEqual([...new Set([...woken, 'identity.alarm'])].toSorted())
  })

  it('would notice an event that is missing, and one that is no plain text', () => {
    const text = `/** A file. */\nlog.warn('a.b', { x: 1 })\nthis.#deps.log.error(\n  'c d',\n)\nlog.info(name)\nlog[level]('e')\n`
    const found = eventsOf([sourceOf('src/space/a.ts', text)])
    expect([...found.events]).toEqual(['warn a.b', 'error c d'])
    expect(found.unclear).toEqual(['src/space/a.ts', 'src/space/a.ts'])
  })
})
