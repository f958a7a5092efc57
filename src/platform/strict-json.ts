/**
 * JSON objects as one meaning each: refuses repeated keys, nesting beyond a limit, `__proto__`, lone surrogates, and numbers
 * beyond all bounds.
 *
 * `JSON.parse` keeps the last of two equal keys. Whoever reads the first (a proxy, a log, another library) then sees another
 * message than we do, so such text is no message at all.
 */

/** The object that `text` is, without a prototype's reach, or null when it isn't exactly one strict JSON object. */
export function parseStrictJson(text: string, limits: { maxDepth: number }): Record<string, unknown> | null {
  try {
    if (!text.isWellFormed() || !keysAreSound(text, limits.maxDepth)) return null
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && !Array.isArray(value) && isWellFormed(value)
      ? (value as Record<string, unknown> | null)
      : null
  } catch {
    return null
  }
}

/**
 * One pass over the text before it is parsed: depth, and keys seen per object. It needs no full grammar, because what isn't
 * JSON is refused by `JSON.parse` afterwards; on text that is JSON, every string that a colon follows is a key of the object
 * that was opened last. Throws over a key that is no JSON.
 */
function keysAreSound(text: string, maxDepth: number): boolean {
  const open: Set<string>[] = []
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (char === '{' || char === '[') {
      open.push(new Set())
      if (open.length > maxDepth) return false
    } else if (char === '}' || char === ']') {
      open.pop()
    } else if (char === '"') {
      const end = endOfString(text, at)
      const keys = open.at(-1)
      if (keys && isBeforeColon(text, end + 1)) {
        const key: string = JSON.parse(text.slice(at, end + 1))
        if (key === '__proto__' || keys.has(key)) return false
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

/** Where the string ends that begins at `start`; behind the text, for one that doesn't. */
function endOfString(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

/** Escapes can still make lone surrogates (`"\ud800"`), which no UTF-8 text could carry; and `1e999` is no number of any kind. */
function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (typeof value === 'number') return Number.isFinite(value)
  return Object.entries(value ?? {}).every(([key, inner]) => key.isWellFormed() && isWellFormed(inner))
}
