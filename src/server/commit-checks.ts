/**
 * The reasons for which an op or a group is refused. Pure.
 * Rules: N3, N4, N5, N6, C2, O2, O3, O6, O13, O14.
 */
import { EMPTY_DIGEST } from "../core/digest.ts";
import { assert } from "../core/error.ts";
import { type NodeId, ROOT_ID } from "../core/identifier.ts";
import { PATH_BYTES_MAX, PATH_DEPTH_MAX } from "../core/limits.ts";
import { type Content, type FileContent, type RemoteNode, sameBytes } from "../core/node.ts";
import {
  type Group,
  namesContentVersion,
  namesPlaceVersion,
  type Op,
  type RefusalCode,
  setsContent,
  setsPlace,
} from "../core/op.ts";
import { checkName, utf8LengthBytes } from "../core/path.ts";
import type { SubtreeExtent } from "../ports/metadata-store.ts";
import type { Climb, WorkingTree } from "./working-tree.ts";

export interface Problem {
  readonly code: RefusalCode;
  readonly detail: string;
}

export interface Refusal extends Problem {
  /** The op's index in the group. */
  readonly op: number;
}

/** Checks compare-and-set, kind and name of one op (O2) against its node just before the op. */
export function checkOp(op: Op, current: RemoteNode | undefined): Problem | undefined {
  if (op.node === ROOT_ID) return problem("invalid_path", op, "the root is never changed");
  if (setsPlace(op)) {
    const refusal = checkName(op.name);
    const shown = JSON.stringify(op.name.slice(0, 255));
    if (refusal !== undefined) return problem(refusal, op, `the name ${shown} is not legal`);
  }
  if (op.kind === "create") return checkCreate(op, current);
  if (current === undefined) return problem("node_missing", op, "there is no such node");
  if (current.deleted) {
    return problem("version_conflict", op, `it was deleted by event ${current.contentVersion}`);
  }
  const { contentVersion, placeVersion } = current;
  if (namesContentVersion(op) && op.baseContent !== contentVersion) {
    const claim = `its content version is ${contentVersion}, not ${op.baseContent}`;
    return problem("version_conflict", op, claim);
  }
  if (namesPlaceVersion(op) && op.basePlace !== placeVersion) {
    const claim = `its place version is ${placeVersion}, not ${op.basePlace}`;
    return problem("version_conflict", op, claim);
  }
  if (op.kind === "modify" && op.content.kind !== current.content.kind) {
    return problem("kind_change", op, `it is a ${current.content.kind} for life`);
  }
  return undefined;
}

function checkCreate(
  op: Extract<Op, { kind: "create" }>,
  current: RemoteNode | undefined,
): Problem | undefined {
  if (current === undefined) {
    if (op.base === 0) return undefined;
    return problem("node_missing", op, `there is no tombstone of event ${op.base}`);
  }
  if (!current.deleted) return problem("node_exists", op, "the node is alive");
  if (op.base !== current.contentVersion) {
    const claim = `its tombstone is event ${current.contentVersion}, not ${op.base}`;
    return problem("version_conflict", op, claim);
  }
  if (op.content.kind !== current.content.kind) {
    return problem("kind_change", op, `it is a ${current.content.kind} for life`);
  }
  return undefined;
}

/** @param objects the sizes of the objects that the folder knows (O6), by `digest/depth` */
export function checkContent(op: Op, objects: ReadonlyMap<string, number>): Problem | undefined {
  if (!setsContent(op) || op.content.kind !== "file") return undefined;
  const { content } = op;
  if (!isSound(content)) {
    return problem("invalid_manifest", op, "manifest, depth, size and SHA-256 contradict");
  }
  if (content.size === 0) return undefined;
  const size = objects.get(`${content.manifest}/${content.depth}`);
  if (size === undefined) {
    const claim = `the folder does not have ${content.manifest} of depth ${content.depth}`;
    return problem("chunk_missing", op, claim);
  }
  if (size !== content.size) {
    return problem("invalid_manifest", op, `its chunks are ${size} bytes, not ${content.size}`);
  }
  return undefined;
}

/**
 * O13: a larger file that is there may still be moved, deleted, and given other metadata.
 *
 * @param current the node just before the op
 */
export function checkSize(
  op: Op,
  current: RemoteNode | undefined,
  fileBytesMax: number | undefined,
): Problem | undefined {
  if (fileBytesMax === undefined || !setsContent(op) || op.content.kind !== "file")
    return undefined;
  const { size } = op.content;
  if (size <= fileBytesMax) return undefined;
  if (current !== undefined && sameBytes(current.content, op.content)) return undefined;
  return problem("file_too_large", op, tooLarge(size, fileBytesMax));
}

/** @returns by how many bytes the op makes the folder's live files larger; negative for smaller. */
export function growthOf(op: Op, current: RemoteNode | undefined): number {
  const before = current === undefined || current.deleted ? 0 : sizeOf(current.content);
  if (op.kind === "delete") return -before;
  return setsContent(op) ? sizeOf(op.content) - before : 0;
}

function sizeOf(content: Content): number {
  return content.kind === "file" ? content.size : 0;
}

/**
 * O14: a group may always make the folder smaller.
 *
 * @param growth of each op of the group, as `growthOf` tells
 */
export function checkRoom(
  group: Group,
  growth: readonly number[],
  roomBytes: number | undefined,
): Refusal | undefined {
  if (roomBytes === undefined) return undefined;
  const total = growth.reduce((sum, bytes) => sum + bytes, 0);
  if (total <= 0 || total <= roomBytes) return undefined;
  const largest = growth.reduce((most, bytes) => Math.max(most, bytes), 0);
  const index = growth.indexOf(largest);
  const op = group[index];
  assert(op !== undefined, "each op of a group grows by something");
  const room = Math.max(0, roomBytes);
  const claim = `it needs ${total} bytes more, and the folder's quota leaves ${room}`;
  return { ...problem("quota_exceeded", op, claim), op: index };
}

