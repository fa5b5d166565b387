/** Texts in which everything shows. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { printable, printableJson } from "../../src/core/printable.ts";

test("JSON shows all its characters, and says the same [X3]", () => {
  const text = fc.string({
    unit: fc.constantFrom("a", "\\", "\u001b", "\u007f", "\u202e", "\n", "😀"),
  });
  fc.assert(
    fc.property(fc.array(fc.record({ name: text })), (value) => {
      const line = printableJson(value);
      expect(printable(line)).toBe(line);
      expect(line).not.toContain("\n");
      expect(JSON.parse(line)).toEqual(value);
    }),
  );
});
