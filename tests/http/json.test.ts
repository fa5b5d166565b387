/** The strict JSON reader: a table of what strangers send. */
import { describe, expect, test } from "bun:test";
import { SyncedError } from "../../src/core/error.ts";
import { parseJson } from "../../src/protocol/json.ts";

function codeOf(source: string | Uint8Array): string {
  try {
    parseJson(source);
    return "accepted";
  } catch (error) {
    return error instanceof SyncedError ? error.code : String(error);
  }
}

const utf8 = new TextEncoder();

describe("parseJson()", () => {
  const refused: [name: string, source: string | Uint8Array, code?: string][] = [
    ["nothing", ""],
    ["words", "hello"],
    ["a truncated object", '{"a":1'],
    ["a truncated string", '{"a":"b'],
    ["a string that ends with an escaped quote", '"\\"'],
    ["trailing bytes", "{}x"],
    ["two documents", "{}{}"],
    ["a byte order mark", "\ufeff{}"],
    ["NaN", '{"a":NaN}'],
    ["Infinity", "[Infinity]"],
    ["single quotes", "{'a':1}"],
    ["a comment", "{}//"],
    ["a trailing comma", "[1,]"],
    ["a raw line feed in a string", '"a\nb"'],
    ["equal keys", '{"a":1,"a":2}'],
    ["equal keys, one escaped", '{"a":1,"\\u0061":2}'],
    ["equal keys deep down", '{"a":[{"b":1},{"c":1,"c":1}]}'],
    ["__proto__", '{"__proto__":{"a":1}}'],
    ["an escaped __proto__", '{"\\u005f_proto__":1}'],
    ["bytes that are not UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
    ["overlong UTF-8", new Uint8Array([0x22, 0xc0, 0xaf, 0x22])],
    ["a surrogate in UTF-8", new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ["UTF-16", new Uint8Array([0x7b, 0, 0x7d, 0])],
    ["17 levels of lists", "[".repeat(17) + "]".repeat(17)],
    ["200,000 levels", "[".repeat(200_000)],
    ["17 levels of objects", `${'{"a":'.repeat(17)}1${"}".repeat(17)}`],
    ["over a million values", `[${"1,".repeat(1_000_000)}1]`, "batch_too_large"],
  ];
  test.each(refused)("refuses %s [H8]", (_name, source, code = "malformed_json") => {
    expect(codeOf(source)).toBe(code);
    if (typeof source === "string") expect(codeOf(utf8.encode(source))).toBe(code);
  });

  const accepted: [name: string, source: string, value: unknown][] = [
    ["brackets in strings", '{"a":"[[[[[[[[[[[[[[[[[[{{{{:,"}', { a: "[[[[[[[[[[[[[[[[[[{{{{:," }],
    ["escaped quotes", '["\\"","\\\\","\\\\\\""]', ['"', "\\", '\\"']],
    ["equal keys in two objects", '[{"a":1},{"a":2}]', [{ a: 1 }, { a: 2 }]],
    ["the key constructor", '{"constructor":1}', { constructor: 1 }],
    ["a scalar", "7", 7],
    [
      "16 levels",
      `${"[".repeat(16)}${"]".repeat(16)}`,
      JSON.parse(`${"[".repeat(16)}${"]".repeat(16)}`),
    ],
    ["no-break and other letters", '"\u00a0ü\\ud83d\\ude00"', "\u00a0ü😀"],
  ];
  test.each(accepted)("accepts %s [H8]", (_name, source, value) => {
    expect(parseJson(source)).toEqual(value);
    expect(parseJson(utf8.encode(source))).toEqual(value);
  });
});
