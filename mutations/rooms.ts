/**
 * What is mutated, and by which tests it is judged: what decides, what parses what strangers send, and what holds keys together. The
 * tests are those next to it, which run within a second or two: each mutant is put to all of them that reach it.
 */

export interface Room {
  /** Each is the whole of a rule, or of a parser: what asks a database or opens a socket is judged by slower tests, and isn't mutated. */
  readonly files: readonly string[]
  /** What is quick and notices most comes first. */
  readonly judges: readonly string[]
}

const rules = (...names: readonly string[]): readonly string[] => names.map((name) => `test/rules/${name}.test.ts`)
const verdicts = (...names: readonly string[]): readonly string[] => names.map((name) => `src/policy/${name}.ts`)
const room = (files: readonly string[], judges: readonly string[]): Room => ({ files, judges })

/** In the order in which they are mutated: what is small and decides first. */
export const ROOMS: Readonly<Record<string, Room>> = {
  // What a person and an app may.
  'policy-apps': room(verdicts('apps', 'decide-apps'), rules('apps')),
  'policy-hook': room(verdicts('hook'), rules('hook')),
  'policy-roles': room(verdicts('roles'), rules('roles')),
  'policy-verdicts': room(
    verdicts('verdict', 'decide-credentials', 'decide-spaces', 'decide-joining', 'decide-roles'),
    rules('verdicts', 'deciding'),
  ),
  'policy-decide': room(verdicts('decide'), rules('verdicts', 'deciding')),
  'policy-bounds': room(verdicts('bounds'), rules('verdicts', 'deciding', 'joining')),
  'policy-standing': room(
    verdicts('standing', 'roster-graph', 'ways'),
    rules('standing', 'verdicts', 'explain', 'decide'),
  ),
  'policy-explain': room(verdicts('explain', 'paths'), rules('explain', 'standing')),
  // How a secret lies at rest, and a key in shares.
  envelope: room(['src/keys/envelope.ts'], rules('envelope')),
  shares: room(['src/keys/shares.ts'], rules('shares')),
  packets: room(['src/keys/share-packet.ts', 'src/keys/share-seal.ts'], rules('share-packet', 'share-seal')),
  combining: room(['src/keys/combining.ts'], rules('combining')),
  // What strangers sign.
  json: room(['src/platform/strict-json.ts', 'src/platform/compact-jws.ts'], rules('strict-json', 'compact-jws')),
  claims: room(['src/platform/jwt-claims.ts'], rules('jwt-claims')),
  delegation: room(['src/credential/delegation.ts', 'src/identity/did-signature.ts'], rules('delegation')),
  'service-auth': room(['src/identity/service-auth.ts'], rules('service-auth')),
  dpop: room(['src/credential/dpop.ts', 'src/credential/token-classes.ts'], rules('dpop')),
  'http-signature': room(['src/credential/http-signature.ts'], rules('http-signature')),
  attestation: room(['src/apps/attestation.ts'], rules('attestation')),
  jwk: room(['src/platform/jwk.ts'], rules('jwk')),
  ecdsa: room(['src/platform/ecdsa.ts', 'src/platform/multikey.ts'], rules('ecdsa', 'did-document')),
  // What a directory says of an identity, and what may be said there.
  'plc-log': room(['src/identity/plc-operation.ts', 'src/identity/plc-log.ts'], rules('plc-operation', 'plc-log')),
  'plc-course': room(['src/identity/plc-course.ts'], rules('plc-course', 'plc-departure')),
  'plc-builder': room(
    ['src/community/plc-builder.ts', 'src/community/plc-departure.ts'],
    rules('plc-builder', 'plc-departure'),
  ),
  // Whom this service calls.
  outbound: room(['src/platform/addresses.ts'], rules('addresses')),
}
