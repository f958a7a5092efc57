/**
 * The pages for a community's admin, walked as a newcomer walks them: their lines are run by a shell, in their order, against a
 * PDS and a Reeve, and what is answered is what the page says. `UPDATE_GOLDEN=1` writes the answers into the page.
 */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { type Network, openNetwork } from '../../demo/network.ts'

const pathOf = (page: string) => fileURLToPath(new URL(`../../docs/${page}`, import.meta.url))
/** A block of lines for the shell, and the answer that the page shows below it. */
const BLOCK = /```sh\n(?<lines>[\s\S]*?)```\n(?:\n```text\n(?<answer>[\s\S]*?)```\n)?/g
const NEXT = '----- next -----'

/** Runs the page's lines in one shell; what each block printed. */
async function walk({ pds, reeve, alice }: Network, blocks: readonly string[]): Promise<readonly string[]> {
  const script = blocks.map((lines) => `${lines}\necho\necho '${NEXT}'\n`).join('')
  const { password, handle } = alice
  const PATH = `${fileURLToPath(new URL('../../node_modules/.bin', import.meta.url))}:${process.env.PATH}`
  const env = { PATH, PDS: pds.url, REEVE: `${reeve.did}#reeve`, HANDLE: handle, PASSWORD: password }
  const { stdout, stderr } = await promisify(execFile)(
    'bash',
    ['--noprofile', '--norc', '-euo', 'pipefail', '-c', script],
    { env },
  )
  expect(stderr).toBe('')
  return stdout.split(`${NEXT}\n`).slice(0, -1)
}

/** What differs each time is written as `…`. A list of people is in the order of their DIDs, and so in another one each time. */
function readable(answer: string, people: Readonly<Record<string, string>>): string {
  let text = answer.trim()
  for (const [name, did] of Object.entries(people)) text = text.replaceAll(did, `did:plc:${name}…`)
  text = text.replace(/'[0-9]{4}-[0-9T:.-]+Z'/g, "'…'").replace(/at: '[^']*'/g, "at: '…'")
  return text.startsWith('did:plc:') ? text.split('\n').sort().join('\n') : text
}

/** Walks a page from its beginning to its end; what each block of it printed, and what the page says that it prints. */
async function walkPage(name: string): Promise<{ answers: readonly string[]; told: readonly string[] }> {
  await using cleanup = new AsyncDisposableStack()
  const network = await openNetwork(cleanup, { isVerbose: false })
  const page = await readFile(pathOf(name), 'utf8')
  const blocks = [...page.matchAll(BLOCK)]
  const printed = await walk(
    network,
    blocks.map(({ groups }) => groups?.lines ?? ''),
  )
  const community = printed.join('').match(/did:plc:[a-z2-7]{24}(?=\/space\/)/)?.[0] ?? ''
  const { alice, bob, carol } = network
  const people = { gardeners: community, alice: alice.did, bob: bob.did, carol: carol.did }
  const answers = printed.map((text) => readable(text, people))
  if (process.env.UPDATE_GOLDEN === '1') await writeFile(pathOf(name), withAnswers(page, answers))
  return { answers, told: blocks.map(({ groups }) => (groups?.answer ?? '').trim()) }
}

function withAnswers(page: string, answers: readonly string[]): string {
  let nth = 0
  return page.replace(BLOCK, (_block, lines: string) => {
    const answer = answers[nth++]
    return `\`\`\`sh\n${lines}\`\`\`\n${answer ? `\n\`\`\`text\n${answer}\n\`\`\`\n` : ''}`
  })
}

it('the first community is founded, governed and explained as its page says', async () => {
  const { answers, told } = await walkPage('first-community.md')
  expect(answers).toEqual(told)
  expect(answers.join('\n')).not.toContain('error:')
  expect(answers.at(-1)).toContain('true')
})

it('apps are shut out and let in as their page says', async () => {
  const { answers, told } = await walkPage('apps.md')
  expect(answers).toEqual(told)
  expect(answers.join('\n')).not.toContain('error:')
})
