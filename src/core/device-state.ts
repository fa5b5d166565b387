/** How a device is, in its own words. Rules: V8, X7. */

export const DEVICE_KINDS = ["client", "page"] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

/** A change that a guard of a device holds for a person. */
export interface HeldSummary {
  readonly id: string;
  /** "up" if it would go from the device to the server. */
  readonly direction: "up" | "down";
  readonly reason: string;
  readonly count: number;
  /** Some of its paths. */
  readonly examples?: readonly string[];
  /** The answers from afar that the device obeys (V10). */
  readonly answers?: readonly HeldAnswer[];
}

export const HELD_ANSWERS = ["approve", "reject"] as const;
export type HeldAnswer = (typeof HELD_ANSWERS)[number];

export interface Paused {
  /** RFC 3339. @default until somebody lets it go on */
  readonly until?: string;
}

/** How a device is. Older ones do not say. */
export interface DeviceState {
  /** @default "client" */
  readonly kind?: DeviceKind;
  /** True if nothing that the log says up to `applied` waits to be done there. */
  readonly settled?: boolean;
  /** How many paths have a problem there. */
  readonly problems?: number;
  readonly held?: HeldSummary;
  readonly paused?: Paused;
}

export type DeviceStanding = "in_sync" | "syncing" | "behind" | "held" | "paused" | "unknown";

/**
 * The one word for a device. What waits for a person comes first.
 *
 * @param isAtHead true if it has applied all of the log, on the same epoch
 */
export function standingOf({ held, paused, settled }: Said, isAtHead: boolean): DeviceStanding {
  if (held !== undefined) return "held";
  if (paused !== undefined) return "paused";
  if (!isAtHead) return "behind";
  if (settled === undefined) return "unknown";
  return settled ? "in_sync" : "syncing";
}

interface Said {
  readonly held?: object | undefined;
  readonly paused?: object | undefined;
  readonly settled?: boolean | undefined;
}
