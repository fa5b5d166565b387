/**
 * Join: finds out who this folder is, which state belongs to it, and whether the server behind the
 * URL is the one that it knows. Rules: S3, S4, G1, G5, R11.
 */

import { SyncedError } from "../../core/error.ts";
import { DEFAULT_GUARD, guardSettingText } from "../../core/guard-setting.ts";
import type { DeviceId } from "../../core/identifier.ts";
import { MARKER_FILE } from "../../core/state-directory.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { type FolderCreation, type Hello, PROTOCOL_VERSION } from "../../protocol/messages.ts";
import type { ServerApi } from "../../protocol/server-api.ts";
import { KEPT, readKept, writeKept } from "../folder/kept-values.ts";
import type { ClientOptions, ClientWorld } from "../folder/options.ts";
import { type Marker, readMarker, writeMarker } from "./marker.ts";

export interface OpenedState {
  readonly store: StateStore;
  readonly device: DeviceId;
  /** The marker that was found; undefined if the folder never joined. */
  readonly marker: Marker | undefined;
  /**
   * True if state was lost, damaged, rolled back or copied. The folder then joins by union, and
   * nothing is deleted.
   */
  readonly union: boolean;
}

/**
 * Opens the state database that belongs to this folder. If it is the wrong one, sets it aside and
 * begins anew.
 */
export function openState(world: ClientWorld, options: ClientOptions): OpenedState {
  const { fs, random } = world;
  const marker = readMarker(fs);
  if (marker !== undefined && marker.folder !== options.folder) {
    throw new SyncedError(
      "folder_bound_elsewhere",
      `Cannot sync this folder as "${options.folder}": it is bound to "${marker.folder}"; ` +
        "sync it under that name, or stop syncing it (remove .synced) first",
    );
  }
  const isCopy = marker !== undefined && marker.root !== rootIdentity(world);
  requireGivenServer(fs, options);
  const existed = world.stores.exists();
  const wrong = existed ? wrongState(world, marker, isCopy) : undefined;
  if (wrong !== undefined) {
    world.stores.setAside();
    notice(
      world,
      "state_set_aside",
      `The state of this folder was set aside: ${wrong}; joining again by union, nothing is deleted`,
    );
  } else if (!existed && marker !== undefined) {
    notice(
      world,
      "state_missing",
      "The state of this folder is missing; joining again by union, nothing is deleted",
    );
  }
  const device = marker === undefined || isCopy ? random.id<DeviceId>() : marker.device;
  return {
    store: world.stores.open(),
    device,
    marker: isCopy ? undefined : marker,
    union: marker !== undefined && (wrong !== undefined || !existed),
  };
}

/**
 * A folder that came from elsewhere (an archive, another disk) says where it belongs, and whoever
 * made it may have written that. The token goes only where a person of this device said.
 *
 * @throws {SyncedError} `usage`
 */
export function requireGivenServer(
  fs: ClientWorld["fs"],
  { isServerRemembered, token, serverUrl }: Pick<ClientOptions, "serverUrl"> & TokenOptions,
): void {
  if (isServerRemembered !== true || token === undefined) return;
  if (readMarker(fs)?.root === fs.stat("")?.identity) return;
  throw new SyncedError(
    "usage",
    `Cannot send the token to ${serverUrl}: only this folder's .synced says so, and the folder was ` +
      "copied or moved here; if it is the right server, add --server URL once",
  );
}

type TokenOptions = Pick<ClientOptions, "isServerRemembered" | "token">;

/** @returns why the database is not the one that the last run left; undefined if it is. */
function wrongState(
  world: ClientWorld,
  marker: Marker | undefined,
  isCopy: boolean,
): string | undefined {
  if (isCopy) return "the folder was copied or moved from elsewhere";
  let store: StateStore;
  try {
    store = world.stores.open();
  } catch (cause) {
    if (cause instanceof SyncedError && cause.code === "damage_found") return cause.message;
    throw cause;
  }
  try {
    if (marker === undefined) {
      // A first contact that failed leaves a state that knows nothing yet.
      const isJoined = store.binding() !== undefined;
      return isJoined ? `there is no ${MARKER_FILE} to go with it` : undefined;
    }
    const run = readKept(store, KEPT.run);
    if (run !== marker.run && run !== marker.nextRun) return "it is an older copy of itself";
    return store.binding()?.device === marker.device ? undefined : "it belongs to another device";
  } finally {
    store.close();
  }
}

