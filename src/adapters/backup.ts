/**
 * Copies a data directory beside the server that runs on it. Rules: U9, I27.
 *
 * A transaction of SQLite is the moment that is copied; objects are immutable, and those that it
 * names are there. So that they still are while they are copied, nobody collects garbage meanwhile.
 * The target is a data directory, and stays the last whole copy until the new one is complete.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { holdCollection, lockData, openDataReader } from "./data-directory.ts";
import { syncPath, writeFormat } from "./data-format.ts";
import { openDiskObjectStore } from "./objects/store.ts";
import { keepPrivate } from "./sqlite/private-file.ts";
import { copyOwnTlsFiles } from "./tls/files.ts";

export interface BackupReport {
  /** Objects that the target did not have yet. */
  readonly copied: number;
  readonly copiedBytes: number;
  /** Objects of the target that the source does not have any more. */
  readonly deleted: number;
  /** Objects that cannot be read at the source, and are not in the target either. */
  readonly damaged: readonly Digest[];
}

const PAGE = 1000;
/** Objects that are made durable together. */
const BYTES_PER_STEP = 32 * 1024 * 1024;
const DATABASES = ["metadata.db", "tokens.db"];
/** A target that holds this has no complete copy yet. */
const BEGUN = "backup-begun";

/** @throws {SyncedError} `usage` if the target is something else; `data_in_use` */
export async function backUp(source: string, target: string): Promise<BackupReport> {
  prepare(source, target);
  const unlock = lockData(target);
  const release = holdCollection(source);
  try {
    for (const name of DATABASES) copyDatabase(join(source, name), join(target, `${name}.new`));
    const report = await copyObjects(source, target);
    copyOwnTlsFiles(source, target);
    publish(target);
    return { ...report, deleted: await deleteOthers(source, target) };
  } finally {
    release();
    unlock();
  }
}

function prepare(source: string, target: string): void {
  mkdirSync(target, { recursive: true, mode: 0o700 });
  const isBegun = existsSync(join(target, BEGUN));
  if (existsSync(join(target, "format"))) {
    if (serverIdIn(source) === serverIdIn(target)) return;
    throw new SyncedError("usage", `Cannot back up to "${target}": it is of another server`);
  }
  if (isBegun) return;
  if (readdirSync(target).length > 0) {
    throw new SyncedError("usage", `Cannot back up to "${target}": it is not empty, nor a backup`);
  }
  mkdirSync(join(target, BEGUN), { mode: 0o700 });
}

function serverIdIn(path: string): string {
  const database = new DatabaseSync(join(path, "metadata.db"), { readOnly: true });
  try {
    const id = database.prepare("SELECT hex(id) AS id FROM server").get()?.["id"];
    return String(id);
  } finally {
    database.close();
  }
}

function copyDatabase(source: string, target: string): void {
  rmSync(target, { force: true });
  keepPrivate(target);
  const database = new DatabaseSync(source, { readOnly: true });
  try {
    database.exec("PRAGMA busy_timeout = 5000");
    database.prepare("VACUUM INTO ?").run(target);
  } finally {
    database.close();
  }
  syncPath(target);
}

async function copyObjects(source: string, target: string): Promise<Omit<BackupReport, "deleted">> {
  const reader = openDataReader(source);
  const store = openDiskObjectStore({ directory: target });
  const damaged: Digest[] = [];
  let [copied, copiedBytes] = [0, 0];
  try {
    let step: { digest: Digest; bytes: Uint8Array }[] = [];
    let stepBytes = 0;
    const flush = async () => {
      await store.put(step);
      copied += step.length;
      copiedBytes += stepBytes;
      [step, stepBytes] = [[], 0];
    };
    for await (const digest of missingIn(store, reader.objects)) {
      const bytes = await reader.objects.get(digest).catch(ofDamage);
      if (bytes === undefined) {
        damaged.push(digest);
        continue;
      }
      step.push({ digest, bytes });
      stepBytes += bytes.length;
      if (stepBytes >= BYTES_PER_STEP) await flush();
    }
    await flush();
    return { copied, copiedBytes, damaged };
  } finally {
    await store.close();
    await reader.close();
  }
}

function ofDamage(error: unknown): undefined {
  if (error instanceof SyncedError && error.code === "chunk_corrupt") return undefined;
  throw error;
}

type Listed = Pick<ReturnType<typeof openDiskObjectStore>, "list">;

/** The digests in `there` that are not in `here`. */
export async function* missingIn(here: Listed, there: Listed): AsyncGenerator<Digest, void> {
  let after: Digest | undefined;
  for (;;) {
    const page = { limit: PAGE, ...(after === undefined ? {} : { after }) };
    const digests = await there.list(page);
    const last = digests.at(-1);
    if (last === undefined) return;
    const known = new Set<Digest>();
    let from = after;
    for (;;) {
      const found = await here.list({
        limit: PAGE,
        ...(from === undefined ? {} : { after: from }),
      });
      for (const digest of found) known.add(digest);
      from = found.at(-1);
      if (from === undefined || from >= last) break;
    }
    for (const digest of digests) if (!known.has(digest)) yield digest;
    after = last;
  }
}

/** From here on the new copy counts. A crash between two names leaves both of one server. */
function publish(target: string): void {
  for (const name of DATABASES) {
    const path = join(target, name);
    // A server that ran on the copy may have left these. They do not belong to the new file.
    for (const suffix of ["-wal", "-shm"]) rmSync(path + suffix, { force: true });
    renameSync(`${path}.new`, path);
  }
  rmSync(join(target, "history.db"), { force: true });
  syncPath(target);
  if (!existsSync(join(target, "format"))) {
    writeFormat(target, { kind: "whole" });
  }
  if (existsSync(join(target, BEGUN))) rmdirSync(join(target, BEGUN));
  syncPath(target);
}

async function deleteOthers(source: string, target: string): Promise<number> {
  const reader = openDataReader(source);
  const store = openDiskObjectStore({ directory: target });
  let deleted = 0;
  try {
    let others: Digest[] = [];
    const flush = async () => {
      await store.delete(others);
      deleted += others.length;
      others = [];
    };
    for await (const digest of missingIn(reader.objects, store)) {
      others.push(digest);
      if (others.length >= PAGE) await flush();
    }
    await flush();
    await store.tidy();
    return deleted;
  } finally {
    await store.close();
    await reader.close();
  }
}
