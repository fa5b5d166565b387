/**
 * Three trees in memory and strict hands: plans are carried out on them as the server and the disk
 * would, and every step that could not be done there is a failure here.
 */
import { expect } from "bun:test";
import { baseAfterAgreement } from "../../src/core/base.ts";
import { type Digest, sha256 } from "../../src/core/digest.ts";
import { groupOps } from "../../src/core/group-ops.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "../../src/core/identifier.ts";
import type {
  BaseNode,
  Content,
  FileContent,
  LocalNode,
  NodeState,
  RemoteNode,
} from "../../src/core/node.ts";
import { sameContent, samePlace } from "../../src/core/node.ts";
import { reconcile } from "../../src/core/reconcile.ts";
import type { OpDraft, Plan, Transition } from "../../src/core/transition.ts";
import { MemoryTree, pathOf } from "../../src/core/tree.ts";

export function file(text: string, mtimeNs = "0", executable = false): FileContent {
  const digest: Digest = sha256(text);
  const size = text.length;
  return { kind: "file", manifest: digest, depth: 0, sha256: digest, size, executable, mtimeNs };
}

export const directory: Content = { kind: "directory" };

export function nodeId(number: number): NodeId {
  return number.toString(16).padStart(32, "0") as NodeId;
}

export class PlannerWorld {
  readonly base = new MemoryTree<BaseNode>();
  readonly local = new MemoryTree<LocalNode>();
  readonly remote = new MemoryTree<RemoteNode>();
  readonly tombstones = new Map<NodeId, RemoteNode>();
  ignored: (path: string) => boolean = () => false;
  withheld: (path: string) => boolean = () => false;
  isEarlier: (id: NodeId, content: Content) => boolean = () => false;
  seq = 0;
  #nextId = 1;

  newId(): NodeId {
    return nodeId(this.#nextId++);
  }

  /** A node that all three trees have. */
  agree(parent: NodeId, name: string, content: Content): NodeId {
    const id = this.newId();
    this.putRemote({ id, parent, name, content });
    this.putLocal({ id, parent, name, content });
    this.#settle(id);
    return id;
  }

  putLocal(node: NodeState): void {
    this.local.put({ ...node, identity: node.id, stamp: "" });
  }

  /** @param before what the log had of the node. */
  putRemote(node: NodeState, before = this.remote.get(node.id)): void {
    this.seq += 1;
    const isSamePlace = before !== undefined && samePlace(before, node);
    const isSameContent = before !== undefined && sameContent(before.content, node.content);
    this.tombstones.delete(node.id);
    this.remote.put({
      ...node,
      deleted: false,
      contentVersion: isSameContent ? before.contentVersion : this.seq,
      placeVersion: isSamePlace ? before.placeVersion : this.seq,
    });
  }

  removeRemote(id: NodeId): void {
    const node = this.remote.get(id);
    if (node === undefined) return;
    this.seq += 1;
    this.remote.remove(id);
    const version = this.seq;
    this.tombstones.set(id, {
      ...node,
      deleted: true,
      contentVersion: version,
      placeVersion: version,
    });
  }

  dirty(): NodeId[] {
    const ids = new Set<NodeId>();
    for (const tree of [this.base, this.local, this.remote]) {
      for (const node of tree.nodes()) ids.add(node.id);
    }
    return [...ids].filter((id) => {
      const states = [this.base.get(id), this.local.get(id), this.remote.get(id)];
      return !allEqual(states);
    });
  }

  plan(dirty: readonly NodeId[] = this.dirty()): Plan {
    return reconcile({
      base: this.base,
      local: this.local,
      remote: this.remote,
      remoteRow: (id) => this.remote.get(id) ?? this.tombstones.get(id),
      dirty,
      ignores: (path) => this.ignored(path),
      withholds: (path) => this.withheld(path),
      device: "here",
      isEarlier: (id, content) => this.isEarlier(id, content),
    });
  }

  /** Carries plans out until nothing is dirty. @returns the plans. */
  converge(roundsMax = 30): Plan[] {
    const plans: Plan[] = [];
    for (let round = 0; round < roundsMax; round += 1) {
      if (this.dirty().length === 0) return plans;
      const plan = this.plan();
      plans.push(plan);
      this.carryOut(plan);
      if (plan.skipped.length > 0 && plan.ops.size + plan.transitions.length === 0) return plans;
    }
    throw new Error(`Still dirty after ${roundsMax} rounds\n${this.print()}`);
  }

  carryOut(plan: Plan): void {
    for (const { local, remote } of plan.adoptions) this.#adopt(local, remote);
    for (const id of plan.settled) this.#settle(id);
    for (const id of plan.agreed) this.#agree(id);
    for (const group of groupOps({ ops: plan.ops, remote: this.remote }).groups) this.#post(group);
    for (const step of plan.transitions) this.#apply(step);
  }

  /**
   * Posts a plan after somebody else was faster: what is based on what is not so any more is
   * refused, group by group. What was to be done on the disk is planned anew.
   */
  postLate({ ops }: Plan): void {
    for (const group of groupOps({ ops, remote: this.remote }).groups) {
      const before = [...this.remote.nodes()];
      const tombstones = new Map(this.tombstones);
      try {
        this.#post(group);
      } catch {
        for (const { id } of [...this.remote.nodes()]) this.remote.remove(id);
        for (const node of before) this.remote.put(node);
        this.tombstones.clear();
        for (const [id, node] of tombstones) this.tombstones.set(id, node);
      }
    }
  }

  #adopt(local: NodeId, remote: NodeId): void {
    const node = this.local.get(local);
    expect(node).toBeDefined();
    expect(this.local.get(remote)).toBeUndefined();
    if (node === undefined) return;
    this.local.remove(local);
    this.local.put({ ...node, id: remote });
    for (const child of this.local.children(local)) this.local.put({ ...child, parent: remote });
  }

