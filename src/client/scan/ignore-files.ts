/**
 * IgnoreFiles: the rules files of a folder as they are on its disk. The scan loads each when it
 * reaches its directory, and looks at the directory again after a change. Core interprets the
 * rules. Rules: A6, A7, A21, A22, F95.
 */

import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import { IGNORE_FILE, IgnoreRules } from "../../core/ignore.ts";
import { joinPath } from "../../core/path.ts";
import { DEVICE_IGNORE_FILE } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError, type Stat } from "../../ports/filesystem.ts";
import type { FormerTexts, TextPair } from "../folder/kept-values.ts";
import { type RulesText, readRulesFile } from "../folder/small-file.ts";
import { FormerRules, type Rename } from "./former-rules.ts";

export type IgnoreLoad =
  | { readonly kind: "same" }
  | { readonly kind: "changed" }
  /** The directory's former rules stay in force; `known` is false if there were none. */
  | { readonly kind: "unusable"; readonly known: boolean; readonly message: string }
  /** Another device changed them, and too much waits already. The former rules stay in force. */
  | { readonly kind: "withheld"; readonly message: string };

/** @param digest of a rules file's bytes; undefined if the file is gone. */
export type IsReceived = (digest: Digest | undefined) => boolean;

export class IgnoreFiles {
  readonly #fs: FileSystem;
  readonly #texts = new Map<string, string>();
  /** Directories whose rules were never usable. */
  readonly #unknown = new Set<string>();
  #deviceText: string | undefined;
  /**
   * The device's rules file when it was last loaded, usable or not; undefined if it could not be
   * read.
   */
  #deviceSeen: { readonly text: string | undefined } | undefined;
  #isDeviceUnknown = false;
  #rules = IgnoreRules.none;
  readonly former: FormerRules;

  /**
   * @param remembered the `texts` of an earlier run, so that rules stay in force across a restart.
   * @param former those of its `former`; `renames` as well.
   */
  constructor(
    fs: FileSystem,
    remembered: readonly TextPair[] = [],
    former: readonly FormerTexts[] = [],
    renames: readonly Rename[] = [],
  ) {
    this.#fs = fs;
    this.former = new FormerRules(former, renames);
    for (const entry of remembered) this.#remember(entry);
  }

  /** If a directory is gone, so are its rules. */
  #remember([path, text]: TextPair): void {
    try {
      if (path === DEVICE_IGNORE_FILE) {
        this.#rules = this.#rules.withDeviceFile(text);
        this.#deviceText = text;
      } else if (this.#fs.stat(path)?.kind === "directory") {
        this.#rules = this.#rules.withFile(path, text);
        this.#texts.set(path, text);
      }
    } catch (error) {
      // Legal for another version, or unreadable now, so its rules are not known.
      if (!(error instanceof SyncedError || error instanceof FileSystemError)) throw error;
    }
  }

  /** All texts in force, by directory. The text of this device's own rules has the file's name. */
  get texts(): readonly (readonly [string, string])[] {
    const device = this.#deviceText;
    return device === undefined
      ? [...this.#texts]
      : [...this.#texts, [DEVICE_IGNORE_FILE, device] as const];
  }

  /**
   * A rules file that cannot be used and had no usable version before; undefined if there is none.
   */
  get unknownFile(): string | undefined {
    if (this.#isDeviceUnknown) return DEVICE_IGNORE_FILE;
    const [first] = this.#unknown;
    return first === undefined ? undefined : joinPath(first, IGNORE_FILE);
  }

  get rules(): IgnoreRules {
    return this.#rules;
  }

  /** Other devices' deletions of these rules files are about to be done here. */
  lose(directories: readonly string[]): void {
    for (const directory of directories) {
      const text = this.#texts.get(directory);
      if (text !== undefined) this.former.lose(directory, text);
    }
  }

  /** Other devices' renames of directories are about to be done here. */
  rename(renames: readonly Rename[]): void {
    this.former.renamed(renames, this.#rules);
  }

  /** True if the path was ignored here before other devices changed the rules, or renamed it. */
  wasIgnored(path: string, isDirectory: boolean): boolean {
    return this.former.ignored(this.#rules, path, isDirectory);
  }

  /**
   * True if the rules of the directory, or of one above it, are not known. Then nothing new in it
   * may be offered.
   */
  isUnknown(directory: string): boolean {
    if (this.#isDeviceUnknown) return true;
    for (const unknown of this.#unknown) {
      if (unknown === "" || directory === unknown || directory.startsWith(`${unknown}/`))
        return true;
    }
    return false;
  }

  /**
   * Loads the rules file of one directory as it is now. It compares the text, not the stamp,
   * because such files are few and small.
   *
   * @param stat of the directory's rules file; undefined if there is none.
   * @param isReceived true if other devices made it so.
   */
  load(
    directory: string,
    stat: Stat | undefined,
    isReceived: IsReceived = () => false,
  ): IgnoreLoad {
    const known = this.#texts.get(directory);
    const wasUnknown = this.#unknown.delete(directory);
    if (stat?.kind !== "file") {
      if (known === undefined) return { kind: wasUnknown ? "changed" : "same" };
      return this.#take(directory, undefined, isReceived);
    }
    try {
      const file = readRulesFile(this.#fs, joinPath(directory, IGNORE_FILE));
      if (file === undefined || file.text === known) return { kind: "same" };
      return this.#take(directory, file, isReceived);
    } catch (error) {
      if (known === undefined) this.#unknown.add(directory);
      return unusable(error, known !== undefined);
    }
  }

  #take(directory: string, file: RulesText | undefined, isReceived: IsReceived): IgnoreLoad {
    const text = file?.text;
    const rules = this.#rules.withFile(directory, text);
    if (!isReceived(file?.digest)) this.former.edited(directory);
    else if (!this.former.received(directory, this.#texts.get(directory), text)) {
      const message =
        "The former rules stay in force: other devices changed them too often since you agreed";
      return { kind: "withheld", message };
    }
    this.#rules = rules;
    if (text === undefined) this.#texts.delete(directory);
    else this.#texts.set(directory, text);
    return { kind: "changed" };
  }

  /** Loads the rules of this device alone. */
  loadDevice(): IgnoreLoad {
    try {
      this.#deviceSeen = undefined;
      const text = readRulesFile(this.#fs, DEVICE_IGNORE_FILE)?.text;
      this.#deviceSeen = { text };
      this.#isDeviceUnknown = false;
      if (text === this.#deviceText) return { kind: "same" };
      this.#rules = this.#rules.withDeviceFile(text);
      this.#deviceText = text;
      return { kind: "changed" };
    } catch (error) {
      this.#isDeviceUnknown = this.#deviceText === undefined;
      return unusable(error, this.#deviceText !== undefined);
    }
  }

  /** True if `loadDevice` would find another file than last time. */
  get hasDeviceFileChanged(): boolean {
    try {
      const text = readRulesFile(this.#fs, DEVICE_IGNORE_FILE)?.text;
      return this.#deviceSeen === undefined || text !== this.#deviceSeen.text;
    } catch (error) {
      if (error instanceof FileSystemError) return false;
      throw error;
    }
  }
}

function unusable(error: unknown, known: boolean): IgnoreLoad {
  if (error instanceof SyncedError || error instanceof FileSystemError) {
    return { kind: "unusable", known, message: error.message };
  }
  throw error;
}
