/**
 * ScanProblems: keeps the troubles that scans find with single paths in the store as long as they
 * last. Problems that other parts of the client recorded are left alone. Rules: A3, A6, D8, I43.
 */
import type { ErrorCode } from "../../core/error.ts";
import { baseName, parentPath } from "../../core/path.ts";
import type { Observer } from "../../ports/observer.ts";
import type { Problem, StateStore } from "../../ports/state-store.ts";

/** Only scans find these, and only scans take them back. */
export const SCAN_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "file_unreadable",
  "file_changed",
  "unsupported_name",
  "unsupported_kind",
  "other_file_system",
  "folder_nested",
  "path_too_long",
  "reserved_name",
  "invalid_path",
  "invalid_ignore_rules",
  "formerly_ignored",
]);

export class ScanProblems {
  readonly #store: StateStore;
  readonly #observer: Observer;
  /** Problems of earlier scans, by path; only those that a scan may take back. */
  readonly #known = new Map<string, Problem>();
  readonly #seen = new Set<string>();
  /** Directories that could not be read. */
  readonly #unknown: string[] = [];

  constructor(store: StateStore, observer: Observer) {
    this.#store = store;
    this.#observer = observer;
    for (const problem of store.problems()) {
      if (SCAN_CODES.has(problem.code)) this.#known.set(problem.path, problem);
    }
  }

  report(path: string, code: ErrorCode, message: string): void {
    this.#seen.add(path);
    const known = this.#known.get(path);
    if (known?.code === code && known.message === message) return;
    const problem = { path, code, message };
    this.#known.set(path, problem);
    this.#store.setProblem(path, problem);
    this.#observer.emit({ event: "problem", ...problem });
  }

  /** The directory could not be read, so the problems below it stay. */
  leaveBelow(directory: string): void {
    this.#unknown.push(directory);
  }

  /**
   * The path was looked at and is fine.
   *
   * @returns true if it was not fine before.
   */
  clear(path: string): boolean {
    return this.#known.size > 0 && !this.#seen.has(path) && this.#forget(path);
  }

  /** Nothing is at the path any more. */
  clearBelow(path: string): void {
    for (const known of this.#known.keys()) {
      if (known === path || known.startsWith(`${path}/`)) this.clear(known);
    }
  }

  /** These are all entries of the directory. */
  clearVanished(directory: string, entries: ReadonlyMap<string, unknown>): void {
    for (const known of this.#known.keys()) {
      if (parentPath(known) === directory && !entries.has(baseName(known))) this.clear(known);
    }
  }

  /** Everything was looked at. */
  clearUnseen(): void {
    for (const known of this.#known.keys()) {
      const isUnknown = this.#unknown.some((path) => path === "" || known.startsWith(`${path}/`));
      if (!isUnknown) this.clear(known);
    }
  }

  #forget(path: string): boolean {
    if (!this.#known.delete(path)) return false;
    this.#store.setProblem(path, undefined);
    return true;
  }
}
