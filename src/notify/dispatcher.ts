/** Tells those who asked of what was written: takes lanes, sends, and notes how far each has got. */

export interface Dispatcher {
  /** Something was written: there may be somebody to tell. Never waits, never throws. */
  rouse(): void
  /** Takes no more lanes, and waits for those under way. */
  stop(): Promise<void>
}

export function openDispatcher(): Dispatcher {
  return { rouse() {}, async stop() {} }
}
