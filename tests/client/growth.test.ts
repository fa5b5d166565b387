/** Which contents of others are taken to begin with what was there before, and which are not. */
import { expect, test } from "bun:test";
import { Growth } from "../../src/client/connect/growth.ts";
import { fileOf } from "../generate/logs.ts";

const inlined = (text: string) => new TextEncoder().encode(text).toBase64();

/** An event that brings `text` and, beside it, the bytes of `bytes`. */
const told = (text: string, bytes = text) => ({ content: fileOf(text), inline: inlined(bytes) });

test("bytes that begin with all the old ones are growth, over several versions [G2]", () => {
  const growth = new Growth();
  growth.note(fileOf("a"), told("ab"));
  growth.note(fileOf("ab"), told("abc"));
  expect(growth.isKnown(fileOf("a"), fileOf("abc"))).toBe(true);
  expect(growth.isKnown(fileOf("ab"), fileOf("abc"))).toBe(true);
  expect(growth.isKnown(fileOf("b"), fileOf("abc"))).toBe(false);
  growth.clear();
  expect(growth.isKnown(fileOf("a"), fileOf("ab"))).toBe(false);
});

const NO_GROWTH = [
  { what: "other first bytes", event: told("encrypted") },
  { what: "fewer bytes", event: told("ol") },
  { what: "bytes that were not sent", event: { content: fileOf("old and new") } },
  { what: "the bytes of another content", event: told("encrypted", "old, then grown") },
  { what: "a symlink", event: { ...told("x"), content: { kind: "symlink", target: "old" } } },
] as const;

for (const { what, event } of NO_GROWTH) {
  test(`is no growth: ${what} [G2]`, () => {
    const growth = new Growth();
    growth.note(fileOf("old"), event);
    expect(growth.isKnown(fileOf("old"), event.content)).toBe(false);
  });
}
