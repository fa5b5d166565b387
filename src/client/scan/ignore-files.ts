/**
 * IgnoreFiles: the rules files of a folder as they are on its disk, loaded when a scan comes by.
 * Rules: A6, A7, F95. What the rules mean is core's; that a directory is looked at anew after a
 * change is the scan's.
 */

import { SyncedError } from "../../core/error.ts";
import { IGNORE_FILE, IgnoreRules } from "../../core/ignore.ts";
import { joinPath } from "../../core/path.ts";
import { DEVICE_IGNORE_FILE } from "../../core/state-directory.ts";
import { type FileSystem, FileSystemError, type Stat } from "../../ports/filesystem.ts";
import { readRulesFile } from "../folder/small-file.ts";

export type IgnoreLoad =
  | { readonly kind: "same" }
  | { readonly kind: "changed" }
  /**
   * The rules of that directory are those of before; `known` is false where there are none of
   * before.
   */
  | { readonly kind: "unusable"; readonly known: boolean; readonly message: string };

export class IgnoreFiles {
  readonly #fs: FileSystem;
  readonly #texts = new Map<string, string>();
  /** Directories whose rules were never usable. */
  readonly #unknown = new Set<string>();
  #deviceText: string | undefined;
  /** As it was when it was last taken in, usable or not; undefined where it could not be read. */
  #deviceSeen: { readonly text: string | undefined } | undefined;
  #isDeviceUnknown = false;
  #rules = IgnoreRules.none;

  /** @param remembered what `texts` gave in an earlier run: rules stay in force across a restart. */
  constructor(fs: FileSystem, remembered?: unknown) {
    this.#fs = fs;
    if (!Array.isArray(remembered)) return;
    for (const entry of remembered) this.#remember(entry);
  }

  /** A directory that is gone takes its rules along. */
  #remember(entry: unknown): void {
    if (!Array.isArray(entry)) return;
    const [path, text]: unknown[] = entry;
    if (typeof path !== "string" || typeof text !== "string") return;
    try {
      if (path === DEVICE_IGNORE_FILE) {
        this.#rules = this.#rules.withDeviceFile(text);
        this.#deviceText = text;
      } else if (this.#fs.stat(path)?.kind === "directory") {
        this.#rules = this.#rules.withFile(path, text);
        this.#texts.set(path, text);
      }
    } catch (error) {
      // Legal for another version, or not to be looked at now: not known, then.
      if (!(error instanceof SyncedError || error instanceof FileSystemError)) throw error;
    }
  }

  /** All that is in force, by directory; that of this device alone by the file's name. */
  get texts(): readonly (readonly [string, string])[] {
    const device = this.#deviceText;
    return device === undefined
      ? [...this.#texts]
      : [...this.#texts, [DEVICE_IGNORE_FILE, device] as const];
  }

  /** A rules file that cannot be used, where none was usable before; undefined where there is none. */
  get unknownFile(): string | undefined {
    if (this.#isDeviceUnknown) return DEVICE_IGNORE_FILE;
    const [first] = this.#unknown;
    return first === undefined ? undefined : joinPath(first, IGNORE_FILE);
  }

  get rules(): IgnoreRules {
    return this.#rules;
  }

  /**
   * True where the rules of the directory, or of one above it, are not known: nothing new in it may
   * be offered.
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
   * Takes in the rules file of one directory as it is now. Its text is compared, not its stamp:
   * such files are few and small.
   *
   * @param stat of the directory's rules file, undefined where there is none.
   */
  load(directory: string, stat: Stat | undefined): IgnoreLoad {
    const known = this.#texts.get(directory);
    const wasUnknown = this.#unknown.delete(directory);
    if (stat?.kind !== "file") {
      if (known === undefined) return { kind: wasUnknown ? "changed" : "same" };
      this.#texts.delete(directory);
      this.#rules = this.#rules.withFile(directory, undefined);
      return { kind: "changed" };
    }
    try {
      const text = readRulesFile(this.#fs, joinPath(directory, IGNORE_FILE));
      if (text === undefined || text === known) return { kind: "same" };
      this.#rules = this.#rules.withFile(directory, text);
      this.#texts.set(directory, text);
      return { kind: "changed" };
    } catch (error) {
      if (known === undefined) this.#unknown.add(directory);
      return unusable(error, known !== undefined);
    }
  }

  /** Takes in the rules of this device alone. */
  loadDevice(): IgnoreLoad {
    try {
      this.#deviceSeen = undefined;
      const text = readRulesFile(this.#fs, DEVICE_IGNORE_FILE);
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

  /** True where `loadDevice` would find another file than it last did. */
  get hasDeviceFileChanged(): boolean {
    try {
      const text = readRulesFile(this.#fs, DEVICE_IGNORE_FILE);
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
