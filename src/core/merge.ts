/**
 * The three-way merge of one node: existence, place and content each on its own, against the base.
 * Rules: R1-R7, R11. Pure; knows nothing of other nodes (reconcile.ts repairs what they do to each
 * other).
 */
import { PARKING_ID, ROOT_ID } from "./identifier.ts";
import {
  type Content,
  isEmptyFile,
  type NodeState,
  type Place,
  sameBytes,
  sameContent,
  samePlace,
} from "./node.ts";

/** A node in the three trees; absent where a tree does not have it. */
export interface ThreeStates {
  readonly base: NodeState | undefined;
  readonly local: NodeState | undefined;
  readonly remote: NodeState | undefined;
}

export interface Merge {
  /** What both sides should become; undefined when the node goes. */
  readonly state: NodeState | undefined;
  /** The local bytes lose against `state` and must be kept as a conflict copy. */
  readonly contentConflict: boolean;
}

const GONE: Merge = { state: undefined, contentConflict: false };

export function mergeNode({ base, local, remote }: ThreeStates): Merge {
  if (local === undefined && remote === undefined) return GONE;
  if (remote === undefined) return mergeOneSided(base, local);
  if (local === undefined) return mergeOneSided(base, remote);

  const { content, conflict } = mergeContent(base?.content, local.content, remote.content);
  const place = mergePlace(base, local, remote);
  return {
    state: { id: remote.id, parent: place.parent, name: place.name, content },
    contentConflict: conflict,
  };
}

/**
 * One side has the node, the other does not. Without a base the other never had it: it lives. With
 * a base the other side deleted it: it goes, unless this side gave it other bytes or another place
 * meanwhile (R7). Metadata alone does not keep it: no byte is lost with it.
 */
function mergeOneSided(base: NodeState | undefined, side: NodeState | undefined): Merge {
  if (side === undefined) return GONE;
  const lives =
    base === undefined ||
    !sameBytes(base.content, side.content) ||
    (!isParked(side) && !samePlace(base, side));
  if (!lives) return GONE;
  const place = isParked(side) ? (base ?? { parent: ROOT_ID, name: side.name }) : side;
  return {
    state: { id: side.id, parent: place.parent, name: place.name, content: side.content },
    contentConflict: false,
  };
}

/** A parked node was moved by this program, not by a person: its local place says nothing. */
function isParked(place: Place): boolean {
  return place.parent === PARKING_ID;
}

/**
 * Parent and name each on their own: one person moves a file, another one renames it. First in the
 * log wins where both changed the same one (R6); without a base, the log's place is the one known
 * to others.
 */
function mergePlace(base: Place | undefined, local: Place, remote: Place): Place {
  if (base === undefined || isParked(local) || samePlace(local, remote)) return remote;
  return {
    parent: mergeValue(base.parent, local.parent, remote.parent),
    name: mergeValue(base.name, local.name, remote.name),
  };
}

/** Whoever changed it; where both did, the log's. */
function mergeValue<Value>(base: Value, local: Value, remote: Value): Value {
  return remote === base ? local : remote;
}

interface ContentMerge {
  readonly content: Content;
  readonly conflict: boolean;
}

function mergeContent(base: Content | undefined, local: Content, remote: Content): ContentMerge {
  if (sameContent(local, remote)) return { content: remote, conflict: false };
  const isSame = sameBytes(local, remote);
  if (base === undefined) {
    // No base: equal bytes are one file whatever their metadata; other bytes are two edits of it.
    // Whoever has no bytes yet was caught between making a file and writing it.
    if (local.kind === "file" && !isEmptyFile(local) && isEmptyFile(remote)) {
      return { content: local, conflict: false };
    }
    return { content: remote, conflict: !isSame && !isEmptyFile(local) };
  }
  const localEdited = !sameBytes(local, base);
  const remoteEdited = !sameBytes(remote, base);
  const taken = localEdited && !remoteEdited ? local : remote;
  return {
    content: withMergedMetadata(taken, base, local, remote, localEdited || remoteEdited),
    conflict: localEdited && remoteEdited && !isSame,
  };
}

/**
 * The executable bit and the modification time are merged on their own (R5); new bytes bring their
 * own time with them.
 */
function withMergedMetadata(
  taken: Content,
  base: Content,
  local: Content,
  remote: Content,
  isEdited: boolean,
): Content {
  if (taken.kind !== "file" || base.kind !== "file") return taken;
  if (local.kind !== "file" || remote.kind !== "file") return taken;
  const { mtimeNs } = taken;
  return {
    ...taken,
    executable: mergeValue(base.executable, local.executable, remote.executable),
    mtimeNs: isEdited ? mtimeNs : mergeValue(base.mtimeNs, local.mtimeNs, remote.mtimeNs),
  };
}
