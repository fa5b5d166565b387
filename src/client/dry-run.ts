/**
 * Dry run: what a sync would do, without doing it. Rules: Y1. Works on a copy of the state in
 * memory; writes nothing to the disk and posts nothing.
 */

import { SyncedError } from "../core/error.ts";
import { groupOps } from "../core/group-ops.ts";
import type { DeviceId } from "../core/identifier.ts";
import { reconcile } from "../core/reconcile.ts";
import type { OpDraft, Transition } from "../core/transition.ts";
import { pathOf, type TreeView } from "../core/tree.ts";
import { createServerApi } from "../protocol/server-api-client.ts";
import { meet } from "./join.ts";
import { readMarker } from "./marker.ts";
import type { ClientOptions, ClientWorld } from "./options.ts";
import { RemoteLog } from "./remote-log.ts";
import { Scanner } from "./scan.ts";
import { knownChunkerProfile } from "./session.ts";

export interface PlannedStep {
  readonly kind: string;
  readonly path: string;
  readonly from?: string;
}

export interface DryRun {
  /** What this device would propose to the server. */
  readonly ops: readonly PlannedStep[];
  /** What would be done on this disk. */
  readonly transitions: readonly PlannedStep[];
}

/** More rounds than any tree is deep: adoption goes one level a round. */
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
    await pull(new RemoteLog(ports, device), signal);
    const scanner = new Scanner(ports, knownChunkerProfile(store));
    let report = await scanner.scan({ kind: "full" }, signal);
    for (let round = 0; report.unsettled && round < ROUNDS_MAX; round += 1) {
      await clock.sleep(100, signal);
      const paths = new Set(report.again.keys());
      report = await scanner.scan({ kind: "paths", paths }, signal);
    }
    for (let round = 0; round < ROUNDS_MAX; round += 1) {
      const plan = reconcile({
        base: store.base,
        local: store.local,
        remote: store.remote,
        remoteRow: (id) => store.remoteRow(id),
        dirty: store.dirty(),
        ignores: (path, isDirectory) => scanner.ignoreRules.ignores(path, isDirectory),
        device: options.deviceName,
      });
      if (plan.adoptions.length === 0) {
        const { groups } = groupOps({ ops: plan.ops, remote: store.remote });
        const trees = { local: store.local, remote: store.remote };
        return {
          ops: groups.flat().map((op) => describeOp(op, trees)),
          transitions: plan.transitions.map((step) => describeTransition(step, trees)),
        };
      }
      store.transaction(() => {
        for (const { local, remote } of plan.adoptions) store.adopt(local, remote);
      });
    }
    throw new Error("Broken invariant: adoption ends");
  } finally {
    store.close();
  }
}

/** A folder that is not on the server yet is an empty one: a dry run does not create it. */
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

function describeOp(op: OpDraft, { local, remote }: Trees): PlannedStep {
  const before = pathOf(remote, op.node);
  const path = pathOf(local, op.node) ?? before ?? "";
  const step = { kind: op.kind, path };
  return op.kind === "move" && before !== undefined ? { ...step, from: before } : step;
}

function describeTransition(step: Transition, { local, remote }: Trees): PlannedStep {
  const id = step.kind === "create" ? step.node.id : step.id;
  const before = pathOf(local, id);
  const after = pathOf(remote, id) ?? before ?? "";
  if (step.kind !== "move") return { kind: step.kind, path: after };
  return before === undefined
    ? { kind: step.kind, path: after }
    : { kind: step.kind, path: after, from: before };
}
