/**
 * Works on a data directory on which no server runs: verifies it, collects its garbage, renames and
 * deletes folders. Rules: U4-U6, I25, I27, I37. Functions take the directory's lock, and throw
 * `data_in_use` while a server has it, unless they say otherwise; and `usage` if its metadata are
 * in PostgreSQL.
 */
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type BackupReport, backUp } from "./adapters/backup.ts";
import {
  type DataDirectory,
  holdCollection,
  openDataDirectory,
  openDataReader,
  openTokenStore,
} from "./adapters/data-directory.ts";
import { isDataDirectory, isOneOfSeveral, requireOwnMetadata } from "./adapters/data-format.ts";
import { createDiskFileSystem } from "./adapters/disk/filesystem.ts";
import {
  deleteFolder,
  type ListedFolder,
  listFolders,
  renameFolder,
} from "./adapters/metadata/folder-names.ts";
import { type LogHead, readLogHeads } from "./adapters/metadata/log-heads.ts";
import { type Mended, mendMetadata } from "./adapters/metadata/mend.ts";
import type { Migrated, MigrateRequest } from "./adapters/migrate.ts";
import { createFetchTransport } from "./adapters/network/fetch-transport.ts";
import { systemClock } from "./adapters/runtime/clock.ts";
import { systemRandom, systemSecret } from "./adapters/runtime/random.ts";
import { readServerAddress, type ServerAddress } from "./adapters/server-address.ts";
import { readReportsIn } from "./adapters/server-data.ts";
import type { AccessOfAll } from "./adapters/split-directory.ts";
import { SyncedError } from "./core/error.ts";
import { type DeviceId, type FolderName, parseFolderName } from "./core/identifier.ts";
import { UNNAMED_AGE_MS_MIN } from "./core/limits.ts";
import type { Sequence } from "./core/node.ts";
import { formatTime } from "./core/time.ts";
import { webhookSecretOf } from "./core/webhook.ts";
import type { TokenRecord, TokenStore } from "./ports/token-store.ts";
import type { Webhook, WebhookId, WebhookStore } from "./ports/webhook-store.ts";
import { type Collected, type CollectOptions, collectGarbage } from "./server/collect-garbage.ts";
import { type Exported, exportTree } from "./server/export.ts";
import type { Finding } from "./server/finding.ts";
import { seqAtTime } from "./server/moment.ts";
import { Replay } from "./server/replay.ts";
import { pruneFolders, type Retention } from "./server/retention.ts";
import { createSequencer } from "./server/sequencer.ts";
import { Tokens } from "./server/tokens.ts";
import { type ReadShare, verifyData } from "./server/verify.ts";
import { deliver, type Outcome } from "./server/webhook-delivery.ts";

/**
 * Reads everything and changes nothing but a history that does not follow from its log.
 *
 * @returns every finding when it is found
 * @throws {SyncedError} `usage` if there is no data directory, because opening would make one;
 * `data_in_use`, `data_newer`
 */
export async function* verifyDataDirectory(
  path: string,
  share?: ReadShare,
): AsyncGenerator<Finding, void> {
  const directory = openExisting(path, "verify");
  try {
    yield* verifyData(directory, share);
  } finally {
    await directory.close();
  }
}

export type { ReadShare, Tokens };

/**
 * Puts right what the log proves to be wrong.
 *
 * @returns each thing when it is done
 * @throws {SyncedError} as `verifyDataDirectory` does
 */
export async function* mendDataDirectory(path: string): AsyncGenerator<Mended, void> {
  const directory = openExisting(path, "repair");
  try {
    const parts = { objects: directory.objects, newReplay: () => new Replay() };
    yield* mendMetadata(join(path, "metadata.db"), parts);
  } finally {
    await directory.close();
  }
}

/** @throws {SyncedError} as `verifyDataDirectory` does */
export async function collectDataDirectory(
  path: string,
  options: CollectOptions & { readonly retention: Retention },
): Promise<Collected & { readonly versions: number }> {
  const directory = openExisting(path, "collect garbage in");
  let release: (() => void) | undefined;
  try {
    release = holdCollection(path);
    const ports = { ...directory, clock: systemClock };
    const versions = await pruneFolders(ports, options.retention);
    return { ...(await collectGarbage(ports, options)), versions };
  } finally {
    release?.();
    await directory.close();
  }
}

/** Works beside a running server. @throws {SyncedError} `usage` if there is no data directory */
export function listFoldersIn(path: string): readonly ListedFolder[] {
  requireExisting(path, "list the folders in");
  return listFolders(join(path, "metadata.db"));
}

/** @throws {SyncedError} `folder_not_found`, `folder_gone`, `name_taken` */
export async function renameFolderIn(
  path: string,
  names: { readonly from: FolderName; readonly to: FolderName },
): Promise<void> {
  const directory = openExisting(path, "rename a folder in");
  try {
    renameFolder(join(path, "metadata.db"), names);
  } finally {
    await directory.close();
  }
}

/**
 * Deletes a folder, then collects what only it needed. If the second is interrupted, the next
 * collection does it.
 *
 * @throws {SyncedError} `folder_not_found`, `folder_gone`
 */