  #settle(id: NodeId): void {
    const local = this.local.get(id);
    const remote = this.remote.get(id);
    if (local === undefined || remote === undefined) {
      expect([local, remote]).toEqual([undefined, undefined]);
      this.base.remove(id);
      return;
    }
    expect(samePlace(local, remote) && sameContent(local.content, remote.content)).toBe(true);
    const { contentVersion, placeVersion } = remote;
    this.base.put({ ...local, contentVersion, placeVersion });
  }

  #agree(id: NodeId): void {
    const base = this.base.get(id);
    const local = this.local.get(id);
    const remote = this.remote.get(id);
    expect([base, local, remote]).not.toContain(undefined);
    if (base === undefined || local === undefined || remote === undefined) return;
    this.base.put(baseAfterAgreement(base, local, remote));
  }

  /** As the server: compare-and-set by op, validity at the group's end. */
  #post(group: readonly OpDraft[]): void {
    for (const op of group) {
      const current = this.remote.get(op.node);
      switch (op.kind) {
        case "create":
          expect(current).toBeUndefined();
          expect(op.base).toBe(this.tombstones.get(op.node)?.contentVersion ?? 0);
          this.putRemote({ id: op.node, parent: op.parent, name: op.name, content: op.content });
          break;
        case "modify":
          expect(current?.contentVersion).toBe(op.baseContent);
          if (current !== undefined) this.putRemote({ ...current, content: op.content });
          break;
        case "move":
          expect(current?.placeVersion).toBe(op.basePlace);
          if (current !== undefined) {
            this.putRemote({ ...current, parent: op.parent, name: op.name });
          }
          break;
        case "delete":
          expect(current?.contentVersion).toBe(op.baseContent);
          expect(current?.placeVersion).toBe(op.basePlace);
          this.removeRemote(op.node);
          break;
      }
    }
    checkTree(this.remote, "the server would refuse this group");
  }

  /** As the disk: no step overwrites, no directory is removed with something in it. */
  #apply(step: Transition): void {
    switch (step.kind) {
      case "create":
        this.#expectFree(step.node.parent, step.node.name);
        this.putLocal(step.node);
        break;
      case "replace": {
        const node = this.#onDisk(step.id);
        expect(sameContent(node.content, step.expected.content)).toBe(true);
        this.putLocal({ ...node, content: step.content });
        if (step.conflict === undefined) break;
        const { name } = step.conflict;
        this.#expectFree(node.parent, name);
        this.putLocal({ id: this.newId(), parent: node.parent, name, content: node.content });
        break;
      }
      case "metadata":
        this.putLocal({ ...this.#onDisk(step.id), content: step.content });
        break;
      case "move":
        this.#move(this.#onDisk(step.id), step.parent, step.name);
        break;
      case "delete":
        this.#onDisk(step.id);
        expect(this.local.children(step.id)).toEqual([]);
        this.local.remove(step.id);
        break;
    }
  }

  #move(node: LocalNode, parent: NodeId, name: string): void {
    if (parent !== PARKING_ID && parent !== ROOT_ID) this.#onDisk(parent);
    expect(isWithin(this.local, parent, node.id)).toBe(false);
    const occupant = this.local.child(parent, name);
    if (occupant !== undefined && occupant.id !== node.id) {
      // RENAME_EXCHANGE refuses a directory and its own descendant.
      expect(isWithin(this.local, node.id, occupant.id)).toBe(false);
      this.local.remove(occupant.id);
      this.local.put({ ...node, parent, name });
      this.local.put({ ...occupant, parent: node.parent, name: node.name });
    } else {
      this.local.put({ ...node, parent, name });
    }
  }

  #onDisk(id: NodeId): LocalNode {
    const node = this.local.get(id);
    if (node === undefined) throw new Error(`Node ${id} is not on disk\n${this.print()}`);
    return node;
  }

  #expectFree(parent: NodeId, name: string): void {
    if (parent !== ROOT_ID) this.#onDisk(parent);
    expect(this.local.child(parent, name)).toBeUndefined();
  }

  print(): string {
    const trees = { base: this.base, local: this.local, remote: this.remote };
    return Object.entries(trees)
      .map(([title, tree]) => `${title}: ${paths(tree).join(", ")}`)
      .join("\n");
  }
}

