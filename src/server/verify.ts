/**
 * verifyData(): finds out whether the server's data is as it was written. Reads all of it and
 * changes nothing, but that a history which does not follow from its log is forgotten, and so made
 * anew. Rules: L1, L2, L5, C5, E1, O6, I37.
 *
 * Nobody may write to the stores meanwhile. `synced verify` opens the data directory under its
 * lock, so it is refused with `data_in_use` while a server runs.
 */
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { parseManifestObject, sumOfSizes } from "../core/manifest.ts";
import { parseTime } from "../core/time.ts";
import type { HistoryStore } from "../ports/history-store.ts";
import type { FolderHead, MetadataStore } from "../ports/metadata-store.ts";
import type { KnownObject } from "../ports/object-records.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { Finding } from "./finding.ts";
import { hurtIn } from "./hurt-objects.ts";
import { differenceIn } from "./verify-history.ts";
import { verifyLog } from "./verify-log.ts";

/** More devices than anybody could look for. */
const DEVICES_ASKED_MAX = 20;

interface Stores {
  readonly metadata: MetadataStore;
  readonly objects: ObjectStore;
  /** Absent where it belongs to somebody else. */
  readonly history?: HistoryStore;
}

interface Looked {
  readonly sound: ReadonlySet<Digest>;
  readonly share: ReadShare;
}

/** Which objects are read. The others must be there. */
export interface ReadShare {
  /** 1 reads all. */
  readonly of: number;
  /** From 0 to `of` - 1: which part, of digests that are as many in each. */
  readonly part: number;
}

/** @returns every finding when it is found; none if all is as it was written */
export async function* verifyData(
  stores: Stores,
  share: ReadShare = { of: 1, part: 0 },
): AsyncGenerator<Finding, void> {
  const { metadata, objects } = stores;
  for (const message of [...(await metadata.check()), ...(await objects.check())]) {
    yield { where: "store", code: "store_damaged", message };
  }
  const sound = new Set<Digest>();
  yield* verifyObjects(objects, sound, share);
  let after: FolderName | undefined;
  for (;;) {
    const folders = await metadata.folders({
      limit: 100,
      ...(after === undefined ? {} : { after }),
    });
    for (const found of folders) yield* verifyFolder(stores, found, { sound, share });
    after = folders.at(-1)?.folder.name;
    if (after === undefined) return;
  }
}

async function* verifyObjects(
  objects: ObjectStore,
  sound: Set<Digest>,
  share: ReadShare,
): AsyncGenerator<Finding, void> {
  // Damage that is known is looked at each time.
  const damaged = new Set(await objects.damaged());
  let after: Digest | undefined;
  for (;;) {
    const page = await objects.list({ limit: 1000, ...(after === undefined ? {} : { after }) });
    for (const digest of page) {
      const isLooked = isRead(digest, share) || damaged.has(digest);
      const message = isLooked ? await damageOf(objects, digest) : undefined;
      if (message === undefined) sound.add(digest);
      else yield { where: `object ${digest}`, code: "object_damaged", message };
    }
    after = page.at(-1);
    if (after === undefined) return;
  }
}

function isRead(digest: Digest, { of, part }: ReadShare): boolean {
  return Number.parseInt(digest.slice(0, 8), 16) % of === part;
}

async function damageOf(objects: ObjectStore, digest: Digest): Promise<string | undefined> {
  try {
    const bytes = await objects.get(digest);
    return bytes === undefined ? "It is listed and cannot be found" : undefined;
  } catch (error) {
    if (error instanceof SyncedError && error.code !== "chunk_corrupt") throw error;
    // Damage to the store's own pages shows as an error of SQLite.
    return error instanceof Error ? error.message : String(error);
  }
}

async function* verifyFolder(
  stores: Stores,
  found: FolderHead,
  looked: Looked,
): AsyncGenerator<Finding, void> {
  const { name } = found.folder;
  const where = `folder ${name}`;
  const known = new Map<string, KnownObject>();
  const [bad, doubtful]: [Digest[], Digest[]] = [[], []];
  yield* verifyKnownObjects(stores, { ...looked, name, known, bad, doubtful });
  const context = {
    where,
    known,
    hurt: await hurtIn(stores, name, bad),
    doubtful: await hurtIn(stores, name, doubtful),
    healed: await hurtIn(stores, name, await healedIn(stores.objects)),
  };
  let isLogWhole = true;
  for await (const finding of verifyLog(stores.metadata, found, context)) {
    isLogWhole = false;
    yield finding;
  }
  if (isLogWhole) yield* verifyHistory(stores, found);
  if (bad.length > 0) yield { where, code: "repair_hope", message: await hopeFor(stores, name) };
}

