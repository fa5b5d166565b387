/**
 * The house's rules that a compiler and a linter do not know: which folder may import which, what
 * may be called where, sizes, markers, and that DESIGN.md's rules, the catalogue of INVARIANTS.md
 * and the tests speak of each other.
 *
 * Each test collects all that it finds and compares with nothing, so that a failure is the list of
 * what to mend.
 */
import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { EXIT } from "../src/core/exit-code.ts";

const ROOT = join(import.meta.dir, "..");

/** "./x.ts" of `import`, `export from` and `import()`. */
const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*"([^"\s]+)"/g;

/** Which folders or top-level files a folder may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "src/core": ["src/core"],
  "src/ports": ["src/ports", "src/core"],
  "src/web": ["src/web", "src/protocol", "src/core"],
  "src/protocol": ["src/protocol", "src/ports", "src/core"],
  "src/server": ["src/server", "src/protocol", "src/ports", "src/core"],
  "src/http": ["src/http", "src/server", "src/protocol", "src/ports", "src/core"],
  "src/client": ["src/client", "src/protocol", "src/ports", "src/core"],
  "src/adapters": ["src/adapters", "src/ports", "src/core", "dist"],
  "server.ts": [
    "src/http",
    "src/server",
    "src/protocol",
    "src/adapters",
    "src/ports",
    "src/core",
    "package.json",
  ],
  "src/storage.ts": ["src/server", "src/adapters", "src/ports", "src/core"],
  "src/commands": [
    "src/commands",
    "server.ts",
    "src/storage.ts",
    "src/client",
    "src/protocol",
    "src/adapters",
    "src/ports",
    "src/core",
    "package.json",
  ],
  "cli.ts": ["src/commands", "src/core", "package.json"],
};

/** Which rooms of the same area a room may import, besides itself. */
const ROOMS_MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "src/client": ["apply", "connect", "folder", "plan", "post", "scan", "stage"],
  "src/client/apply": ["folder", "scan", "stage"],
  "src/client/connect": ["folder"],
  "src/client/folder": [],
  "src/client/plan": ["folder", "scan"],
  "src/client/post": ["connect", "folder", "plan"],
  "src/client/scan": ["folder"],
  "src/client/stage": ["folder"],
  "src/web": ["model", "parts", "views"],
  "src/web/model": [],
  "src/web/parts": ["model"],
  "src/web/views": ["model", "parts"],
  "src/adapters": [
    "bucket",
    "disk",
    "history",
    "metadata",
    "network",
    "objects",
    "orders",
    "postgres-metadata",
    "runtime",
    "sqlite",
    "tls",
    "tokens",
  ],
  "src/adapters/bucket": ["metadata", "postgres-metadata", "sqlite"],
  "src/adapters/disk": ["runtime"],
  "src/adapters/history": ["metadata", "sqlite"],
  "src/adapters/metadata": ["runtime", "sqlite"],
  "src/adapters/metrics": ["network"],
  "src/adapters/network": ["disk", "runtime", "tls"],
  "src/adapters/objects": ["metadata", "sqlite"],
  "src/adapters/orders": ["sqlite"],
  "src/adapters/postgres": [],
  "src/adapters/postgres-metadata": ["metadata", "postgres", "sqlite"],
  "src/adapters/runtime": [],
  "src/adapters/sqlite": [],
  "src/adapters/state": ["sqlite"],
  "src/adapters/tls": ["disk"],
  "src/adapters/tokens": ["sqlite"],
  "src/adapters/watch": ["disk", "runtime"],
};

