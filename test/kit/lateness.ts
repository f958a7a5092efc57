/**
 * How much a busy machine adds to any wait: a test that looks at how long something took, since that is promised, allows for as much more as
 * the machine was late meanwhile.
 */

const EVERY_MS = 20

/** Looks from now on how late timers come in this process. `end` answers how late they were, all together, in milliseconds. */
export function lateness(): { end(): number } {
  let lateMs = 0
  let beforeMs = performance.now()
  const look = () => {
    const nowMs = performance.now()
    lateMs += Math.max(0, nowMs - beforeMs - EVERY_MS)
    beforeMs = nowMs
  }
  const timer = setInterval(look, EVERY_MS)
  return {
    end() {
      look()
      clearInterval(timer)
      return lateMs
    },
  }
}
