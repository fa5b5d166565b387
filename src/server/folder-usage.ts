/**
 * Keeps count of a folder's live contents, commit by commit, so that nodes are counted only once.
 * Rules: V3.
 *
 * It counts when somebody first asks. If a commit does not follow the counted head, because another
 * server was first, it forgets its count, and the next question counts again.
 */
import type { FolderName } from "../core/identifier.ts";
import type { RemoteNode, Sequence } from "../core/node.ts";
import type { FolderUsage, MetadataStore } from "../ports/metadata-store.ts";
import type { Quota } from "./ports.ts";

export interface UsageChange {
  readonly expectedHead: Sequence;
  readonly head: Sequence;
  /** The nodes before the commit; at least those of `after` that existed. */
  readonly before: readonly RemoteNode[];
  readonly after: readonly RemoteNode[];
}

export class UsageTally {
  readonly #metadata: MetadataStore;
  readonly #folder: FolderName;
  #known: FolderUsage | undefined;

  constructor(metadata: MetadataStore, folder: FolderName) {
    this.#metadata = metadata;
    this.#folder = folder;
  }

  /** @param head the folder's head now */
  async read(head: Sequence): Promise<FolderUsage> {
    const known = this.#known;
    // A count newer than the caller's head is right too, because a commit came between.
    if (known !== undefined && known.seq >= head) return known;
    this.#known = await this.#metadata.usage(this.#folder);
    return this.#known;
  }

  /** Called for each commit of this server, in order. */
  commit({ expectedHead, head, before, after }: UsageChange): void {
    const known = this.#known;
    if (known === undefined) return;
    if (known.seq !== expectedHead) {
      if (known.seq < expectedHead) this.#known = undefined;
      return;
    }
    const usage = { ...known, seq: head };
    const changed = new Set(after.map(({ id }) => id));
    for (const node of before) if (changed.has(node.id)) count(usage, node, -1);
    for (const node of after) count(usage, node, 1);
    this.#known = usage;
  }
}

/** O14. @returns the bytes that the folder's live files may have together; undefined for any */
export function quotaOf(quota: Quota | undefined, folder: FolderName): number | undefined {
  return quota?.byFolder.has(folder) === true ? quota.byFolder.get(folder) : quota?.bytesMax;
}

type Counts = { -readonly [Name in keyof FolderUsage]: number };

function count(usage: Counts, { content, deleted }: RemoteNode, sign: 1 | -1): void {
  if (deleted) return;
  switch (content.kind) {
    case "file":
      usage.files += sign;
      usage.bytes += sign * content.size;
      break;
    case "directory":
      usage.directories += sign;
      break;
    case "symlink":
      usage.symlinks += sign;
      break;
  }
}