/** Which rooms or top-level files may import a package, with what is below its name. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@hono/node-server": ["src/adapters/network"],
  "@noble/hashes": ["src/web"],
  aws4fetch: ["src/adapters/bucket"],
  "@preact/signals": ["src/web", "src/web/model", "src/web/parts", "src/web/views"],
  chokidar: ["src/adapters/watch"],
  "chrono-node": ["src/commands"],
  citty: ["cli.ts", "src/commands"],
  "client-zip": ["src/http"],
  consola: ["src/commands"],
  diff: ["src/commands", "src/web/parts"],
  hono: ["src/adapters/metrics", "src/adapters/network", "src/http"],
  ignore: ["src/core"],
  lucide: ["src/web/parts", "src/web/views"],
  postgres: ["src/adapters/postgres"],
  preact: ["src/web", "src/web/parts", "src/web/views"],
  "prom-client": ["src/adapters/metrics"],
  uplot: ["src/web", "src/web/parts"],
  zod: ["src/commands", "src/protocol", "src/web/model"],
};

/** Time, chance, network and the runtime come through ports everywhere else. */
const MAY_TOUCH_THE_WORLD = [
  "src/adapters",
  "src/commands",
  "src/web",
  "cli.ts",
  "server.ts",
  "src/storage.ts",
];

