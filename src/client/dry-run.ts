/**
 * Dry run: finds out what a sync would do. It works on a copy of the state in memory, writes
 * nothing to the disk and posts nothing. Rules: Y1, Y7.
 */

import { oneWay } from "../core/direction.ts";
import { SyncedError } from "../core/error.ts";
import { groupOps } from "../core/group-ops.ts";
import { NO_CHANGES, NOTHING_EARLIER } from "../core/guard.ts";
import { DEFAULT_GUARD } from "../core/guard-setting.ts";
import type { DeviceId, NodeId } from "../core/identifier.ts";
import type { Place, Sequence } from "../core/node.ts";
import { setsPlace } from "../core/op.ts";
import { joinPath, parentPath } from "../core/path.ts";
import type { OpDraft, Plan, Transition } from "../core/transition.ts";
import { pathOf, type TreeView } from "../core/tree.ts";
import { createServerApi } from "../protocol/server-api-client.ts";
import { meet } from "./connect/join.ts";
import { readMarker } from "./connect/marker.ts";
import { RemoteLog } from "./connect/remote-log.ts";
import { knownChunkerProfile } from "./connect/session.ts";
import type { ClientOptions, ClientWorld } from "./folder/options.ts";
import { answeredIn, verdictOn } from "./hold.ts";
import { EarlierVersions } from "./plan/earlier-versions.ts";
import { planOfState } from "./plan/plan-of-state.ts";
import { Scanner } from "./scan/scanner.ts";

export interface PlannedStep {
  readonly kind: string;
  readonly path: string;
  readonly from?: string;
  /** True if a guard would hold it for a person. */
  readonly held?: true;
}

export interface DryRun {
  /** The changes that this device would propose to the server. */
  readonly ops: readonly PlannedStep[];
  /** The changes that would be made on this disk. */
  readonly transitions: readonly PlannedStep[];
  /** The reason why some of it, or more than it, would be held. */
  readonly held?: { readonly reason: string; readonly count: number };
  /** The log's head as of which it was planned. */
  readonly head: Sequence;
  /** The number of changes that the direction leaves on their side (R21). */
  readonly left: number;
  /** The number of paths that are left alone. */
  readonly problems: number;
  /** False if some of the folder could not be read yet, as a file that changes all the time. */
  readonly complete: boolean;
}

/** More rounds than any tree is deep, because adoption takes one level in each round. */
const ROUNDS_MAX = 300;

export async function planDryRun(
  world: ClientWorld,
  options: ClientOptions,
  signal: AbortSignal,
): Promise<DryRun> {
  const { serverUrl, folder, token } = options;
  const { transport, clock } = world;
  const api = createServerApi({
    transport,
    clock,
    serverUrl,
    folder,
    ...(token === undefined ? {} : { token }),
  });
  const marker = readMarker(world.fs);
  const store = world.stores.openCopy();
  try {
    const ports = { ...world, store, api };
    await meet(api, { serverUrl, marker }, signal);
    const device = marker?.device ?? world.random.id<DeviceId>();
    const log = new RemoteLog(ports, device);
    await pull(log, signal);
    const scanner = new Scanner(ports, knownChunkerProfile(store));
    let report = await scanner.scan({ kind: "full" }, signal);
    for (let round = 0; report.pending && round < ROUNDS_MAX; round += 1) {
      await clock.sleep(100, signal);
      const paths = new Set(report.again.keys());
      report = await scanner.scan({ kind: "paths", paths }, signal);
    }
    const earlier = new EarlierVersions(ports);
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const parts = { scanner, device: options.deviceName, earlier };
      const all = planOfState(store, store.dirty(), parts);
      const { plan, left } = oneWay(all, options.direction ?? "both");
      if (plan.adoptions.length === 0) {
        if (await earlier.learn(plan, signal)) continue;
        const verdict = verdictOn(ports, plan, {
          device,
          setting: options.guard ?? DEFAULT_GUARD,
          recentUp: () => NO_CHANGES,
          recentDown: () => NO_CHANGES,
          earlierDown: NOTHING_EARLIER,
          isGrowth: (before, after) => log.growth.isKnown(before, after),
          ...answeredIn(store, options.trustsApprovals === true),
        });
        const problems = store.problems().length;
        const complete = report.root === "ok" && !report.pending;
        const { head } = log;
        const steps = describe(
          plan,
          { ...verdict, held: verdict.held ?? scanner.unignored },
          store,
        );
        return { ...steps, head, left: left.size, problems, complete };
      }
      store.adopt(plan.adoptions);
    }
    throw new Error("Broken invariant: adoption ends");
  } finally {
    store.close();
  }
}

