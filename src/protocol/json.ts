/**
 * Strict JSON from strangers: bounded before it is parsed, without duplicate keys, in well-formed
 * UTF-8 only.
 * Rules: H8. `JSON.parse` alone accepts nesting of 200,000, and silently keeps the last of two
 * equal keys.
 */
import { SyncedError } from "../core/error.ts";
import { JSON_DEPTH_MAX } from "../core/limits.ts";

/** Values in one document. A full batch has under 40,000; a million is an attack on memory. */
const JSON_VALUES_MAX = 1_000_000;

// Keeps a byte order mark, so that JSON.parse refuses it.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Parses a JSON document.
 *
 * @returns the value, as `JSON.parse` makes it; no object in it has a key `__proto__`.
 * @throws {SyncedError} `malformed_json`; `batch_too_large` if it has more values than any message.
 */
export function parseJson(source: Uint8Array | string): unknown {
  const text = typeof source === "string" ? source : decode(source);
  const keyCount = measure(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SyncedError("malformed_json", "Cannot parse the body: it is not JSON", { cause });
  }
  // Equal keys become one in the value. Then the value has fewer keys than the text.
  if (countKeys(value) !== keyCount) {
    throw malformed("an object has the same key twice");
  }
  return value;
}

function decode(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new SyncedError("malformed_json", "Cannot parse the body: it is not UTF-8", { cause });
  }
}

/** Checks depth and size without recursion, and counts the keys. It does not check validity. */
function measure(text: string): number {
  let depth = 0;
  let keyCount = 0;
  let valueCount = 1;
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case QUOTE:
        index = stringEnd(text, index);
        break;
      case OPEN_BRACKET:
      case OPEN_BRACE:
        depth++;
        valueCount++;
        if (depth > JSON_DEPTH_MAX) throw malformed(`it nests deeper than ${JSON_DEPTH_MAX}`);
        break;
      case CLOSE_BRACKET:
      case CLOSE_BRACE:
        depth--;
        break;
      case COLON:
        keyCount++;
        break;
      case COMMA:
        valueCount++;
        if (valueCount > JSON_VALUES_MAX) {
          throw new SyncedError(
            "batch_too_large",
            `Cannot accept the body: it has more than ${JSON_VALUES_MAX} values`,
          );
        }
        break;
    }
  }
  return keyCount;
}

/** The index of the quote that ends the string which begins at `start`. */
function stringEnd(text: string, start: number): number {
  let from = start + 1;
  for (;;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) throw malformed("a string does not end");
    let backslashes = 0;
    while (text.charCodeAt(quote - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return quote;
    from = quote + 1;
  }
}

/** Recursion is safe here, because the depth was bounded before. */
function countKeys(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if (Array.isArray(value)) {
    let count = 0;
    for (const item of value) count += countKeys(item);
    return count;
  }
  let count = 0;
  for (const [key, item] of Object.entries(value)) {
    // JSON.parse makes it an own property, but a later copy of the object would set the prototype.
    if (key === "__proto__") throw malformed('an object has the key "__proto__"');
    count += 1 + countKeys(item);
  }
  return count;
}

function malformed(reason: string): SyncedError {
  return new SyncedError("malformed_json", `Cannot parse the body: ${reason}`);
}
