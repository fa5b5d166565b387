/**
 * Proves that a synced folder and the server's are the same. It shares the folder with the client
 * that runs there, scans it for itself, and believes no earlier claim, so that what was saved the
 * moment before counts. Rules: X6, I43.
 */
import { isFolderLocked } from "../adapters/disk/folder-lock.ts";
import { planDryRun } from "../client/dry-run.ts";
import type { ClientOptions } from "../client/folder/options.ts";
import { parseDirection } from "../core/direction.ts";
import { SyncedError } from "../core/error.ts";
import { DEFAULT_GUARD, parseGuardSetting } from "../core/guard-setting.ts";
import { FULL_SCAN_INTERVAL_MS } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { openClientWorld } from "./client-world.ts";
import { clientTokenFile, readToken, readTrust } from "./flags.ts";
import { openFolderState, rememberedBinding, requireOwnServer } from "./folder-state.ts";
import { count, held, quoted } from "./progress.ts";
import { parseServerUrl } from "./server-url.ts";
import { readStatus } from "./status.ts";

export interface Arrival {
  readonly kind: "reached" | "behind" | "partly" | "held";
  /** For people; empty if it is reached. */
  readonly why: string;
  /** The head as of which it was looked at. */
  readonly seq: Sequence;
}

export interface OwnFolder {
  readonly root: string;
  readonly tokenFile: string | undefined;
  readonly fingerprint: string | undefined;
}

/**
 * Compares once.
 *
 * @returns `partly` if no more will come, because paths are left alone or changes stay on one side
 */
export async function lookAtOwn(folder: OwnFolder, signal: AbortSignal): Promise<Arrival> {
  const { root } = folder;
  const said = whatClientSays(root);
  // As long as the client says for itself that it is not there, a scan would tell no more.
  if (said !== undefined) return said;
  const known = rememberedBinding(root);
  const trust = readTrust(folder.fingerprint, known?.fingerprint);
  const observer = { emit: () => undefined };
  const opened = openClientWorld({
    folderPath: root,
    observer,
    poll: false,
    trust,
    isDryRun: true,
  });
  try {
    const options = optionsOf(folder);
    requireOwnServer(opened.world.fs, root, options);
    return arrivalOf(await planDryRun(opened.world, options, signal), root);
  } finally {
    opened.close();
  }
}

/** @returns undefined if nothing speaks against being in sync */
function whatClientSays(root: string): Arrival | undefined {
  const store = openFolderState(root);
  try {
    if (store === undefined) return undefined;
    const { held: change, running, state, reason, head } = readStatus(store, isFolderLocked(root));
    const seq = head ?? 0;
    if (change !== null) return { kind: "held", why: held(change, root), seq };
    if (!running || state === "in_sync") return undefined;
    const action = state === "paused" ? `; go on with: synced resume ${quoted(root)}` : "";
    const why = `this device is ${state}${reason === null ? "" : `: ${reason}`}${action}`;
    return { kind: "behind", why, seq };
  } finally {
    store?.close();
  }
}

function arrivalOf(found: Awaited<ReturnType<typeof planDryRun>>, root: string): Arrival {
  const { ops, transitions, complete, left, problems, head: seq } = found;
  const waiting = [
    ...(ops.length === 0 ? [] : [`${count(ops.length, "change")} to send`]),
    ...(transitions.length === 0 ? [] : [`${count(transitions.length, "change")} to receive`]),
    ...(complete ? [] : ["files that are being written"]),
  ];
  if (waiting.length > 0) {
    const idle = isFolderLocked(root) ? "" : `; no synced sync runs on ${quoted(root)}`;
    return { kind: "behind", why: `this device has ${waiting.join(", ")}${idle}`, seq };
  }
  const apart = [
    ...(left === 0 ? [] : [`${count(left, "change")} left on one side by --direction`]),
    ...(problems === 0 ? [] : [`${count(problems, "path")} left alone`]),
  ];
  if (apart.length === 0) return { kind: "reached", why: "", seq };
  const why = `everything but ${apart.join(" and ")}: see synced status ${quoted(root)}`;
  return { kind: "partly", why, seq };
}

/** Those of the client that runs there. */
function optionsOf({ root, tokenFile }: OwnFolder): ClientOptions {
  const known = rememberedBinding(root);
  if (known?.serverUrl === undefined) {
    throw new SyncedError("usage", `Cannot tell which server ${quoted(root)} belongs to`);
  }
  const token = readToken(clientTokenFile(tokenFile, process.env, root), process.env);
  return {
    serverUrl: parseServerUrl(known.serverUrl),
    isServerRemembered: true,
    folder: known.folder,
    deviceName: known.deviceName ?? "",
    ...(token === undefined ? {} : { token }),
    guard: parseGuardSetting(known.guard ?? "") ?? DEFAULT_GUARD,
    trustsApprovals: known.trustApprovals === "on",
    direction: parseDirection(known.direction ?? "") ?? "both",
    once: true,
    fullScanIntervalMs: FULL_SCAN_INTERVAL_MS,
  };
}
