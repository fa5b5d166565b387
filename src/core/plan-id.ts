/**
 * The id of a plan: a hash of what was asked, as of when, and of every op with what it is based on.
 * So nobody can apply another plan than the one that was shown. Rules: E9.
 */
import { opBodyDigest } from "./canonical.ts";
import { sha256 } from "./digest.ts";
import type { Cursor } from "./event.ts";
import { type BatchId, type NodeId, type OpId, parseId } from "./identifier.ts";
import { OPS_PER_BATCH_MAX, PLAN_STEPS_MAX } from "./limits.ts";
import type { Group, Op } from "./op.ts";
import type { OpDraft } from "./transition.ts";

/** 32 lower-case hex digits. */
export type PlanId = string;

export interface IdentifiedPlan {
  readonly id: PlanId;
  readonly groups: readonly Group[];
}

/** No op has this id; bodies do not depend on it. */
const NO_OP = parseId<OpId>("0".repeat(32));

/**
 * @param request in a form that is the same for equal requests
 * @returns the ops with ids that follow from the plan's, so that a retry posts the same ones
 */
export function identifyPlan(
  request: string,
  head: Pick<Cursor, "seq" | "epoch">,
  drafts: readonly (readonly OpDraft[])[],
): IdentifiedPlan {
  const bodies = drafts.flatMap((group) =>
    group.map((draft) => opBodyDigest({ ...draft, opId: NO_OP })),
  );
  const lines = ["synced plan 1", request, String(head.seq), head.epoch, ...bodies];
  const id = sha256(lines.join("\n")).slice(0, 32);
  let index = 0;
  const groups = drafts.map((group) =>
    group.map((draft): Op => {
      index += 1;
      return { ...draft, opId: derivedId<OpId>(id, `op ${index}`) };
    }),
  );
  return { id, groups };
}

/** The id of the n-th batch in which a plan is posted. */
export function planBatchId(id: PlanId, index: number): BatchId {
  return derivedId<BatchId>(id, `batch ${index}`);
}

/** Batches of more than half of what one may hold, since a group is never parted. */
const PLAN_BATCHES_MAX = (2 * PLAN_STEPS_MAX) / OPS_PER_BATCH_MAX;

/** @returns whether the batch posts a part of that plan; of a held change's approval it is false */
export function isPlanBatch(id: PlanId, batch: BatchId): boolean {
  for (let index = 0; index < PLAN_BATCHES_MAX; index++) {
    if (planBatchId(id, index) === batch) return true;
  }
  return false;
}

/** The id of the copy that a plan makes of a node. */
export function copyId(request: string, head: Pick<Cursor, "seq" | "epoch">, of: NodeId): NodeId {
  return derivedId<NodeId>(sha256(`${request}\n${head.seq}\n${head.epoch}`), `copy ${of}`);
}

function derivedId<Id extends OpId | BatchId | NodeId>(of: string, what: string): Id {
  return parseId<Id>(sha256(`${of}\n${what}`).slice(0, 32));
}
