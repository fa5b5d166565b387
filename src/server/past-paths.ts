/** Paths as of a moment, out of spans: from a path to its node, and back. Rules: E3. */
import { SyncedError } from "../core/error.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import { joinPath, parsePath } from "../core/path.ts";
import type { HistoryStore, Span } from "../ports/history-store.ts";

/** A directory tree as of one moment. Paths of directories are kept, so many look-ups are cheap. */
export class PastPaths {
  readonly #history: HistoryStore;
  readonly #folder: FolderName;
  readonly #at: Sequence;
  readonly #directories = new Map<NodeId, string>([[ROOT_ID, ""]]);

  constructor(history: HistoryStore, folder: FolderName, at: Sequence) {
    this.#history = history;
    this.#folder = folder;
    this.#at = at;
  }

  /** The live entry at a path. @throws {SyncedError} as `parsePath` does */
  async entryAt(path: string): Promise<Span | undefined> {
    let entry: Span | undefined;
    for (const name of parsePath(path)) {
      const parent = entry?.node ?? ROOT_ID;
      entry = await this.#history.childAt(this.#folder, { parent, name }, this.#at);
      if (entry === undefined) return undefined;
    }
    return entry;
  }

  /** The node if it is live at the moment. */
  async nodeAt(id: NodeId): Promise<Span | undefined> {
    const span = await this.#history.nodeAt(this.#folder, id, this.#at);
    return span === undefined || span.to <= this.#at ? undefined : span;
  }

  /**
   * The directory at a path, which may be "".
   *
   * @throws {SyncedError} `not_found` if there is none
   */
  async directoryAt(path: string): Promise<NodeId> {
    if (path === "") return ROOT_ID;
    const entry = await this.entryAt(path);
    if (entry?.kind === "directory") return entry.node;
    const claim = entry === undefined ? "nothing is there" : `it is a ${entry.kind}`;
    throw new SyncedError("not_found", `Cannot list "${path}" as of event ${this.#at}: ${claim}`);
  }

  /** The same at once, if the path of the directory is known by now. */
  knownPathOf({ parent, name }: Pick<Span, "parent" | "name">): string | undefined {
    const directory = this.#directories.get(parent);
    return directory === undefined ? undefined : joinPath(directory, name);
  }

  /**
   * The path of a place. The directories on the way may be deleted by then; they are named as they
   * were last.
   */
  async pathOf({ parent, name }: Pick<Span, "parent" | "name">): Promise<string> {
    return joinPath(await this.#directoryPath(parent), name);
  }

  async #directoryPath(directory: NodeId): Promise<string> {
    const known = this.#directories.get(directory);
    if (known !== undefined) return known;
    const span = await this.#history.nodeAt(this.#folder, directory, this.#at);
    const path = span === undefined ? "" : await this.pathOf(span);
    this.#directories.set(directory, path);
    return path;
  }
}
