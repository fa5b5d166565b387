/**
 * IgnoreRules: tells which paths are not synced, according to the folder's rules files, with git's
 * semantics. Rules: A6, A7, R15. The `ignore` package matches the patterns. This file adds what the
 * package lacks: rules files at any depth, bounds, and paths of any legal name.
 *
 * Each directory with a rules file has one chain of all patterns that apply there, rewritten
 * relative to the root. The deepest come last, because the last match decides. The device's own
 * rules come after all others. So if a person excludes a path on one device, no rules file from
 * another device can bring it back.
 */

import ignore, { type Ignore } from "ignore";
import { SyncedError } from "./error.ts";
import { reachesBelow } from "./ignore-reach.ts";
import {
  IGNORE_CHAIN_PATTERNS_MAX,
  IGNORE_FILE_BYTES_MAX,
  IGNORE_GLOBSTAR_PATTERNS_MAX,
  IGNORE_GLOBSTARS_MAX,
  IGNORE_PATTERN_LENGTH_MAX,
  IGNORE_PATTERNS_MAX,
  IGNORE_TOTAL_MAX,
} from "./limits.ts";
import { joinPath, parentPath, RESERVED_NAME, utf8LengthBytes } from "./path.ts";
import { DEVICE_IGNORE_FILE } from "./state-directory.ts";

/** The name of a rules file; it is itself synced. */
export const IGNORE_FILE = ".syncedignore";

/** A rules file as found: the directory that holds it ("" for the root), and its text. */
export interface IgnoreFile {
  readonly directory: string;
  /** undefined if the file is gone. */
  readonly text: string | undefined;
}

/** A rules file's place: the directory that it rules, and the file's path as a person knows it. */
interface RulesFile {
  readonly directory: string;
  readonly path: string;
}

/** The line of a rules file that ignores a path. */
export interface IgnoreMatch {
  /** The file's path in the folder. */
  readonly file: string;
  /** Counts from 1. */
  readonly line: number;
  /** As it stands there. */
  readonly pattern: string;
}

/** Relative to the root; the mark says where it stands: line, pattern and file, each on a line. */
interface Pattern {
  readonly pattern: string;
  readonly mark: string;
}

/** In the order of the files. */
type Patterns = readonly Pattern[];

/** Immutable: every `with*` returns another one. */
export class IgnoreRules {
  /** No rules, except that `.synced` is never synced. */
  static readonly none = new IgnoreRules(new Map(), []);

  readonly #files: ReadonlyMap<string, Patterns>;
  readonly #devicePatterns: Patterns;
  /**
   * Matchers by directory. They are made on first use and shared with copies, because compiling
   * patterns is the expensive part.
   */
  readonly #matchers: Map<string, Ignore>;
  readonly #chains = new Map<string, Chain>();

  private constructor(
    files: ReadonlyMap<string, Patterns>,
    devicePatterns: Patterns,
    matchers = new Map<string, Ignore>(),
  ) {
    this.#files = files;
    this.#devicePatterns = devicePatterns;
    this.#matchers = matchers;
  }

  /**
   * Replaces the rules file of one directory.
   *
   * @throws {SyncedError} `invalid_ignore_rules` when it is too large; these rules stay as they
   * are.
   */
  withFile(directory: string, text: string | undefined): IgnoreRules {
    return this.withFiles([{ directory, text }]);
  }

