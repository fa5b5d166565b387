/** The fold of a log: computes what a node is after an event. Rules: L5, O2. */
import type { Event } from "./event.ts";
import type { RemoteNode } from "./node.ts";

/**
 * The node's whole state after the event. If the event leaves a version alone, it carries that
 * version as its base, so no earlier event is needed.
 */
export function foldEvent(event: Event): RemoteNode {
  const { node, parent, name, content, seq, kind } = event;
  const state = { id: node, parent, name, content, deleted: kind === "delete" };
  switch (kind) {
    case "create":
    case "delete":
      return { ...state, contentVersion: seq, placeVersion: seq };
    case "modify":
      return { ...state, contentVersion: seq, placeVersion: event.basePlace };
    case "move":
      return { ...state, contentVersion: event.baseContent, placeVersion: seq };
  }
}
