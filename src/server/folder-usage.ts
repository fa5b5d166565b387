/**
 * Keeps count of a folder's live contents, commit by commit, so that nodes are counted only once.
 * Rules: V3.
 *
 * It counts when somebody first asks. If commits do not follow the counted head, because another
 * server was first, the next question follows the log from there.
 */
import type { ServedEvent } from "../core/event.ts";
import type { FolderName } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import type { Content, RemoteNode, Sequence } from "../core/node.ts";
import type { FolderUsage, MetadataStore } from "../ports/metadata-store.ts";
import type { Quota } from "./ports.ts";
import { previousContents } from "./previous-contents.ts";

export interface UsageChange {
  readonly expectedHead: Sequence;
  readonly head: Sequence;
  /** The nodes before the commit; at least those of `after` that existed. */
  readonly before: readonly RemoteNode[];
  readonly after: readonly RemoteNode[];
}

export class UsageTally {
  readonly #metadata: Pick<MetadataStore, "usage" | "events" | "eventsAt">;
  readonly #folder: FolderName;
  #known: FolderUsage | undefined;

  constructor(metadata: Pick<MetadataStore, "usage" | "events" | "eventsAt">, folder: FolderName) {
    this.#metadata = metadata;
    this.#folder = folder;
  }

  /** @param head the folder's head now */
  async read(head: Sequence): Promise<FolderUsage> {
    const known = this.#known;
    // A count newer than the caller's head is right too, because a commit came between.
    if (known !== undefined && known.seq >= head) return known;
    const isNear = known !== undefined && head - known.seq <= EVENTS_PER_PAGE_MAX;
    const followed = isNear ? await this.#follow(known) : undefined;
    const read = followed ?? (await this.#metadata.usage(this.#folder));
    // A commit of this server may have come meanwhile.
    if (this.#known === undefined || this.#known.seq < read.seq) this.#known = read;
    return this.#known;
  }

  /** Called for each commit of this server, in order. */
  commit({ expectedHead, head, before, after }: UsageChange): void {
    const known = this.#known;
    if (known === undefined || known.seq !== expectedHead) return;
    const usage = { ...known, seq: head };
    const changed = new Set(after.map(({ id }) => id));
    for (const { id, deleted, content } of before) {
      if (changed.has(id) && !deleted) count(usage, content, -1);
    }
    for (const { deleted, content } of after) if (!deleted) count(usage, content, 1);
    this.#known = usage;
  }

  /** Takes in what others committed. @returns undefined if the log does not tell all of it */
  async #follow(known: FolderUsage): Promise<FolderUsage | undefined> {
    const page = { after: known.seq, limit: EVENTS_PER_PAGE_MAX };
    const { events } = await this.#metadata.events(this.#folder, page);
    const previous = await previousContents(this.#metadata, this.#folder, events);
    const usage = { ...known, seq: events.at(-1)?.seq ?? known.seq };
    for (const event of events) {
      const replaced = previous.get(event.seq);
      if (event.kind === "modify" && replaced === undefined) return undefined;
      countEvent(usage, event, replaced);
    }
    return usage;
  }
}

/** O14. @returns the bytes that the folder's live files may have together; undefined for any */
export function quotaOf(quota: Quota | undefined, folder: FolderName): number | undefined {
  return quota?.byFolder.has(folder) === true ? quota.byFolder.get(folder) : quota?.bytesMax;
}

type Counts = { -readonly [Name in keyof FolderUsage]: number };

/** @param previous the content that a modify replaced */
function countEvent(
  usage: Counts,
  { kind, content }: Pick<ServedEvent, "kind" | "content">,
  previous: Content | undefined,
): void {
  switch (kind) {
    case "create":
      count(usage, content, 1);
      break;
    case "modify":
      if (previous !== undefined) count(usage, previous, -1);
      count(usage, content, 1);
      break;
    case "delete":
      count(usage, content, -1);
      break;
    case "move":
      break;
  }
}

function count(usage: Counts, content: Content, sign: 1 | -1): void {
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
