/**
 * Guards: small predicates that hold a change until a person has spoken. Rules: G2, G3, G4.
 *
 * Pure. What is held is taken out of the plan; what remains flows.
 */
import { sha256 } from "./digest.ts";
import type { NodeId } from "./identifier.ts";
import {
  GUARD_DELETE_COUNT,
  GUARD_DELETE_SHARE,
  GUARD_EMPTIED_FILES_MIN,
  GUARD_OVERWRITE_COUNT,
  GUARD_OVERWRITE_SHARE,
} from "./limits.ts";
import { sameBytes } from "./node.ts";
import type { Plan } from "./transition.ts";
import type { TreeView } from "./tree.ts";

/** Files that are deleted or overwritten, in one direction. */
export interface Changes {
  readonly deletes: readonly NodeId[];
  readonly overwrites: readonly NodeId[];
}

export interface GuardInput {
  readonly plan: Plan;
  readonly base: TreeView;
  /** Files and symlinks in the base. */
  readonly fileCount: number;
  /** What was let through within the last GUARD_WINDOW_MS. */
  readonly recentUp: Changes;
  readonly recentDown: Changes;
  /** Nodes whose change a person has approved, here or on the device that made it. */
  isApproved(id: NodeId): boolean;
}

export interface Verdict {
  /** The plan without what is held. */
  readonly plan: Plan;
  readonly held: Held | undefined;
  /** What the remaining plan will do, to be remembered for the window. */
  readonly up: Changes;
  readonly down: Changes;
}

export interface Held {
  /** Names exactly this set of changes. */
  readonly id: string;
  readonly direction: "up" | "down";
  readonly reason: string;
  /** Files. */
  readonly count: number;
  readonly nodes: readonly NodeId[];
}

export function guard(input: GuardInput): Verdict {
  const up = judge(input, upwardChanges(input), input.recentUp);
  const down = judge(input, downwardChanges(input), input.recentDown);
  const nodes = [...up.held, ...down.held];
  if (nodes.length === 0)
    return { plan: input.plan, held: undefined, up: up.passed, down: down.passed };
  const isHeld = new Set(nodes);
  const reasons = [
    ...(up.reason === "" ? [] : [`this device would ${up.reason} on the server`]),
    ...(down.reason === "" ? [] : [`the server would ${down.reason} on this device`]),
  ];
  const files = nodes.filter((id) => isFile(input.base, id));
  return {
    plan: withoutHeld(input.plan, isHeld),
    held: {
      id: sha256([...nodes].sort().join("\n")).slice(0, 16),
      direction: up.held.length > 0 ? "up" : "down",
      reason: reasons.join(", and "),
      count: files.length,
      nodes,
    },
    up: up.passed,
    down: down.passed,
  };
}

function upwardChanges({ plan, base, isApproved }: GuardInput): Changes {
  const deletes: NodeId[] = [];
  const overwrites: NodeId[] = [];
  for (const [id, ops] of plan.ops) {
    if (isApproved(id)) continue;
    const before = base.get(id);
    for (const op of ops) {
      if (op.kind === "delete") deletes.push(id);
      if (op.kind !== "modify" || before === undefined) continue;
      if (!sameBytes(before.content, op.content)) overwrites.push(id);
    }
  }
  return { deletes, overwrites };
}

function downwardChanges({ plan, base, isApproved }: GuardInput): Changes {
  const deletes: NodeId[] = [];
  const overwrites: NodeId[] = [];
  for (const step of plan.transitions) {
    if (step.kind === "delete" && !isApproved(step.id)) deletes.push(step.id);
    if (step.kind !== "replace" || isApproved(step.id)) continue;
    if (base.get(step.id) !== undefined) overwrites.push(step.id);
  }
  return { deletes, overwrites };
}

interface Judgement {
  readonly held: readonly NodeId[];
  readonly reason: string;
  readonly passed: Changes;
}

/** `changes.deletes` has directories too: none may go while its neighbours are held. */
function judge(input: GuardInput, changes: Changes, recent: Changes): Judgement {
  const { base, fileCount } = input;
  const held: NodeId[] = [];
  const reasons: string[] = [];
  let deletes = changes.deletes.filter((id) => isFile(base, id));
  let { overwrites } = changes;
  // What was let through and is still to be done is one change, however often it is judged.
  const recentDeletes = countOthers(recent.deletes, deletes);
  const recentOverwrites = countOthers(recent.overwrites, overwrites);
  const of = fileCount + recentDeletes;
  const emptied = deletes.length >= fileCount && fileCount > GUARD_EMPTIED_FILES_MIN;
  const deletesMax = Math.max(GUARD_DELETE_COUNT, GUARD_DELETE_SHARE * of);
  if (deletes.length > 0 && (emptied || deletes.length + recentDeletes > deletesMax)) {
    held.push(...changes.deletes);
    reasons.push(
      emptied
        ? `delete all ${deletes.length} files`
        : `delete ${deletes.length} of ${fileCount} files`,
    );
    deletes = [];
  }
  const overwritesMax = Math.max(GUARD_OVERWRITE_COUNT, GUARD_OVERWRITE_SHARE * of);
  if (overwrites.length > 0 && overwrites.length + recentOverwrites > overwritesMax) {
    held.push(...overwrites);
    reasons.push(`overwrite ${overwrites.length} of ${fileCount} files`);
    overwrites = [];
  }
  return { held, reason: reasons.join(" and "), passed: { deletes, overwrites } };
}

function countOthers(recent: readonly NodeId[], now: readonly NodeId[]): number {
  const current = new Set(now);
  return new Set(recent.filter((id) => !current.has(id))).size;
}

function isFile(base: TreeView, id: NodeId): boolean {
  const node = base.get(id);
  return node !== undefined && node.content.kind !== "directory";
}

function withoutHeld(plan: Plan, held: ReadonlySet<NodeId>): Plan {
  const ops = new Map(plan.ops);
  for (const id of held) ops.delete(id);
  const transitions = plan.transitions.filter((step) => {
    if (step.kind !== "delete" && step.kind !== "replace") return true;
    return !held.has(step.id);
  });
  return { ...plan, ops, transitions };
}
