/**
 * Turns an accepted op into its event, given the node's state before it. The server uses this to
 * decide. The author of the op uses it to foresee the event; the hash chain then shows whether it
 * foresaw right. Rules: L5, O2.
 */
import type { HashedEvent } from "./canonical.ts";
import { assert } from "./error.ts";
import type { BatchId, DeviceId } from "./identifier.ts";
import type { Place, RemoteNode, Sequence } from "./node.ts";
import type { Op } from "./op.ts";

/** The fields of an event that do not come from its op. */
export interface EventHeader {
  readonly seq: Sequence;
  readonly time: string;
  readonly device: DeviceId;
  readonly batch: BatchId;
  readonly groupEnd: boolean;
  readonly approval?: string | undefined;
}

/** @param current the node before the op, also if it is a tombstone; a `create` needs none. */
export function acceptedEvent(
  op: Op,
  current: RemoteNode | undefined,
  { seq, time, device, batch, groupEnd, approval }: EventHeader,
): HashedEvent {
  return {
    seq,
    time,
    device,
    opId: op.opId,
    batch,
    groupEnd,
    kind: op.kind,
    node: op.node,
    ...stateAfter(op, current),
    ...(op.kind === "create" && op.conflictOf !== undefined ? { conflictOf: op.conflictOf } : {}),
    ...(approval === undefined ? {} : { approval }),
  };
}

/** The op that became this event: the same in all that `opBodyDigest` covers. */
export function acceptedOp(event: HashedEvent): Op {
  const { kind, opId, node, parent, name, content, baseContent, basePlace, conflictOf } = event;
  switch (kind) {
    case "create": {
      const origin = conflictOf === undefined ? {} : { conflictOf };
      return { kind, opId, node, parent, name, content, base: baseContent, ...origin };
    }
    case "modify":
      return { kind, opId, node, content, baseContent };
    case "move":
      return { kind, opId, node, parent, name, basePlace };
    case "delete":
      return { kind, opId, node, baseContent, basePlace };
  }
}

/** Place, content and bases after an op. */
function stateAfter(
  op: Op,
  current: RemoteNode | undefined,
): Place & Pick<HashedEvent, "content" | "baseContent" | "basePlace"> {
  if (op.kind === "create") {
    const { parent, name, content, base } = op;
    return { parent, name, content, baseContent: base, basePlace: base };
  }
  assert(current !== undefined, "an op that is not a create has a node");
  const { parent, name, content, contentVersion, placeVersion } = current;
  const bases = { baseContent: contentVersion, basePlace: placeVersion };
  switch (op.kind) {
    case "modify":
      return { parent, name, content: op.content, ...bases };
    case "move":
      return { parent: op.parent, name: op.name, content, ...bases };
    case "delete":
      return { parent, name, content, ...bases };
  }
}