  /** Replaces many at once, because one copy for each would cost the square of their number. */
  withFiles(replacements: Iterable<IgnoreFile>): IgnoreRules {
    const files = new Map(this.#files);
    const matchers = new Map(this.#matchers);
    let last = "";
    for (const { directory, text } of replacements) {
      const patterns = text === undefined ? [] : parsePatterns(rulesFileIn(directory), text);
      if (patterns.length === 0) files.delete(directory);
      else files.set(directory, patterns);
      last = directory;
      for (const known of matchers.keys()) if (isWithin(known, directory)) matchers.delete(known);
    }
    checkChains(files, last);
    return new IgnoreRules(files, this.#devicePatterns, matchers);
  }

  /**
   * Replaces the rules of this device.
   *
   * @throws {SyncedError} `invalid_ignore_rules` when the text is too large.
   */
  withDeviceFile(text: string | undefined): IgnoreRules {
    const patterns =
      text === undefined ? [] : parsePatterns({ directory: "", path: DEVICE_IGNORE_FILE }, text);
    return new IgnoreRules(this.#files, patterns, new Map(this.#matchers));
  }

  /** True if only `.synced` is ignored. */
  get isEmpty(): boolean {
    return this.#files.size === 0 && this.#devicePatterns.length === 0;
  }

  /**
   * @param path relative to the root, made of legal names; never throws for any other.
   * @returns true if the path, or a directory above it, is ignored.
   */
  ignores(path: string, isDirectory: boolean): boolean {
    if (isState(path)) return true;
    if (this.isEmpty || path === "") return false;
    return this.#chainAt(parentPath(path)).ignores(isDirectory ? `${path}/` : path);
  }

  /**
   * True if what stands in a directory may no longer be ignored when it is renamed, because a line
   * that ignores reaches below the one path only, or a line that negates below the other one only.
   * Rules files that go along say the same there.
   */
  loosens(from: string, to: string): boolean {
    return [...this.#files.entries(), ["", this.#devicePatterns] as const].some(
      ([directory, patterns]) =>
        !(directory !== "" && isWithin(directory, from)) &&
        patterns.some(({ pattern }) => {
          const [above, beyond] = pattern.startsWith("!") ? [to, from] : [from, to];
          return reachesBelow(pattern, above) && !reachesBelow(pattern, beyond);
        }),
    );
  }

  /**
   * @returns the line that decides; undefined if the path is not ignored, or is state, which no
   * line decides about.
   */
  ignoredBy(path: string, isDirectory: boolean): IgnoreMatch | undefined {
    if (isState(path) || this.isEmpty || path === "") return undefined;
    const mark = this.#chainAt(parentPath(path)).markOf(isDirectory ? `${path}/` : path);
    if (mark === undefined) return undefined;
    const [line, pattern = "", ...file] = mark.split("\n");
    return { file: file.join("\n"), line: Number(line), pattern };
  }

  #chainAt(directory: string): Chain {
    const nearest = this.#nearestFile(directory);
    let chain = this.#chains.get(nearest);
    if (chain === undefined) {
      chain = new Chain(matcherOf(this.#devicePatterns, this.#matcherAt(nearest)));
      this.#chains.set(nearest, chain);
    }
    return chain;
  }

  /** The matcher of all rules files from the root down to that directory. */
  #matcherAt(directory: string): Ignore {
    const known = this.#matchers.get(directory);
    if (known !== undefined) return known;
    const above =
      directory === "" ? undefined : this.#matcherAt(this.#nearestFile(parentPath(directory)));
    const matcher = matcherOf(this.#files.get(directory) ?? [], above);
    this.#matchers.set(directory, matcher);
    return matcher;
  }

  /** The nearest directory, from this one up, that has a rules file; the root if there is none. */
  #nearestFile(directory: string): string {
    if (this.#files.size === 0) return "";
    let nearest = directory;
    while (nearest !== "" && !this.#files.has(nearest)) nearest = parentPath(nearest);
    return nearest;
  }
}

/**
 * Rules apply together with those of all directories above. Each of 61 nested files may have as
 * many as one file may; together they would take minutes and a gigabyte to compile. So would those
 * of 200 directories beside each other.
 *
 * @param changed the directory whose file is told of.
 * @throws {SyncedError} `invalid_ignore_rules` if there are too many patterns, or apply somewhere
 */
function checkChains(files: ReadonlyMap<string, Patterns>, changed: string): void {
  const total = { patterns: 0, globstars: 0 };
  for (const patterns of files.values()) addCost(total, patterns);
  if (total.patterns > IGNORE_TOTAL_MAX) {
    const claim = `with those of other directories, there are more than ${IGNORE_TOTAL_MAX} patterns`;
    throw unusable(rulesFileIn(changed), claim);
  }
  if (excessOf(total) === undefined) return;
  for (const directory of files.keys()) {
    const sum = { patterns: 0, globstars: 0 };
    for (let above = directory; ; above = parentPath(above)) {
      addCost(sum, files.get(above) ?? []);
      if (above === "") break;
    }
    const excess = excessOf(sum);
    if (excess === undefined) continue;
    const claim = `with those of other directories, ${excess} apply in ${JSON.stringify(directory)}`;
    throw unusable(rulesFileIn(changed), claim);
  }
}

interface Cost {
  patterns: number;
  /** Of these, how many have more than one `**`. */
  globstars: number;
}

/** Counted once for each file, since each change of one looks at all. */
const GLOBSTARS = new WeakMap<Patterns, number>();

function addCost(sum: Cost, patterns: Patterns): void {
  let globstars = GLOBSTARS.get(patterns);
  if (globstars === undefined) {
    globstars = patterns.filter(({ pattern }) => /\*\*.*\*\*/.test(pattern)).length;
    GLOBSTARS.set(patterns, globstars);
  }
  sum.patterns += patterns.length;
  sum.globstars += globstars;
}

/** @returns what there is too much of */
function excessOf({ patterns, globstars }: Cost): string | undefined {
  if (patterns > IGNORE_CHAIN_PATTERNS_MAX)
    return `more than ${IGNORE_CHAIN_PATTERNS_MAX} patterns`;
  if (globstars <= IGNORE_GLOBSTAR_PATTERNS_MAX) return undefined;
  return `more than ${IGNORE_GLOBSTAR_PATTERNS_MAX} patterns with more than one "**"`;
}

function isWithin(path: string, directory: string): boolean {
  return directory === "" || path === directory || path.startsWith(`${directory}/`);
}

/** True for the state directory and everything below it, at any depth. */
function isState(path: string): boolean {
  if (!path.includes(RESERVED_NAME)) return false;
  return path.split("/").includes(RESERVED_NAME);
}

/** The library remembers every path that it was asked for. A fresh matcher forgets them. */
const LOOKUPS_MAX = 10_000;

/** A matcher whose memory is bounded. */
class Chain {
  #matcher: Ignore;
  #lookups = 0;

  constructor(matcher: Ignore) {
    this.#matcher = matcher;
  }

  ignores(path: string): boolean {
    if (++this.#lookups > LOOKUPS_MAX) {
      this.#lookups = 0;
      this.#matcher = matcherOf([], this.#matcher);
    }
    return this.#matcher.ignores(path);
  }

  markOf(path: string): string | undefined {
    return this.#matcher.test(path).rule?.mark;
  }
}

/** A matcher of `patterns` after those of `above`, whose compiled ones it shares. */
function matcherOf(patterns: Patterns, above: Ignore | undefined): Ignore {
  const matcher = emptyMatcher();
  if (above !== undefined) matcher.add(above);
  return matcher.add(patterns);
}

/**
 * Case matters because names keep their exact bytes. The library judges odd paths instead of
 * throwing.
 */
function emptyMatcher(): Ignore {
  return ignore({ ignorecase: false, allowRelativePaths: true });
}

function rulesFileIn(directory: string): RulesFile {
  return { directory, path: joinPath(directory, IGNORE_FILE) };
}

function parsePatterns(file: RulesFile, text: string): Patterns {
  if (text.length > IGNORE_FILE_BYTES_MAX || utf8LengthBytes(text) > IGNORE_FILE_BYTES_MAX) {
    throw unusable(file, `it has more than ${IGNORE_FILE_BYTES_MAX} bytes`);
  }
  const patterns: Pattern[] = [];
  let number = 0;
  for (const ended of text.replace(/^\uFEFF/, "").split("\n")) {
    number += 1;
    const line = ended.replace(/\r$/, "");
    const pattern = parsePattern(file, line);
    if (pattern === undefined) continue;
    patterns.push({ pattern, mark: `${number}\n${trimTrailingSpaces(line)}\n${file.path}` });
  }
  if (patterns.length > IGNORE_PATTERNS_MAX) {
    throw unusable(file, `it has more than ${IGNORE_PATTERNS_MAX} patterns`);
  }
  return patterns;
}

/** @returns the line's pattern relative to the root; undefined if the line has none. */
function parsePattern(file: RulesFile, line: string): string | undefined {
  if (line.startsWith("#")) return undefined;
  const trimmed = trimTrailingSpaces(line);
  const negation = trimmed.startsWith("!") ? "!" : "";
  const body = trimmed.slice(negation.length);
  if (body === "" || body === "/") return undefined;
  if (body.length > IGNORE_PATTERN_LENGTH_MAX) {
    throw unusable(file, `a pattern has more than ${IGNORE_PATTERN_LENGTH_MAX} characters`);
  }
  if (body.split("**").length - 1 > IGNORE_GLOBSTARS_MAX) {
    throw unusable(file, `a pattern has more than ${IGNORE_GLOBSTARS_MAX} times "**"`);
  }
  const { directory } = file;
  if (directory === "") return trimmed;
  // A slash before the end anchors the pattern to the file's directory. Other patterns match at any
  // depth below it.
  const isAnchored = body.slice(0, -1).includes("/");
  const below = isAnchored ? body.replace(/^\//, "") : `**/${body}`;
  return `${negation}/${escapePattern(directory)}/${below}`;
}

/** Does as git does: a space behind a backslash stays, with all before it. */
function trimTrailingSpaces(line: string): string {
  let end = line.length;
  while (line[end - 1] === " ") end--;
  let backslashes = 0;
  while (line[end - 1 - backslashes] === "\\") backslashes++;
  const isEscaped = end < line.length && backslashes % 2 === 1;
  return line.slice(0, isEscaped ? end + 1 : end);
}

function escapePattern(path: string): string {
  return path.replace(/[\\*?[\]!# ]/g, "\\$&");
}

function unusable({ path }: RulesFile, reason: string): SyncedError {
  return new SyncedError(
    "invalid_ignore_rules",
    `Cannot use the rules in ${JSON.stringify(path)}: ${reason}`,
    { path },
  );
}
