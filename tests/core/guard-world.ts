/**
 * A folder that both sides know, what happens to it on one of them, and what the guards say. Paths
 * stand for nodes; a name that ends in "@" is a symlink.
 */
import { type Changes, guard, NO_CHANGES, type Verdict } from "../../src/core/guard.ts";
import type { Loss, Witness } from "../../src/core/guard-evidence.ts";
import { DEFAULT_GUARD, type GuardSetting } from "../../src/core/guard-setting.ts";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { Content, NodeState } from "../../src/core/node.ts";
import { pathOf } from "../../src/core/tree.ts";
import { directory, file, nodeId, PlannerWorld } from "./planner-world.ts";

export type Side = "here" | "there";

export interface Circumstances {
  readonly setting?: GuardSetting;
  /** Whose deletion a person approved. */
  readonly isApproved?: boolean;
  /** Held since all files were lost. */
  readonly emptied?: readonly string[];
  /** Deletions that nobody saw happen: the client was stopped, a disk is lost. */
  readonly isUnseen?: boolean;
  /** What comes from the server begins with all the old bytes. */
  readonly isGrowth?: boolean;
  readonly recent?: Changes;
  /** Let through within an hour, but not within the minute. */
  readonly earlier?: Changes;
}

const NOW_MS = 1_000_000_000;

export class GuardWorld {
  readonly world = new PlannerWorld();
  readonly #births = new Map<NodeId, number>();

  constructor(paths: Iterable<string>) {
    for (const path of paths) this.#add(path);
  }

  #add(path: string): NodeId {
    const { parent, name } = this.#place(path, (up) => this.#add(`${up}/`));
    const known = this.world.base.child(parent, name);
    return known?.id ?? this.world.agree(parent, name, contentOf(path));
  }

  #place(path: string, make: (directory: string) => NodeId): { parent: NodeId; name: string } {
    const names = path.replace(/\/$/, "").split("/");
    const name = names.pop() ?? "";
    const parent = names.length === 0 ? ROOT_ID : make(names.join("/"));
    return { parent, name };
  }

  id(path: string): NodeId {
    let id: NodeId = ROOT_ID;
    for (const name of path.split("/")) {
      const node = this.world.base.child(id, name) ?? this.world.local.child(id, name);
      if (node === undefined) throw new Error(`There is no ${path}`);
      id = node.id;
    }
    return id;
  }

  /** Files of the base below a directory, or all. */
  files(below = ""): string[] {
    return [...this.world.base.nodes()]
      .filter(({ content }) => content.kind !== "directory")
      .map(({ id }) => pathOf(this.world.base, id) ?? "")
      .filter((path) => path.startsWith(below));
  }

  /** Made so long ago by whoever changes it in these tests. */
  madeByChanger(paths: Iterable<string>, ageMs = 60_000): this {
    for (const path of paths) this.#births.set(this.id(path), NOW_MS - ageMs);
    return this;
  }

  /** Also the directories in which nothing is left. */
  remove(side: Side, paths: readonly string[]): this {
    const tree = side === "here" ? this.world.local : this.world.remote;
    const take = (id: NodeId): void => {
      if (side === "here") this.world.local.remove(id);
      else this.world.removeRemote(id);
    };
    for (const path of paths) {
      let id = this.id(path);
      while (id !== ROOT_ID && tree.children(id).length === 0) {
        const parent: NodeId = tree.get(id)?.parent ?? ROOT_ID;
        take(id);
        id = parent;
      }
    }
    return this;
  }

  /** Makes new files beside what is there. */
  create(side: Side, paths: readonly string[], ageMs = 1_000): this {
    for (const path of paths) {
      const { parent, name } = this.#place(path, (up) => this.id(up));
      const node = { id: this.world.newId(), parent, name, content: file(path) };
      this.#put(side, node);
      this.#births.set(node.id, NOW_MS - ageMs);
    }
    return this;
  }

  rename(side: Side, paths: readonly string[], newName: (name: string) => string): this {
    return this.#change(side, paths, (node) => ({ ...node, name: newName(node.name) }));
  }

  write(side: Side, paths: readonly string[], text: (path: string) => string): this {
    return this.#change(side, paths, (node, path) => ({ ...node, content: file(text(path)) }));
  }

  #change(
    side: Side,
    paths: readonly string[],
    change: (node: NodeState, path: string) => NodeState,
  ): this {
    for (const path of paths) {
      const node = this.world.base.get(this.id(path));
      if (node !== undefined) this.#put(side, change(node, path));
    }
    return this;
  }

  #put(side: Side, node: NodeState): void {
    if (side === "here") this.world.local.remove(node.id);
    if (side === "here") this.world.putLocal(node);
    else this.world.putRemote(node);
  }

  judge(circumstances: Circumstances = {}): Verdict {
    const { setting = DEFAULT_GUARD, isApproved = false, recent = NO_CHANGES } = circumstances;
    const { earlier = NO_CHANGES } = circumstances;
    const { base, local, remote } = this.world;
    const emptied = new Set(circumstances.emptied?.map((path) => this.id(path)));
    const known: Omit<Witness, "tree" | "wasSeenGoing"> = {
      isOfMaker: (id) => this.#births.has(id),
      ageMs: (id) => {
        const atMs = this.#births.get(id);
        return atMs === undefined ? undefined : NOW_MS - atMs;
      },
    };
    return guard({
      plan: this.world.plan(),
      base,
      fileCount: this.files().length,
      setting,
      recentUp: () => recent,
      recentDown: () => recent,
      earlierDown: {
        deleteCount: earlier.deletes.size,
        overwriteCount: earlier.overwrites.size,
        within: () => earlier,
      },
      isApproved: () => isApproved,
      isEmptied: (id) => emptied.has(id),
      isGrowth: () => circumstances.isGrowth === true,
      seenUp: { ...known, tree: local, wasSeenGoing: () => circumstances.isUnseen !== true },
      seenDown: { ...known, tree: remote, wasSeenGoing: () => true },
    });
  }
}

/** Deletions that were let through, all from one directory, of nodes that are no more. */
export function recentDeletes(count: number, directoryId: NodeId = ROOT_ID): Changes {
  const above = directoryId === ROOT_ID ? [ROOT_ID] : [ROOT_ID, directoryId];
  const loss: Loss = { name: "gone", above };
  const ids = Array.from({ length: count }, (_, i) => nodeId(1_000_000 + i));
  return { ...NO_CHANGES, deletes: new Map(ids.map((id) => [id, loss])) };
}

/** `count` names below a directory, `{n}` replaced. */
export function many(count: number, pattern: string): string[] {
  return Array.from({ length: count }, (_, i) => pattern.replaceAll("{n}", `${i}`));
}

function contentOf(path: string): Content {
  if (path.endsWith("/")) return directory;
  return path.endsWith("@") ? { kind: "symlink", target: path } : file(`content of ${path}`);
}
