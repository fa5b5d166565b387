/**
 * Rows of the client's three trees: converts one into another, merges and compares them. Pure.
 * Rules: S2, T1, N7.
 */
import type { BaseNode, Content, LocalNode, NodeState, RemoteNode } from "../../core/node.ts";
import { sameBytes, sameContent, samePlace } from "../../core/node.ts";
import type { LocalRow } from "./rows.ts";

/** As coarse as the coarsest time stamps: FAT keeps steps of two seconds. */
const MTIME_TOLERANCE_NS = 2_000_000_000n;

export function leastId(rows: readonly LocalRow[]): LocalRow | undefined {
  let least: LocalRow | undefined;
  for (const row of rows) if (least === undefined || row.id < least.id) least = row;
  return least;
}

export function asLocal({ id, parent, name, content, identity, stamp }: BaseNode): LocalNode {
  return { id, parent, name, content, identity, stamp };
}

export function asRemote(base: BaseNode): RemoteNode {
  const { id, parent, name, content, contentVersion, placeVersion } = base;
  return { id, parent, name, content, deleted: false, contentVersion, placeVersion };
}

/**
 * Takes content and place each from the newer version. Returns `known` itself if nothing is newer.
 */
export function mergeVersions(known: RemoteNode, node: RemoteNode): RemoteNode {
  const content = node.contentVersion > known.contentVersion ? node : known;
  const place = node.placeVersion > known.placeVersion ? node : known;
  if (content === known && place === known) return known;
  const deleted = newest(node) > newest(known) ? node.deleted : known.deleted;
  return {
    id: known.id,
    parent: place.parent,
    name: place.name,
    content: content.content,
    deleted,
    contentVersion: content.contentVersion,
    placeVersion: place.placeVersion,
  };
}

/**
 * The part of a node that the disk durably holds after this device changed it: the changed aspects,
 * and those that are as in the base. A user's change of meanwhile may still be in memory only.
 */
export function madeDurable(base: BaseNode, before: LocalNode, node: LocalNode): NodeState {
  const isPlaceDone = !samePlace(before, node) || samePlace(base, node);
  const isContentDone =
    !sameContent(before.content, node.content) || sameContent(base.content, node.content);
  const { parent, name } = isPlaceDone ? node : base;
  return { id: node.id, parent, name, content: isContentDone ? node.content : base.content };
}

function newest(node: RemoteNode): number {
  return Math.max(node.contentVersion, node.placeVersion);
}

export function sameRemote(a: RemoteNode, b: RemoteNode): boolean {
  return (
    a.deleted === b.deleted &&
    a.contentVersion === b.contentVersion &&
    a.placeVersion === b.placeVersion &&
    samePlace(a, b) &&
    sameContent(a.content, b.content)
  );
}

/**
 * True for the same bytes and executable bit. Times may differ by as much as a coarse file system
 * loses.
 */
export function agrees(local: Content, remote: Content): boolean {
  if (!sameBytes(local, remote)) return false;
  if (local.kind !== "file" || remote.kind !== "file") return true;
  if (local.executable !== remote.executable) return false;
  if (local.mtimeNs === remote.mtimeNs) return true;
  const difference = BigInt(local.mtimeNs) - BigInt(remote.mtimeNs);
  return difference < MTIME_TOLERANCE_NS && difference > -MTIME_TOLERANCE_NS;
}
