/**
 * IgnoreFiles: the rules files of a folder as they are on its disk, loaded when a scan comes by.
 * Rules: A6, A7, F95. What the rules mean is core's; that a directory is looked at anew after a
 * change is the scan's.
 */
import { SyncedError } from "../core/error.ts";
import { DEVICE_IGNORE_FILE, IGNORE_FILE, IgnoreRules } from "../core/ignore.ts";
import { joinPath } from "../core/path.ts";
import { type FileSystem, FileSystemError, type Stat } from "../ports/filesystem.ts";
import { readRulesFile } from "./small-file.ts";

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
  /** Directories whose rules were never readable. */
  readonly #unknown = new Set<string>();
  #deviceText: string | undefined;
  /** As it was when it was last taken in, usable or not. */
  #deviceSeen: string | undefined;
  #rules = IgnoreRules.none;

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  get rules(): IgnoreRules {
    return this.#rules;
  }

  /**
   * True where the rules of the directory, or of one above it, are not known: it must be left
   * alone.
   */
  isUnknown(directory: string): boolean {
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
    this.#unknown.delete(directory);
    if (stat?.kind !== "file") {
      if (known === undefined) return { kind: "same" };
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
      const text = readRulesFile(this.#fs, DEVICE_IGNORE_FILE);
      this.#deviceSeen = text;
      if (text === this.#deviceText) return { kind: "same" };
      this.#rules = this.#rules.withDeviceFile(text);
      this.#deviceText = text;
      return { kind: "changed" };
    } catch (error) {
      return unusable(error, this.#deviceText !== undefined);
    }
  }

  /** True where `loadDevice` would find another file than it last did. */
  get hasDeviceFileChanged(): boolean {
    try {
      return readRulesFile(this.#fs, DEVICE_IGNORE_FILE) !== this.#deviceSeen;
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
