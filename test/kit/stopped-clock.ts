/** A world's clock, made to stand still, so that a test can look at one exact second, and at nothing that comes of how long it takes itself. */
import type { MovableClock } from './world.ts'

/**
 * Stops the clock where it is. From now on only `moveSec` moves it, in either direction; what is answered has it go on as if it
 * had gone all the while, since others who date things have gone on by the clock of the machine.
 */
export function stopClock(clock: MovableClock): () => void {
  const running = { ...clock }
  const startMs = clock.nowMs()
  // Whole, so that what is reckoned from spans of it is what it says: 9,000 ms and not a little less.
  const startMonotonicMs = Math.ceil(clock.monotonicMs())
  let stoppedMs = startMs
  clock.nowMs = () => stoppedMs
  clock.nowSec = () => Math.floor(stoppedMs / 1000)
  clock.monotonicMs = () => startMonotonicMs + Math.max(0, stoppedMs - startMs)
  clock.moveSec = (seconds) => {
    stoppedMs += Math.round(seconds * 1000)
  }
  return () => {
    running.moveSec((stoppedMs - startMs) / 1000)
    Object.assign(clock, running)
  }
}
