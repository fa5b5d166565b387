/**
 * Guards hold a change that looks like an accident until a person approves it. Rules: G2, G3, G4,
 * G6-G12.
 *
 * Pure. A guard takes the held part out of the plan; the rest goes on. The cost grows with the
 * number of changes. Directories are listed only if more files go than may go unasked.
 */
import { sha256 } from "./digest.ts";
import {
  deletionsOf,
  extensionOf,
  isOwnYoung,
  isSpared,
  type Loss,
  renamedBesides,
  type Witness,
} from "./guard-evidence.ts";
import { boundOf, DEFAULT_GUARD, type GuardSetting } from "./guard-setting.ts";
import type { NodeId } from "./identifier.ts";
import {
  GUARD_DAY_MS,
  GUARD_EMPTIED_FILES_MIN,
  GUARD_HOUR_MS,
  GUARD_OVERWRITE_COUNT,
  GUARD_OVERWRITE_SHARE,
  GUARD_RECEIVED_OVERWRITE_COUNT,
} from "./limits.ts";
import { type Content, sameBytes } from "./node.ts";
import type { OpDraft, Plan } from "./transition.ts";
import type { TreeView } from "./tree.ts";

/** The changes that a plan makes, in one direction, to files that both sides had. */
export interface Changes {
  readonly deletes: ReadonlyMap<NodeId, Loss>;
  readonly overwrites: ReadonlySet<NodeId>;
  /** Overwritten files that become empty. */
  readonly truncations: ReadonlySet<NodeId>;
  /** The new extension of each file whose name gets another one, by node. */
  readonly renames: ReadonlyMap<NodeId, string>;
}

export const NO_CHANGES: Changes = {
  deletes: new Map(),
  overwrites: new Set(),
  truncations: new Set(),
  renames: new Map(),
};

/** Changes that were let through within a day. */
export interface Earlier {
  readonly deleteCount: number;
  readonly overwriteCount: number;
  /** Those of so many last milliseconds. */
  within(ms: number): Pick<Changes, "deletes" | "overwrites">;
}

export const NOTHING_EARLIER: Earlier = {
  deleteCount: 0,
  overwriteCount: 0,
  within: () => NO_CHANGES,
};

export interface GuardInput {
  readonly plan: Plan;
  readonly base: TreeView;
  /** Files and symlinks in the base. */
  readonly fileCount: number;
  readonly setting: GuardSetting;
  /** Changes that the guard let through within the last GUARD_WINDOW_MS. */
  recentUp(): Changes;
  recentDown(): Changes;
  readonly earlierDown: Earlier;
  /** True if the node's change was approved by a person whom this device believes (G4). */
  isApproved(id: NodeId): boolean;
  /** True if the node is held since all files were lost (G3), however many there are by now. */
  isEmptied(id: NodeId): boolean;
  /** True if bytes from the server are known to begin with all the old ones. */
  isGrowth(before: Content, after: Content): boolean;
  /** Evidence on deletions by this device, and on deletions that come from the server. */
  readonly seenUp: Witness;
  readonly seenDown: Witness;
}

export interface Verdict {
  /** The plan without the held changes. */
  readonly plan: Plan;
  readonly held: Held | undefined;
  /** The changes that the remaining plan makes; the caller remembers them for the window. */
  readonly up: Changes;
  readonly down: Changes;
}

/**
 * The change to files that is held. `emptying`: it deletes or empties all of them (G3).
 * `unignoring`: it would send what was ignored here (A21), which no guard of this file judges.
 */
export type HeldKind =
  | "deletion"
  | "emptying"
  | "truncation"
  | "renaming"
  | "overwriting"
  | "unignoring";

export interface Held {
  /** A digest of exactly this set of changes. */
  readonly id: string;
  readonly kinds: readonly HeldKind[];
  readonly direction: "up" | "down";
  readonly reason: string;
  /** The number of files. */
  readonly count: number;
  readonly nodes: readonly NodeId[];
}

