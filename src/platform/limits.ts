/** How big anything may be and how long anything may take. Each number stands here once; what follows from it is derived. */

/** Request headers as a whole, as Node counts them. */
export const HEADERS_MAX_BYTES = 16 * 1024
export const HEADERS_MAX_COUNT = 64
/** From the first byte of a request to the end of its headers, and to the end of its body. */
export const HEADERS_TIMEOUT_MS = 10_000
export const REQUEST_TIMEOUT_MS = 15_000
/** How long a connection is kept for the next request. Longer, and a few callers could hold all places at no cost. */
export const KEPT_IDLE_MS = 5_000
/** Open connections to one process. */
export const CONNECTIONS_MAX = 2_000
/** A request body, unless its door says less. */
export const BODY_MAX_BYTES = 64 * 1024
/** Objects within objects in a request body. */
export const JSON_MAX_DEPTH = 32
/** One compact JWS. */
export const TOKEN_MAX_CHARS = 8_192
/** `Signature-Input` and `Signature`, each, after joining its lines. */
export const SIGNATURE_HEADER_MAX_CHARS = 8_192
/** A DPoP proof: a P-256 JWK, six claims and a signature fit well inside. */
export const DPOP_PROOF_MAX_CHARS = 2_048

/** Documents that strangers serve, counted after decompression, and the time until their last byte. */
export const DID_DOCUMENT_MAX_BYTES = 64 * 1024
export const DID_FETCH_TIMEOUT_MS = 3_000
/** What stands at a handle's well-known place: one DID, and perhaps a line feed. */
export const HANDLE_DID_MAX_BYTES = 512
/** The PLC directory: a log of some hundred operations fits. */
export const PLC_LOG_MAX_BYTES = 1024 * 1024
export const PLC_TIMEOUT_MS = 10_000

/** How long a DID document is believed, how long at the very most, and how rarely a caller can make us fetch it anew. */
export const DID_FRESH_SEC = 300
export const DID_HARD_SEC = 900
export const DID_FORCED_REFRESH_FLOOR_SEC = 30
export const DID_NEGATIVE_SEC = 30
export const DID_CACHE_MAX_ENTRIES = 50_000
export const DID_CACHE_MAX_BYTES = 32 * 1024 * 1024

/** What an app's host serves about the app: metadata, keys, and the time until the last byte of each. */
export const APP_METADATA_MAX_BYTES = 32 * 1024
export const APP_KEYS_MAX_BYTES = 64 * 1024
export const APP_FETCH_TIMEOUT_MS = 3_000
/**
 * How long an app's keys are believed, how long while its host can't be asked, and how rarely a caller can make us fetch them anew.
 * A key that an app takes back can be used against it for as long as the first.
 */
export const APP_FRESH_SEC = 600
export const APP_HARD_SEC = 3_600
export const APP_REFRESH_FLOOR_SEC = 60
export const APP_NEGATIVE_SEC = 30
export const APP_CACHE_MAX_ENTRIES = 5_000
export const APP_CACHE_MAX_BYTES = 16 * 1024 * 1024

/** Callers remembered for each kind of rate bucket; whoever is forgotten starts with a full one. */
export const RATE_BUCKETS_MAX = 20_000
/** The longest wait that a 429 suggests. */
export const RETRY_AFTER_MAX_SEC = 3_600

/** A claim on single use outlives the last moment at which the token would be accepted by this much. */
export const SPENT_MARGIN_SEC = 60

/** One statement of ours in PostgreSQL. */
export const STATEMENT_TIMEOUT_MS = 3_000
