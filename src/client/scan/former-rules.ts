/**
 * FormerRules: the rules that were in force on this device until other devices changed them, or
 * renamed a directory out of their reach. What they ignored stays here until a person of this
 * device says otherwise. Rules: A21, A22.
 *
 * The rules of a moment are kept as the texts that have been replaced since, so that a change by
 * this device's own person counts for all of them.
 */
import { SyncedError } from "../../core/error.ts";
import type { IgnoreRules } from "../../core/ignore.ts";
import { FORMER_PATHS_MAX, FORMER_RULES_MAX } from "../../core/limits.ts";
import type { FormerTexts, TextPair } from "../folder/kept-values.ts";

type Moment = ReadonlyMap<string, string | undefined>;

/** A directory's path before and after others renamed it. */
export type Rename = TextPair;

/** Stands for all renames when there were too many: everything new counts as ignored. */
const ANY: Rename = ["", ""];

interface Judges {
  readonly rules: IgnoreRules;
  readonly moments: readonly Moment[];
  /** Undefined for rules that cannot be used together with the others. */
  readonly former: readonly (IgnoreRules | undefined)[];
}

export class FormerRules {
  /** Replaced whenever it changes. */
  #moments: readonly Moment[];
  /** The texts that other devices replaced since the scan began, as they were then. */
  #begin: Moment = new Map();
  /** True if the last of the moments is the scan's beginning. */
  #isBeginKept = false;
  /** Replaced whenever it changes. */
  #renames: readonly Rename[];
  #judges: Judges | undefined;

