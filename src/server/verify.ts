/**
 * verifyData(): finds out whether the server's data is as it was written. Reads all of it and
 * changes nothing. Rules: L1, L2, L5, C5, O6, I37.
 *
 * Nobody may write to the stores meanwhile. `synced verify` opens the data directory under its
 * lock, so it is refused with `data_in_use` while a server runs.
 */
import { eventHash } from "../core/canonical.ts";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { Cursor, ServedEvent } from "../core/event.ts";
import { foldEvent } from "../core/fold.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX, TREE_NODES_PER_PAGE_MAX } from "../core/limits.ts";
import { parseManifestObject, sumOfSizes } from "../core/manifest.ts";
import { type RemoteNode, sameContent, samePlace } from "../core/node.ts";
import type { FolderHead, MetadataStore } from "../ports/metadata-store.ts";
import type { KnownObject } from "../ports/object-records.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import { hurtIn } from "./hurt-objects.ts";

interface Looked {
  readonly sound: ReadonlySet<Digest>;
  readonly share: ReadShare;
}

export interface Finding {
  /** `folder NAME`, `folder NAME event N`, `folder NAME event N path PATH`, `folder NAME node ID`, `object DIGEST` or `store`. */
  readonly where: string;
  readonly code: FindingCode;
  readonly message: string;
}

export type FindingCode =
  | "store_damaged"
  | "chain_broken"
  | "node_differs"
  | "tree_invalid"
  | "object_missing"
  | "object_damaged"
  | "version_hurt"
  | "manifest_invalid";

/** Which objects are read. The others must be there. */
export interface ReadShare {
  /** 1 reads all. */
  readonly of: number;
  /** From 0 to `of` - 1: which part, of digests that are as many in each. */
  readonly part: number;
}

/** @returns every finding when it is found; none if all is as it was written */
export async function* verifyData(
  stores: { readonly metadata: MetadataStore; readonly objects: ObjectStore },
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
    if (error instanceof SyncedError && error.code === "chunk_corrupt") return error.message;
    throw error;
  }
}

async function* verifyFolder(
  stores: { readonly metadata: MetadataStore; readonly objects: ObjectStore },
  found: FolderHead,
  looked: Looked,
): AsyncGenerator<Finding, void> {
  const { name } = found.folder;
  const where = `folder ${name}`;
  const known = new Map<string, KnownObject>();
  const bad: Digest[] = [];
  yield* verifyKnownObjects(stores, { ...looked, name, known, bad });
  const hurt = await hurtIn(stores, name, bad);
  const tree = new Map<NodeId, RemoteNode>();
  let cursor: Cursor = { ...found.head, seq: 0, hash: found.folder.genesis };
  while (cursor.seq < found.head.seq) {
    const page = { after: cursor.seq, limit: EVENTS_PER_PAGE_MAX };
    const { events } = await stores.metadata.events(name, page);
    if (events.length === 0) {
      const message = `No events after ${cursor.seq}; the head is ${found.head.seq}`;
      yield { where, code: "chain_broken", message };
      break;
    }
    for (const event of events) {
      yield* verifyEvent(event, { where, cursor, known });
      yield* verifyVersion(event, where, hurt);
      tree.set(event.node, foldEvent(event));
      cursor = { ...cursor, seq: event.seq, hash: event.hash };
    }
  }
  yield* verifyTree(tree, where);
  yield* verifyNodes(stores.metadata, name, tree);
}

