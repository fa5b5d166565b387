/** Arbitraries: legal names, legal paths, contents. */
import fc from "fast-check";
import { checkName } from "../../src/core/path.ts";

/** Names that broke some sync tool: every test of names should meet these often. */
const HARD_NAMES: readonly string[] = [
  "a",
  "A",
  " ",
  "-rf",
  "a b",
  " leading",
  "trailing ",
  "tab\tname",
  "line\nbreak",
  "\n",
  "\u001b[31m",
  "\u007f",
  "back\\slash",
  'quote"d',
  "it's",
  "...",
  "..a",
  ".hidden",
  ".hidden.txt",
  "name.",
  "name.tar.gz",
  "*",
  "?",
  "[a]",
  "!x",
  "#x",
  "~",
  "synced",
  ".syncedignore",
  ".synced2",
  "__proto__",
  "constructor",
  "con",
  "nul.txt",
  "a:b",
  "%2e%2e",
  "\u00e9",
  "e\u0301",
  "\ufb01",
  "\u202egnp.exe",
  "a\u200bb",
  "\u{1f600}",
  "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}.png",
  "\uffff",
  "\ufffd",
  "x".repeat(255),
  `${"x".repeat(251)}.txt`,
  "\u00e9".repeat(127),
  "\u{1f600}".repeat(63),
];

/** A legal name [N3, N5]. */
export function legalName(): fc.Arbitrary<string> {
  return fc
    .oneof(
      { weight: 3, arbitrary: fc.constantFrom("a", "b", "c", "d.txt", "A", "B") },
      { weight: 3, arbitrary: fc.constantFrom(...HARD_NAMES) },
      { weight: 2, arbitrary: fc.string({ minLength: 1, maxLength: 20 }) },
      { weight: 2, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 60 }) },
      { weight: 1, arbitrary: fc.string({ unit: "grapheme", minLength: 1, maxLength: 90 }) },
    )
    .filter((name) => checkName(name) === undefined);
}

/** A legal relative path of one to five names [N4]. */
export function legalPath(): fc.Arbitrary<string> {
  return fc.array(legalName(), { minLength: 1, maxLength: 5 }).map((names) => names.join("/"));
}

/** Any text at all: legal, illegal, lone surrogates, slashes. */
export function anyText(): fc.Arbitrary<string> {
  const unit = fc.oneof(
    fc.constantFrom(".", "..", "/", "\0", "\ud800", "\udc00", "\ufffe", "a", ".synced", "~1"),
    fc.string({ unit: "binary", maxLength: 3 }),
  );
  return fc.oneof(
    legalPath(),
    fc.array(unit, { maxLength: 8 }).map((units) => units.join("")),
  );
}

/** For test titles: a report in XML may not hold U+FFFE, U+FFFF and half surrogate pairs. */
export function inAscii(text: string): string {
  return JSON.stringify(text).replace(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
