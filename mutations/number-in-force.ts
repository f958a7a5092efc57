/** Runs before each file of tests, and says which number is another one meanwhile. */
import { inject } from 'vitest'

Object.assign(globalThis, { __number__: inject('changedNumber') })
