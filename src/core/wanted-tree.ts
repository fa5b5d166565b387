/**
 * Turns wanted states of some nodes into ops that a server can accept. Rules: E9, E10, O2, O3.
 *
 * A wish that the rest of the tree forbids is given up, and listed with whose work is in the way:
 * nothing that a wish does not name is moved, deleted or covered. Pure: it reads one tree, which
 * does not change meanwhile.
 *
 * It ends: each round that changes something gives up a wish for good, or wishes for one more
 * directory, and a wish that was given up does not come back.
 */
import { restoredName } from "./conflict.ts";
import { SyncedError } from "./error.ts";
import { groupOps } from "./group-ops.ts";
import { type NodeId, ROOT_ID } from "./identifier.ts";
import { PLAN_STEPS_MAX } from "./limits.ts";
import {
  type Content,
  type Place,
  placeKey,
  type RemoteNode,
  sameContent,
  samePlace,
} from "./node.ts";
import type { OpDraft } from "./transition.ts";
import { MemoryTree } from "./tree.ts";

/** How a node is to be. */
export type Wanted =
  | { readonly kind: "gone" }
  | {
      readonly kind: "live";
      readonly place: Place;
      readonly content: Content;
      /** True if it rather stays where it is than brings back a directory. */
      readonly isOptional?: boolean;
    };

/** Why a wish was given up, or more was done than wished. */
export const OVERLAP_REASONS = [
  /** Others changed it later. */
  "built_upon",
  /** Whose work is taken back changed it later himself, after what is asked for. */
  "changed_later",
  /** The directory holds something that stays. */
  "holds_others",
  /** Something else has the name. */
  "name_taken",
  /** Others deleted it; or a directory that others deleted is brought back for it. */
  "deleted_by_others",
  /** It would stand below itself. */
  "inside_itself",
  /** The bytes that it had are not kept any more (U7). */
  "version_gone",
] as const;

export interface Overlap {
  readonly node: NodeId;
  readonly why: (typeof OVERLAP_REASONS)[number];
  /** The node that is in the way, if it is another one. */
  readonly other?: NodeId;
  /** The event that is in the way, if one is known. */
  readonly seq?: number;
}

/** A tree as of one event; nodes that were deleted by then are tombstones. */
export interface PlanTree {
  node(id: NodeId): Promise<RemoteNode | undefined>;
  /** The live node at a place. */
  child(place: Place): Promise<RemoteNode | undefined>;
  /** The live nodes in a directory. */
  children(parent: NodeId): Promise<readonly RemoteNode[]>;
}

export interface Settled {
  /** In an order in which they can be accepted. */
  readonly groups: readonly (readonly OpDraft[])[];
  readonly overlaps: readonly Overlap[];
}

/**
 * @param wanted by node, in an order that decides who gets a name that two want
 * @param keepBoth true to bring back beside it what finds its name taken
 * @throws {SyncedError} `plan_too_large`
 */
export async function settleWanted(
  tree: PlanTree,
  wanted: ReadonlyMap<NodeId, Wanted>,
  keepBoth: boolean,
): Promise<Settled> {
  return await new Settling(tree, wanted, keepBoth).settle();
}

type Live = Extract<Wanted, { readonly kind: "live" }>;

class Settling {
  readonly #tree: KeptTree;
  readonly #wanted: Map<NodeId, Wanted>;
  readonly #keepBoth: boolean;
  readonly #overlaps = new Map<string, Overlap>();
  /** Deleted nodes whose wish to live was given up. */
  readonly #refused = new Set<NodeId>();
  #hasChanged = false;

  constructor(tree: PlanTree, wanted: ReadonlyMap<NodeId, Wanted>, keepBoth: boolean) {
    this.#tree = new KeptTree(tree);
    this.#wanted = new Map(wanted);
    this.#keepBoth = keepBoth;
  }

