/**
 * Remembers the contents of large files in quarantine. A file that is written in place often goes
 * through a version that is short or empty, and then its chunks are nowhere else on this disk. It
 * is in memory only; a content that was forgotten is downloaded. Rules: D3, C4.
 */

import type { Digest } from "../../core/digest.ts";
import type { NodeId } from "../../core/identifier.ts";
import type { FileContent } from "../../core/node.ts";
import { joinPath } from "../../core/path.ts";
import { QUARANTINE_DIRECTORY } from "../../core/state-directory.ts";
import type { StateStore } from "../../ports/state-store.ts";
import type { ReuseSource } from "./plan.ts";

/** One file in quarantine, by the id of its entry there. */
export interface DisplacedContent {
  readonly id: string;
  readonly node: NodeId;
  readonly content: FileContent;
}

export class DisplacedContents {
  #known: readonly DisplacedContent[] = [];
  #byNode: ReadonlyMap<NodeId, readonly DisplacedContent[]> = new Map();
  #byBytes: ReadonlyMap<Digest, readonly DisplacedContent[]> = new Map();

  /** Remembers contents that came into quarantine, and forgets those that have left it. */
  add(displaced: readonly DisplacedContent[], store: Pick<StateStore, "quarantine">): void {
    const large = displaced.filter(({ content }) => content.depth > 0);
    if (large.length === 0) return;
    const waiting = new Set(store.quarantine().map(({ id }) => id));
    this.#known = [...this.#known, ...large].filter(({ id }) => waiting.has(id));
    this.#byNode = Map.groupBy(this.#known, ({ node }) => node);
    this.#byBytes = Map.groupBy(this.#known, ({ content }) => content.sha256);
  }

  /** Earlier bytes of this node, and files that held the same bytes. */
  sourcesOf(node: NodeId, { sha256 }: FileContent): readonly ReuseSource[] {
    const found = [...(this.#byNode.get(node) ?? []), ...(this.#byBytes.get(sha256) ?? [])];
    return found.map(({ id, content }) => ({ path: joinPath(QUARANTINE_DIRECTORY, id), content }));
  }
}
