/** How those who asked are told of writes where somebody would have others wait: no sockets, receivers are played. */
import { sql } from 'kysely'
import { expect, it } from 'vitest'
import { Graphs } from '../../src/membership/graph.ts'
import type { Did } from '../../src/names.ts'
import { openDispatcher } from '../../src/notify/dispatcher.ts'
import { silentLog } from '../../src/platform/log.ts'
import { SealedWords } from '../../src/platform/sealed-words.ts'
import { describeOnEachEngine } from '../kit/databases.ts'
import { addRegistration, noteWrite } from '../kit/lanes.ts'
import { freshDid, makeForum, openCommunity, rollOn } from '../kit/roll.ts'
import { eventually } from '../kit/waiting.ts'

describeOnEachEngine('lanes beside many others', (open) => {
  it('are looked at however many wait for one host before them, and however fast it answers', async () => {
    const { db } = await open()
    const roll = rollOn(db)
    const [bad, good] = [await openCommunity(roll), await openCommunity(roll)]
    const [crowded, quiet] = [await makeForum(roll, bad, 'crowded'), await makeForum(roll, good, 'quiet')]
    const calls: string[] = []
    const dispatcher = openDispatcher({
      ...roll,
      log: silentLog,
      graphs: new Graphs(),
      words: new SealedWords('an instance'),
      vault: { signServiceAuth: async () => 'a token' },
      sponsorWords: { of: async () => null },
      documents: {
        resolve: async (did: Did) =>
          ({
            service: () => ({
              type: 'Sync',
              endpoint: `https://${did.startsWith('did:web:m') ? 'many' : 'one'}.example`,
            }),
          }) as never,
      },
      deliveries: {
        mayCall: () => true,
        request: async ({ url }) => {
          calls.push(new URL(url).host)
          return { status: 200, contentType: '', body: new Uint8Array() }
        },
        close: async () => {},
      },
    })
    const at = { db, nowMs: roll.clock.nowMs() }
    const many = { service: 'did:web:m.example#sync', url: 'https://many.example' }
    const one = { service: 'did:web:o.example#sync', url: 'https://one.example' }
    const first = await addRegistration(at, {
      space: crowded,
      syncer: many,
      sponsors: [{ did: bad.founder }],
      after: 0,
    })
    await sql`insert into registration (space, community, service, host, registered_at_ms, expires_at_ms,
        delivered_rev, checked_revision, checked_at_ms)
      select space, community, 'did:web:m' || n || '.example#sync', host, registered_at_ms, expires_at_ms,
        delivered_rev, checked_revision, checked_at_ms
      from registration, generate_series(1, 1300) as n where id = ${first}`.execute(db)
    await sql`insert into registration_sponsor (registration, did, client_id, since_ms)
      select id, ${bad.founder}, '', 0 from registration where id <> ${first}`.execute(db)
    const asked = { space: quiet, syncer: one, sponsors: [{ did: good.founder }], after: 0 }
    const last = await addRegistration(at, asked)
    await sql`update registration set look_at_ms = 1 where id = ${last}`.execute(db)
    await noteWrite(at, crowded, freshDid())
    await noteWrite(at, quiet, freshDid())
    dispatcher.rouse()
    await eventually('it is told', async () => calls.includes('one.example'))
    expect(calls.indexOf('one.example'), 'calls before it').toBeLessThan(20)
    await dispatcher.stop()
  })
})