  async settle(): Promise<Settled> {
    do {
      this.#hasChanged = false;
      if (this.#wanted.size > PLAN_STEPS_MAX) {
        const claim = `it has more than ${PLAN_STEPS_MAX} steps; take a directory at a time`;
        throw new SyncedError("plan_too_large", `Cannot plan this: ${claim}`);
      }
      await this.#settleParents();
      await this.#settlePlaces();
      await this.#settleDeletions();
    } while (this.#hasChanged);
    const ops = await this.#ops();
    await this.#readAround(ops);
    const { groups } = groupOps({ ops, remote: this.#tree.live });
    return { groups, overlaps: [...this.#overlaps.values()] };
  }

  #list(overlap: Overlap): void {
    this.#overlaps.set(`${overlap.node}/${overlap.why}`, overlap);
  }

  /** The place that a node has in the end; undefined if it does not live then. */
  async #finalPlace(id: NodeId): Promise<Place | undefined> {
    const wish = this.#wanted.get(id);
    if (wish !== undefined) return wish.kind === "live" ? wish.place : undefined;
    const node = await this.#tree.node(id);
    return node === undefined || node.deleted ? undefined : node;
  }

  /** Leaves a node where it is, or dead if it is; its content still becomes what was wished. */
  async #giveUpPlace(id: NodeId, wish: Live, overlap: Overlap): Promise<void> {
    this.#hasChanged = true;
    this.#list(overlap);
    const node = await this.#tree.node(id);
    if (node === undefined || node.deleted) {
      this.#wanted.delete(id);
      this.#refused.add(id);
      return;
    }
    const { parent, name } = node;
    this.#wanted.set(id, { kind: "live", place: { parent, name }, content: wish.content });
  }

  /** Whoever lives has a living parent, and does not stand below itself. */
  async #settleParents(): Promise<void> {
    for (const [id, wish] of [...this.#wanted]) {
      if (wish.kind !== "live" || this.#wanted.get(id) !== wish) continue;
      const { parent } = wish.place;
      if (parent !== ROOT_ID && (await this.#finalPlace(parent)) === undefined) {
        await this.#settleDeadParent(id, wish, parent);
      } else if (await this.#isInsideItself(id)) {
        await this.#giveUpPlace(id, wish, { node: id, why: "inside_itself", other: parent });
      }
    }
  }

  async #settleDeadParent(id: NodeId, wish: Live, parent: NodeId): Promise<void> {
    if (this.#wanted.get(parent)?.kind === "gone") {
      this.#hasChanged = true;
      this.#wanted.delete(parent);
      this.#list({ node: parent, why: "holds_others", other: id });
      return;
    }
    const tombstone = await this.#tree.node(parent);
    const canLive = tombstone?.content.kind === "directory" && !this.#refused.has(parent);
    if (!canLive || wish.isOptional === true) {
      const why = wish.isOptional === true ? "deleted_by_others" : "name_taken";
      await this.#giveUpPlace(id, wish, { node: id, why, other: parent });
      return;
    }
    this.#hasChanged = true;
    const { parent: above, name, content, contentVersion: seq } = tombstone;
    this.#wanted.set(parent, { kind: "live", place: { parent: above, name }, content });
    this.#list({ node: parent, why: "deleted_by_others", seq });
  }

  async #isInsideItself(id: NodeId): Promise<boolean> {
    const way = new Set<NodeId>([id]);
    for (let place = await this.#finalPlace(id); place !== undefined; ) {
      if (place.parent === id) return true;
      // A circle above this node is for the nodes in it to leave.
      if (place.parent === ROOT_ID || way.has(place.parent)) return false;
      way.add(place.parent);
      place = await this.#finalPlace(place.parent);
    }
    return false;
  }

  /** A place has one node. Who has it and stays goes before who wants it. */
  async #settlePlaces(): Promise<void> {
    const claimed = new Map<string, NodeId>();
    const wishes = [...this.#wanted].flatMap(([id, wish]) =>
      wish.kind === "live" ? [{ id, wish }] : [],
    );
    const movers: typeof wishes = [];
    for (const one of wishes) {
      const node = await this.#tree.node(one.id);
      const stays = node !== undefined && !node.deleted && samePlace(node, one.wish.place);
      if (stays) claimed.set(placeKey(one.wish.place), one.id);
      else movers.push(one);
    }
    for (const { id, wish } of movers) {
      const other = await this.#holderOf(wish.place, { id, claimed });
      if (other === undefined) {
        claimed.set(placeKey(wish.place), id);
        continue;
      }
      const overlap = { node: id, why: "name_taken", other } as const;
      const beside = this.#keepBoth ? await this.#freePlace(wish, { id, claimed }) : undefined;
      if (beside === undefined) {
        await this.#giveUpPlace(id, wish, overlap);
        continue;
      }
      this.#hasChanged = true;
      this.#list(overlap);
      claimed.set(placeKey(beside), id);
      this.#wanted.set(id, { ...wish, place: beside });
    }
  }

  async #holderOf(
    place: Place,
    { id, claimed }: { readonly id: NodeId; readonly claimed: ReadonlyMap<string, NodeId> },
  ): Promise<NodeId | undefined> {
    const claimant = claimed.get(placeKey(place));
    if (claimant !== undefined) return claimant;
    const occupant = await this.#tree.child(place);
    if (occupant === undefined || occupant.id === id) return undefined;
    const stays = await this.#finalPlace(occupant.id);
    return stays !== undefined && samePlace(stays, place) ? occupant.id : undefined;
  }

