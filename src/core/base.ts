/**
 * What the base may say, aspect by aspect. Rules: S6, R1, I15.
 *
 * The base is the common past of this disk and the log. Each aspect of it (parent, name, bytes,
 * executable bit, modification time) moves on by itself, and only to what this disk durably held.
 * Were the whole node taken over because one aspect agrees, the other aspects would claim what the
 * disk never held, and what it does hold would pass for its user's edit: somebody else's change
 * would be undone.
 */
import type { Event } from "./event.ts";
import {
  type BaseNode,
  type Content,
  type NodeState,
  type RemoteNode,
  sameBytes,
  sameContent,
  samePlace,
} from "./node.ts";

type Agreed = Omit<BaseNode, "identity" | "stamp">;

/**
 * The base after an op of this device became that event: what the op was about was on this disk
 * when it was posted.
 *
 * @returns undefined where nothing is known of the other aspects, or the node is deleted.
 */
export function baseAfterOwn(base: Agreed | undefined, event: Event): Agreed | undefined {
  const { node: id, parent, name, content, seq, kind } = event;
  switch (kind) {
    case "create":
      return { id, parent, name, content, contentVersion: seq, placeVersion: seq };
    case "modify":
      return base === undefined ? undefined : { ...base, content, contentVersion: seq };
    case "move":
      return base === undefined ? undefined : { ...base, parent, name, placeVersion: seq };
    case "delete":
      return undefined;
  }
}

/**
 * The base after each aspect that is the same on both sides was taken over. A version goes with the
 * last aspect that it covers.
 *
 * @param local what this disk durably holds.
 * @returns `base` itself where nothing is to be taken over.
 */
export function baseAfterAgreement<Base extends Agreed>(
  base: Base,
  local: NodeState,
  remote: RemoteNode,
): Base {
  const place = agreedPlace(base, local, remote);
  const content = agreedContent(base.content, local.content, remote.content);
  const placeVersion = samePlace(place, remote) ? remote.placeVersion : base.placeVersion;
  const isContentAgreed = sameContent(content, remote.content);
  const contentVersion = isContentAgreed ? remote.contentVersion : base.contentVersion;
  const isSame =
    samePlace(place, base) &&
    sameContent(content, base.content) &&
    placeVersion === base.placeVersion &&
    contentVersion === base.contentVersion;
  if (isSame) return base;
  return { ...base, ...place, content, placeVersion, contentVersion };
}

function agreedPlace(base: NodeState, local: NodeState, remote: NodeState) {
  return {
    parent: local.parent === remote.parent ? remote.parent : base.parent,
    name: local.name === remote.name ? remote.name : base.name,
  };
}

function agreedContent(base: Content, local: Content, remote: Content): Content {
  const bytes = sameBytes(local, remote) ? remote : base;
  if (bytes.kind !== "file" || base.kind !== "file") return bytes;
  if (local.kind !== "file" || remote.kind !== "file") return bytes;
  return {
    ...bytes,
    executable: local.executable === remote.executable ? remote.executable : base.executable,
    mtimeNs: local.mtimeNs === remote.mtimeNs ? remote.mtimeNs : base.mtimeNs,
  };
}
