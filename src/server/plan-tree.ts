/** A folder's tree as of one event, as plans read it: out of spans and the log. Rules: E9. */
import type { FolderName, NodeId } from "../core/identifier.ts";
import { PLAN_STEPS_MAX } from "../core/limits.ts";
import type { Place, RemoteNode, Sequence } from "../core/node.ts";
import type { PlanTree } from "../core/wanted-tree.ts";
import type { PastSources } from "./past-sources.ts";

/** Reads between two turns of the event loop. */
const READS_PER_TURN = 200;

export class PlanTreeAt implements PlanTree {
  readonly #sources: PastSources;
  readonly #folder: FolderName;
  readonly #at: Sequence;
  #reads = 0;

  /** @param at an event that is folded */
  constructor(sources: PastSources, folder: FolderName, at: Sequence) {
    this.#sources = sources;
    this.#folder = folder;
    this.#at = at;
  }

  async node(id: NodeId): Promise<RemoteNode | undefined> {
    await this.#turn();
    return await this.#sources.metadata.node(this.#folder, id, this.#at);
  }

  async child(place: Place): Promise<RemoteNode | undefined> {
    const span = await this.#sources.history.childAt(this.#folder, place, this.#at);
    return span === undefined ? undefined : await this.node(span.node);
  }

  async children(parent: NodeId): Promise<readonly RemoteNode[]> {
    const rows = await this.#sources.history.list(this.#folder, {
      parent,
      at: this.#at,
      withDeleted: false,
      sort: "name",
      descending: false,
      offset: 0,
      limit: PLAN_STEPS_MAX + 1,
    });
    const nodes: RemoteNode[] = [];
    for (const { node: id } of rows) {
      const node = await this.node(id);
      if (node !== undefined) nodes.push(node);
    }
    return nodes;
  }

  async #turn(): Promise<void> {
    this.#reads += 1;
    if (this.#reads % READS_PER_TURN === 0) await this.#sources.clock.yield();
  }
}
