/**
 * What a folder holds, kept up commit by commit so that nobody counts nodes twice. Rules: V3.
 *
 * Nothing is kept until somebody asks. A commit that does not follow what is kept (another server
 * was first) makes it forgotten, and the next question counts again.
 */
import type { FolderName } from "../core/identifier.ts";
import type { RemoteNode, Sequence } from "../core/node.ts";
import type { FolderUsage, MetadataStore } from "../ports/metadata-store.ts";

export interface UsageChange {
  readonly expectedHead: Sequence;
  readonly head: Sequence;
  /** As they were; at least those of `after` that there were. */
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

  /** @param head of the folder now */
  async read(head: Sequence): Promise<FolderUsage> {
    const known = this.#known;
    // Newer than the head that the caller saw is right too: a commit came in between.
    if (known !== undefined && known.seq >= head) return known;
    this.#known = await this.#metadata.usage(this.#folder);
    return this.#known;
  }

  /** Told of each commit of this server, in order. */
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
