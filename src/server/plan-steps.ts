/** A plan in words for people: its steps, its sums, and whose later work it takes back. Rules: E9. */
import type { DeviceId, NodeId } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import { type Group, type Op, setsContent } from "../core/op.ts";
import { joinPath } from "../core/path.ts";
import type { PlanAnswer, PlanRequest, PlanStep } from "../protocol/plan-messages.ts";
import type { DeviceNames } from "./device-names.ts";
import { PastPaths } from "./past-paths.ts";
import type { PlanGround } from "./plan-wishes.ts";

const SUMS = {
  create: "created",
  revive: "revived",
  write: "written",
  move: "moved",
  delete: "deleted",
} as const;

export async function stepsAndSummary(
  ground: PlanGround,
  groups: readonly Group[],
  { offset, limit }: { readonly offset: number; readonly limit: number },
): Promise<Pick<PlanAnswer, "summary" | "steps" | "total">> {
  const summary = { created: 0, revived: 0, written: 0, moved: 0, deleted: 0, bytes: 0 };
  const ops = groups.flat();
  for (const op of ops) {
    summary[SUMS[whatOf(op)]] += 1;
    if (setsContent(op)) summary.bytes += sizeOf(op) ?? 0;
  }
  const paths = new PlannedPaths(ground, ops);
  const steps: PlanStep[] = [];
  for (const op of ops.slice(offset, offset + limit)) steps.push(await paths.step(op));
  return { summary, steps, total: ops.length };
}

function whatOf(op: Op): PlanStep["what"] {
  switch (op.kind) {
    case "create":
      return op.base === 0 ? "create" : "revive";
    case "modify":
      return "write";
    case "move":
    case "delete":
      return op.kind;
  }
}

function sizeOf(op: Op): number | undefined {
  if (!setsContent(op)) return undefined;
  return op.content.kind === "file" ? op.content.size : undefined;
}

/** Paths before and after the plan. */
class PlannedPaths {
  readonly #ground: PlanGround;
  readonly #before: PastPaths;
  readonly #places = new Map<NodeId, { readonly parent: NodeId; readonly name: string }>();

  constructor(ground: PlanGround, ops: readonly Op[]) {
    const { sources, folder, head } = ground;
    this.#ground = ground;
    this.#before = new PastPaths(sources.history, folder, head.seq);
    for (const op of ops)
      if (op.kind === "create" || op.kind === "move") this.#places.set(op.node, op);
  }

  async step(op: Op): Promise<PlanStep> {
    const { sources, folder, head } = this.#ground;
    const span = await sources.history.nodeAt(folder, op.node, head.seq);
    const before = span === undefined ? undefined : await this.#before.pathOf(span);
    const kind = op.kind === "create" ? op.content.kind : (span?.kind ?? "file");
    const size = sizeOf(op) ?? (kind === "file" ? span?.size : undefined);
    const isDeletion = op.kind === "delete";
    const path = isDeletion ? (before ?? "") : await this.#after(op.node);
    const step = { what: whatOf(op), node: op.node, kind, path };
    return {
      ...step,
      ...(op.kind === "move" && before !== undefined ? { from: before } : {}),
      ...(size === undefined ? {} : { size }),
    };
  }

  async #after(node: NodeId): Promise<string> {
    const { sources, folder, head } = this.#ground;
    const place = this.#places.get(node) ?? (await sources.history.nodeAt(folder, node, head.seq));
    if (place === undefined) return "";
    return joinPath(await this.#after(place.parent), place.name);
  }
}

/** Others' changes after the restored moment of the nodes that the plan is about, by device. */
export async function laterWork(
  { sources, folder, head }: PlanGround,
  plan: {
    readonly request: PlanRequest;
    /** Who asks; undefined if nobody said so, and then all are others. */
    readonly device: DeviceId | undefined;
    readonly groups: readonly Group[];
    readonly names: DeviceNames;
  },
): Promise<PlanAnswer["others"]> {
  const { request, device: own, groups, names } = plan;
  if (request.kind !== "restore") return [];
  const counts = new Map<DeviceId, number>();
  for (const node of new Set(groups.flat().map((op) => op.node))) {
    for (let before: Sequence = head.seq + 1; ; ) {
      const page = { node, before, limit: EVENTS_PER_READ };
      const events = await sources.metadata.history(folder, page);
      const later = events.filter(({ seq }) => seq > request.at);
      for (const { device } of later)
        if (device !== own) counts.set(device, (counts.get(device) ?? 0) + 1);
      if (later.length < EVENTS_PER_READ) break;
      before = later.at(-1)?.seq ?? 0;
    }
  }
  return [...counts].map(([device, changes]) => {
    return { device, deviceName: names(device), changes };
  });
}

const EVENTS_PER_READ = 20;
