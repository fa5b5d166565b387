/**
 * `synced status`: reads the folder's state beside the running client and without the network. Exit
 * 0 in sync, 3 otherwise. Rules: S1, S3, G2, R13.
 */

import { defineCommand } from "citty";
import { isFolderLocked } from "../adapters/disk/folder-lock.ts";
import { type FolderState, KEPT, readKept } from "../client/folder/kept-values.ts";
import { EXIT } from "../core/exit-code.ts";
import type { HeldKind } from "../core/guard.ts";
import { DEFAULT_GUARD, guardSettingText } from "../core/guard-setting.ts";
import { sameState } from "../core/node.ts";
import { printableJson } from "../core/printable.ts";
import type { HeldChange, StateStore } from "../ports/state-store.ts";
import { commonFlags } from "./flags.ts";
import {
  heldChangeOf,
  isFull,
  isReadOnly,
  openJoinedFolderState,
  rememberedBinding,
} from "./folder-state.ts";
import { createOutput, type Output } from "./output.ts";
import { held, quoted } from "./progress.ts";

interface HeldLine {
  readonly id: string;
  /** Empty for a halt, and for what an earlier version held. */
  readonly kinds: readonly HeldKind[];
  readonly reason: string;
  readonly count: number;
}

/** The shape of `--json`. Scripts rely on it. */
export interface FolderStatus {
  readonly state: FolderState;
  readonly running: boolean;
  readonly server: string | null;
  readonly folder: string | null;
  readonly device: string | null;
  readonly cursor: { readonly epoch: string; readonly seq: number; readonly hash: string } | null;
  readonly head: number | null;
  /** The reason why it is offline or halted, or what syncing waits for; else null. */
  readonly reason: string | null;
  readonly pending: { readonly up: number; readonly down: number };
  readonly problems: readonly { path: string; code: string; message: string }[];
  readonly conflicts: readonly { path: string; of: string }[];
  readonly held: HeldLine | null;
  /** In the form that `sync --guard` takes. */
  readonly guard: string;
  /** In the form that `sync --direction` takes. */
  readonly direction: string;
  readonly lastSyncTime: string | null;
}

export const command = defineCommand({
  meta: { name: "status", description: "Say whether a folder is in sync; exit 0 if it is" },
  args: {
    path: { type: "positional", description: "The folder's path", required: true },
    ...commonFlags,
  },
  run({ args }) {
    const { path, store } = openJoinedFolderState(args.path);
    try {
      const pending = countPending(store);
      const kept = readStatus(store, isFolderLocked(path));
      const remembered = rememberedBinding(path);
      const guard = remembered?.guard ?? guardSettingText(DEFAULT_GUARD);
      const direction = remembered?.direction ?? "both";
      const status = { ...frozen(kept, path), pending, guard, direction };
      if (args.json) process.stdout.write(`${printableJson(status)}\n`);
      else describe(status, createOutput(args), args.path);
      // A listed path that is left alone does not keep the folder from being in sync, but this disk
      // lacks it.
      const isWhole = pending.up + pending.down === 0;
      return status.state === "in_sync" && isWhole ? EXIT.done : EXIT.problems;
    } finally {
      store.close();
    }
  },
});

type KeptStatus = Omit<FolderStatus, "pending" | "guard" | "direction">;

/** Everything that needs no count of nodes, so that it is cheap enough for a scraper. */
export function readStatus(store: StateStore, running: boolean): KeptStatus {
  const binding = store.binding();
  const cursor = store.cursor();
  const kept = readKept(store, KEPT.status);
  const change = heldChangeOf(store);
  const lastSyncMs = kept?.lastSyncMs;
  // A client that runs without a binding has not met its server yet.
  const first = binding === undefined ? "offline" : "syncing";
  const state = stateOf(running, change !== undefined, kept?.state ?? first);
  const reason = running ? (kept?.reason ?? null) : null;
  // A halt has the form of a held change, with nothing in it to approve.
  const halt = kept?.state === "held" && reason !== null ? haltOf(reason) : undefined;
  const held = halt ?? lineOf(change);
  return {
    state,
    running,
    server: binding?.serverUrl ?? null,
    folder: binding?.folder ?? null,
    device: binding?.deviceName ?? null,
    cursor: cursor ?? null,
    head: headOf(cursor?.seq, kept?.head),
    reason,
    problems: store.problems().map(({ path, code, message }) => ({ path, code, message })),
    conflicts: store.conflicts().map(({ path, of }) => ({ path, of })),
    held,
    lastSyncTime: lastSyncMs == null ? null : new Date(lastSyncMs).toISOString(),
  };
}

