/** Rates for the buckets of a house under test: one for all of them, and one that holds nobody back. */
import type { BucketName, Rate } from '../../src/doors/rate-buckets.ts'

const PLENTY = { burst: 1e9, perSec: 1e9 }
/** Buckets of which every one has the same rate. */
export const everyRate = (rate: Rate): Readonly<Record<BucketName, Rate>> => ({
  public: rate,
  governance: rate,
  founding: rate,
  exchange: rate,
  resolution: rate,
  governancePerson: rate,
  foundingPerson: rate,
  exchangePerson: rate,
  notify: rate,
  writerResolution: rate,
  writer: rate,
  spaceWrites: rate,
  hook: rate,
  authority: rate,
  forged: rate,
  connect: rate,
})
export const UNLIMITED = everyRate(PLENTY)
