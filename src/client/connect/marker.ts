/**
 * The marker `.synced/marker.json` says who this folder is and which state database belongs to it.
 * Rules: S4, G1.
 */

import { SyncedError } from "../../core/error.ts";
import { type Fingerprint, parseFingerprint } from "../../core/fingerprint.ts";
import {
  type DeviceId,
  type FolderName,
  parseFolderName,
  parseId,
  type ServerId,
} from "../../core/identifier.ts";
import { MARKER_FILE, STAGING_DIRECTORY, STATE_DIRECTORY } from "../../core/state-directory.ts";
import type { FileSystem, Stat } from "../../ports/filesystem.ts";
import type { Random } from "../../ports/random.ts";
import { readSmallFile } from "../folder/small-file.ts";

export interface Marker {
  readonly version: 1;
  readonly server: ServerId;
  readonly folder: FolderName;
  readonly device: DeviceId;
  /** The identity of the root directory. A copied folder has another one. */
  readonly root: string;
  /**
   * The server's address, this folder's name there and the device's name, for when the state
   * database is lost. Markers of the first versions do not have them.
   */
  readonly serverUrl?: string;
  readonly deviceName?: string;
  /** The server's key, if it is known by that. */
  readonly fingerprint?: Fingerprint;
  /** In the form of `sync --guard`; absent if nobody set it. */
  readonly guard?: string;
  /** "on" or "off", as `sync --trust-approvals` takes it; absent if nobody set it. */
  readonly trustApprovals?: string;
  /** As `sync --direction` takes it; absent if nobody set it. */
  readonly direction?: string;
  /** Equal to the run id in the state database if that is the one that the last run left. */
  readonly run: string;
  /** The next run id while it is being written to the database. Until then either id is valid. */
  readonly nextRun?: string;
}

type Optional = Extract<
  keyof Marker,
  "serverUrl" | "deviceName" | "guard" | "trustApprovals" | "direction" | "nextRun"
>;

/** A marker has a few hundred bytes. A longer file is none. */
const MARKER_BYTES_MAX = 4096;

/** The last marker of each folder, because every turn looks at it and it seldom changes. */
const lastRead = new WeakMap<FileSystem, { readonly stat: Stat; readonly marker: Marker }>();

/**
 * @returns undefined if there is none.
 * @throws {SyncedError} `folder_unusable` if it is not a marker of this version.
 */
export function readMarker(fs: FileSystem): Marker | undefined {
  const stat = fs.stat(MARKER_FILE);
  if (stat === undefined) return undefined;
  const last = lastRead.get(fs);
  const isSame = last?.stat.identity === stat.identity && last.stat.stamp === stat.stamp;
  if (isSame) return last.marker;
  const text = readSmallFile(fs, MARKER_FILE, MARKER_BYTES_MAX);
  if (text === undefined) return undefined;
  const marker = parseMarker(text);
  lastRead.set(fs, { stat, marker });
  return marker;
}

/** @throws {SyncedError} `folder_unusable` if it is not a marker of this version. */
export function parseMarker(text: string): Marker {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) throw new Error("not an object");
    const record = new Map<string, unknown>(Object.entries(value));
    const field = (name: string): string => {
      const found = record.get(name);
      if (typeof found !== "string") throw new Error(`no ${name}`);
      return found;
    };
    if (record.get("version") !== 1) throw new Error("another version");
    const marker: Marker = {
      version: 1,
      server: parseId<ServerId>(field("server")),
      folder: parseFolderName(field("folder")),
      device: parseId<DeviceId>(field("device")),
      root: field("root"),
      run: field("run"),
    };
    const optional = (name: Optional) => (record.has(name) ? { [name]: field(name) } : {});
    return {
      ...marker,
      ...optional("serverUrl"),
      ...optional("deviceName"),
      ...(record.has("fingerprint")
        ? { fingerprint: parseFingerprint(field("fingerprint")) }
        : undefined),
      ...optional("guard"),
      ...optional("trustApprovals"),
      ...optional("direction"),
      ...optional("nextRun"),
    };
  } catch (cause) {
    throw new SyncedError(
      "folder_unusable",
      `Cannot read ${MARKER_FILE}: it is damaged or from a newer version; move the .synced directory away to join this folder anew`,
      { path: MARKER_FILE, cause },
    );
  }
}

/** Durable when it resolves. A reader sees either the old or the new marker. */
export async function writeMarker(
  { fs, random }: { readonly fs: FileSystem; readonly random: Random },
  marker: Marker,
): Promise<void> {
  const staged = `${STAGING_DIRECTORY}/marker-${random.id()}`;
  const writer = fs.createFile(staged);
  try {
    writer.write(new TextEncoder().encode(`${JSON.stringify(marker, undefined, 2)}\n`));
    await writer.sync();
  } finally {
    writer.close();
  }
  if (fs.moveNoReplace(staged, MARKER_FILE) === "exists") {
    if (fs.exchange(staged, MARKER_FILE) === "exchanged") fs.removeFile(staged);
    else {
      fs.removeFile(MARKER_FILE);
      fs.moveNoReplace(staged, MARKER_FILE);
    }
  }
  await fs.syncDirectories([STATE_DIRECTORY, STAGING_DIRECTORY]);
}
