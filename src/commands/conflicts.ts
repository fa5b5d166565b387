/**
 * `synced conflicts list|show|resolve`: the conflict copies of a folder, and how one ends. What is
 * not kept stays in the history. Rules: E11, E13, X8.
 */
import { defineCommand } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT, type ExitCode } from "../core/exit-code.ts";
import { type NodeId, parseId } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import { printableName } from "../core/printable.ts";
import type { PlanRequest } from "../protocol/plan-messages.ts";
import type { Conflict, ConflictEntry } from "../protocol/time-answers.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { createOutput, isRead, type Output } from "./output.ts";
import { carryOut } from "./planned.ts";
import { quoted } from "./progress.ts";
import { formatBytes } from "./progress-bar.ts";
import { shownTime } from "./shown-time.ts";
import { openTarget, type Target, targetFlags } from "./target.ts";
import { textDiff } from "./text-diff.ts";

type Side = Extract<PlanRequest, { readonly kind: "resolve" }>["keep"];
const SIDES: readonly Side[] = ["copy", "original", "both"];
const KEEP = "copy|original|both|mine|theirs";

export const command = defineCommand({
  meta: { name: "conflicts", description: "List conflicts, show both sides, and end one" },
  args: {
    action: { type: "positional", description: "list, show or resolve", required: true },
    path: { type: "positional", description: "The copy, or what it is of", required: false },
    keep: textFlag("keep", KEEP, "resolve: which side the file has then"),
    "dry-run": switchFlag("dry-run", "resolve: only say what would be done"),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { action, keep } = args;
    if (!["list", "show", "resolve"].includes(action)) {
      throw new SyncedError("usage", `Cannot do ${quoted(action)}: use list, show or resolve`);
    }
    if ((action === "resolve") !== (keep !== undefined)) {
      throw new SyncedError("usage", `Use resolve PATH --keep ${KEEP}, and --keep only there`);
    }
    if (action !== "list" && args.path === undefined) {
      throw new SyncedError("usage", "Say which: synced conflicts list shows them");
    }
    const target = await openTarget(args, args.path ?? "");
    if (action === "list") return await list(target, output);
    const conflict = await conflictAt(target);
    if (keep === undefined) return await show(target, conflict, output);
    const { api, device } = target;
    const { copy, original } = conflict;
    const side = sideOf(keep, conflict, target);
    const request = { kind: "resolve", copy: parseId<NodeId>(copy.id), keep: side } as const;
    const purpose = purposeOf(side, conflict);
    output.event("conflict", { path: original?.path ?? null, copy: copy.path, keep: side });
    // Who names one conflict and one side has decided: there is nothing left to ask.
    const decided = { "dry-run": args["dry-run"], yes: true, partial: false };
    return await carryOut({ api, output, device, request, purpose }, decided);
  },
});

async function list(target: Target, output: Output): Promise<ExitCode> {
  let many = 0;
  for await (const conflict of conflictsIn(target)) {
    many += 1;
    output.result(conflict, textOf(conflict));
    if (!(await isRead())) return EXIT.done;
  }
  if (many === 0) output.say("No conflicts");
  return EXIT.done;
}

async function show({ api }: Target, conflict: Conflict, output: Output): Promise<ExitCode> {
  output.result(conflict, textOf(conflict));
  const { copy, original } = conflict;
  if (output.isJson || original === null || copy.kind !== original.kind) return EXIT.done;
  const { kind } = copy;
  const sides = { kind, from: original.path, before: original, path: copy.path, after: copy };
  const text = await textDiff(api, sides);
  if (text !== undefined) await isRead(new TextEncoder().encode(text));
  else if (kind === "file") output.say("Both have the same bytes");
  return EXIT.done;
}

/** At or below the target's path, by the copy's path or that of what it is a copy of. */
async function* conflictsIn({ api, path }: Target): AsyncGenerator<Conflict, void, undefined> {
  const isIn = (one: string) => path === "" || one === path || one.startsWith(`${path}/`);
  let after: number | undefined;
  do {
    const page = await api.conflicts({ after, limit: EVENTS_PER_PAGE_MAX });
    for (const conflict of page.conflicts) {
      const { copy, original } = conflict;
      if (isIn(copy.path) || (original !== null && isIn(original.path))) yield conflict;
    }
    after = page.next;
  } while (after !== undefined);
}

/** @throws {SyncedError} `not_found`; `usage` if a file has several copies */
async function conflictAt(target: Target): Promise<Conflict> {
  const { path } = target;
  const found: Conflict[] = [];
  for await (const conflict of conflictsIn(target)) {
    if (conflict.copy.path === path) return conflict;
    if (conflict.original?.path === path) found.push(conflict);
  }
  const [first, ...others] = found;
  if (first === undefined) {
    const claim = "synced conflicts list shows them";
    throw new SyncedError("not_found", `There is no conflict at ${quoted(path)}: ${claim}`);
  }
  if (others.length === 0) return first;
  const copies = found.map(({ copy }) => quoted(copy.path)).join(", ");
  throw new SyncedError("usage", `Cannot tell which copy of ${quoted(path)} is meant: ${copies}`);
}

/**
 * Reads `--keep`; mine and theirs are sides only where this device wrote exactly one of them.
 *
 * @throws {SyncedError} `usage`
 */
function sideOf(keep: string, { device, original }: Conflict, { device: own }: Target): Side {
  const side = SIDES.find((one) => one === keep);
  if (side !== undefined) return side;
  if (keep !== "mine" && keep !== "theirs") {
    throw new SyncedError("usage", `Cannot use --keep "${keep}": expected ${KEEP}`);
  }
  const isCopyMine = device === own;
  const isOriginalMine = original?.last?.device === own;
  if (isCopyMine === isOriginalMine) {
    const claim = isCopyMine ? "this device wrote both" : "this device wrote neither";
    throw new SyncedError("usage", `Cannot use --keep ${keep}: ${claim}; use copy or original`);
  }
  return isCopyMine === (keep === "mine") ? "copy" : "original";
}

function purposeOf(side: Side, { copy, original, deviceName }: Conflict): string {
  const name = printableName(original?.path ?? copy.path);
  if (side === "both") return `both are kept, the copy under a name of its own beside ${name}`;
  if (side === "copy") return `${name} has what ${printableName(deviceName)} wrote`;
  const writer = original?.last?.deviceName;
  const whose = writer === undefined ? "what is there now" : `what ${printableName(writer)} wrote`;
  return original === null ? `the copy ${name} goes` : `${name} keeps ${whose}`;
}

function textOf({ copy, original, deviceName, time }: Conflict): string {
  const { last } = original ?? {};
  const there =
    original === null
      ? "it is gone"
      : [
          ...(last === undefined ? [] : [printableName(last.deviceName), shownTime(last.time)]),
          sizeOf(original),
        ].join(", ");
  const parts = [printableName(deviceName), shownTime(time), sizeOf(copy), quoted(copy.path)];
  const head = printableName(original?.path ?? copy.path);
  return `${head}\n  there now: ${there}\n  the copy:  ${parts.join(", ")}`;
}

function sizeOf({ kind, size }: ConflictEntry): string {
  return size === undefined ? kind : formatBytes(size);
}