/** Checks that each object that the folder knows is there and has the recorded meaning. */
async function* verifyKnownObjects(
  { metadata, objects }: { readonly metadata: MetadataStore; readonly objects: ObjectStore },
  {
    name,
    known,
    bad,
    sound,
    share,
  }: Looked & {
    readonly name: FolderName;
    readonly known: Map<string, KnownObject>;
    /** This adds objects that cannot be had. */
    readonly bad: Digest[];
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
    if (message !== undefined) yield { where, code: "manifest_invalid", message };
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

/** Names each version that cannot be had whole. */
function* verifyVersion(
  { seq, path, kind, content, gone }: ServedEvent,
  where: string,
  hurt: ReadonlySet<Digest>,
): Generator<Finding, void> {
  if (content.kind !== "file" || kind === "delete" || gone === true) return;
  if (!hurt.has(content.manifest)) return;
  const message = `The bytes of ${JSON.stringify(path)} as of this event cannot be had whole`;
  yield { where: `${where} event ${seq}`, code: "version_hurt", message };
}

function* verifyEvent(
  event: ServedEvent,
  context: {
    readonly where: string;
    readonly cursor: Cursor;
    readonly known: ReadonlyMap<string, KnownObject>;
  },
): Generator<Finding, void> {
  const where = `${context.where} event ${event.seq}`;
  const { seq, hash: previousHash } = context.cursor;
  if (event.seq !== seq + 1) {
    yield { where, code: "chain_broken", message: `It follows event ${seq}` };
  }
  const hash = eventHash(previousHash, event);
  if (event.previousHash !== previousHash || event.hash !== hash) {
    const message = `Its hash is ${event.hash}, and its fields give ${hash}`;
    yield { where, code: "chain_broken", message };
  }
  const { content } = event;
  if (content.kind !== "file" || content.size === 0 || event.gone === true) return;
  if (context.known.get(`${content.manifest}/${content.depth}`)?.size === content.size) return;
  const message = `Its content ${content.manifest} is not known to the folder`;
  yield { where, code: "object_missing", message };
}

/** Checks O3 on the tree that the log folds to. */
function* verifyTree(
  tree: ReadonlyMap<NodeId, RemoteNode>,
  where: string,
): Generator<Finding, void> {
  const places = new Set<string>();
  const rooted = new Set<NodeId>([ROOT_ID]);
  for (const node of tree.values()) {
    if (node.deleted) continue;
    const place = `${node.parent}/${node.name}`;
    if (places.has(place)) yield invalidNode(where, node, "Another node has its place");
    places.add(place);
    if (!isRooted(tree, node, rooted)) {
      yield invalidNode(where, node, "Its parents are not live directories up to the root");
    }
  }
}

/** @param rooted directories that are known to hang from the root; this adds more */
function isRooted(
  tree: ReadonlyMap<NodeId, RemoteNode>,
  from: RemoteNode,
  rooted: Set<NodeId>,
): boolean {
  const way = new Set<NodeId>();
  for (let id = from.parent; !rooted.has(id); ) {
    const parent = tree.get(id);
    if (parent === undefined || parent.deleted || way.has(id)) return false;
    if (parent.content.kind !== "directory") return false;
    way.add(id);
    id = parent.parent;
  }
  for (const id of way) rooted.add(id);
  return true;
}

function invalidNode(where: string, node: RemoteNode, message: string): Finding {
  return { where: `${where} node ${node.id}`, code: "tree_invalid", message };
}

/** Checks that the stored rows are the fold of the log. */
async function* verifyNodes(
  metadata: MetadataStore,
  name: FolderName,
  tree: ReadonlyMap<NodeId, RemoteNode>,
): AsyncGenerator<Finding, void> {
  let after: NodeId | undefined;
  let rowCount = 0;
  for (;;) {
    const page = { limit: TREE_NODES_PER_PAGE_MAX, tombstones: true };
    const { nodes } = await metadata.nodes(name, { ...page, ...(after && { after }) });
    for (const node of nodes) {
      rowCount += 1;
      const folded = tree.get(node.id);
      if (folded !== undefined && isSameNode(folded, node)) continue;
      const message = "Its row differs from the log";
      yield { where: `folder ${name} node ${node.id}`, code: "node_differs", message };
    }
    after = nodes.at(-1)?.id;
    if (after === undefined) break;
  }
  if (rowCount >= tree.size) return;
  const message = `${tree.size - rowCount} nodes of the log have no row`;
  yield { where: `folder ${name}`, code: "node_differs", message };
}

function isSameNode(a: RemoteNode, b: RemoteNode): boolean {
  return (
    samePlace(a, b) &&
    sameContent(a.content, b.content) &&
    a.deleted === b.deleted &&
    a.contentVersion === b.contentVersion &&
    a.placeVersion === b.placeVersion
  );
}
