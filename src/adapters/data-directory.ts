/**
 * A server's data directory: creates it, locks it against a second server, opens and closes it.
 * Rules: L1, O7, I44. DESIGN.md ("Formats and where they lie") names the files in it.
 *
 * `lock` is an SQLite file in an exclusive transaction. The kernel releases it when the process
 * ends, however it ends.
 */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { SyncedError } from "../core/error.ts";
import type { ServerId } from "../core/identifier.ts";
import type { HistoryStore } from "../ports/history-store.ts";
import type { LinkStore } from "../ports/link-store.ts";
import type { LogNews } from "../ports/log-news.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { OrderStore } from "../ports/order-store.ts";
import type { WebhookStore } from "../ports/webhook-store.ts";
import {
  notWritable,
  readFormat,
  requireOwnMetadata,
  syncPath,
  writeFormat,
} from "./data-format.ts";
import { openSqliteHistoryStore } from "./history/store.ts";
import { openSqliteMetadataStore } from "./metadata/store.ts";
import { openDiskObjectStore } from "./objects/store.ts";
import { openSqliteOrderStore } from "./orders/store.ts";
import type { SharedTokens } from "./postgres-metadata/shared-access.ts";
import { systemRandom } from "./runtime/random.ts";
import { keepOthersOut } from "./sqlite/private-file.ts";
import { type AccessStore, openSqliteTokenStore } from "./tokens/store.ts";

export interface DataDirectory {
  readonly metadata: MetadataStore;
  readonly objects: ObjectStore;
  readonly tokens: AccessStore;
  readonly history: HistoryStore;
  readonly orders: OrderStore;
  readonly serverId: ServerId;
  /** Asks all that is not in the directory for an answer. @default all is in it */
  readonly probe?: () => Promise<void>;
  /** Absent where no other server uses the same stores. */
  readonly shared?: SharedData;
  /** Waits for writes under way, closes the stores and releases the lock. */
  close(): Promise<void>;
}

/** Of several servers with the same metadata and objects. */
export interface SharedData {
  readonly news: LogNews;
  readonly tokens: SharedTokens;
  readonly links: LinkStore;
  readonly webhooks: WebhookStore;
  readonly orders: OrderStore;
  /** 256 bits as hex, the same for all of them. */
  readonly key: string;
}

/**
 * Opens or creates a data directory. Only its owner may enter it.
 *
 * @throws {SyncedError} `data_in_use`, `data_not_writable`, `data_newer` (nothing was written),
 * `damage_found`
 */
export function openDataDirectory(path: string): DataDirectory {
  requireOwnMetadata(path);
  const { isNew, unlock } = enterData(path);
  let metadata: MetadataStore;
  try {
    if (isNew) writeFormat(path, { kind: "whole" });
    const newServerId = systemRandom.id<ServerId>();
    metadata = openSqliteMetadataStore({ path: join(path, "metadata.db"), newServerId });
  } catch (error) {
    unlock();
    throw error;
  }
  return openBeside(path, metadata, unlock);
}

/** Stores that are not in the directory. */
export interface Elsewhere extends Pick<DataDirectory, "probe" | "shared"> {
  readonly objects?: ObjectStore;
}

/**
 * Opens all other stores of a data directory.
 *
 * @param metadata is closed with them, and if they cannot be opened
 * @param unlock is called after that
 */
