/**
 * An order: what a person asks of a device from afar, at the page or on the command line. Rules:
 * V9, V10.
 */
import type { OrderId } from "./identifier.ts";

export const ORDER_KINDS = ["pause", "resume", "approve", "reject"] as const;

export type DeviceOrder =
  /** `until` is RFC 3339. @default until somebody lets it go on */
  | { readonly kind: "pause"; readonly until?: string }
  | { readonly kind: "resume" }
  /** `held` is the id of the held change that is meant, and of no other. */
  | { readonly kind: "approve" | "reject"; readonly held: string };

/** As the device gets it. */
export interface GivenOrder {
  readonly id: OrderId;
  /** RFC 3339. */
  readonly time: string;
  readonly order: DeviceOrder;
}

/** Of all orders on one subject only the last one counts. */
export type OrderSubject = "work" | "held";

export function subjectOf({ kind }: DeviceOrder): OrderSubject {
  return kind === "pause" || kind === "resume" ? "work" : "held";
}