/** Sorted `path=content` lines of a tree. */
export function paths(tree: MemoryTree<NodeState>): string[] {
  return [...tree.nodes()]
    .map((node) => `${pathOf(tree, node.id)}=${describe(node.content)}#${Number(`0x${node.id}`)}`)
    .sort();
}

function describe(content: Content): string {
  if (content.kind !== "file") return content.kind;
  return `${content.sha256.slice(0, 4)}${content.executable ? "x" : ""}@${content.mtimeNs}`;
}

export function checkTree(tree: MemoryTree<NodeState>, claim: string): void {
  const places = new Set<string>();
  for (const node of tree.nodes()) {
    const place = `${node.parent}/${node.name}`;
    if (places.has(place)) throw new Error(`${claim}: two nodes at ${place}`);
    places.add(place);
    if (pathOf(tree, node.id) === undefined) throw new Error(`${claim}: ${node.id} has no path`);
  }
}

function isWithin(tree: MemoryTree<NodeState>, id: NodeId, above: NodeId): boolean {
  let current: NodeId | undefined = id;
  while (current !== undefined && current !== ROOT_ID) {
    if (current === above) return true;
    current = tree.get(current)?.parent;
  }
  return false;
}

function allEqual(states: readonly (NodeState | undefined)[]): boolean {
  const [first, ...rest] = states;
  return rest.every((state) => {
    if (first === undefined || state === undefined) return first === state;
    return samePlace(first, state) && sameContent(first.content, state.content);
  });
}
