/**
 * JSON objects as one meaning each: refuses repeated keys, nesting beyond a limit, `__proto__`, lone surrogates, and numbers
 * beyond all bounds.
 *
 * `JSON.parse` keeps the last of two equal keys. Whoever reads the first (a proxy, a log, another library) then sees another
 * message than we do, so such text is no message at all.
 */

/** The object that `text` is, without a prototype's reach, or null when it isn't exactly one strict JSON object. */
export function parseStrictJson(text: string, limits: { maxDepth: number }): Record<string, unknown> | null {
  if (!text.isWellFormed() || !keysAreSound(text, limits.maxDepth)) return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) && isWellFormed(value)
      ? (value as Record<string, unknown>)
      : null
  } catch {
    return null
  }
}

/**
 * One pass over the text before it is parsed: depth, and keys seen per object. It needs no full grammar, because what isn't
 * JSON is refused by `JSON.parse` afterwards; on text that is JSON, every string that a colon follows is a key.
 */
function keysAreSound(text: string, maxDepth: number): boolean {
  const open: (Set<string> | null)[] = []
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{' || char === '[') {
      open.push(char === '{' ? new Set() : null)
      if (open.length > maxDepth) return false
    } else if (char === '}' || char === ']') {
      open.pop()
    } else if (char === '"') {
      const end = endOfString(text, at)
      if (end < 0) return false
      const keys = open.at(-1)
      if (keys && isBeforeColon(text, end + 1)) {
        const key = keyOf(text.slice(at, end + 1))
        if (key === null || key === '__proto__' || keys.has(key)) return false
        keys.add(key)
      }
      at = end
    }
  }
  return true
}

function isBeforeColon(text: string, at: number): boolean {
  while (text[at] === ' ' || text[at] === '\n' || text[at] === '\r' || text[at] === '\t') at++
  return text[at] === ':'
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"') return at
  }
  return -1
}

function keyOf(quoted: string): string | null {
  try {
    return JSON.parse(quoted)
  } catch {
    return null
  }
}

/** Escapes can still make lone surrogates (`"\ud800"`), which no UTF-8 text could carry; and `1e999` is no number of any kind. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object' || value === null) return true
  return Object.entries(value).every(([key, inner]) => key.isWellFormed() && isWellFormed(inner))
}