  constructor(remembered: readonly FormerTexts[] = [], renames: readonly Rename[] = []) {
    this.#renames = renames;
    this.#moments = remembered.map(
      (texts) => new Map(texts.map(([directory, text]) => [directory, text ?? undefined])),
    );
  }

  /** Another array after each change. */
  get moments(): readonly Moment[] {
    return this.#moments;
  }

  get texts(): readonly FormerTexts[] {
    return this.#moments.map((moment) => {
      return [...moment].map(([directory, text]) => [directory, text ?? null] as const);
    });
  }

  /** Another array after each change. */
  get renames(): readonly Rename[] {
    return this.#renames;
  }

  /** A scan begins. What it finds changed came together. */
  beginScan(): void {
    // Rules that come and go must not use up the bound.
    if (this.#isBeginKept && this.#moments.slice(0, -1).some(isSameAs(this.#begin))) {
      this.#moments = this.#moments.slice(0, -1);
    }
    this.#begin = new Map();
    this.#isBeginKept = false;
  }

  /**
   * Another device changed a rules file.
   *
   * @returns false if it must not be taken over, because too many changes wait for a person.
   */
  received(directory: string, before: string | undefined, after: string | undefined): boolean {
    const isKept = this.#isBeginKept || !onlyAdds(before, after);
    if (isKept && !this.#isBeginKept && this.#moments.length >= FORMER_RULES_MAX) return false;
    const since = (moment: Moment): Moment =>
      moment.has(directory) ? moment : new Map(moment).set(directory, before);
    const earlier = this.#isBeginKept ? this.#moments.slice(0, -1) : this.#moments;
    this.#begin = since(this.#begin);
    this.#moments = [...earlier.map(since), ...(isKept ? [this.#begin] : [])];
    this.#isBeginKept = isKept;
    return true;
  }

  /** Another device's deletion of a rules file, or of its directory, is about to be done here. */
  lose(directory: string, before: string): void {
    if (this.received(directory, before, undefined)) return;
    // No moment of its own is left for it, so it counts in all of them.
    this.#moments = this.#moments.map((moment) =>
      moment.has(directory) ? moment : new Map(moment).set(directory, before),
    );
  }

  /**
   * Another device's renames of directories are about to be done here.
   *
   * @param rules those of now
   */
  renamed(renames: readonly Rename[], rules: IgnoreRules): void {
    const judges = [rules, ...this.#judgesBeside(rules)];
    const isKnown = ([from, to]: Rename) =>
      this.#renames.some(([before, after]) => before === from && after === to);
    const added = renames
      .flatMap((rename) => [rename, ...this.#renames.flatMap((known) => joined(known, rename))])
      .filter((rename) => judges.some((judge) => judge?.loosens(...rename) ?? true))
      .filter((rename) => !isKnown(rename));
    if (added.length === 0) return;
    const all = [...this.#renames, ...added];
    this.#renames = all.length > FORMER_PATHS_MAX ? [ANY] : all;
  }

  /** True if others changed the directory's rules, and a person has not agreed to that. */
  covers(directory: string): boolean {
    return this.#moments.some((moment) => moment.has(directory));
  }

  /** This device's own person changed a rules file. */
  edited(directory: string): void {
    const without = (moment: Moment): Moment => {
      return new Map([...moment].filter(([changed]) => changed !== directory));
    };
    this.#begin = without(this.#begin);
    if (!this.covers(directory)) return;
    this.#moments = this.#moments.map(without).filter(({ size }) => size > 0);
    this.#isBeginKept &&= this.#begin.size > 0;
  }

  /** A person agreed to the rules of now. */
  forget(): void {
    this.#moments = [];
    this.#renames = [];
    this.beginScan();
  }

  /**
   * @param rules those of now
   * @returns true if some of the former ones ignored the path, or some of all its former path
   */
  ignored(rules: IgnoreRules, path: string, isDirectory: boolean): boolean {
    if (this.#moments.length + this.#renames.length === 0) return false;
    const former = this.#judgesBeside(rules);
    const ignores = (judges: Judges["former"], at: string): boolean =>
      judges.some((judge) => judge === undefined || judge.ignores(at, isDirectory));
    return (
      ignores(former, path) ||
      this.#renames.some((rename) => {
        const before = movedBack(path, rename);
        return rename[1] === "" || (before !== undefined && ignores([rules, ...former], before));
      })
    );
  }

  #judgesBeside(rules: IgnoreRules): Judges["former"] {
    const known = this.#judges;
    if (known?.rules === rules && known.moments === this.#moments) return known.former;
    const former = this.#moments.map((moment) => asOf(moment, rules));
    this.#judges = { rules, moments: this.#moments, former };
    return former;
  }
}

/** @returns the path that it had before the rename; undefined if it is not below that directory */
function movedBack(path: string, [from, to]: Rename): string | undefined {
  return path.startsWith(`${to}/`) ? from + path.slice(to.length) : undefined;
}

/** @returns what an earlier rename and a later one were together, if one went on with the other */
function joined([first, between]: Rename, [from, to]: Rename): readonly Rename[] {
  if (between === from || between.startsWith(`${from}/`)) {
    return [[first, to + between.slice(from.length)]];
  }
  const inner = movedBack(from, [first, between]);
  return inner === undefined ? [] : [[inner, to]];
}

function isSameAs(a: Moment): (b: Moment) => boolean {
  return (b) => {
    return a.size === b.size && [...a].every(([key, text]) => b.has(key) && b.get(key) === text);
  };
}

function asOf(moment: Moment, rules: IgnoreRules): IgnoreRules | undefined {
  try {
    return rules.withFiles([...moment].map(([directory, text]) => ({ directory, text })));
  } catch (error) {
    if (error instanceof SyncedError) return undefined;
    throw error;
  }
}

/** True if every path that was ignored still is: lines came in between, and none of them negates. */
function onlyAdds(before: string | undefined, after: string | undefined): boolean {
  const kept = linesOf(before);
  let found = 0;
  for (const line of linesOf(after)) {
    if (line === kept[found]) found += 1;
    else if (line.startsWith("!")) return false;
  }
  return found === kept.length;
}

function linesOf(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  return lines.filter((line) => line.trim() !== "" && !line.startsWith("#"));
}
