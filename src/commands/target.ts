/**
 * Which server, folder and path a question about the past is about: a path in a synced folder on
 * this machine, found upwards by its marker, or `--server URL --folder NAME` and a path there.
 * Rules: G5, G15, S4.
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { createFetchTransport, type Trust } from "../adapters/network/fetch-transport.ts";
import { openFolder } from "../adapters/open-folder.ts";
import { systemClock } from "../adapters/runtime/clock.ts";
import { parseMarker } from "../client/connect/marker.ts";
import { SyncedError } from "../core/error.ts";
import { type DeviceId, parseFolderName, parseId, type ServerId } from "../core/identifier.ts";
import { parsePath } from "../core/path.ts";
import { MARKER_FILE } from "../core/state-directory.ts";
import { PROTOCOL_VERSION } from "../protocol/messages.ts";
import { createPastApi, type PastApi } from "../protocol/past-api.ts";
import {
  clientTokenFile,
  fingerprintFlag,
  readToken,
  readTrust,
  textFlag,
  tokenFlag,
} from "./flags.ts";
import { rememberedBinding, requireOwnServer } from "./folder-state.ts";
import { parseServerUrl } from "./server-url.ts";

/** The flags of every command that asks about the past. */
export const targetFlags = {
  server: textFlag("server", "URL", "Ask this server; PATH is then a path in its folder"),
  folder: textFlag("folder", "NAME", "The folder's name there; default: default"),
  ...fingerprintFlag,
  ...tokenFlag,
} as const;

/** Changes that name no device carry this one. */
const HTTP_DEVICE = parseId<DeviceId>("0".repeat(32));

export interface TargetArguments {
  readonly server?: string | undefined;
  readonly folder?: string | undefined;
  readonly fingerprint?: string | undefined;
  readonly "token-file"?: string | undefined;
}

export interface Target {
  readonly api: PastApi;
  readonly serverUrl: string;
  /** In the folder; "" is all of it. */
  readonly path: string;
  /** Who asks: the synced folder's device, else the one that stands for plain HTTP. */
  readonly device: DeviceId;
  /** The synced folder on this machine, if that is how the target was found. */
  readonly root?: string;
}

/**
 * Finds the target and asks who answers there, before anything else is sent.
 *
 * @param place a path as a person typed it; "" is this directory, or all of the server's folder.
 * @param signal ends every request
 * @throws {SyncedError} `usage`; `server_changed` if the folder belongs to another server
 */
export async function openTarget(
  args: TargetArguments,
  place: string,
  signal?: AbortSignal,
): Promise<Target> {
  if (args.server !== undefined) {
    const token = readToken(args["token-file"], process.env);
    const trust = readTrust(args.fingerprint, undefined);
    const path = place.replace(/^\.?\/+|\/+$/g, "");
    const serverUrl = parseServerUrl(args.server);
    const folder = args.folder ?? "default";
    const api = await greet({ serverUrl, folder, token, trust, signal });
    const isAll = path === "" || path === ".";
    return { api, serverUrl, device: HTTP_DEVICE, path: isAll ? "" : parsePath(path).join("/") };
  }
  const absolute = resolve(place);
  const root = rootAbove(absolute);
  const known = root === undefined ? undefined : rememberedBinding(root);
  if (root === undefined || known?.serverUrl === undefined) {
    throw new SyncedError(
      "usage",
      `Cannot tell which folder is meant: "${absolute}" is in no synced folder; go into one, ` +
        "name a path in one, or use --server URL --folder NAME",
    );
  }
  if (args.folder !== undefined && args.folder !== known.folder) {
    throw new SyncedError(
      "usage",
      `Cannot use --folder "${args.folder}" here: this is the folder "${known.folder}"; ` +
        "name the server too, with --server URL",
    );
  }
  const { server, device } = parseMarker(readFileSync(join(root, MARKER_FILE), "utf8"));
  const { serverUrl, folder } = known;
  const token = readToken(clientTokenFile(args["token-file"], process.env, root), process.env);
  const { fs } = openFolder(root, { readOnly: true });
  try {
    requireOwnServer(fs, root, { serverUrl, isServerRemembered: true, ...tokenOf(token) });
  } finally {
    fs.close();
  }
  const trust = readTrust(args.fingerprint, known.fingerprint);
  const api = await greet({ serverUrl, folder, token, trust, server, signal });
  const path = relative(root, absolute).split(sep).join("/");
  return { api, serverUrl, device, root, path: path === "" ? "" : parsePath(path).join("/") };
}

function tokenOf(token: string | undefined): { readonly token?: string } {
  return token === undefined ? {} : { token };
}

/** The path need not be there: it may be gone, which is why it is asked about. */
export function rootAbove(absolute: string): string | undefined {
  for (let directory = absolute; ; directory = dirname(directory)) {
    if (existsSync(join(directory, MARKER_FILE))) return directory;
    if (dirname(directory) === directory) return undefined;
  }
}

async function greet(options: {
  readonly serverUrl: string;
  readonly folder: string;
  readonly token: string | undefined;
  readonly trust: Trust;
  readonly server?: ServerId;
  readonly signal: AbortSignal | undefined;
}): Promise<PastApi> {
  const { serverUrl, token, trust, server, signal } = options;
  const folder = parseFolderName(options.folder);
  const world = { transport: createFetchTransport(trust), clock: systemClock };
  const api = createPastApi({ ...world, serverUrl, folder, token, signal });
  const hello = await api.hello();
  if (server !== undefined && hello.serverId !== server) {
    throw new SyncedError(
      "server_changed",
      `Cannot ask ${serverUrl}: it is another server than this folder belongs to`,
    );
  }
  if (hello.protocol !== PROTOCOL_VERSION) {
    throw new SyncedError(
      "upgrade_required",
      `Cannot ask ${serverUrl}: it speaks protocol ${hello.protocol}, this synced speaks ` +
        `${PROTOCOL_VERSION}; use versions that fit together`,
    );
  }
  return api;
}

/** @throws {SyncedError} `not_found` unless exactly one device has that name or id. */
export async function deviceNamed(api: PastApi, name: string): Promise<DeviceId> {
  const devices = [...(await api.devices()), { device: HTTP_DEVICE, name: "http" }];
  const exact = devices.filter((one) => one.device === name || one.name === name);
  const found = exact.length > 0 ? exact : devices.filter((one) => sameName(one.name, name));
  const [first, ...others] = found;
  if (first === undefined) {
    const names = [...new Set(devices.map((one) => `"${one.name}"`))].join(", ");
    throw new SyncedError("not_found", `There is no device "${name}" here: these are ${names}`);
  }
  if (others.length > 0) {
    const ids = found.map((one) => one.device).join(", ");
    throw new SyncedError(
      "usage",
      `Several devices are called "${name}"; name one by its id: ${ids}`,
    );
  }
  return parseId<DeviceId>(first.device);
}

function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.toLowerCase();
}