/**
 * A folder that the server does not have yet counts as empty, because a dry run must not create it.
 */
async function pull(log: RemoteLog, signal: AbortSignal): Promise<void> {
  try {
    await log.catchUp(signal);
  } catch (cause) {
    if (!(cause instanceof SyncedError) || cause.code !== "folder_not_found") throw cause;
  }
}

interface Trees {
  readonly local: TreeView;
  readonly remote: TreeView;
}

type Steps = Pick<DryRun, "ops" | "transitions" | "held">;

interface Judged {
  readonly plan: Plan;
  readonly held: DryRun["held"];
}

function describe(plan: Plan, { plan: flowing, held }: Judged, trees: Trees): Steps {
  const { groups } = groupOps({ ops: flowing.ops, remote: trees.remote });
  const waiting = [...plan.ops].filter(([id]) => !flowing.ops.has(id)).flatMap(([, ops]) => ops);
  const there = new Target(trees.remote, [...plan.ops.values()].flat().flatMap(placedByOp));
  const here = new Target(trees.local, plan.transitions.flatMap(placedByStep));
  const flows = new Set(flowing.transitions);
  return {
    ops: [
      ...groups.flat().map((op) => describeOp(op, there)),
      ...waiting.map((op) => ({ ...describeOp(op, there), held: true as const })),
    ],
    transitions: plan.transitions.flatMap((step) => {
      const steps = describeTransition(step, here);
      return flows.has(step) ? steps : steps.map((one) => ({ ...one, held: true as const }));
    }),
    ...(held === undefined ? {} : { held: { reason: held.reason, count: held.count } }),
  };
}

type Placed = readonly [NodeId, Place];

function placedByOp(op: OpDraft): Placed[] {
  return setsPlace(op) ? [[op.node, op]] : [];
}

function placedByStep(step: Transition): Placed[] {
  if (step.kind === "create") return [[step.node.id, step.node]];
  return step.kind === "move" ? [[step.id, step]] : [];
}

/** One side's tree: as it is, and as it would be. */
class Target {
  readonly #now: TreeView;
  readonly #placed: ReadonlyMap<NodeId, Place>;

  constructor(now: TreeView, placed: readonly Placed[]) {
    this.#now = now;
    this.#placed = new Map(placed);
  }

  before(id: NodeId): string | undefined {
    return pathOf(this.#now, id);
  }

  after(id: NodeId): string {
    const then = {
      get: (node: NodeId) => {
        const content = { kind: "directory" } as const;
        const place = this.#placed.get(node);
        return place === undefined ? this.#now.get(node) : { ...place, id: node, content };
      },
      child: () => undefined,
      children: () => [],
    };
    return pathOf(then, id) ?? "";
  }
}

function describeOp({ kind, node }: OpDraft, there: Target): PlannedStep {
  // A deletion is named by the path that people know, from before any directory above it moves.
  const from = there.before(node);
  if (kind === "delete") return { kind, path: from ?? "" };
  const path = there.after(node);
  return kind === "move" && from !== undefined ? { kind, path, from } : { kind, path };
}

/** Two steps if the bytes in place lose and are kept under another name. */
function describeTransition(step: Transition, here: Target): PlannedStep[] {
  const { kind } = step;
  if (kind === "create") return [{ kind, path: here.after(step.node.id) }];
  const from = here.before(step.id) ?? "";
  if (kind === "delete") return [{ kind, path: from }];
  const path = here.after(step.id);
  if (kind === "move") {
    return [{ kind: step.conflictOf === undefined ? kind : "conflict", path, from }];
  }
  if (kind === "metadata" || step.conflict === undefined) return [{ kind, path }];
  const copy = joinPath(parentPath(path), step.conflict.name);
  return [
    { kind: "conflict", path: copy, from },
    { kind, path },
  ];
}
