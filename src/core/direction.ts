/** Which way a device's changes go, as given to `sync --direction`. Pure. Rules: R21. */
import type { NodeId } from "./identifier.ts";
import { nodeOf, type Plan } from "./transition.ts";

/** `pull`: nothing of this device is sent. `push`: nothing of others is done here. */
export const DIRECTIONS = ["both", "pull", "push"] as const;

export type Direction = (typeof DIRECTIONS)[number];

/** @returns undefined if the text is no direction. */
export function parseDirection(text: string): Direction | undefined {
  return DIRECTIONS.find((direction) => direction === text);
}

/** A plan without the changes that go the other way, and the nodes that these are about. */
export interface OneWay {
  readonly plan: Plan;
  readonly left: ReadonlySet<NodeId>;
}

export function oneWay(plan: Plan, direction: Direction): OneWay {
  switch (direction) {
    case "both":
      return { plan, left: new Set() };
    case "pull":
      return { plan: { ...plan, ops: new Map() }, left: new Set(plan.ops.keys()) };
    case "push":
      return { plan: { ...plan, transitions: [] }, left: new Set(plan.transitions.map(nodeOf)) };
  }
}
