/**
 * Merges one node against the base: existence, place and content, each on its own. Pure.
 * Rules: R1-R7, R11. It knows nothing of other nodes; reconcile.ts repairs conflicts between nodes.
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

/** A node in the three trees; absent if a tree does not have it. */
export interface ThreeStates {
  readonly base: NodeState | undefined;
  readonly local: NodeState | undefined;
  readonly remote: NodeState | undefined;
}

export interface Merge {
  /** The state that both sides should take; undefined if the node goes. */
  readonly state: NodeState | undefined;
  /** The local bytes lose against `state`, so they must be kept as a conflict copy. */
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
 * Merges a node that only one side has. Without a base the other side never had it, so it lives.
 * With a base the other side deleted it, so it goes, unless this side meanwhile gave it other bytes
 * or another place (R7). New metadata alone does not keep it, because no byte is lost with it.
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

/** This program moved a parked node, not a person, so its local place says nothing. */
function isParked(place: Place): boolean {
  return place.parent === PARKING_ID;
}

/**
 * Merges parent and name separately, so that one person may move a file while another renames it.
 * If both changed the same one, the first in the log wins (R6). Without a base the log's place
 * wins, because others know it.
 */
function mergePlace(base: Place | undefined, local: Place, remote: Place): Place {
  if (base === undefined || isParked(local) || samePlace(local, remote)) return remote;
  return {
    parent: mergeValue(base.parent, local.parent, remote.parent),
    name: mergeValue(base.name, local.name, remote.name),
  };
}

/** Takes the side that changed the value; if both did, the log's. */
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
    // Without a base, equal bytes are one file whatever their metadata, and other bytes are two
    // edits of it. A side that is still empty was caught between making the file and writing it.
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
 * Merges the executable bit and the modification time, each on its own (R5). New bytes bring their
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
