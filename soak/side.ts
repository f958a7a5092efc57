/** A process of a soak, which takes orders and reports. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

const PATIENCE_MS = 120_000

export class Side<Order extends object, Report extends { readonly kind: string }> {
  readonly #child: ChildProcess
  /** What it wrote. */
  readonly output: string[] = []

  /** `path` beside this file. */
  constructor(
    path: string,
    { args = [], env = {}, execArgv = [] }: { args?: string[]; env?: NodeJS.ProcessEnv; execArgv?: string[] } = {},
  ) {
    const all = { PATH: process.env['PATH'], ...env }
    const stdio = ['ignore', 'pipe', 'inherit', 'ipc'] as const
    this.#child = fork(new URL(path, import.meta.url), args, { env: all, execArgv, stdio: [...stdio] })
    this.#child.stdout?.on('data', (chunk: Buffer) => this.output.push(chunk.toString()))
  }

  order(order: Order): void {
    this.#child.send(order)
  }

  /** The next report of a kind. Rejects when the process ends before, or says nothing for so long. */
  report<K extends Report['kind']>(kind: K, patienceMs = PATIENCE_MS): Promise<Extract<Report, { kind: K }>> {
    const child = this.#child
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(limit)
        child.off('message', hear)
        child.off('exit', ended)
      }
      const fail = (says: string) => {
        leave()
        reject(new Error(`a process of the soak ${says} before it was ${kind}`))
      }
      const hear = (report: Report) => {
        if (report.kind !== kind) return
        leave()
        resolve(report as Extract<Report, { kind: K }>)
      }
      const ended = (code: number | null) => fail(`ended with ${code}`)
      const limit = setTimeout(() => fail('said nothing'), patienceMs)
      child.on('message', hear)
      child.on('exit', ended)
    })
  }

  ask<K extends Report['kind']>(order: Order, kind: K): Promise<Extract<Report, { kind: K }>> {
    const answered = this.report(kind)
    this.order(order)
    return answered
  }

  async end(order: Order): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.order(order)
    await ended
  }
}
