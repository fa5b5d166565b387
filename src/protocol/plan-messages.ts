/**
 * Plans: changes of many nodes that are shown, named by their hash, and then done exactly so.
 * Rules: E9-E11. The page imports types only; commands parse answers with the schemas.
 */
import { z } from "zod/mini";
import type { DeviceId, NodeId } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import { OVERLAP_REASONS } from "../core/wanted-tree.ts";

interface MayKeepBoth {
  /** A node whose name is taken comes back beside it, under a name of its own. */
  readonly overlaps?: "keep-both";
}

export const REVERTED_PARTS = ["row", "action"] as const;

/** POST plans, and a part of PUT plans/{id}. */
export type PlanRequest =
  | ({
      readonly kind: "restore";
      /** Of the entry that was there as of event `at`, with all below it; "" is everything. */
      readonly path: string;
      readonly at: Sequence;
      /** Leaves alone what other devices than this one changed later. */
      readonly keepLater?: DeviceId;
    } & MayKeepBoth)
  | ({
      /** Takes back what a device did after event `since`, up to `until`. */
      readonly kind: "undo";
      readonly device: DeviceId;
      readonly since: Sequence;
      readonly until?: Sequence;
      /** Only what happened at or below this path. */
      readonly path?: string;
    } & MayKeepBoth)
  | ({
      /** Takes back what these events did. */
      readonly kind: "revert";
      readonly first: Sequence;
      readonly last: Sequence;
      /**
       * Only those that belong to event `first`: of its row in the log, or of its plan (without a
       * plan, its batch). Others may lie between them. @default all of the range
       */
      readonly of?: (typeof REVERTED_PARTS)[number];
    } & MayKeepBoth)
  /** With all that is below. */
  | { readonly kind: "delete"; readonly ids: readonly NodeId[] }
  /** Brings what was at `path` back as new nodes at the free path `to`. */
  | { readonly kind: "copy"; readonly path: string; readonly at: Sequence; readonly to: string }
  /** Ends a conflict; `copy` is the conflict copy's node. */
  | {
      readonly kind: "resolve";
      readonly copy: NodeId;
      readonly keep: "copy" | "original" | "both";
    };

export interface PlanApplication {
  readonly request: PlanRequest;
  /** The head as of which the plan was shown. */
  readonly head: Sequence;
  /** Who does it. */
  readonly device: DeviceId;
  /** True to leave out what others changed since. */
  readonly partial: boolean;
}

const sequence = z.int().check(z.minimum(0));
const count = z.int().check(z.minimum(0));
const bytes = z.number().check(z.minimum(0));

export const planStepSchema = z.object({
  what: z.enum(["create", "revive", "write", "move", "delete"]),
  node: z.string(),
  kind: z.enum(["file", "directory", "symlink"]),
  /** The path after the step; of a deletion, before it. */
  path: z.string(),
  /** The path before a move. */
  from: z.optional(z.string()),
  /** In bytes; of files, as they are after the step; of a deletion, before it. */
  size: z.optional(bytes),
});
export type PlanStep = z.infer<typeof planStepSchema>;

export const overlapSchema = z.object({
  node: z.string(),
  path: z.string(),
  why: z.enum([...OVERLAP_REASONS, "changed_since"]),
  by: z.optional(
    z.object({ device: z.string(), deviceName: z.string(), seq: sequence, time: z.string() }),
  ),
});
export type PlanOverlap = z.infer<typeof overlapSchema>;

/** POST plans */
export const planAnswerSchema = z.object({
  id: z.string(),
  kind: z.enum(["restore", "undo", "revert", "delete", "copy", "resolve"]),
  head: sequence,
  summary: z.object({
    created: count,
    revived: count,
    written: count,
    moved: count,
    deleted: count,
    /** Of the files that are created, revived or written. */
    bytes,
  }),
  /** Whose later work is taken back, and how many of their changes. */
  others: z.array(z.object({ device: z.string(), deviceName: z.string(), changes: count })),
  overlaps: z.array(overlapSchema),
  total: count,
  steps: z.array(planStepSchema),
  /** The `offset` of the next request. */
  next: z.optional(count),
});
export type PlanAnswer = z.infer<typeof planAnswerSchema>;

/** PUT plans/{id} */
export const planResultSchema = z.object({
  id: z.string(),
  /** The first and the last event; absent if there is none. */
  first: z.optional(sequence),
  last: z.optional(sequence),
  /** Ops that are in the log now. */
  done: count,
  /** Also what the plan was shown without, because its bytes are gone: code `version_gone`. */
  skipped: z.array(z.object({ node: z.string(), path: z.string(), code: z.string() })),
});
export type PlanResult = z.infer<typeof planResultSchema>;
