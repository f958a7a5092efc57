/**
 * What must not compile: a verdict written by hand, changed, or used for something else than it was made for.
 *
 * Nothing here ever runs. `npm run types` reads it, and fails where a line that should be refused is accepted.
 */
import type { deletePersonEdge, savePersonEdge } from '../../src/membership/store.ts'
import type { Did, SpaceName } from '../../src/names.ts'
import type { Grant } from '../../src/policy/decide.ts'
import type { Asking } from '../../src/policy/decide-joining.ts'
import type { Permit } from '../../src/policy/verdict.ts'
import type { insertSettings } from '../../src/space/store.ts'

export function forgeries(space: SpaceName, did: Did, grant: Grant, permit: Permit<'members.add'>) {
  const because = [{ rule: 'authority' }] as const

  // @ts-expect-error a grant is not an object of the right shape
  const written: Grant = { space, did, clientId: null, untilMs: null, because }
  // @ts-expect-error a grant for one person is not made into a grant for another
  const forAnother: Grant = { ...grant, did }
  // @ts-expect-error nor for another space, by way of a copy
  const elsewhere: Grant = Object.assign({}, { ...grant }, { space })
  // @ts-expect-error nor changed in place
  grant.did = did
  // @ts-expect-error a seal can't be put on, under its own name or any other
  const sealed: Grant = { seal: 'grant', space, did, clientId: null, untilMs: null, because }

  // @ts-expect-error a permit is not an object of the right shape
  const permitted: Permit<'members.add'> = { action: 'members.add', actor: did, because }
  // @ts-expect-error a permit of one person is not made into a permit of another
  const byAnother: Permit<'members.add'> = { ...permit, actor: did }
  // @ts-expect-error a permit to add is no permit to remove
  const toRemove: Permit<'members.remove'> = permit
  // @ts-expect-error a permit to do something is no permit to do anything
  const toDoAnything: Permit<'space.delete'> = permit as Permit
  // @ts-expect-error a grant is no permit
  const fromGrant: Permit = grant

  // @ts-expect-error leave to ask for somebody is not an object of the right shape
  const asking: Asking = { space: space.uri, did }

  return [written, forAnother, elsewhere, sealed, permitted, byAnother, toRemove, toDoAnything, fromGrant, asking]
}

type PermitOf<Store extends (...args: never[]) => unknown> = Parameters<Store>[1]

/** What the stores demand: the permit of their own act, not just any. */
export function misuses(add: Permit<'members.add'>, take: Permit<'members.remove'>, make: Permit<'space.create'>) {
  // @ts-expect-error who may add may not therefore remove
  const remover: PermitOf<typeof deletePersonEdge> = add
  // @ts-expect-error who may remove may not therefore add
  const adder: PermitOf<typeof savePersonEdge> = take
  // @ts-expect-error who may add people may not therefore make spaces
  const maker: PermitOf<typeof insertSettings> = add
  const right: PermitOf<typeof insertSettings> = make
  return [remover, adder, maker, right]
}
