/**
 * Says what the base may become, aspect by aspect. Rules: S6, R1, I15.
 *
 * The base is the common past of this disk and the log. Each aspect of it (parent, name, bytes,
 * executable bit, modification time) advances on its own, and only to a value that this disk
 * durably held. Suppose one aspect agrees and the base took over the whole node. For the other
 * aspects it would then claim values that the disk never held. The disk's real values would pass
 * for an edit by its user, and posting that edit would undo another person's change.
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
 * Moves the base on after an op of this device became `event`. It takes over only what the op set,
 * because this disk held exactly that when the op was posted.
 *
 * @returns undefined if the node is deleted, or if nothing is known of its other aspects.
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
 * Lets the base take over each aspect in which local and remote are the same. A version is taken
 * over together with the last aspect that it covers.
 *
 * @param local a state that this disk durably holds.
 * @returns `base` itself if there is nothing to take over.
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