export function guard(input: GuardInput): Verdict {
  const up = judge(input, upwardChanges(input), {
    recent: input.recentUp,
    seen: input.seenUp,
    overwriteCount: GUARD_OVERWRITE_COUNT,
    earlier: undefined,
  });
  const down = judge(input, downwardChanges(input), {
    recent: input.recentDown,
    seen: input.seenDown,
    overwriteCount: GUARD_RECEIVED_OVERWRITE_COUNT,
    earlier: input.earlierDown,
  });
  const held = new Set([...up.held, ...down.held]);
  if (held.size === 0) {
    return { plan: input.plan, held: undefined, up: up.passed, down: down.passed };
  }
  const nodes = [...held];
  const reasons = [
    ...(up.reason === "" ? [] : [`this device would ${up.reason} on the server`]),
    ...(down.reason === "" ? [] : [`the server would ${down.reason} on this device`]),
  ];
  return {
    plan: withoutHeld(input.plan, held, down.heldRenames),
    held: {
      id: sha256([...nodes].sort().join("\n")).slice(0, 16),
      kinds: [...new Set([...up.kinds, ...down.kinds])].sort(),
      direction: up.held.size > 0 ? "up" : "down",
      reason: reasons.join(", and "),
      count: nodes.filter((id) => isFile(input.base.get(id)?.content)).length,
      nodes,
    },
    up: up.passed,
    down: down.passed,
  };
}

/** Collects the changes of a plan. */
class Findings implements Changes {
  readonly deletes = new Map<NodeId, Loss>();
  readonly directories: NodeId[] = [];
  readonly overwrites = new Set<NodeId>();
  readonly truncations = new Set<NodeId>();
  readonly renames = new Map<NodeId, string>();
  readonly #base: TreeView;
  readonly #lossOf: (id: NodeId) => Loss | undefined;

  constructor(base: TreeView) {
    this.#base = base;
    this.#lossOf = deletionsOf(base);
  }