/** O13, in words. */
export function tooLarge(sizeBytes: number, fileBytesMax: number): string {
  return `it has ${sizeBytes} bytes, and the server takes files of up to ${fileBytesMax}`;
}

/**
 * C2: a content of one chunk is named by the chunk's digest, and an empty content has no object.
 */
function isSound({ manifest, depth, sha256, size }: FileContent): boolean {
  if (depth === 0 && manifest !== sha256) return false;
  const isEmpty = size === 0;
  return isEmpty === (sha256 === EMPTY_DIGEST) && (!isEmpty || depth === 0);
}

/** Facts that `checkGroupEnd` needs beside the tree. */
export interface GroupContext {
  /** The place of each moved or deleted node before the group. */
  readonly before: readonly (Climb | undefined)[];
  /** As `MetadataStore.subtreeExtents` measures the directories that the batches move. */
  readonly extents: ReadonlyMap<NodeId, SubtreeExtent>;
}

/**
 * Checks that the tree is valid after a group (O3). Only nodes that the group's ops touched can
 * have become invalid.
 */
export function checkGroupEnd(
  tree: WorkingTree,
  group: Group,
  context: GroupContext,
): Refusal | undefined {
  const deepened: Deepened[] = [];
  for (const [index, op] of group.entries()) {
    const node = tree.get(op.node);
    if (node === undefined || op.kind === "modify") continue;
    if (node.deleted) {
      if (node.content.kind !== "directory" || !tree.hasChildren(node.id)) continue;
      return { ...problem("directory_not_empty", op, "it has live children"), op: index };
    }
    const found = checkPlace(tree, op, node);
    if (found !== undefined) return { ...found, op: index };
    // A created or revived directory holds only nodes that the group itself puts there.
    if (op.kind !== "move" || node.content.kind !== "directory") continue;
    const climb = tree.climb(node);
    if (climb.kind === "path" && !isShallower(climb, context.before[index])) {
      deepened.push({ node, index, depth: climb.depth, pathBytes: utf8LengthBytes(climb.path) });
    }
  }
  const index = tooDeepBelow(tree, deepened, context.extents);
  const op = index === undefined ? undefined : group[index];
  return index === undefined || op === undefined ? undefined : { ...tooLong(op), op: index };
}

/** A directory that got a longer path. */
interface Deepened extends SubtreeExtent {
  readonly node: RemoteNode;
  /** Of the op that moved it. */
  readonly index: number;
}

function checkPlace(tree: WorkingTree, op: Op, node: RemoteNode): Problem | undefined {
  const parent = node.parent === ROOT_ID ? undefined : tree.get(node.parent);
  if (node.parent !== ROOT_ID) {
    if (parent === undefined || parent.deleted) {
      return problem("parent_missing", op, `there is no directory ${node.parent}`);
    }
    if (parent.content.kind !== "directory") {
      return problem("parent_not_directory", op, `${node.parent} is a ${parent.content.kind}`);
    }
  }
  const climb = tree.climb(node);
  switch (climb.kind) {
    case "cycle":
      return problem("cycle", op, "the directory would contain itself");
    case "missing":
      return problem("parent_missing", op, "an ancestor is missing");
    case "too_deep":
      return problem("path_too_long", op, `it would be more than ${PATH_DEPTH_MAX} names deep`);
    case "path":
      if (tree.countAt(node) > 1) {
        return problem("name_taken", op, `another node has the name ${JSON.stringify(node.name)}`);
      }
      return utf8LengthBytes(climb.path) <= PATH_BYTES_MAX ? undefined : tooLong(op);
  }
}

/**
 * A directory that got a longer path takes its descendants along. Those that the batch touches are
 * looked at one by one, the others through the extent that was measured before. Nothing else can
 * have become too long. @returns the index of the op that took something too deep
 */
function tooDeepBelow(
  tree: WorkingTree,
  deepened: readonly Deepened[],
  extents: GroupContext["extents"],
): number | undefined {
  const seen = new Set<NodeId>();
  const pending = [...deepened];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { node, index, depth, pathBytes } = next;
    if (seen.has(node.id)) continue;
    seen.add(node.id);
    if (!fits(next, extents.get(node.id) ?? NO_EXTENT)) return index;
    for (const child of tree.children(node.id)) {
      const childBytes = pathBytes + 1 + utf8LengthBytes(child.name);
      pending.push({ node: child, index, depth: depth + 1, pathBytes: childBytes });
    }
  }
  return undefined;
}

const NO_EXTENT: SubtreeExtent = { depth: 0, pathBytes: 0 };

function fits(place: SubtreeExtent, extent: SubtreeExtent): boolean {
  return (
    place.depth + extent.depth <= PATH_DEPTH_MAX &&
    place.pathBytes + extent.pathBytes <= PATH_BYTES_MAX
  );
}

/** True if no descendant can have got a longer or deeper path. */
export function isShallower(after: Climb, before: Climb | undefined): boolean {
  if (after.kind !== "path" || before?.kind !== "path") return false;
  return after.depth <= before.depth && utf8LengthBytes(after.path) <= utf8LengthBytes(before.path);
}

function tooLong(op: Op): Problem {
  return problem("path_too_long", op, `a path would be over ${PATH_BYTES_MAX} bytes or too deep`);
}

function problem(code: RefusalCode, op: Op, claim: string): Problem {
  return { code, detail: `Cannot ${op.kind} node ${op.node}: ${claim}` };
}