  async #freePlace(
    { place, content }: Live,
    seeker: { readonly id: NodeId; readonly claimed: ReadonlyMap<string, NodeId> },
  ): Promise<Place | undefined> {
    for (let attempt = 0; attempt < FREE_NAME_ATTEMPTS_MAX; attempt++) {
      const isFile = content.kind === "file";
      const name = restoredName({
        name: place.name,
        mtimeNs: isFile ? content.mtimeNs : undefined,
        hash6Source: isFile ? content.sha256 : seeker.id,
        attempt,
      });
      const beside = { parent: place.parent, name };
      if ((await this.#holderOf(beside, seeker)) === undefined) return beside;
    }
    return undefined;
  }

  /** A directory goes only with all that is in it. */
  async #settleDeletions(): Promise<void> {
    for (const [id, wish] of [...this.#wanted]) {
      if (wish.kind !== "gone") continue;
      const node = await this.#tree.node(id);
      if (node === undefined || node.deleted || node.content.kind !== "directory") continue;
      for (const child of await this.#tree.children(id)) {
        if ((await this.#finalPlace(child.id))?.parent !== id) continue;
        this.#hasChanged = true;
        this.#wanted.delete(id);
        this.#list({ node: id, why: "holds_others", other: child.id });
        break;
      }
    }
  }

  async #ops(): Promise<ReadonlyMap<NodeId, readonly OpDraft[]>> {
    const ops = new Map<NodeId, readonly OpDraft[]>();
    for (const [id, wish] of this.#wanted) {
      const drafts = opsToward(id, wish, await this.#tree.node(id));
      if (drafts.length > 0) ops.set(id, drafts);
    }
    return ops;
  }

  /** `groupOps` reads a tree at once, so all that it may look at is read before. */
  async #readAround(ops: ReadonlyMap<NodeId, readonly OpDraft[]>): Promise<void> {
    for (const drafts of ops.values()) {
      for (const op of drafts) {
        if (op.kind !== "create" && op.kind !== "move") continue;
        await this.#tree.child(op);
        for (let id = op.parent; id !== ROOT_ID; ) {
          const above = await this.#tree.node(id);
          if (above === undefined || above.deleted) break;
          id = above.parent;
        }
      }
    }
  }
}

/** More files of one name, date and bytes than anybody has. */
const FREE_NAME_ATTEMPTS_MAX = 100;

function opsToward(node: NodeId, wish: Wanted, now: RemoteNode | undefined): readonly OpDraft[] {
  if (now === undefined || now.deleted) {
    if (wish.kind === "gone") return [];
    const { place, content } = wish;
    const { parent, name } = place;
    return [{ kind: "create", node, parent, name, content, base: now?.contentVersion ?? 0 }];
  }
  const { contentVersion: baseContent, placeVersion: basePlace } = now;
  if (wish.kind === "gone") return [{ kind: "delete", node, baseContent, basePlace }];
  const { place, content } = wish;
  const drafts: OpDraft[] = [];
  if (!samePlace(now, place)) {
    drafts.push({ kind: "move", node, parent: place.parent, name: place.name, basePlace });
  }
  if (!sameContent(now.content, content))
    drafts.push({ kind: "modify", node, content, baseContent });
  return drafts;
}

/** Remembers what was read, so that it can be read at once later. */
class KeptTree implements PlanTree {
  readonly live = new MemoryTree<RemoteNode>();
  readonly #tree: PlanTree;
  readonly #nodes = new Map<NodeId, RemoteNode | undefined>();
  readonly #children = new Map<NodeId, readonly RemoteNode[]>();

  constructor(tree: PlanTree) {
    this.#tree = tree;
  }

  async node(id: NodeId): Promise<RemoteNode | undefined> {
    if (this.#nodes.has(id)) return this.#nodes.get(id);
    return this.#keep(id, await this.#tree.node(id));
  }

  async child(place: Place): Promise<RemoteNode | undefined> {
    const known = this.live.child(place.parent, place.name);
    if (known !== undefined || this.#children.has(place.parent)) return known;
    const found = await this.#tree.child(place);
    return found === undefined ? undefined : this.#keep(found.id, found);
  }

  async children(parent: NodeId): Promise<readonly RemoteNode[]> {
    const known = this.#children.get(parent);
    if (known !== undefined) return known;
    const found = await this.#tree.children(parent);
    for (const node of found) this.#keep(node.id, node);
    this.#children.set(parent, found);
    return found;
  }

  #keep(id: NodeId, node: RemoteNode | undefined): RemoteNode | undefined {
    this.#nodes.set(id, node);
    if (node !== undefined && !node.deleted) this.live.put(node);
    return node;
  }
}
