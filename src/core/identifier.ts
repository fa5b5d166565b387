/**
 * Identifiers: 128 bits as 32 lower-case hex digits, and folder names.
 * Rules: N1, N2.
 */
import type { Brand } from "./brand.ts";
import { SyncedError } from "./error.ts";

/** A node's identity for life. The client that creates the node mints it. */
export type NodeId = Brand<string, "NodeId">;
/**
 * One installation of the client on one folder. A new one is minted if the state was lost or
 * copied.
 */
export type DeviceId = Brand<string, "DeviceId">;
/** One proposed change; the server applies it at most once per device. */
export type OpId = Brand<string, "OpId">;
/** All ops that one device posts together. */
export type BatchId = Brand<string, "BatchId">;
/** Minted when a log is created or deliberately restored. */
export type Epoch = Brand<string, "Epoch">;
/** One server data directory. */
export type ServerId = Brand<string, "ServerId">;
/** One wish of a person to a device, given from afar. */
export type OrderId = Brand<string, "OrderId">;
/** A folder's name on the server. */
export type FolderName = Brand<string, "FolderName">;

export type HexId = NodeId | DeviceId | OpId | BatchId | Epoch | ServerId | OrderId;

const HEX_ID = /^[0-9a-f]{32}$/;
const FOLDER_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/**
 * The folder's root directory. Every folder has it under this id; nobody creates, moves or deletes
 * it.
 */
export const ROOT_ID = "00000000000000000000000000000000" as NodeId;

/**
 * The parent of nodes that stand in `.synced/parking` while others take their place (rule D5). It
 * occurs in local trees only, while a plan is applied or after a crash during that.
 */
export const PARKING_ID = "ffffffffffffffffffffffffffffffff" as NodeId;

/**
 * Parses any of the 128-bit identifiers.
 *
 * @throws {SyncedError} `invalid_id` unless the value is 32 lower-case hex digits.
 */
export function parseId<Id extends HexId>(value: string): Id {
  if (!HEX_ID.test(value)) {
    throw new SyncedError(
      "invalid_id",
      `Cannot use "${value.slice(0, 80)}" as an id: expected 32 lower-case hex digits`,
    );
  }
  return value as Id;
}

/** @throws {SyncedError} `invalid_folder_name` */
export function parseFolderName(value: string): FolderName {
  if (!FOLDER_NAME.test(value)) {
    throw new SyncedError(
      "invalid_folder_name",
      `Cannot use "${value.slice(0, 80)}" as a folder name: use 1 to 64 of a-z, 0-9, ".", "_", "-", beginning with a letter or digit`,
    );
  }
  return value as FolderName;
}