export async function deleteFolderIn(path: string, name: FolderName): Promise<Collected> {
  const directory = openExisting(path, "delete a folder in");
  let release: (() => void) | undefined;
  try {
    release = holdCollection(path);
    deleteFolder(join(path, "metadata.db"), name);
    const options = { ageMsMin: UNNAMED_AGE_MS_MIN };
    return await collectGarbage({ ...directory, clock: systemClock }, options);
  } finally {
    release?.();
    await directory.close();
  }
}

/**
 * Makes a copy, or brings one up to date, also beside a running server.
 *
 * @throws {SyncedError} `usage` if there is no data directory, or the target is something else;
 * `data_in_use` if garbage is being collected, or somebody uses the target
 */
export async function backUpDataDirectory(path: string, target: string): Promise<BackupReport> {
  requireExisting(path, "back up");
  return await backUp(path, target);
}

export type { Migrated, MigrateRequest };

/**
 * Moves all data of a server between a directory and PostgreSQL with a bucket.
 *
 * @throws {SyncedError} `usage`, `data_in_use`; `server_changed` if the target is another server's
 */
export async function migrateData(
  direction: "out" | "back",
  request: MigrateRequest,
): Promise<Migrated> {
  // Loaded here, so that others do not wait for the driver.
  const { migrateBack, migrateOut } = await import("./adapters/migrate.ts");
  return await (direction === "out" ? migrateOut(request) : migrateBack(request));
}

/**
 * Writes a folder as plain files, also beside a running server.
 *
 * @param at the head if absent
 * @throws {SyncedError} `usage` if there is no data directory, or the target is not empty;
 * `folder_not_found`, `folder_gone`, `cursor_ahead`
 */
export async function exportFolder(
  path: string,
  request: {
    readonly folder: FolderName;
    readonly at: { readonly seq: Sequence } | { readonly timeMs: number } | undefined;
    readonly target: string;
  },
): Promise<Exported & { readonly seq: Sequence }> {
  requireExisting(path, "export from");
  const { folder, at, target } = request;
  const reader = openDataReader(path);
  try {
    const sequencer = createSequencer({ ...reader, clock: systemClock, random: systemRandom });
    const { head } = await sequencer.folder(folder);
    const seq =
      at === undefined
        ? head
        : "seq" in at
          ? at.seq
          : await seqAtTime(reader.metadata, folder, { timeMs: at.timeMs, head });
    mkdirSync(target, { recursive: true });
    if (readdirSync(target).length > 0) {
      throw new SyncedError("usage", `Cannot export to "${target}": it is not empty`);
    }
    const fs = createDiskFileSystem(realpathSync(target));
    const discard = (name: string) => rmSync(join(target, name), { force: true });
    try {
      return { ...(await exportTree({ sequencer, fs, discard }, { folder, seq })), seq };
    } finally {
      fs.close();
    }
  } finally {
    await reader.close();
  }
}

function openExisting(path: string, action: string): DataDirectory {
  requireExisting(path, action);
  return openDataDirectory(path);
}

function requireExisting(path: string, action: string): void {
  if (existsSync(join(path, "format"))) {
    requireOwnMetadata(path);
    return;
  }
  const claim = "there is no data directory of synced";
  throw new SyncedError("usage", `Cannot ${action} "${path}": ${claim}`);
}

/** A token with the devices that have reported with it. */
export interface TokenInfo extends TokenRecord {
  readonly devices: readonly {
    readonly name: string;
    readonly folder: FolderName;
    readonly device: DeviceId;
    /** How many events the folder's log is ahead of it. */
    readonly behind: number;
    readonly seenTime: string;
  }[];
}

export interface OpenedTokens {
  readonly tokens: Tokens;
  /** Where the server was last reached. */
  readonly address: ServerAddress | undefined;
  list(): readonly TokenInfo[];
  close(): void;
}

/**
 * Opens the tokens of a data directory, also while a server runs on it. That server goes by what is
 * done at once.
 *
 * @param metadataUrl where they are, if the directory is that of one of several servers
 * @throws {SyncedError} `usage` if no server has its data there, or the URL is missing;
 * `data_newer`, `damage_found`, `data_not_writable`; what keeps it from PostgreSQL
 */
export async function openTokens(
  path: string,
  metadataUrl: string | undefined,
): Promise<OpenedTokens> {
  requireData(path, "the tokens");
  const store = isOneOfSeveral(path)
    ? (await openAccess(path, metadataUrl)).tokens
    : openTokenStore(path);
  const tokens = new Tokens({ store, clock: systemClock, secret: systemSecret });
  const address = readServerAddress(path);
  return { tokens, address, list: () => listTokens(path, store), close: () => store.close() };
}

async function openAccess(path: string, metadataUrl: string | undefined): Promise<AccessOfAll> {
  if (metadataUrl === undefined) {
    const claim = "its server shares it with others; name their PostgreSQL with --metadata-url";
    throw new SyncedError("usage", `Cannot use "${path}" so: ${claim}`);
  }
  // Loaded here, so that others do not wait for the driver.
  const { openAccessOfAll } = await import("./adapters/split-directory.ts");
  return await openAccessOfAll(path, metadataUrl);
}

