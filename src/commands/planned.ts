/**
 * A plan on the command line: shown, asked about, done exactly so. Rules: E9-E11, X4.
 *
 * `PUT` may be repeated, so a server that is away or killed half-way is asked again.
 */
import { createInterface } from "node:readline/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { SyncedError } from "../core/error.ts";
import { EXIT, type ExitCode } from "../core/exit-code.ts";
import type { DeviceId } from "../core/identifier.ts";
import { printableName } from "../core/printable.ts";
import type { PastApi } from "../protocol/past-api.ts";
import type { PlanAnswer, PlanOverlap, PlanRequest, PlanStep } from "../protocol/plan-messages.ts";
import { switchFlag } from "./flags.ts";
import type { Output } from "./output.ts";
import { count } from "./progress.ts";
import { formatBytes } from "./progress-bar.ts";

/** The flags of every command that shows a plan. */
export const planFlags = {
  "keep-both": switchFlag("keep-both", "Bring back beside it what has its name taken by another"),
  "dry-run": switchFlag("dry-run", "Only say what would be done"),
  yes: switchFlag("yes", "Do what is shown without asking"),
  partial: switchFlag("partial", "Leave out what others change at the last moment"),
} as const;

export interface PlanArguments {
  readonly "dry-run": boolean;
  readonly yes: boolean;
  readonly partial: boolean;
}

export interface Planned {
  readonly api: PastApi;
  readonly output: Output;
  /** Who does it. */
  readonly device: DeviceId;
  readonly request: PlanRequest;
  /** The sentence's beginning: `this takes back what NAS did since ...`. */
  readonly purpose: string;
}

/** Enough for a person to recognise the change. */
const NAMED_MAX = 10;
/** Guards look at no smaller change (G2). */
const HELD_FROM = 50;
const ASKED_FOR_MS = 60_000;
const ASK_INTERVAL_MS = 500;

/** @returns the exit code. */
export async function carryOut(planned: Planned, args: PlanArguments): Promise<ExitCode> {
  const { api, output, device, request } = planned;
  const plan = await api.plan(request, { offset: 0, device });
  const { id, kind, head, summary, others, overlaps, total, steps } = plan;
  output.event("plan", { id, kind, head, request, summary, others, overlaps, total, steps });
  show(planned, plan);
  const isShort = overlaps.some(({ why }) => why === "version_gone");
  if (total === 0) return isShort ? EXIT.problems : EXIT.done;
  if (args["dry-run"]) {
    output.say("Nothing was done");
    return EXIT.done;
  }
  if (!args.yes && !(await isAgreed(output))) {
    output.say("Nothing was done. Add --yes to do it unasked");
    return EXIT.held;
  }
  return await apply(planned, plan, args.partial);
}

async function apply(
  { api, output, device, request }: Planned,
  { id, head }: PlanAnswer,
  partial: boolean,
): Promise<ExitCode> {
  const application = { request, head, device, partial };
  const result = await askAgain(output, () => api.apply(id, application));
  const { first, last, done, skipped } = result;
  output.event("applied", { id, first, last, done, skipped });
  const range =
    first === undefined ? "" : ` as events ${number(first)} to ${number(last ?? first)}`;
  output.say(`Done${range}; take it back with: synced undo --last`);
  if (done >= HELD_FROM) {
    output.say(
      "A device that would change much by it may hold it: synced devices shows which ones",
    );
  }
  for (const { path, code } of skipped) output.warn(`Left out: ${printableName(path)}: ${code}`);
  return skipped.length === 0 ? EXIT.done : EXIT.problems;
}

/** Repeats a request of which nothing is done twice. */
async function askAgain<Value>(output: Output, ask: () => Promise<Value>): Promise<Value> {
  const deadlineMs = performance.now() + ASKED_FOR_MS;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      const passes = error instanceof SyncedError && error.kind.retriable;
      if (!passes || performance.now() > deadlineMs) throw error;
      output.detail(`${error.message}; asking again`);
      await sleep(ASK_INTERVAL_MS);
    }
  }
}

async function isAgreed(output: Output): Promise<boolean> {
  if (output.isJson || !process.stdin.isTTY || !process.stderr.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test((await terminal.question("Do exactly this? [y/N] ")).trim());
  } finally {
    terminal.close();
  }
}

function show({ output, purpose }: Planned, plan: PlanAnswer): void {
  const { summary, head, total, steps } = plan;
  const effects = [
    [summary.created, "made"],
    [summary.revived, "brought back"],
    [summary.written, "given their bytes back"],
    [summary.moved, "moved or renamed back"],
    [summary.deleted, "deleted"],
  ] as const;
  const parts = effects
    .filter(([many]) => many > 0)
    .map(([many, what]) => `${number(many)} ${what}`);
  const effect = parts.length === 0 ? "there is nothing to do" : parts.join(", ");
  const size = summary.bytes === 0 ? "" : ` (${formatBytes(summary.bytes)})`;
  output.say(`As of event ${number(head)}, ${purpose}: ${effect}${size}`);
  for (const step of steps.slice(0, NAMED_MAX)) output.say(`  ${stepLine(step)}`);
  if (total > NAMED_MAX) output.say(`  and ${number(total - NAMED_MAX)} more`);
  for (const { deviceName, changes } of plan.others) {
    const by = printableName(deviceName);
    output.warn(`This also takes back later work of ${by}: ${count(changes, "change")}`);
  }
  showOverlaps(output, plan.overlaps);
}

const STEP_WORDS: Readonly<Record<PlanStep["what"], string>> = {
  create: "make     ",
  revive: "back     ",
  write: "rewrite  ",
  move: "move     ",
  delete: "delete   ",
};

function stepLine({ what, path, from, kind }: PlanStep): string {
  const before = from === undefined ? "" : `${printableName(from)} -> `;
  return `${STEP_WORDS[what]}${before}${printableName(path)}${kind === "directory" ? "/" : ""}`;
}

const OVERLAP_WORDS: Readonly<Record<PlanOverlap["why"], string>> = {
  built_upon: "Kept, since others built on it",
  changed_later: "Kept, since the same device changed it later",
  holds_others: "Kept, since it holds something that stays",
  name_taken: "Not done, the name is taken (--keep-both brings it back beside it)",
  deleted_by_others: "Deleted by others",
  inside_itself: "Not done, it would be inside itself",
  version_gone: "Not done, the server keeps the bytes no more",
  changed_since: "Not done, others changed it since",
};

function showOverlaps(output: Output, overlaps: readonly PlanOverlap[]): void {
  for (const [why, words] of Object.entries(OVERLAP_WORDS)) {
    const found = overlaps.filter((overlap) => overlap.why === why);
    if (found.length === 0) continue;
    output.warn(`${words} (${number(found.length)}):`);
    for (const { path, by } of found.slice(0, NAMED_MAX)) {
      const who = by === undefined ? "" : `  ${printableName(by.deviceName)} ${number(by.seq)}`;
      output.warn(`  ${printableName(path)}${who}`);
    }
    if (found.length > NAMED_MAX) output.warn(`  and ${number(found.length - NAMED_MAX)} more`);
  }
}

function number(value: number): string {
  return value.toLocaleString("en");
}