async function* verifyHistory(
  { metadata, history }: Stores,
  found: FolderHead,
): AsyncGenerator<Finding, void> {
  if (history === undefined) return;
  const difference = await differenceIn({ metadata, history }, found);
  if (difference === undefined) return;
  const { name } = found.folder;
  await history.forget(name);
  const message = `Its history ${difference}; the server makes it anew`;
  yield { where: `folder ${name}`, code: "history_dropped", message };
}

async function healedIn(objects: ObjectStore): Promise<readonly Digest[]> {
  const damage = await objects.damage();
  return damage.filter(({ healedMs }) => healedMs !== undefined).map(({ digest }) => digest);
}

/** Each device is asked for what is damaged when it is there. */
async function hopeFor(
  { metadata, objects }: { readonly metadata: MetadataStore; readonly objects: ObjectStore },
  name: FolderName,
): Promise<string> {
  const damage = await objects.damage();
  const open = damage.filter(({ healedMs }) => healedMs === undefined);
  const foundMs = open.reduce((last, one) => Math.max(last, one.foundMs), 0);
  const devices = await metadata.devices(name, { limit: DEVICES_ASKED_MAX });
  const away = devices.filter(({ seenTime }) => parseTime(seenTime) < foundMs);
  if (away.length === 0) {
    return "What is missing cannot be healed: each device was asked; a backup may have it";
  }
  const names = away.map((device) => JSON.stringify(device.name)).join(", ");
  return `What is missing may still be given back by ${names}, not seen since it was found`;
}

/** Checks that each object that the folder knows is there and has the recorded meaning. */
async function* verifyKnownObjects(
  { metadata, objects }: { readonly metadata: MetadataStore; readonly objects: ObjectStore },
  {
    name,
    known,
    bad,
    doubtful,
    sound,
    share,
  }: Looked & {
    readonly name: FolderName;
    readonly known: Map<string, KnownObject>;
    /** This adds objects that cannot be had. */
    readonly bad: Digest[];
    /** This adds objects that are not what the folder knows them as. */
    readonly doubtful: Digest[];
  },
): AsyncGenerator<Finding, void> {
  let after: KnownObject | undefined;
  for (;;) {
    const page = { limit: 1000, ...(after === undefined ? {} : { after }) };
    const records = await metadata.objects(name, page);
    for (const record of records) known.set(`${record.digest}/${record.depth}`, record);
    after = records.at(-1);
    if (after === undefined) break;
  }
  for (const record of known.values()) {
    const where = `folder ${name} object ${record.digest}`;
    if (!sound.has(record.digest)) {
      bad.push(record.digest);
      await objects.miss(record.digest);
      const message = "The folder refers to it, and it is missing or damaged";
      yield { where, code: "object_missing", message };
      continue;
    }
    if (!isRead(record.digest, share)) continue;
    const message = await meaningDiffers(objects, record, known);
    if (message === undefined) continue;
    doubtful.push(record.digest);
    yield { where, code: "manifest_invalid", message };
  }
}

async function meaningDiffers(
  objects: ObjectStore,
  { digest, depth, size }: KnownObject,
  known: ReadonlyMap<string, KnownObject>,
): Promise<string | undefined> {
  const bytes = await objects.get(digest);
  if (bytes === undefined) return "It cannot be found";
  if (depth === 0) {
    return bytes.length === size ? undefined : `It has ${bytes.length} bytes, not ${size}`;
  }
  try {
    const parsed = parseManifestObject(bytes);
    if (parsed.depth !== depth) return `Its depth is ${parsed.depth}, not ${depth}`;
    if (sumOfSizes(parsed.children) !== size) return `Its children do not add up to ${size} bytes`;
    const lost = parsed.children.find(
      (child) => known.get(`${child.digest}/${depth - 1}`)?.size !== child.size,
    );
    return lost === undefined ? undefined : `Its child ${lost.digest} is not known to the folder`;
  } catch (error) {
    if (error instanceof SyncedError && error.code === "invalid_manifest") return error.message;
    throw error;
  }
}