const WORLD = [
  /\bDate\b/,
  /\bMath\.random\b/,
  /\bset(?:Timeout|Interval|Immediate)\b/,
  /(?<![.\w#])fetch\s*\(/,
  /\bprocess\b(?!\s*[:?(])/,
  /\b(?:Bun|Deno)\b/,
  /\bperformance\b/,
  /(?<![.\w])crypto\b/,
];

/**
 * SHA-256 is a pure function; that it comes from a module of the runtime is confined to one file.
 */
const DIGEST_FILE = "src/core/digest.ts";

const TOP_LEVEL = new Set([
  ".ci",
  ".dockerignore",
  ".git",
  ".gitattributes",
  ".github",
  ".gitignore",
  "BENCHMARKS.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "Dockerfile",
  "LICENSE",
  "README.md",
  "SECURITY.md",
  "biome.json",
  "bun.lock",
  "bunfig.toml",
  "cli.ts",
  "compose.yaml",
  "grafana",
  "package.json",
  "server.ts",
  "src",
  "tests",
  "tsconfig.json",
]);

/** What a runtime or the build begins at. */
const ENTRIES = [
  "cli.ts",
  "server.ts",
  "src/web/main.tsx",
  "src/web/chart.ts",
  "src/web/upload-worker.ts",
  // The build puts it in the place of core's.
  "src/web/digest.ts",
];

/** What runs leave behind; .gitignore names them. */
const LEFT_BEHIND = new Set([
  "dist",
  "node_modules",
  "storage",
  "synced-demo",
  "synced1",
  "synced2",
]);

/** It speaks of ids and markers without meaning any. */
const TIDY = "tests/tidy.test.ts";

const PAPERS = [
  "README.md",
  "SECURITY.md",
  "BENCHMARKS.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "src/README.md",
  "src/DESIGN.md",
  "src/INVARIANTS.md",
  "tests/README.md",
];

const PAPER_COLUMNS_MAX = 120;
/** Longer ones claim several things, of which a test shows one. */
const RULE_WORDS_MAX = 60;

const LINES_MAX = 500;
const TEST_LINES_MAX = 800;
const COLUMNS_MAX = 100;
/** A message or a test's name is one line, so that it can be searched for. */
const TEXT_COLUMNS_MAX = 140;

interface Source {
  /** Relative to the project, "/"-separated. */
  readonly path: string;
  readonly text: string;
  /** Without comments and the insides of strings; same lines. */
  readonly code: string;
}

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function filesBelow(directory: string): string[] {
  return readdirSync(join(ROOT, directory), { withFileTypes: true }).flatMap((entry) => {
    const path = `${directory}/${entry.name}`;
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

const SOURCES: readonly Source[] = [
  ...readdirSync(ROOT),
  ...filesBelow("src"),
  ...filesBelow("tests"),
  ...filesBelow(".ci"),
]
  .filter((path) => /\.tsx?$/.test(path))
  .map((path) => {
    const text = textOf(path);
    return { path, text, code: withoutProse(text) };
  });

/**
 * Blanks comments and the insides of quotes, keeping line feeds and what stands in `${}`. A regular
 * expression is recognised by what it may follow, well enough for formatted sources.
 */
function withoutProse(text: string): string {
  const comment = /\/\*[\s\S]*?\*\/|\/\/[^\n]*/;
  const quoted = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/;
  const pattern =
    /(?<=[=(,:!&|?{};\n]\s*)\/(?![/*])(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/;
  const prose = new RegExp([comment, quoted, pattern].map(({ source }) => source).join("|"), "g");
  return text.replace(prose, (found) => found.replace(/[^\n]/g, " "));
}

/** The lines of a paper, those of tables and of fenced code emptied. */
function withoutTablesAndCode(text: string): string[] {
  let isCode = false;
  return text.split("\n").map((line) => {
    if (line.startsWith("```")) isCode = !isCode;
    return isCode || line.startsWith("|") ? "" : line;
  });
}

/** What a comment's line begins with. */
const COMMENT = /^\s*(?:\/\*\*?|\*(?!\/)|\/\/) ?/;
/** Here a paragraph begins, though no line is blank before it. */
const PARAGRAPH = /^\s*(?:[-*+] |\d+\. |@|\||```|Rules?: )/;
const LIST_ITEM = /^(\s*)(?:[-*+]|\d+\.) /;

interface CommentLine {
  readonly line: string;
  readonly text: string;
}

/** The line's text, blank where it is code or ends a block. */
function commentLines({ text, code }: Source): CommentLine[] {
  const codeLines = code.split("\n");
  let isCode = false;
  return text.split("\n").map((line, index) => {
    const [marker] = COMMENT.exec(line) ?? [];
    if (marker === undefined || codeLines[index]?.trim() !== "") return { line, text: "" };
    const said = line.slice(marker.length).replace("*/", "").trimEnd();
    if (said.startsWith("```")) isCode = !isCode;
    return { line, text: isCode ? "" : said };
  });
}

/** Lines that a paragraph broke although the next word fits, and list items at the margin. */
function brokenComments(source: Source): string[] {
  const lines = commentLines(source);
  const wrong: string[] = [];
  let item: string | undefined;
  for (const [index, { line, text }] of lines.entries()) {
    if (text === "" || text.startsWith("@")) item = undefined;
    item = LIST_ITEM.exec(text)?.[1] ?? item;
    const next = lines[index + 1]?.text ?? "";
    if (text === "" || next === "" || PARAGRAPH.test(next) || text.startsWith("|")) continue;
    const [word = ""] = /^(?:`[^`]*`\S*|\S+)/.exec(next.trimStart()) ?? [];
    const isEarly = line.trimEnd().length + 1 + word.length <= COLUMNS_MAX;
    const isAtMargin = item !== undefined && !next.startsWith(`${item} `);
    if (isEarly || isAtMargin) wrong.push(`${source.path}:${index + 1}: ${line.trim()}`);
  }
  return wrong;
}

function areaOf(path: string): string {
  const [first = "", second = ""] = path.split("/");
  return first === "src" ? `src/${second}` : first;
}

/** The folder, or the top-level file itself. */
function roomOf(path: string): string {
  return path.includes("/") ? dirname(path) : path;
}

function importsOf(source: Source): string[] {
  return [...source.text.matchAll(IMPORT)].map((match) => match[1] ?? "");
}

/** The project's own files that a source imports. */
function localImportsOf(source: Source): string[] {
  return importsOf(source)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => normalize(join(dirname(source.path), specifier)));
}

/** `path:line: what` for each line that matches. */
function linesMatching(source: Source, text: string, pattern: RegExp): string[] {
  const found: string[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (pattern.test(line)) {
      const original = source.text.split("\n")[index] ?? "";
      found.push(`${source.path}:${index + 1}: ${original.trim()}`);
    }
  }
  return found;
}

function sourcesBelow(...areas: string[]): Source[] {
  return SOURCES.filter((source) => areas.includes(areaOf(source.path)));
}

const TEXT = /(?:"[^"]*"|`[^`]*`|'[^']*'|\/.*\/[a-z]*)/.source;
const BEFORE_TEXT = /(?:return |\w+: |(?:export )?const \w+ = )?/.source;
/** One string or regular expression is the line's only content. */
const TEXT_LINE = new RegExp(`^${BEFORE_TEXT}${TEXT}[,;]?(?: \\+)?$`);
const TITLE_LINE = /^(?:test|describe)(?:\.\w+\([^)]*\))?\(["`].*["`], (?:async )?\(.*\) => \{$/;

function isUnbreakable(line: string): boolean {
  return line.length <= TEXT_COLUMNS_MAX && (TEXT_LINE.test(line) || TITLE_LINE.test(line));
}

const SHIPPED = SOURCES.filter(({ path }) => /^(?:src\/|(?:cli|server|storage)\.ts)/.test(path));

describe("the house", () => {
  test("imports point one way", () => {
    const wrong: string[] = [];
    for (const source of SHIPPED) {
      const allowed = MAY_IMPORT[areaOf(source.path)];
      if (allowed === undefined) {
        wrong.push(`${source.path}: no such folder in the house`);
        continue;
      }
      for (const target of localImportsOf(source)) {
        if (!allowed.includes(areaOf(target))) wrong.push(`${source.path} imports ${target}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  test("rooms import one way", () => {
    const wrong = SHIPPED.flatMap((source) => {
      const room = roomOf(source.path);
      const area = areaOf(source.path);
      return localImportsOf(source)
        .filter((target) => areaOf(target) === area && roomOf(target) !== room)
        .filter((target) => {
          const name = roomOf(target).slice(area.length + 1);
          return ROOMS_MAY_IMPORT[room]?.includes(name) !== true;
        })
        .map((target) => `${source.path} imports ${target}`);
    });
    expect(wrong).toEqual([]);
  });

  test("no file imports itself by way of others, not even for a type", () => {
    const imports = new Map(SHIPPED.map((source) => [source.path, localImportsOf(source)]));
    const done = new Set<string>();
    const circles: string[] = [];
    const walk = (path: string, above: readonly string[]): void => {
      if (above.includes(path))
        circles.push([...above.slice(above.indexOf(path)), path].join(" > "));
      if (above.includes(path) || done.has(path)) return;
      for (const target of imports.get(path) ?? []) walk(target, [...above, path]);
      done.add(path);
    };
    for (const path of imports.keys()) walk(path, []);
    expect(circles).toEqual([]);
  });

  test("a package is imported only in the rooms that it is for", () => {
    const wrong = SHIPPED.flatMap((source) =>
      importsOf(source)
        .filter((specifier) => !/^(?:\.|(?:node|bun):|bun$)/.test(specifier))
        .filter((specifier) => {
          const [scope = "", name = ""] = specifier.split("/");
          const rooms = PACKAGES[scope.startsWith("@") ? `${scope}/${name}` : scope];
          return rooms?.includes(roomOf(source.path)) !== true;
        })
        .map((specifier) => `${source.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test("names in .synced are written once", () => {
    const names = /["'`]\.synced(?:\/[a-z.]*)?["'`]/;
    const wrong = SHIPPED.filter(({ path }) => path !== "src/core/state-directory.ts").flatMap(
      (source) => linesMatching(source, source.text, names),
    );
    expect(wrong.filter((line) => !/: (?:\*|\/\/|\/\*\*)/.test(line))).toEqual([]);
  });

  test("README's exit codes are the code's", () => {
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    const [, table = ""] = /### Exit codes\n([\s\S]*?)\n#/.exec(readme) ?? [];
    const rows = [...table.matchAll(/^\| ([0-9, ]+) \|/gm)].map((match) => match[1] ?? "");
    const told = rows.flatMap((row) => row.split(", ").map(Number));
    expect(told).toEqual(Object.values(EXIT));
  });

  test("relative imports name their file", () => {
    const wrong = SOURCES.flatMap((source) =>
      importsOf(source)
        .filter((specifier) => specifier.startsWith(".") && !/\.(?:tsx?|json|txt)$/.test(specifier))
        .map((specifier) => `${source.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test("time, chance, network and runtime are touched in adapters, commands and entries only", () => {
    const pure = SHIPPED.filter(({ path }) => !MAY_TOUCH_THE_WORLD.includes(areaOf(path)));
    const wrong = pure.flatMap((source) => {
      const modules = importsOf(source)
        .filter((specifier) => /^(?:node|bun):|^bun$/.test(specifier))
        .map((specifier) => `${source.path} imports ${specifier}`);
      const calls = WORLD.flatMap((pattern) => linesMatching(source, source.code, pattern));
      return source.path === DIGEST_FILE ? calls : [...modules, ...calls];
    });
    expect(wrong).toEqual([]);
  });

  test("nothing shipped removes or lists recursively [I8]", () => {
    const recursive = /\b(?:rm|rmdir|readdir|opendir|cp)(?:Sync)?\s*\([^;]*recursive\s*:/;
    const wrong = SHIPPED.filter((source) => recursive.test(source.code)).map(({ path }) => path);
    expect(wrong).toEqual([]);
  });

  test("no call gets as many arguments as a list has items: beyond 100,000 it throws", () => {
    const spread = /(?:\.(?:push|unshift)|Math\.(?:max|min))\([^(){}[\]]*\.\.\./;
    const wrong = SHIPPED.flatMap((source) => linesMatching(source, source.code, spread));
    expect(wrong).toEqual([]);
  });

  test("every shipped file is used", () => {
    const used = new Set([...ENTRIES, ...SHIPPED.flatMap(localImportsOf)]);
    expect(SHIPPED.map(({ path }) => path).filter((path) => !used.has(path))).toEqual([]);
  });

  test("the top level stays small", () => {
    const entries = readdirSync(ROOT).filter((name) => !LEFT_BEHIND.has(name));
    expect(entries.filter((name) => !TOP_LEVEL.has(name) && !name.endsWith(".log"))).toEqual([]);
  });
});

describe("sizes and markers", () => {
  test(`files have at most ${LINES_MAX} lines, tests ${TEST_LINES_MAX}`, () => {
    const long = SOURCES.map(({ path, text }) => ({ path, lines: text.split("\n").length - 1 }))
      .filter(({ path, lines }) => lines > (path.startsWith("tests/") ? TEST_LINES_MAX : LINES_MAX))
      .map(({ path, lines }) => `${path}: ${lines} lines`);
    expect(long).toEqual([]);
  });

  test(`lines have at most ${COLUMNS_MAX} columns, unbreakable texts ${TEXT_COLUMNS_MAX}`, () => {
    const tooLong = new RegExp(`^.{${COLUMNS_MAX + 1},}$`, "u");
    const found = SOURCES.flatMap((source) => linesMatching(source, source.text, tooLong));
    expect(found.filter((line) => !isUnbreakable(line.replace(/^\S+: /, "")))).toEqual([]);
  });

  test("comments fill their lines, and list items go on below their words", () => {
    expect(SOURCES.flatMap(brokenComments)).toEqual([]);
  });

  test("no comment begins with What: it says who does what", () => {
    const wrong = SHIPPED.flatMap((source) =>
      commentLines(source).flatMap(({ line, text }, index, lines) => {
        const isFirst = (lines[index - 1]?.text ?? "") === "";
        const isWrong = isFirst && /^What\b/.test(text);
        return isWrong ? [`${source.path}:${index + 1}: ${line.trim()}`] : [];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test("no markers, no focused or skipped tests, no silenced checks", () => {
    const comments = /\b(?:TODO|FIXME|XXX|HACK)\b|@ts-(?:ignore|nocheck)|biome-ignore/;
    const calls = /\b(?:test|describe|it)\.(?:only|skip|todo)\b/;
    const wrong = SOURCES.filter(({ path }) => path !== TIDY).flatMap((source) => [
      ...linesMatching(source, source.text, comments),
      ...linesMatching(source, source.code, calls),
    ]);
    expect(wrong).toEqual([]);
  });

  test("no test waits within a matcher: there Bun runs the event loop inside itself", () => {
    const waits = /\.(?:rejects|resolves)\b|\bexpect\(async\b/;
    expect(SOURCES.flatMap((source) => linesMatching(source, source.code, waits))).toEqual([]);
  });

  test("no drawers: a helper is named after the concept that it serves", () => {
    const drawer = /(?:^|\/)(?:utils?|helpers?|common|misc|shared)(?:\/|\.ts$)/;
    expect(SOURCES.map(({ path }) => path).filter((path) => drawer.test(path))).toEqual([]);
  });
});

describe("DESIGN.md, INVARIANTS.md and the tests", () => {
  const design = textOf("src/DESIGN.md");
  const rules = [...design.matchAll(/^- \*\*([A-Z][0-9]+)\*\*/gm)].map((match) => match[1] ?? "");
  /** A row of the catalogue: its id, a sentence, the files that check it. */
  const rows = [
    ...textOf("src/INVARIANTS.md").matchAll(/^\| \*\*([IFB][0-9]+)\*\* \| .* \| (.*) \|$/gm),
  ].map(([, id = "", files = ""]) => ({
    id,
    files: [...files.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ""),
  }));
  const catalogue = rows.map(({ id }) => id);
  const known = new Set([...rules, ...catalogue]);
  const tests = sourcesBelow("tests").filter(({ path }) => path !== TIDY);

  /** Expands `R1`, `R1, R3` and `R1-R4`. */
  function idsIn(list: string): string[] {
    return list.split(/[,\s]+/).flatMap((part) => {
      const [, letter = "", first = "", last = first] =
        /^([A-Z])([0-9]+)(?:-[A-Z]?([0-9]+))?$/.exec(part) ?? [];
      const ids: string[] = [];
      for (let id = Number(first); id <= Number(last); id++) ids.push(`${letter}${id}`);
      return letter === "" ? [] : ids;
    });
  }

  /** Ids in brackets in a test file's text: `[N3]`, `[R1, R2]`, `[R1-R4]`. */
  function idsNamedBy(source: Source): string[] {
    const bracketed = source.text.matchAll(/\[((?:[A-Z][0-9]+)(?:[-,\s]+[A-Z]?[0-9]+)*)\]/g);
    return [...bracketed].flatMap((match) => idsIn(match[1] ?? ""));
  }

  /** Ids of the catalogue anywhere in a text: `I7`, `(F67, F68)`, `B1-B4`. */
  function catalogueIdsIn(text: string): string[] {
    return [...text.matchAll(/(?<![\w+"])[IFB][0-9]{1,2}(?:-[IFB]?[0-9]{1,2})?(?!\w)/g)].flatMap(
      ([ids]) => idsIn(ids),
    );
  }

  test("a rule is written once, and those of one letter stand in order", () => {
    expect(rules.filter((rule, index) => rules.indexOf(rule) !== index)).toEqual([]);
    const letters = [...new Set(rules.map((rule) => rule.charAt(0)))];
    for (const letter of letters) {
      const numbers = rules.filter((rule) => rule.startsWith(letter)).map((id) => id.slice(1));
      expect(numbers.map(Number)).toEqual(numbers.map(Number).toSorted((one, two) => one - two));
    }
  });

  test(`a rule has at most ${RULE_WORDS_MAX} words, so that a test can hold all of it`, () => {
    const texts = design.matchAll(/^- \*\*([A-Z][0-9]+)\*\* (.*(?:\n {2}.*)*)/gm);
    const long = [...texts]
      .map(([, rule = "", text = ""]) => ({ rule, words: text.trim().split(/\s+/).length }))
      .filter(({ words }) => words > RULE_WORDS_MAX);
    expect(long).toEqual([]);
  });

  test(`papers have at most ${PAPER_COLUMNS_MAX} columns outside tables and code`, () => {
    const wrong = PAPERS.flatMap((path) =>
      withoutTablesAndCode(textOf(path))
        .map((line, index) => ({ place: `${path}:${index + 1}`, columns: line.length }))
        .filter(({ columns }) => columns > PAPER_COLUMNS_MAX),
    );
    expect(wrong).toEqual([]);
  });

  test("the catalogue has each id once, in order, and names files that check it", () => {
    const place = (id: string) => "IFB".indexOf(id.charAt(0)) * 1000 + Number(id.slice(1));
    expect(catalogue.toSorted((one, other) => place(one) - place(other))).toEqual(catalogue);
    expect(catalogue.filter((id, index) => catalogue.indexOf(id) !== index)).toEqual([]);
    expect(rows.filter(({ files }) => files.length === 0)).toEqual([]);
    const paths = new Set(SOURCES.map(({ path }) => path));
    const lost = rows.flatMap(({ id, files }) =>
      files.filter((file) => !paths.has(`tests/${file}`)).map((file) => `${id}: ${file}`),
    );
    expect(lost).toEqual([]);
  });

  test("every id of an invariant, a fault or abuse is in the catalogue", () => {
    const cited = [
      ...PAPERS.map((path) => ({ path, text: textOf(path) })),
      ...SOURCES.filter(({ path }) => path !== TIDY),
    ];
    const wrong = cited.flatMap(({ path, text }) =>
      catalogueIdsIn(text)
        .filter((id) => !catalogue.includes(id))
        .map((id) => `${path}: ${id}`),
    );
    expect(wrong).toEqual([]);
  });

  test("the glossary explains each word once, in alphabetical order", () => {
    const [, glossary = ""] = /^## Glossary\n([\s\S]*?)^## /m.exec(design) ?? [];
    const words = [...glossary.matchAll(/^- \*\*([^*]+)\*\*: /gm)].map(([, word = ""]) => word);
    expect(words.length).toBeGreaterThan(0);
    expect([...new Set(words)].toSorted()).toEqual(words);
  });

  test("files that papers name are there", () => {
    const paths = new Set(SOURCES.map(({ path }) => path));
    const wrong = PAPERS.flatMap((paper) =>
      [...textOf(paper).matchAll(/`((?:[\w-]+\/)+[\w.-]+\.ts)`/g)]
        .map(([, file = ""]) => file)
        .filter((file) => !["", "src/", "tests/"].some((below) => paths.has(below + file)))
        .map((file) => `${paper}: ${file}`),
    );
    expect(wrong).toEqual([]);
  });

  test("every rule of DESIGN.md is named by a test", () => {
    const named = new Set(tests.flatMap(idsNamedBy));
    expect(rules.filter((rule) => !named.has(rule))).toEqual([]);
  });

  test("every id that a test names is in one of both", () => {
    const wrong = tests.flatMap((source) =>
      idsNamedBy(source)
        .filter((id) => !known.has(id))
        .map((id) => `${source.path}: ${id}`),
    );
    expect([...new Set(wrong)]).toEqual([]);
  });

  test("every id that a file's header names is in one of both", () => {
    const wrong = SOURCES.flatMap((source) => {
      const headers = source.text.matchAll(/Rules?: ([A-Z][0-9]+(?:[-,\s*]+[A-Z]?[0-9]+)*)/g);
      return [...headers]
        .flatMap((match) => idsIn((match[1] ?? "").replaceAll("*", " ")))
        .filter((id) => !known.has(id))
        .map((id) => `${source.path}: ${id}`);
    });
    expect(wrong).toEqual([]);
  });
});
