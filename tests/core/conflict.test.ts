/** Conflict names [R13]. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type ConflictNameSource, conflictName, recoveredName } from "../../src/core/conflict.ts";
import { sha256 } from "../../src/core/digest.ts";
import { checkName } from "../../src/core/path.ts";
import { anyText, inAscii, legalName } from "../generate/names.ts";

const digest = sha256("losing bytes");
const hash6 = digest.slice(0, 6);

function nameOf(source: Partial<ConflictNameSource>): string {
  return conflictName({
    name: "report.txt",
    device: "laptop",
    mtimeNs: "1700000000000000000",
    hash6Source: digest,
    attempt: 0,
    ...source,
  });
}

test("recoveredName() says when the file was changed and what is in it [D15]", () => {
  const source = { mtimeNs: "1767225600000000000", hash6Source: sha256("x"), attempt: 0 };
  const hash6 = sha256("x").slice(0, 6);
  const mark = `(recovered 2026-01-01 ${hash6})`;
  expect(recoveredName({ ...source, name: "report.txt" })).toBe(`report ${mark}.txt`);
  expect(recoveredName({ ...source, name: ".profile" })).toBe(`.profile ${mark}`);
  const long = recoveredName({ ...source, name: `${"x".repeat(251)}.txt`, attempt: 1 });
  expect(long).toEndWith(` (recovered 2026-01-01 ${hash6} 2).txt`);
  expect(long).toHaveLength(255);
});

test("tells directories apart that were made in one moment [R13, N1]", () => {
  const ids = ["0193f5a1b2c3aaaaaaaaaaaaaa111111", "0193f5a1b2c3aaaaaaaaaaaaaa222222"];
  const names = ids.map((hash6Source) => nameOf({ name: "src", mtimeNs: undefined, hash6Source }));
  expect(names).toEqual([
    "src (conflict laptop 1970-01-01 111111)",
    "src (conflict laptop 1970-01-01 222222)",
  ]);
});

describe("conflictName()", () => {
  const mark = `(conflict laptop 2023-11-14 ${hash6})`;
  const names: readonly (readonly [string, string])[] = [
    ["report.txt", `report ${mark}.txt`],
    ["archive.tar.gz", `archive.tar ${mark}.gz`],
    ["README", `README ${mark}`],
    [".profile", `.profile ${mark}`],
    [".profile.bak", `.profile ${mark}.bak`],
    ["...", `... ${mark}`],
    ["..a", `..a ${mark}`],
    ["ends.", `ends. ${mark}`],
    ["\u{1f600}.png", `\u{1f600} ${mark}.png`],
    [`v1.${"prose ".repeat(12)}`, `v1.${"prose ".repeat(12)} ${mark}`],
  ];
  test.each(names)("%j becomes %j [R13]", (name, expected) => {
    expect(nameOf({ name })).toBe(expected);
  });

  const devices: readonly (readonly [string, string])[] = [
    ["Anna's Mac", "Anna's Mac"],
    ["a/b\0c\nd", "a-b-c-d"],
    ["\ud800\ufffe", "--"],
    ["\u202eabc", "-abc"],
    ["  ", "device"],
    ["", "device"],
    ["\u{1f600}".repeat(40), "\u{1f600}".repeat(16)],
  ];
  const titled = devices.map(([device, shown]) => [inAscii(device), shown, device] as const);
  test.each(titled)("a device called %s is shown as %j [R13]", (_title, shown, device) => {
    expect(nameOf({ device })).toBe(`report (conflict ${shown} 2023-11-14 ${hash6}).txt`);
  });

  const dates: readonly (readonly [string | undefined, string])[] = [
    [undefined, "1970-01-01"],
    ["0", "1970-01-01"],
    ["-1", "1969-12-31"],
    ["-86400000000000", "1969-12-31"],
    ["-86400000000001", "1969-12-30"],
    ["86399999999999", "1970-01-01"],
    ["951782400000000000", "2000-02-29"],
    ["4102444800000000000", "2100-01-01"],
    ["99999999999999999999999999", "9999-12-31"],
    ["-99999999999999999999999999", "0000-01-01"],
  ];
  test.each(dates)("an mtime of %j ns is the day %s [R13]", (mtimeNs, date) => {
    expect(nameOf({ mtimeNs })).toBe(`report (conflict laptop ${date} ${hash6}).txt`);
  });

  test("days agree with the calendar for any second of 8,000 years [R13]", () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800, max: 190_000_000_000 }), (seconds) => {
        const date = new Date(seconds * 1000).toISOString().slice(0, 10);
        const mtimeNs = `${seconds}000000000`.replace(/^-?0+$/, "0");
        expect(nameOf({ mtimeNs })).toContain(` ${date} `);
      }),
    );
  });

  test("a later attempt makes another name [R13]", () => {
    expect(nameOf({ attempt: 1 })).toBe(`report (conflict laptop 2023-11-14 ${hash6} 2).txt`);
  });

  test("is a legal name that keeps a short extension, whatever it is made from [R13, N3]", () => {
    const source = fc.record({
      name: legalName(),
      device: anyText(),
      mtimeNs: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n }).map(String),
      hash6Source: fc.constant(digest),
      attempt: fc.nat(1000),
    });
    fc.assert(
      fc.property(source, (values) => {
        const name = conflictName(values);
        expect(checkName(name)).toBeUndefined();
        expect(name).toContain(hash6);
        expect(conflictName(values)).toBe(name);
        const extension = /[^.]\.([a-z]{1,5})$/.exec(values.name)?.[1];
        if (extension !== undefined) expect(name.endsWith(`).${extension}`)).toBe(true);
        const next = conflictName({ ...values, attempt: values.attempt + 1 });
        expect(next).not.toBe(name);
      }),
      { numRuns: 400 },
    );
  });

  test("cuts a long name between code points and keeps what it can [R13, I9]", () => {
    const name = nameOf({ name: `${"\u{1f600}".repeat(60)}.jpeg` });
    expect(name.isWellFormed()).toBe(true);
    expect(name.endsWith(").jpeg")).toBe(true);
    const lengthBytes = new TextEncoder().encode(name).length;
    expect(lengthBytes).toBeGreaterThan(255 - 4);
    expect(lengthBytes).toBeLessThanOrEqual(255);
  });
});
