/** The fold of a log: what a node is after an event. Rules: L5, O2. */
import type { Event } from "./event.ts";
import type { RemoteNode } from "./node.ts";

/**
 * The node's whole state after the event. An event that leaves a version alone carries it as the
 * base that it was made on, so nothing else has to be looked at.
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
