/**
 * Collects everything that batches touch, so that it can be loaded before they are decided. Pure.
 * Rules: O2, O3, O6, N4.
 */
import type { Digest } from "../core/digest.ts";
import { type NodeId, ROOT_ID } from "../core/identifier.ts";
import type { FileContent, Place, Sequence } from "../core/node.ts";
import { type Batch, type MoveOp, setsContent, setsPlace } from "../core/op.ts";
import type { Loaded, LoadRequest, OpKey } from "../ports/metadata-store.ts";
import { isShallower } from "./commit-checks.ts";
import { WorkingTree } from "./working-tree.ts";

export interface BatchTouches {
  readonly request: LoadRequest;
  /** The file contents that the ops bring. */
  readonly contents: readonly FileContent[];
}

/** Everything that `decide` looks at. */
export function batchTouches(batches: readonly Batch[]): BatchTouches {
  const nodes = new Set<NodeId>();
  const objects = new Set<Digest>();
  const cursors = new Set<Sequence>();
  const deleted = new Set<NodeId>();
  const places: Place[] = [];
  const ops: OpKey[] = [];
  const contents: FileContent[] = [];
  for (const { device, cursor, groups } of batches) {
    cursors.add(cursor.seq);
    for (const op of groups.flat()) {
      ops.push({ device, opId: op.opId });
      nodes.add(op.node);
      if (op.kind === "delete") deleted.add(op.node);
      if (setsPlace(op)) {
        if (op.parent !== ROOT_ID) nodes.add(op.parent);
        places.push({ parent: op.parent, name: op.name });
      }
      if (setsContent(op) && op.content.kind === "file") {
        contents.push(op.content);
        if (op.content.size > 0) objects.add(op.content.manifest);
      }
    }
  }
  const request = {
    nodes: [...nodes],
    places,
    ops,
    deleted: [...deleted],
    objects: [...objects],
    cursors: [...cursors],
  };
  return { request, contents };
}

/**
 * Finds directories whose descendants may get too long a path (N4), so that their extent must be
 * measured. Measuring walks a whole subtree. A single move to a path that is no longer needs none,
 * and that is the usual case. Several moves may add up, so then all are measured.
 */
export function movesToMeasure(loaded: Loaded, batches: readonly Batch[]): readonly NodeId[] {
  const tree = new WorkingTree(loaded);
  const moves: MoveOp[] = [];
  for (const op of batches.flatMap(({ groups }) => groups.flat())) {
    const node = tree.get(op.node);
    if (op.kind !== "move" || node === undefined || node.deleted) continue;
    if (node.content.kind === "directory") moves.push(op);
  }
  const [only] = moves;
  if (only === undefined) return [];
  const node = tree.get(only.node);
  if (moves.length === 1 && node !== undefined) {
    const target = tree.climb({ ...node, parent: only.parent, name: only.name });
    if (isShallower(target, tree.climb(node))) return [];
  }
  return [...new Set(moves.map((move) => move.node))];
}
