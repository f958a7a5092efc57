/** A world's clock, made to stand still, so that a test can look at one exact second. */
import type { MovableClock } from './world.ts'

/** Stops the clock where it is. From now on only `moveSec` moves it, in either direction. */
export function stopClock(clock: MovableClock): void {
  let stoppedMs = clock.nowMs()
  const startMs = stoppedMs
  const startMonotonicMs = clock.monotonicMs()
  clock.nowMs = () => stoppedMs
  clock.nowSec = () => Math.floor(stoppedMs / 1000)
  clock.monotonicMs = () => startMonotonicMs + Math.max(0, stoppedMs - startMs)
  clock.moveSec = (seconds) => {
    stoppedMs += seconds * 1000
  }
}