/**
 * Asks who answers behind the URL before anything else is sent there (G5), and creates the folder
 * if it is missing.
 *
 * @throws {SyncedError} `server_changed`, `upgrade_required`, `not_a_synced_server`,
 * `server_unreachable`, `unauthenticated`
 */
export async function greet(
  api: ServerApi,
  known: KnownServer,
  signal: AbortSignal,
): Promise<{ readonly hello: Hello; readonly folder: FolderCreation }> {
  const hello = await meet(api, known, signal);
  return { hello, folder: await api.createFolder(signal) };
}

/** Facts about the server from before it is asked. */
export interface KnownServer {
  readonly serverUrl: string;
  /** Present if the folder has joined. */
  readonly marker: Marker | undefined;
}

/** Does the part of `greet` that changes nothing. */
export async function meet(
  api: ServerApi,
  { serverUrl, marker }: KnownServer,
  signal: AbortSignal,
): Promise<Hello> {
  const hello = await api.hello(signal);
  if (hello.protocol !== PROTOCOL_VERSION) {
    throw new SyncedError(
      "upgrade_required",
      `Cannot sync with ${serverUrl}: it speaks protocol ${hello.protocol}, this synced speaks ` +
        `${PROTOCOL_VERSION}; use versions that fit together`,
    );
  }
  if (marker !== undefined && hello.serverId !== marker.server) {
    throw new SyncedError(
      "server_changed",
      `Cannot sync with ${serverUrl}: it is another one than this folder belongs to; start the ` +
        "right server, or stop syncing the folder (remove .synced) and join it anew",
    );
  }
  return hello;
}

/**
 * Ties folder, device and database together under a new run id. A database that is not the one that
 * the last run left is later recognised by its run id. The marker names both ids while the database
 * is written.
 */
export async function bind(
  world: ClientWorld,
  store: StateStore,
  binding: {
    readonly options: ClientOptions;
    readonly server: Marker["server"];
    readonly device: DeviceId;
  },
): Promise<Marker> {
  const { options, server, device } = binding;
  const { folder, serverUrl, deviceName, fingerprint } = options;
  const run = world.random.id();
  const before = readKept(store, KEPT.run);
  const root = rootIdentity(world);
  const guard = guardSettingText(options.guard ?? DEFAULT_GUARD);
  const trustApprovals = options.trustsApprovals === true ? "on" : "off";
  const direction = options.direction ?? "both";
  const pin = fingerprint === undefined ? undefined : { fingerprint };
  const said = { serverUrl, deviceName, guard, trustApprovals, direction, ...pin };
  const marker: Marker = { version: 1, server, folder, device, root, ...said, run };
  if (before !== undefined) {
    await writeMarker(world, { ...marker, run: before, nextRun: run });
  }
  store.transaction(() => {
    store.setBinding({ server, serverUrl, folder, device, deviceName });
    writeKept(store, KEPT.run, run);
  });
  store.checkpoint();
  await writeMarker(world, marker);
  return marker;
}

/** Rules: G1. @throws {SyncedError} `halted` */
export function checkRoot(world: ClientWorld, marker: Marker): void {
  const root = world.fs.stat("");
  if (root?.identity !== marker.root) {
    throw new SyncedError(
      "halted",
      "The folder is gone or another one stands in its place; put it back (mount it, move it back) and syncing goes on",
    );
  }
  const found = readMarker(world.fs);
  if (found?.device !== marker.device || found.run !== marker.run) {
    throw new SyncedError(
      "halted",
      `${MARKER_FILE} is missing or another one; put it back, or stop and start this client to join again by union`,
    );
  }
}

function rootIdentity({ fs }: ClientWorld): string {
  const root = fs.stat("");
  if (root === undefined || root.kind !== "directory") {
    throw new SyncedError("folder_unusable", "Cannot sync: the folder is not a directory");
  }
  return root.identity;
}

function notice({ observer }: ClientWorld, code: string, message: string): void {
  observer.emit({ event: "notice", code, message });
}
