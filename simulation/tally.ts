/** How often what was asked, and which fault was done: so that it can be seen that there were any. */
export class Tally {
  readonly asked: Record<string, number> = {}
  readonly faults: Record<string, number> = {}

  ask(name: string): void {
    this.asked[name] = (this.asked[name] ?? 0) + 1
  }

  fault(name: string): void {
    this.faults[name] = (this.faults[name] ?? 0) + 1
  }
}

/** All of them together. */
export function sumOf(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sum: Record<string, number> = {}
  for (const one of all) for (const [name, count] of Object.entries(one)) sum[name] = (sum[name] ?? 0) + count
  return Object.fromEntries(Object.entries(sum).toSorted(([a], [b]) => a.localeCompare(b)))
}
