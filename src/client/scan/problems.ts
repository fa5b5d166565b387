/**
 * ScanProblems: the troubles that scans find with single paths, kept in the store while they last.
 * Rules: A3, A6, D8, I43. Leaves alone what other parts of the client recorded.
 */
import type { ErrorCode } from "../../core/error.ts";
import { baseName, parentPath } from "../../core/path.ts";
import type { Observer } from "../../ports/observer.ts";
import type { Problem, StateStore } from "../../ports/state-store.ts";

/** Found, and taken back, by scans alone. */
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
]);

export class ScanProblems {
  readonly #store: StateStore;
  readonly #observer: Observer;
  /** Of earlier scans, by path; only those that a scan may take back. */
  readonly #known = new Map<string, Problem>();
  readonly #seen = new Set<string>();
  /** Directories that could not be looked into. */
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

  /** The directory could not be looked into: what was known below it stays known. */
  leaveBelow(directory: string): void {
    this.#unknown.push(directory);
  }

  /**
   * The path was looked at and is fine.
   *
   * @returns true where it was not, before.
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

  /** All entries of the directory are these. */
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