  delete(id: NodeId): void {
    if (this.#base.get(id) === undefined) return;
    const loss = this.#lossOf(id);
    if (loss === undefined) this.directories.push(id);
    else this.deletes.set(id, loss);
  }

  overwrite(id: NodeId, content: Content): void {
    const before = this.#base.get(id)?.content;
    if (before === undefined || sameBytes(before, content)) return;
    this.overwrites.add(id);
    if (sizeOf(before) > 0 && sizeOf(content) === 0) this.truncations.add(id);
  }

  move(id: NodeId, name: string): void {
    const before = this.#base.get(id);
    if (before === undefined || !isFile(before.content)) return;
    const extension = extensionOf(name);
    if (extension === undefined || extension === extensionOf(before.name)) return;
    this.renames.set(id, extension);
  }
}

function upwardChanges({ plan, base, isApproved }: GuardInput): Findings {
  const found = new Findings(base);
  for (const [id, ops] of plan.ops) {
    if (ops.every(({ kind }) => kind === "create") || isApproved(id)) continue;
    for (const op of ops) take(found, op);
  }
  return found;
}

function take(found: Findings, op: OpDraft): void {
  switch (op.kind) {
    case "create":
      return;
    case "modify":
      return found.overwrite(op.node, op.content);
    case "move":
      return found.move(op.node, op.name);
    case "delete":
      return found.delete(op.node);
    default:
      op satisfies never;
  }
}

function downwardChanges({ plan, base, isApproved, isGrowth }: GuardInput): Findings {
  const found = new Findings(base);
  for (const step of plan.transitions) {
    if (step.kind === "create" || step.kind === "metadata" || isApproved(step.id)) continue;
    if (step.kind === "delete") found.delete(step.id);
    else if (step.kind === "move") found.move(step.id, step.name);
    else {
      const before = base.get(step.id)?.content;
      if (before !== undefined && isGrowth(before, step.content)) continue;
      found.overwrite(step.id, step.content);
    }
  }
  return found;
}

interface Judgement {
  readonly held: ReadonlySet<NodeId>;
  readonly heldRenames: ReadonlySet<NodeId>;
  readonly kinds: readonly HeldKind[];
  readonly reason: string;
  readonly passed: Changes;
}

interface Circumstances {
  recent(): Changes;
  readonly seen: Witness;
  /** So many overwrites are never held. */
  readonly overwriteCount: number;
  /** Undefined for changes of this device's own user, who is here to see them. */
  readonly earlier: Earlier | undefined;
}

/** Judges one direction. A directory is held as long as something in it is held. */
function judge(input: GuardInput, found: Findings, circumstances: Circumstances): Judgement {
  const { recent, seen, overwriteCount, earlier } = circumstances;
  const held = new Set<NodeId>();
  const heldRenames = new Set<NodeId>();
  const reasons: string[] = [];
  const kinds: HeldKind[] = [];
  const hold: Hold = (kind, ids, reason) => {
    for (const id of ids) held.add(id);
    kinds.push(kind);
    reasons.push(reason);
  };
  const isNothing = found.deletes.size + found.overwrites.size + found.renames.size === 0;
  if (input.setting.kind !== "off" && !isNothing) {
    // A change that was let through but is not done yet counts once, however often it is judged.
    const others = withoutNow(recent(), found);
    const of = input.fileCount + others.deletes.size;
    const scope = { input, found, others, seen, of };
    holdLosses(scope, hold);
    for (const { ids, reason } of massRenames(scope)) {
      hold("renaming", ids, reason);
      for (const id of ids) heldRenames.add(id);
    }
    holdOverwrites(scope, overwriteCount, hold);
    if (earlier !== undefined) holdSlow(scope, { earlier, kinds, hold });
    if ([...found.deletes.keys()].some((id) => held.has(id))) {
      for (const id of found.directories) held.add(id);
    }
  }
  const passed = passedOf(found, held);
  return { held, heldRenames, kinds, reason: reasons.join(" and "), passed };
}

interface Scope {
  readonly input: GuardInput;
  readonly found: Findings;
  /** Changes that were let through within the window and are done. */
  readonly others: Changes;
  readonly seen: Witness;
  /** The number of files of which the changes are a share. */
  readonly of: number;
}

type Hold = (kind: HeldKind, ids: Iterable<NodeId>, reason: string) => void;

/** G2, G3, G7: holds deletions of files, and overwrites that leave a file empty. */
function holdLosses({ input, found, others, seen, of }: Scope, hold: Hold): void {
  const { base, fileCount, setting } = input;
  const { deletes, truncations } = found;
  const lost = [...deletes.keys(), ...truncations];
  const what = truncations.size === 0 ? "delete" : "delete or empty";
  if (lost.length >= fileCount && fileCount > GUARD_EMPTIED_FILES_MIN) {
    hold("emptying", lost, `${what} all ${fileCount} files`);
    return;
  }
  const emptied = lost.filter((id) => input.isEmptied(id));
  if (emptied.length > 0) {
    hold("emptying", emptied, `${what} ${emptied.length} of ${fileCount} files`);
    if (emptied.length === lost.length) return;
  }
  const max = boundOf(setting, of);
  const isMass = deletes.size > 0 && deletes.size + others.deletes.size > max;
  if (isMass && !isSpared({ base, deletes, recent: others.deletes, truncations, seen, max })) {
    hold("deletion", deletes.keys(), `delete ${deletes.size} of ${fileCount} files`);
  }
  const emptiedMax = boundOf(DEFAULT_GUARD, of);
  if (truncations.size > 0 && truncations.size + others.truncations.size > emptiedMax) {
    hold("truncation", truncations, `cut ${truncations.size} of ${fileCount} files to nothing`);
  }
}

/** G8: finds one new extension on many files, whether they were renamed or made anew. */
function massRenames({ input, found, others, seen, of }: Scope): readonly {
  readonly ids: readonly NodeId[];
  readonly reason: string;
}[] {
  const max = boundOf(DEFAULT_GUARD, of);
  const moved = found.renames.size + others.renames.size;
  if (moved + found.deletes.size + others.deletes.size <= max) return [];
  const groups = new Map<string, { now: NodeId[]; before: number }>();
  const count = (renames: Iterable<readonly [NodeId, string]>, isNow: boolean): void => {
    for (const [id, extension] of renames) {
      const group = groups.get(extension) ?? { now: [], before: 0 };
      if (isNow) group.now.push(id);
      else group.before += 1;
      groups.set(extension, group);
    }
  };
  count(found.renames, true);
  count(renamedBesides(found.deletes, seen), true);
  count(others.renames, false);
  count(renamedBesides(others.deletes, seen), false);
  return [...groups].flatMap(([extension, { now, before }]) => {
    if (now.length === 0 || now.length + before <= max) return [];
    const name = SHOWABLE.test(extension) ? `".${extension}"` : "one new extension";
    const reason = `rename ${now.length} of ${input.fileCount} files to ${name}`;
    return [{ ids: now, reason }];
  });
}

/** Only such an extension is shown, because it comes from a file's name and may hold anything. */
const SHOWABLE = /^[\w-]{1,24}$/;

function holdOverwrites(scope: Scope, count: number, hold: Hold): void {
  const { found, others, of } = scope;
  const max = Math.max(count, GUARD_OVERWRITE_SHARE * of);
  if (found.overwrites.size + others.overwrites.size <= max) return;
  const now = withoutReason(found.overwrites, scope);
  if (now.length === 0 || now.length + withoutReason(others.overwrites, scope).length <= max)
    return;
  hold("overwriting", now, `overwrite ${now.length} of ${scope.input.fileCount} files`);
}

/** G6 */
function withoutReason(overwrites: ReadonlySet<NodeId>, { seen }: Scope): readonly NodeId[] {
  return [...overwrites].filter((id) => !isOwnYoung(id, seen));
}

/** Over a longer time more may go, but never nearly all. */
const SLOW_WINDOWS = [
  { ms: GUARD_HOUR_MS, name: "an hour", deleteTimes: 2, overwriteShare: 0.75 },
  { ms: GUARD_DAY_MS, name: "a day", deleteTimes: 3, overwriteShare: 0.9 },
] as const;

interface SlowScope {
  readonly earlier: Earlier;
  /** The kinds that are held already. */
  readonly kinds: readonly HeldKind[];
  readonly hold: Hold;
}

/** G14: holds what takes a folder apart in parts, each of which is small enough for a minute. */
function holdSlow(scope: Scope, { earlier, kinds, hold }: SlowScope): void {
  const { input, found, seen } = scope;
  const { base, fileCount, setting } = input;
  const { deletes, overwrites, truncations } = found;
  for (const { ms, name, deleteTimes, overwriteShare } of SLOW_WINDOWS) {
    // The counts are of a day, and cheap. The changes are listed only if they may matter.
    const mayDelete =
      deletes.size > 0 &&
      !kinds.some((kind) => kind === "deletion" || kind === "emptying") &&
      deletes.size + earlier.deleteCount > boundOf(setting, fileCount, deleteTimes);
    const overwritesMax = (of: number) => {
      return Math.max(GUARD_RECEIVED_OVERWRITE_COUNT, overwriteShare * of);
    };
    const mayOverwrite =
      overwrites.size > 0 &&
      !kinds.includes("overwriting") &&
      overwrites.size + earlier.overwriteCount > overwritesMax(fileCount);
    if (!mayDelete && !mayOverwrite) continue;
    const others = withoutNow({ ...NO_CHANGES, ...earlier.within(ms) }, found);
    const of = fileCount + others.deletes.size;
    const max = boundOf(setting, of, deleteTimes);
    const deleted = deletes.size + others.deletes.size;
    const evidence = { base, deletes, recent: others.deletes, truncations, seen, max };
    if (mayDelete && deleted > max && !isSpared(evidence)) {
      hold("deletion", deletes.keys(), `delete ${deleted} of ${of} files within ${name}`);
    }
    if (!mayOverwrite) continue;
    const now = withoutReason(overwrites, scope);
    const overwritten = now.length + withoutReason(others.overwrites, scope).length;
    if (now.length > 0 && overwritten > overwritesMax(of)) {
      hold("overwriting", now, `overwrite ${overwritten} of ${of} files within ${name}`);
    }
  }
}

function withoutNow(recent: Changes, now: Changes): Changes {
  return {
    deletes: new Map([...recent.deletes].filter(([id]) => !now.deletes.has(id))),
    overwrites: recent.overwrites.difference(now.overwrites),
    truncations: recent.truncations.difference(now.truncations),
    renames: new Map([...recent.renames].filter(([id]) => !now.renames.has(id))),
  };
}

function passedOf(found: Findings, held: ReadonlySet<NodeId>): Changes {
  if (held.size === 0) return found;
  return {
    deletes: new Map([...found.deletes].filter(([id]) => !held.has(id))),
    overwrites: found.overwrites.difference(held),
    truncations: found.truncations.difference(held),
    renames: new Map([...found.renames].filter(([id]) => !held.has(id))),
  };
}

function isFile(content: Content | undefined): boolean {
  return content !== undefined && content.kind !== "directory";
}

function sizeOf(content: Content): number {
  return content.kind === "file" ? content.size : 0;
}

function withoutHeld(
  plan: Plan,
  held: ReadonlySet<NodeId>,
  heldRenames: ReadonlySet<NodeId>,
): Plan {
  const ops = new Map(plan.ops);
  for (const id of held) ops.delete(id);
  const transitions = plan.transitions.filter((step) => {
    if (step.kind === "move") return !heldRenames.has(step.id);
    if (step.kind !== "delete" && step.kind !== "replace") return true;
    return !held.has(step.id);
  });
  return { ...plan, ops, transitions };
}