export function openBeside(
  path: string,
  metadata: MetadataStore,
  unlock: () => void,
  { objects: objectsElsewhere, ...elsewhere }: Elsewhere = {},
): DataDirectory {
  // Others would not know of what is in it.
  const fileOf = (name: string) => (elsewhere.shared === undefined ? join(path, name) : ":memory:");
  let tokens: AccessStore | undefined;
  let history: HistoryStore | undefined;
  let orders: OrderStore | undefined;
  try {
    const openedTokens = openSqliteTokenStore(fileOf("tokens.db"));
    tokens = openedTokens;
    const derived = openSqliteHistoryStore(join(path, "history.db"));
    history = derived;
    const openedOrders = openSqliteOrderStore(fileOf("orders.db"));
    orders = openedOrders;
    const objects = objectsElsewhere ?? openDiskObjectStore({ directory: path });
    // Makes the new files' names durable before anybody is told that data is in them.
    syncPath(path);
    const close = async () => {
      await elsewhere.shared?.news.stop();
      await objects.close();
      await derived.close();
      await metadata.close();
      openedTokens.close();
      openedOrders.close();
      unlock();
    };
    const { serverId } = metadata;
    const { shared } = elsewhere;
    const { tokens: sharedTokens, links, webhooks } = shared ?? {};
    const tokensOfAll = { ...openedTokens, ...sharedTokens, ...links, ...webhooks };
    const stores = { metadata, objects, history: derived, tokens: tokensOfAll };
    return { ...stores, ...elsewhere, orders: shared?.orders ?? openedOrders, serverId, close };
  } catch (error) {
    // All is closed when these return, so there is nothing to await.
    void elsewhere.shared?.news.stop();
    void history?.close();
    void metadata.close();
    tokens?.close();
    orders?.close();
    unlock();
    throw error;
  }
}

/**
 * Makes a data directory if there is none, and locks it.
 *
 * @throws {SyncedError} `data_in_use`, `data_not_writable`, `data_newer`, `damage_found`
 */
export function enterData(path: string): { readonly isNew: boolean; readonly unlock: () => void } {
  const format = readFormat(path);
  const isNew = format.kind === "new" || ("serverId" in format && !format.isBound);
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw notWritable(path, error);
  }
  // A package, a person or an earlier version may have opened it to others. A new one that is not
  // empty may be no directory of ours: somebody may have named /tmp.
  if (!isNew || readdirSync(path).length === 0) keepOthersOut(path);
  return { isNew, unlock: lockData(path) };
}

export interface DataReader {
  readonly metadata: MetadataStore;
  readonly objects: ObjectStore;
  close(): Promise<void>;
}

/**
 * Opens a data directory to read from it, also beside the server that runs on it. Nothing may be
 * written through it.
 *
 * @throws {SyncedError} `data_newer`; `data_older` if a server of this version has not run on it
 */
export function openDataReader(path: string): DataReader {
  requireOwnMetadata(path);
  const newServerId = systemRandom.id<ServerId>();
  const file = join(path, "metadata.db");
  const metadata = openSqliteMetadataStore({ path: file, newServerId, isReader: true });
  const objects = openDiskObjectStore({ directory: path, isReader: true });
  const close = async () => {
    await objects.close();
    await metadata.close();
  };
  return { metadata, objects, close };
}

/** The tokens of a data directory, also of one on which a server runs now. */
export function openTokenStore(path: string): AccessStore {
  return openSqliteTokenStore(join(path, "tokens.db"));
}

/** @throws {SyncedError} `data_in_use`, `data_not_writable` */
export function lockData(path: string): () => void {
  return lock(path, "lock", "another server uses it; stop that one, or name another");
}

/**
 * While this is held, nobody else deletes objects. Who collects garbage holds it, and who relies on
 * objects that nobody else knows he needs.
 *
 * @throws {SyncedError} `data_in_use` if somebody else holds it; `data_not_writable`
 */
export function holdCollection(path: string): () => void {
  return lock(path, "collecting", "garbage is collected there, or it is backed up; wait for that");
}

/** The kernel releases it when the process ends, however it ends. */
function lock(path: string, name: string, claim: string): () => void {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(join(path, name));
    database.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
    const held = database;
    return () => held.close();
  } catch (error) {
    database?.close();
    if (error instanceof Error && /database is locked/.test(error.message)) {
      throw new SyncedError("data_in_use", `Cannot use "${path}": ${claim}`, { cause: error });
    }
    throw notWritable(path, error);
  }
}
