/** The stories of governance as they are read, and each of them against a model that knows nothing of the house. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ACTIONS } from '../../src/policy/roles.ts'
import { parseStories, readStories, StoryError, tell } from '../kit/stories.ts'
import { StoryModel } from '../kit/story-model.ts'

const STORIES = readStories(new URL('../governance/', import.meta.url))

const GOOD = `story: Bob reads
because: it has to begin somewhere
community: Gardeners
people: bob, carol
spaces:
  moderators: role
  forum: forum open to read and write
happens:
  - alice puts bob into moderators as member from day 2 until day 9
  - alice puts moderators into forum as moderator holding members.read until day 5
  - a moment before day 3
  - carol leaves the roster
then:
  - bob may read and write in forum
  - carol may not members.ban in forum
  - forum is reached by: alice, bob
  - carol reaches: nothing
  - "bob cannot ban carol from all of Gardeners: Forbidden"
later:
  - happens:
      - on day 9
    then:
      - bob reaches: nothing
`

describe('a story', () => {
  it('is read into what happens and what is then so', () => {
    const [story] = parseStories('a.yaml', GOOD)
    const day = 86_400_000
    expect(story).toMatchObject({
      says: 'Bob reads',
      communities: new Map([['Gardeners', 'alice']]),
      people: ['alice', 'bob', 'carol'],
      spaces: [
        { name: 'moderators', kind: 'role', community: 'Gardeners', publicFor: [] },
        { name: 'forum', kind: 'forum', community: 'Gardeners', publicFor: ['read', 'write'] },
      ],
    })
    expect(story?.turns[0]?.happens).toMatchObject([
      {
        line: 9,
        deed: { does: 'putPerson', who: 'bob', into: 'moderators', role: 'member', since: day, until: 8 * day },
      },
      { deed: { does: 'putSpace', from: 'moderators', role: 'moderator', holding: 'members.read', since: null } },
      { clock: 2 * day - 1 },
      { deed: { by: 'carol', does: 'leave', space: 'the roster of Gardeners' } },
    ])
    expect(story?.turns[0]?.truths).toMatchObject([
      { kind: 'may', who: 'bob', allowed: true, actions: ['read', 'write'], space: 'forum' },
      { kind: 'may', who: 'carol', allowed: false, actions: ['members.ban'] },
      { kind: 'reachedBy', space: 'forum', people: ['alice', 'bob'] },
      { kind: 'reaches', who: 'carol', spaces: [] },
      { kind: 'cannot', code: 'Forbidden', deed: { does: 'ban', scope: { community: 'Gardeners' } } },
    ])
    expect(story?.turns[1]).toMatchObject({ happens: [{ clock: 8 * day }], truths: [{ line: 23 }] })
  })

  const swap = (from: string, to: string) => GOOD.replace(from, to)
  it.each([
    ['a sentence with an unknown word', 10, swap('puts moderators', 'shoves moderators'), 'no sentence'],
    ['a person nobody introduced', 14, swap('bob may read', 'bbo may read'), '"bbo"'],
    ['a space nobody introduced', 16, swap('forum is reached', 'form is reached'), '"form"'],
    ['a person put for a space', 16, swap('forum is reached', 'bob is reached'), '"bob"'],
    ['somebody who is never spoken of', 4, swap('bob, carol', 'bob, carol, dave'), '"dave"'],
    ['a space that is never spoken of', 8, swap('happens:', '  attic: role\nhappens:'), '"attic"'],
    ['a name introduced twice', 4, swap('bob, carol', 'bob, carol, bob'), 'twice'],
    ['a person who is called like a space', 6, swap('  moderators: role', '  bob: role'), 'twice'],
    ['a person called nobody', 4, swap('bob, carol', 'bob, carol, nobody'), 'no name'],
    ['an unknown role', 9, swap('as member', 'as boss'), '"boss"'],
    ['an unknown action', 15, swap('members.ban', 'members.hug'), '"members.hug"'],
    ['an unknown action to hold', 10, swap('holding members.read', 'holding members.hug'), '"members.hug"'],
    ['a person who is put holding something', 9, swap('as member', 'as member holding read'), 'no sentence'],
    ['an unknown refusal', 18, swap('Forbidden', 'Nope'), '"Nope"'],
    ['a refusal without a name', 18, swap(': Forbidden', ''), 'no sentence'],
    ['a refusal among what happens', 12, swap('carol leaves', 'carol cannot leave'), 'no sentence'],
    ['a deed among what is so', 17, swap('carol reaches: nothing', 'carol leaves forum'), 'no sentence'],
    ['an unknown community', 18, swap('all of Gardeners', 'all of Bakers'), '"Bakers"'],
    ['a day that is none', 11, swap('before day 3', 'before day zero'), 'no sentence'],
    ['a term that ends nowhere', 10, swap('until day 5', 'until later'), 'no sentence'],
    ['an unknown kind of space', 6, swap('moderators: role', 'moderators: roll'), '"roll"'],
    ['a role space that is public', 6, swap('moderators: role', 'moderators: role open to read'), 'no kind'],
    ['an unknown key', 2, swap('because:', 'cause:'), '"cause"'],
    ['an unknown key in a turn', 20, swap('  - happens:', '  - hapens:'), '"hapens"'],
    ['no reason', 1, swap('because: it has to begin somewhere\n', ''), '"because" is missing'],
    ['no title', 1, swap('story: Bob reads\n', ''), '"story" is missing'],
    ['no community', 1, swap('community: Gardeners\n', ''), 'either'],
    ['both kinds of communities', 1, swap('community: Gardeners', 'community: A\ncommunities: { B: bob }'), 'either'],
    ['a community without a name', 1, swap('community: Gardeners', 'community: gardeners'), 'no name'],
    ['no truth', 1, GOOD.slice(0, GOOD.indexOf('then:')), 'no "then"'],
    ['no truth later', 20, GOOD.slice(0, GOOD.lastIndexOf('    then:')), 'no "then"'],
    ['a key twice', 13, swap('then:', 'people: eve\nthen:'), 'unique'],
    [
      'words where a list belongs',
      14,
      `${GOOD.slice(0, GOOD.indexOf('then:'))}then:\n  bob reaches nothing\n`,
      'a list',
    ],
    [
      'two sentences in one',
      17,
      swap('carol reaches: nothing', 'carol reaches: nothing\n    bob reaches: nothing'),
      'one sentence',
    ],
    ['an empty list', 17, swap('carol reaches: nothing', 'carol reaches:'), 'words'],
    ['broken YAML', 4, swap('bob, carol', '"bob, carol'), ''],
    ['nothing at all', 1, '', 'no story'],
  ])('with %s is an error in line %i', (_, line, text, says) => {
    let fault: unknown
    try {
      parseStories('wrong.yaml', text)
    } catch (error) {
      fault = error
    }
    expect(fault).toBeInstanceOf(StoryError)
    expect(String(fault)).toContain(`wrong.yaml:${line} `)
    expect(String(fault)).toContain(says)
  })

  it('of two communities says whose roster it means', () => {
    const text = GOOD.replace('community: Gardeners', 'communities: { Gardeners: alice, Bakers: bella }')
      .replace('moderators: role', 'moderators: role of Bakers')
      .replace('forum: forum open', 'forum: forum of Gardeners open')
    expect(() => parseStories('a.yaml', text)).toThrow('a.yaml:12 of which community?')
    const [story] = parseStories('a.yaml', text.replace('the roster', 'the roster of Bakers'))
    expect(story?.people).toEqual(['alice', 'bella', 'bob', 'carol'])
    expect(() => parseStories('a.yaml', text.replace('role of Bakers', 'role'))).toThrow('a.yaml:6 of which')
  })

  it('that is false is told sentence by sentence', async () => {
    const [story] = parseStories('a.yaml', GOOD)
    if (!story) throw new Error('the story is gone')
    expect(await tell(story, new StoryModel(story))).toEqual([
      'a.yaml:12 carol leaves the roster — NotFound',
      'a.yaml:18 bob cannot ban carol from all of Gardeners: Forbidden — NotFound',
    ])
    const [other] = parseStories('a.yaml', GOOD.replace('reached by: alice, bob', 'reached by: nobody'))
    if (!other) throw new Error('the story is gone')
    expect(await tell(other, new StoryModel(other))).toContain(
      'a.yaml:16 forum is reached by: nobody — it is alice, bob',
    )
  })
})

describe('the stories of governance', () => {
  it('are many, and each has a name of its own', () => {
    expect(STORIES.length).toBeGreaterThanOrEqual(48)
    expect(new Set(STORIES.map(({ says }) => says)).size).toBe(STORIES.length)
  })

  it('are explained by an example that is true, and with every action there is', async () => {
    const paper = readFileSync(new URL('../governance/README.md', import.meta.url), 'utf8')
    const [, example = ''] = /```yaml\n(.*?)```/s.exec(paper) ?? []
    const [story] = parseStories('README.md', example)
    if (!story) throw new Error('the example is gone')
    expect(await tell(story, new StoryModel(story))).toEqual([])
    expect(ACTIONS.filter((action) => !paper.includes(`\`${action}\``))).toEqual([])
  })

  it.each(STORIES.map((story) => [story.says, story] as const))('%s', async (_, story) => {
    expect(await tell(story, new StoryModel(story))).toEqual([])
  })
})