function listTokens(path: string, store: TokenStore): readonly TokenInfo[] {
  const reports = readReportsIn(path);
  const used = store.devices();
  return store.list().map((record) => {
    const own = used.filter(({ token }) => token === record.id);
    const devices = reports
      .filter(({ folder, device }) =>
        own.some((one) => one.folder === folder && one.device === device),
      )
      .map(({ appliedSeq, headSeq, ...report }) => ({ ...report, behind: headSeq - appliedSeq }));
    return { ...record, devices };
  });
}

/** A webhook, and how many events of its logs it was not told of, or not looked at for it. */
export interface WebhookInfo extends Webhook {
  readonly behind: number;
}

export interface OpenedWebhooks {
  /** Of what happens from now on. @param webhook without a secret: one is made */
  add(
    webhook: Pick<Webhook, "url" | "filter" | "folders"> & { readonly secret?: string | undefined },
  ): Promise<Webhook>;
  list(): Promise<readonly WebhookInfo[]>;
  /** @throws {SyncedError} `not_found` */
  remove(id: string): Promise<void>;
  /** Sends a message that is about no event. @throws {SyncedError} `not_found` */
  test(id: string): Promise<Outcome>;
  close(): void;
}

const WEBHOOK_ID_LENGTH = 16;
const FOLDERS_PER_PAGE = 1000;

/** Webhooks, and the logs that they may be about. */
interface WebhookPlace {
  readonly store: WebhookStore;
  heads(): Promise<readonly LogHead[]>;
  close(): void;
}

async function openWebhookPlace(
  path: string,
  metadataUrl: string | undefined,
): Promise<WebhookPlace> {
  if (!isOneOfSeveral(path)) {
    requireOwnMetadata(path);
    const store = openTokenStore(path);
    const heads = async () => readLogHeads(join(path, "metadata.db"));
    return { store, heads, close: () => store.close() };
  }
  const { webhooks, metadata, close } = await openAccess(path, metadataUrl);
  const heads = async () => {
    const found: LogHead[] = [];
    for (let page = await metadata.folders({ limit: FOLDERS_PER_PAGE }); page.length > 0; ) {
      for (const { folder, head } of page) {
        found.push({ folder: folder.name, epoch: head.epoch, head: head.seq });
      }
      const after = found.at(-1)?.folder ?? "";
      page = await metadata.folders({ after: parseFolderName(after), limit: FOLDERS_PER_PAGE });
    }
    return found;
  };
  return { store: webhooks, heads, close };
}

/**
 * Opens the webhooks of a data directory, also while a server runs on it.
 *
 * @throws {SyncedError} as `openTokens` does; `usage` if its metadata are in PostgreSQL, and no
 * other server shares them
 */
export async function openWebhooks(
  path: string,
  metadataUrl: string | undefined,
): Promise<OpenedWebhooks> {
  requireData(path, "the webhooks");
  const { store, heads, close } = await openWebhookPlace(path, metadataUrl);
  const find = (id: string): Webhook => {
    const found = store.webhooks().find((webhook) => webhook.id === id);
    if (found !== undefined) return found;
    throw new SyncedError("not_found", `There is no webhook "${id}": see synced webhook list`);
  };
  return {
    async add({ url, filter, folders, secret = webhookSecretOf(systemSecret()) }) {
      const id = systemSecret().slice(0, WEBHOOK_ID_LENGTH) as WebhookId;
      const createdMs = systemClock.now();
      const webhook = { id, url, secret, filter, folders, createdMs, isStopped: false };
      const known = await heads();
      const cursors = known.map(({ epoch, head }) => ({ webhook: id, epoch, seq: head }));
      await store.addWebhook(webhook, cursors);
      return webhook;
    },
    async list() {
      const known = await heads();
      return await Promise.all(
        store.webhooks().map(async (webhook) => {
          let behind = 0;
          for (const { folder, epoch, head } of known) {
            if (webhook.folders !== "all" && !webhook.folders.includes(folder)) continue;
            const cursor = await store.cursor(webhook.id, epoch);
            behind += Math.max(0, head - (cursor?.seq ?? 0));
          }
          return { ...webhook, behind };
        }),
      );
    },
    remove: async (id) => void (await store.removeWebhook(find(id).id)),
    async test(id) {
      const timestamp = formatTime(systemClock.now());
      const body = JSON.stringify({ type: "webhook.test", timestamp, data: {} });
      const message = { id: `test-${systemRandom.id()}`, body };
      const world = { transport: createFetchTransport(), clock: systemClock };
      return await deliver(world, find(id), message, new AbortController().signal);
    },
    close,
  };
}

function requireData(path: string, what: string): void {
  if (isDataDirectory(path)) return;
  throw new SyncedError(
    "usage",
    `Cannot find ${what} in "${path}": there is no data directory of synced; start synced ` +
      "serve once, or name another with --data",
  );
}
