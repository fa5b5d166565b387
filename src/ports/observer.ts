/**
 * Observer: gets the news that a person or program wants while the client runs. Calls never throw
 * and never block. Rules: Y3, Y5.
 */
import type { ErrorCode } from "../core/error.ts";
import type { EventKind } from "../core/event.ts";
import type { HeldKind } from "../core/guard.ts";

export type ClientEvent =
  | {
      readonly event: "joined";
      readonly folder: string;
      readonly server: string;
      readonly device: string;
      readonly created: boolean;
      readonly union: boolean;
    }
  | { readonly event: "in_sync"; readonly seq: number; readonly files: number }
  | {
      readonly event: "progress";
      readonly phase: "scan" | "upload" | "download" | "apply";
      readonly done: number;
      readonly total: number;
      readonly bytesDone: number;
      readonly bytesTotal: number;
    }
  | { readonly event: "conflict"; readonly path: string; readonly of: string }
  | {
      readonly event: "problem";
      readonly path: string;
      readonly code: ErrorCode;
      readonly message: string;
    }
  | {
      readonly event: "held";
      readonly id: string;
      /** Empty for a halt. */
      readonly kinds: readonly HeldKind[];
      readonly reason: string;
      readonly count: number;
    }
  | { readonly event: "released"; readonly id: string }
  /** `until` is RFC 3339; without it the pause has no end. */
  | { readonly event: "paused"; readonly until?: string }
  | { readonly event: "resumed" }
  | { readonly event: "offline"; readonly reason: string }
  | { readonly event: "online" }
  | { readonly event: "notice"; readonly code: string; readonly message: string }
  | {
      readonly event: "change";
      readonly direction: "up" | "down";
      readonly kind: EventKind;
      readonly path: string;
      readonly from?: string;
    }
  | { readonly event: "error"; readonly code: ErrorCode; readonly message: string }
  | { readonly event: "stopped"; readonly reason: string };

export interface Observer {
  emit(event: ClientEvent): void;
}
