/** Ignore rules, with git itself as the oracle [A6, A7, R15]. */
import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { SyncedError } from "../../src/core/error.ts";
import { IgnoreRules } from "../../src/core/ignore.ts";
import { anyText, legalPath } from "../generate/names.ts";

/** Processor time, of which other programs take nothing away; measured 0.9 s. */
const LOOKUPS_WORK_MS = 8_000;

/** Rules files by directory. */
type Files = Readonly<Record<string, string>>;

function rulesOf(files: Files): IgnoreRules {
  const entries = Object.entries(files);
  return IgnoreRules.none.withFiles(entries.map(([directory, text]) => ({ directory, text })));
}

const scratch = mkdtempSync(join(tmpdir(), "synced-test-ignore-"));
const repository = join(scratch, "repository.git");
const environment = { ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1" };
spawnSync("git", ["init", "--quiet", "--bare", repository], { env: environment });
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let folderCount = 0;

/** What git ignores of these paths; those that end with "/" are directories. */
function ignoredByGit(files: Files, paths: readonly string[]): Set<string> {
  const folder = join(scratch, `folder-${folderCount++}`);
  mkdirSync(folder);
  for (const [directory, text] of Object.entries(files)) {
    mkdirSync(join(folder, directory), { recursive: true });
    writeFileSync(join(folder, directory, ".gitignore"), text);
  }
  for (const path of paths) {
    const full = join(folder, path);
    mkdirSync(path.endsWith("/") ? full : dirname(full), { recursive: true });
    if (!path.endsWith("/")) writeFileSync(full, "");
  }
  const asked = paths.map((path) => path.replace(/\/$/, ""));
  const result = spawnSync(
    "git",
    [`--git-dir=${repository}`, "--work-tree=.", "check-ignore", "--no-index", "-z", "--stdin"],
    { cwd: folder, input: `${asked.join("\0")}\0`, encoding: "utf8", env: environment },
  );
  if (result.status !== 0 && result.status !== 1) throw new Error(result.stderr);
  return new Set(result.stdout.split("\0").filter((path) => path !== ""));
}

function expectAsGit(files: Files, paths: readonly string[]): void {
  const git = ignoredByGit(files, paths);
  const rules = rulesOf(files);
  const verdicts = paths.map((path) => {
    const plain = path.replace(/\/$/, "");
    const isDirectory = path.endsWith("/");
    return { path, git: git.has(plain), ours: rules.ignores(plain, isDirectory) };
  });
  expect(verdicts.map(({ path, ours }) => ({ path, ignored: ours }))).toEqual(
    verdicts.map(({ path, git: ignored }) => ({ path, ignored })),
  );
}

const PATHS = [
  "a",
  "b.txt",
  "A.TXT",
  "build/",
  "build/x.o",
  "build/keep.txt",
  "src/",
  "src/a",
  "src/b.txt",
  "src/build/",
  "src/build/x.o",
  "src/deep/er/",
  "src/deep/er/a",
  "src/deep/er/b.txt",
  "src/deep/er/build/y",
  "docs/",
  "docs/#hash",
  "docs/!bang",
  "docs/-dash",
  "docs/ lead",
  "docs/trail ",
  "docs/line\nbreak",
  "docs/st*r",
  "docs/[x]",
  "docs/back\\slash",
  "docs/...",
  "docs/..a",
  "docs/.hidden",
  "docs/\u00e9t\u00e9.txt",
  "docs/\u{1f600}.png",
] as const;

test("patterns that apply together have a bound, wherever they stand [A18]", () => {
  const text = "a\n".repeat(2_000);
  const two = IgnoreRules.none.withFile("", text).withFile("d/e", text);
  expect(two.ignores("d/e/a", false)).toBe(true);
  // Beside each other they do not add up.
  expect(two.withFile("x", text).ignores("x/a", false)).toBe(true);
  for (const directory of ["d", "d/e/f"]) {
    const thrown = () => two.withFile(directory, "b\n");
    expect(thrown).toThrow("more than 4000 patterns apply");
  }
});

test("patterns with several globstars have a bound of their own [A18]", () => {
  const lines = (count: number) => Array.from({ length: count }, (_, at) => `**/a/**/b${at}\n`);
  const most = IgnoreRules.none.withFile("", lines(100).join(""));
  expect(most.ignores("x/a/y/b99", false)).toBe(true);
  expect(() => most.withFile("d", "a/**/**/b\n")).toThrow("more than 100 patterns with more than");
  expect(most.withFile("d", "c/**/d\n".repeat(1_000)).ignores("d/c/d", false)).toBe(true);
  expect(() => IgnoreRules.none.withFile("", lines(101).join(""))).toThrow("apply in");
});

test("all patterns of a folder together have a bound [A18]", () => {
  const text = "a\n".repeat(2_000);
  let rules = IgnoreRules.none;
  for (let at = 0; at < 10; at++) rules = rules.withFile(`d${at}`, text);
  expect(rules.ignores("d9/a", false)).toBe(true);
  expect(() => rules.withFile("x", "a\n")).toThrow("there are more than 20000 patterns");
  expect(rules.withFile("d3", undefined).withFile("x", "a\n").ignores("x/a", false)).toBe(true);
});

describe("IgnoreRules answers as git does", () => {
  const root: readonly string[] = [
    "",
    "\n\n# a comment\n",
    "a",
    "/a",
    "*.txt",
    "*.TXT",
    "build",
    "build/",
    "/build",
    "/build/",
    "build/*",
    "build/**",
    "build/*\n!build/keep.txt",
    "build/\n!build/keep.txt",
    "build/**\n!build/keep.txt",
    "*\n!*/\n!*.txt",
    "*\n!docs\n!docs/**",
    "src/a",
    "src/*/",
    "src/**/a",
    "src/**/b.txt",
    "**/a",
    "**/build",
    "**/build/**",
    "/**/x.o",
    "deep/er",
    "**/deep/er",
    "src/deep/**/a",
    "src/**",
    "**",
    "/*\n!/src",
    "/*\n!/src/\n/src/*\n!/src/deep",
    "\\#hash",
    "#hash",
    "\\!bang",
    "!bang",
    "*\n!\\!bang",
    "-dash",
    " lead",
    "trail ",
    "trail\\ ",
    "trail\\  ",
    "st\\*r",
    "st*r",
    "[[]x]",
    "\\[x\\]",
    "[a-c]*",
    "[!a-c]*",
    "[^a]",
    "back\\\\slash",
    "back*",
    "line*",
    "...",
    "..*",
    ".*",
    "?",
    "??.txt",
    "\u00e9t\u00e9.*",
    "*\u{1f600}*",
    "a\r\nb.txt\r\n",
    "\ufeffa",
    "docs/\n!docs/",
    "a\\",
    "!",
    "/",
    "*.t[xX]t",
    "[[:upper:]]*",
    "src/deep/er/b.t?t",
    "docs//a",
    "a\n!a\na",
  ];
  test.each(root)("for the root rules %j [A6]", (text) => {
    expectAsGit({ "": text }, PATHS);
  });

  const nested: readonly Files[] = [
    { "": "*.txt", src: "!b.txt" },
    { "": "build", src: "!build" },
    { "": "build/", src: "!build/\nbuild/x.o" },
    { "": "src/", src: "!a" },
    { src: "a" },
    { src: "/a" },
    { src: "deep/er/a" },
    { src: "**/a" },
    { src: "*" },
    { src: "*\n!a" },
    { "": "!a", "src/deep": "a", "src/deep/er": "!a" },
    { "": "a", src: "!a", "src/deep/er": "a" },
    { "": "*", src: "!*" },
    { "": "*\n!src", src: "!*" },
    { "": "er", "src/deep": "!er\n*.txt" },
    { src: "\ufeffbuild/\r\n", "src/build": "!x.o" },
    { docs: "/\\#hash\n/\\!bang\n*.png" },
  ];
  test.each(nested)("for the nested rules %j [A6]", (files) => {
    expectAsGit(files, PATHS);
  });

  test("for rules in directories of odd names [A6]", () => {
    const odd = [
      "[x]",
      "st*r",
      "!bang",
      "#hash",
      "a b ",
      "-d",
      "line\nbreak",
      "back\\",
      "\u{1f600}",
    ];
    const files = Object.fromEntries(odd.map((directory) => [directory, "/a\nb.*\n!b.txt"]));
    const others = ["x", "star", "stxr", "bang"];
    const paths = [...odd, ...others].flatMap((directory) =>
      ["a", "b.o", "b.txt", "sub/a", "sub/b.o"].map((name) => `${directory}/${name}`),
    );
    expectAsGit(files, paths);
  });

  test("for any rules of a small alphabet, at three depths [A6]", () => {
    const part = fc.constantFrom("a", "b", "ab", "*", "**", "a*", "?", "[ab]", "*b", "\\a");
    const pattern = fc
      .record({
        negation: fc.constantFrom("", "", "!"),
        lead: fc.constantFrom("", "", "/"),
        parts: fc.array(part, { minLength: 1, maxLength: 3 }),
        tail: fc.constantFrom("", "", "/", " "),
      })
      .map(({ negation, lead, parts, tail }) => negation + lead + parts.join("/") + tail);
    const text = fc.array(pattern, { maxLength: 4 }).map((lines) => lines.join("\n"));
    const files = fc.record({ "": text, a: text, "a/ab": text });
    const names = ["a", "b", "ab"];
    const paths = names.flatMap((one) => [
      `${one}/`,
      ...names.flatMap((two) => [
        `${one}/${two}/`,
        ...names.map((file) => `${one}/${two}/${file}`),
      ]),
    ]);
    fc.assert(
      fc.property(files, (rules) => expectAsGit(rules, paths)),
      { numRuns: 60 },
    );
  }, 180_000);
});

describe("IgnoreRules", () => {
  test("ignore the state directory at any depth, with rules or without [A6]", () => {
    for (const rules of [IgnoreRules.none, rulesOf({ "": "!.synced\n!.synced/**" })]) {
      expect(rules.ignores(".synced", true)).toBe(true);
      expect(rules.ignores(".synced/state.db", false)).toBe(true);
      expect(rules.ignores("a/.synced", true)).toBe(true);
      expect(rules.ignores("a/.synced/x/y", false)).toBe(true);
      expect(rules.ignores(".syncedignore", false)).toBe(false);
      expect(rules.ignores("a/.synced2/x", false)).toBe(false);
    }
  });

  test("change by making new rules; the old ones stay [A7]", () => {
    const before = IgnoreRules.none.withFile("", "*.log");
    const after = before.withFile("", undefined).withFile("sub", "*.log");
    expect(before.ignores("a.log", false)).toBe(true);
    expect(after.ignores("a.log", false)).toBe(false);
    expect(after.ignores("sub/a.log", false)).toBe(true);
    expect(IgnoreRules.none.isEmpty).toBe(true);
    expect(after.withFile("sub", "# only a comment").isEmpty).toBe(true);
  });

  test("that changed one by one, with lookups between, are those made at once [A6, A7]", () => {
    const text = fc.constantFrom("a", "!a", "*", "!b", "/a/b", undefined);
    const directory = fc.constantFrom("", "a", "a/b", "ab");
    const steps = fc.array(fc.record({ directory, text }), { maxLength: 8 });
    const paths = ["a", "a/b", "a/b/a", "ab/a", "ab/b/a", "b/a"];
    const answers = (rules: IgnoreRules): boolean[] => paths.map((at) => rules.ignores(at, false));
    fc.assert(
      fc.property(steps, fc.constantFrom(undefined, "b"), (changes, device) => {
        let stepwise = IgnoreRules.none;
        for (const [index, step] of changes.entries()) {
          if (index === 2) stepwise = stepwise.withDeviceFile(device);
          answers(stepwise);
          stepwise = stepwise.withFile(step.directory, step.text);
        }
        const atOnce = IgnoreRules.none.withFiles(changes).withDeviceFile(device);
        expect(answers(stepwise.withDeviceFile(device))).toEqual(answers(atOnce));
      }),
      { numRuns: 300 },
    );
  });

  test("of the device come last: no rules file can bring back what it ignores [A6]", () => {
    const rules = rulesOf({ "": "!secret", a: "!secret\n*.tmp" }).withDeviceFile(
      "secret\n!a/*.tmp",
    );
    expect(rules.ignores("secret", false)).toBe(true);
    expect(rules.ignores("a/secret", true)).toBe(true);
    expect(rules.ignores("a/secret/x", false)).toBe(true);
    expect(rules.ignores("a/b.tmp", false)).toBe(false);
    expect(rules.withDeviceFile(undefined).ignores("a/secret", true)).toBe(false);
    expect(IgnoreRules.none.withDeviceFile("x").ignores("deep/er/x", false)).toBe(true);
  });

  test("case counts [A6, N3]", () => {
    const rules = rulesOf({ "": "Build" });
    expect(rules.ignores("Build", true)).toBe(true);
    expect(rules.ignores("build", true)).toBe(false);
  });

  test("answer for any text and any path without throwing [A6]", () => {
    const line = fc.oneof(anyText(), fc.string({ maxLength: 12 }), legalPath());
    const text = fc.array(line, { maxLength: 5 }).map((lines) => lines.join("\n"));
    fc.assert(
      fc.property(
        text,
        legalPath(),
        anyText(),
        fc.boolean(),
        (rules, directory, path, isDirectory) => {
          const made = IgnoreRules.none.withFile("", rules).withFile(directory, rules);
          for (const asked of [path, `${directory}/${path}`, "./x", "../x", "..", "/", "", "a/"]) {
            expect(typeof made.ignores(asked, isDirectory)).toBe("boolean");
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("answer the same after more lookups than the library is let to remember [A6]", () => {
    const rules = rulesOf({ "": "*.o\n!keep.o" });
    for (let index = 0; index < 25_000; index++) {
      if (!rules.ignores(`d${index}/x.o`, false)) throw new Error(`x.o is kept at ${index}`);
      if (rules.ignores(`d${index}/keep.o`, false)) throw new Error(`keep.o is not at ${index}`);
    }
    expect(rules.ignores("last/x.o", false)).toBe(true);
  });

  test("many files at once are one copy [A6]", () => {
    const many = Array.from({ length: 20_000 }, (_, index) => ({
      directory: `d${index}`,
      text: "x",
    }));
    const rules = IgnoreRules.none.withFiles(many);
    expect(rules.ignores("d19999/x", false)).toBe(true);
    expect(rules.ignores("e/x", false)).toBe(false);
  });

  const tooMuch: readonly (readonly [string, string])[] = [
    ["64 KiB", "# padding\n".repeat(7000)],
    ["2,000 patterns", "a\n".repeat(2001)],
    ["4,096 characters a pattern", "a".repeat(4097)],
    ["three globstars a pattern", "**/a/**/b/**/c/**/d"],
  ];
  test.each(tooMuch)("refuse more than %s [A6]", (_, text) => {
    let code: string | undefined;
    try {
      IgnoreRules.none.withFile("sub", text);
    } catch (error) {
      code = error instanceof SyncedError ? error.code : String(error);
    }
    expect(code).toBe("invalid_ignore_rules");
  });

  test("that are too much name the file in which they stand [A18]", () => {
    const text = "a".repeat(4097);
    expect(() => IgnoreRules.none.withFile("", text)).toThrow('".syncedignore"');
    expect(() => IgnoreRules.none.withFile("sub", text)).toThrow('"sub/.syncedignore"');
    expect(() => IgnoreRules.none.withDeviceFile(text)).toThrow('".synced/ignore"');
  });

  test("a hostile pattern within the bounds does not stall a lookup [A6]", () => {
    const deep = "a/".repeat(255);
    const wide = "a".repeat(250);
    const hostile: readonly (readonly [string, boolean])[] = [
      ["**/a/**/a/**/b", false],
      ["a*".repeat(120), true],
      ["a*".repeat(60).concat("b"), false],
      ["*a?".repeat(80).concat("b"), false],
      ["[a]*b".repeat(60), false],
    ];
    const before = process.cpuUsage();
    for (const [text, matchesWide] of hostile) {
      const rules = rulesOf({ "": text });
      expect(rules.ignores(`${deep}x`, false)).toBe(false);
      expect(rules.ignores(`${wide}x`, false)).toBe(matchesWide);
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1_000).toBeLessThan(LOOKUPS_WORK_MS);
  }, 180_000);
});