/** The client writes its status only when that changes, so the cursor may be further by now. */
function headOf(seq: number | undefined, head: number | undefined): number | null {
  return seq === undefined && head === undefined ? null : Math.max(seq ?? 0, head ?? 0);
}

/**
 * A client that cannot write its state any more would otherwise seem in sync for ever (F21, F28,
 * I43).
 */
function frozen(status: KeptStatus, path: string): KeptStatus {
  if (!status.running) return status;
  if (isReadOnly(path)) {
    return halted(status, "this folder's disk is read-only; find out why and make it writable");
  }
  if (status.state !== "in_sync" || !isFull(path)) return status;
  return halted(
    status,
    "this folder's disk is full, so nothing can be received or remembered; free some space",
  );
}

function halted(status: KeptStatus, reason: string): KeptStatus {
  return { ...status, state: "held", reason, held: haltOf(reason) };
}

function haltOf(reason: string): HeldLine {
  return { id: "root", kinds: [], reason, count: 0 };
}

function lineOf(change: HeldChange | undefined): HeldLine | null {
  if (change === undefined) return null;
  const { id, kinds = [], reason, count } = change;
  return { id, kinds, reason, count };
}

/** The first that is true in DESIGN.md's table. A killed client left the last one that it wrote. */
function stateOf(running: boolean, isHeld: boolean, kept: FolderState): FolderState {
  if (running && kept === "paused") return "paused";
  if (isHeld) return "held";
  if (!running) return "stopped";
  // It has just started and has not scanned yet.
  return kept === "stopped" ? "syncing" : kept;
}

/**
 * A node waits to go up if its local state differs from the base. It waits to come down if its
 * remote state does.
 */
function countPending(store: StateStore): { up: number; down: number } {
  let up = 0;
  let down = 0;
  for (const id of store.dirty()) {
    const base = store.base.get(id);
    if (!sameState(base, store.local.get(id))) up += 1;
    if (!sameState(base, store.remote.get(id))) down += 1;
  }
  return { up, down };
}

function describe(status: FolderStatus, output: Output, folder: string): void {
  const lines = [`${headline(status)}`];
  lines.push(
    `Folder "${status.folder}" on ${status.server}, device ${quoted(status.device ?? "")}`,
  );
  lines.push(`Event ${status.cursor?.seq ?? 0} of ${status.head ?? "?"}`);
  if (status.lastSyncTime !== null) lines.push(`Last in sync ${status.lastSyncTime}`);
  const { up, down } = status.pending;
  if (up + down > 0) lines.push(`Waiting: ${up} to send, ${down} to receive`);
  if (status.direction !== "both") lines.push(`Direction: ${status.direction}`);
  if (status.guard !== guardSettingText(DEFAULT_GUARD)) lines.push(`Guard: ${status.guard}`);
  output.say(lines.join("\n"));
  for (const { path, of } of status.conflicts) {
    output.warn(`Conflict: ${quoted(path)} is the other version of ${quoted(of)}`);
  }
  for (const { path, message } of status.problems) {
    output.warn(`Left alone: ${quoted(path)}: ${message}`);
  }
  if (status.held !== null) output.warn(held(status.held, folder));
}

function headline(status: FolderStatus): string {
  switch (status.state) {
    case "in_sync":
      if (status.reason !== null) return `In sync, except for ${status.reason}`;
      return status.pending.down > 0
        ? "In sync, except for the paths that are left alone"
        : "In sync";
    case "syncing":
      return status.reason === null ? "Syncing" : `Syncing: ${status.reason}`;
    case "held":
      return status.running
        ? "Held: it waits for you"
        : "Held: it waits for you. No synced sync runs on this folder";
    case "paused":
      return `Paused ${status.reason ?? "until you let it go on"}: synced resume`;
    case "offline":
      return `Offline: ${status.reason ?? "the server cannot be reached"}; synced tries again`;
    case "stopped":
      return "Stopped: no synced sync runs on this folder";
  }
}
