/**
 * verifyLog(): finds out whether a folder's events, and the rows that follow from them, are as they
 * were written. Rules: L1, L2, L5, O1, O3, U11.
 *
 * A row that cannot be read is a finding, and the others are still looked at.
 */
import { canonicalContent, eventHash } from "../core/canonical.ts";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { EVENT_KINDS, type ServedEvent } from "../core/event.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX, TREE_NODES_PER_PAGE_MAX } from "../core/limits.ts";
import { placeKey, type RemoteNode, type Sequence, samePlace } from "../core/node.ts";
import type { FolderHead, MetadataStore } from "../ports/metadata-store.ts";
import type { KnownObject } from "../ports/object-records.ts";
import type { Finding } from "./finding.ts";
import { type Derived, Replay } from "./replay.ts";

export interface LogContext {
  /** `folder NAME` */
  readonly where: string;
  /** The folder's objects by `digest/depth`. */
  readonly known: ReadonlyMap<string, KnownObject>;
  /** Manifests and chunks that cannot be had whole. */
  readonly hurt: ReadonlySet<Digest>;
  /** Those whose rows are wrong, and manifests above them. */
  readonly doubtful: ReadonlySet<Digest>;
  /** Those that were damaged, and manifests above them. */
  readonly healed: ReadonlySet<Digest>;
}

export async function* verifyLog(
  metadata: MetadataStore,
  found: FolderHead,
  context: LogContext,
): AsyncGenerator<Finding, void> {
  const { name, genesis } = found.folder;
  const replay = new Replay();
  let last: Last = { seq: 0, hash: genesis };
  while (last.seq < found.head.seq) {
    const page = await readEvents(metadata, name, last.seq);
    for (const group of groupsOf(page.events)) {
      const derived = replay.take(group.map(withKind));
      for (const [index, event] of group.entries()) {
        const path = withKind(event) === event ? derived[index]?.path : event.path;
        yield* verifyEvent(event, path ?? event.path, { ...context, last });
        yield* verifyVersion(event, path ?? event.path, context);
        last = { seq: event.seq, hash: event.hash };
      }
      yield* verifyDerived(metadata, found.folder.name, { context, group, derived });
    }
    if (page.events.length > 0) continue;
    last = { seq: last.seq + 1, hash: undefined };
    const message = page.reason ?? "It is not there";
    yield { where: `${context.where} event ${last.seq}`, code: "chain_broken", message };
  }
  yield* verifyTree(replay, context.where);
  yield* verifyNodes(metadata, name, { where: context.where, replay });
}

interface Last {
  readonly seq: Sequence;
  /** undefined if nobody knows. */
  readonly hash: Digest | undefined;
}

/** @returns one event at a time where a page cannot be read; none if that is the one, and why */
async function readEvents(
  metadata: MetadataStore,
  name: FolderName,
  after: Sequence,
): Promise<{ readonly events: readonly ServedEvent[]; readonly reason?: string }> {
  try {
    const { events } = await metadata.events(name, { after, limit: EVENTS_PER_PAGE_MAX });
    if (events.length > 0) return { events };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
  }
  try {
    return { events: await metadata.eventsAt(name, [after + 1]) };
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    return { events: [], reason: `Its row cannot be read: ${error.message}` };
  }
}

/** SQLite reports a damaged page, and a value of another type breaks the conversion of its row. */
function isUnreadable(error: unknown): error is Error {
  return error instanceof Error && !(error instanceof SyncedError);
}

function* groupsOf(events: readonly ServedEvent[]): Generator<readonly ServedEvent[], void> {
  let group: ServedEvent[] = [];
  for (const event of events) {
    group.push(event);
    if (!event.groupEnd) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

/** A kind that is none is damage, which the hash shows. The replay takes it for one. */
function withKind(event: ServedEvent): ServedEvent {
  return EVENT_KINDS.includes(event.kind) ? event : { ...event, kind: "modify" };
}

function* verifyEvent(
  event: ServedEvent,
  path: string,
  { where: folder, known, last }: LogContext & { readonly last: Last },
): Generator<Finding, void> {
  const where = `${folder} event ${event.seq}`;
  if (event.seq !== last.seq + 1) {
    yield { where, path, code: "chain_broken", message: `It follows event ${last.seq}` };
  }
  const previousHash = last.hash ?? event.previousHash;
  const hash = eventHash(previousHash, event);
  if (event.previousHash !== previousHash || event.hash !== hash) {
    const message = `Its hash is ${event.hash}, and its fields give ${hash}`;
    yield { where, path, code: "chain_broken", message };
  }
  const { content } = event;
  if (content.kind !== "file" || content.size === 0 || event.gone === true) return;
  if (known.get(`${content.manifest}/${content.depth}`)?.size === content.size) return;
  const message = `Its content ${content.manifest} is not known to the folder`;
  yield { where, path, code: "object_missing", message };
}

/** Names each version that cannot be had whole. */
function* verifyVersion(
  { seq, kind, content, gone }: ServedEvent,
  path: string,
  { where: folder, hurt, doubtful, healed }: LogContext,
): Generator<Finding, void> {
  if (content.kind !== "file" || kind === "delete" || gone === true) return;
  const where = `${folder} event ${seq}`;
  if (hurt.has(content.manifest)) {
    const message = "The bytes of this version cannot be had whole";
    yield { where, path, code: "version_hurt", message };
  } else if (doubtful.has(content.manifest)) {
    const message = "What is recorded of the bytes of this version is wrong";
    yield { where, path, code: "version_doubtful", message };
  } else if (healed.has(content.manifest)) {
    const message = "The bytes of this version were damaged, and are whole again";
    yield { where, path, code: "version_healed", message };
  }
}

/** Checks what stands beside an event and follows from the log. */
async function* verifyDerived(
  metadata: MetadataStore,
  name: FolderName,
  {
    context,
    group,
    derived,
  }: {
    readonly context: LogContext;
    readonly group: readonly ServedEvent[];
    readonly derived: readonly Derived[];
  },
): AsyncGenerator<Finding, void> {
  const nothing = { nodes: [], places: [], deleted: [], objects: [], cursors: [] };
  const { ops } = await metadata.load(name, { ...nothing, ops: group });
  const bodies = new Map(ops.map(({ seq, body }) => [seq, body]));
  for (const [index, event] of group.entries()) {
    const expected = derived[index];
    if (expected === undefined) continue;
    const { path } = expected;
    const where = `${context.where} event ${event.seq}`;
    if (event.path !== path || event.from !== expected.from) {
      const message = `Its path is recorded as ${JSON.stringify(event.path)}`;
      yield { where, path, code: "event_differs", message };
    }
    if (bodies.get(event.seq) !== expected.body) {
      const message = "The digest of its op is not that of its fields";
      yield { where, path, code: "event_differs", message };
    }
  }
}

/** Checks O3 on the tree that the log folds to. */
function* verifyTree(replay: Replay, where: string): Generator<Finding, void> {
  const places = new Set<string>();
  const rooted = new Set<NodeId>([ROOT_ID]);
  const invalid = (node: RemoteNode, message: string): Finding => {
    const path = replay.pathOf(node);
    return { where: `${where} node ${node.id}`, path, code: "tree_invalid", message };
  };
  for (const node of replay.nodes()) {
    if (node.deleted) continue;
    const place = placeKey(node);
    if (places.has(place)) yield invalid(node, "Another node has its place");
    places.add(place);
    if (!isRooted(replay, node, rooted)) {
      yield invalid(node, "Its parents are not live directories up to the root");
    }
  }
}

/** @param rooted directories that are known to hang from the root; this adds more */
function isRooted(replay: Replay, from: RemoteNode, rooted: Set<NodeId>): boolean {
  const way = new Set<NodeId>();
  for (let id = from.parent; !rooted.has(id); ) {
    const parent = replay.get(id);
    if (parent === undefined || parent.deleted || way.has(id)) return false;
    if (parent.content.kind !== "directory") return false;
    way.add(id);
    id = parent.parent;
  }
  for (const id of way) rooted.add(id);
  return true;
}

interface Replayed {
  readonly where: string;
  readonly replay: Replay;
}

/** Checks that the stored rows are the fold of the log. */
async function* verifyNodes(
  metadata: MetadataStore,
  name: FolderName,
  { where: folder, replay }: Replayed,
): AsyncGenerator<Finding, void> {
  const seen = new Set<NodeId>();
  try {
    for await (const row of rowsOfNodes(metadata, name)) {
      seen.add(row.id);
      const node = replay.get(row.id);
      if (node !== undefined && isSameNode(node, row)) continue;
      const path = replay.pathOf(node ?? row);
      const message =
        node === undefined ? "The log does not know it" : "Its row differs from the log";
      yield { where: `${folder} node ${row.id}`, path, code: "node_differs", message };
    }
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    const message = `Not all nodes can be read: ${error.message}`;
    yield { where: folder, code: "store_damaged", message };
  }
  for (const node of replay.nodes()) {
    if (seen.has(node.id)) continue;
    const path = replay.pathOf(node);
    const message = "It has no row, or none that can be read";
    yield { where: `${folder} node ${node.id}`, path, code: "node_differs", message };
  }
}

async function* rowsOfNodes(
  metadata: MetadataStore,
  name: FolderName,
): AsyncGenerator<RemoteNode, void> {
  let after: NodeId | undefined;
  do {
    const page = { limit: TREE_NODES_PER_PAGE_MAX, tombstones: true };
    const { nodes } = await metadata.nodes(name, { ...page, ...(after && { after }) });
    yield* nodes;
    after = nodes.at(-1)?.id;
  } while (after !== undefined);
}

function isSameNode(a: RemoteNode, b: RemoteNode): boolean {
  return (
    samePlace(a, b) &&
    JSON.stringify(canonicalContent(a.content)) === JSON.stringify(canonicalContent(b.content)) &&
    a.deleted === b.deleted &&
    a.contentVersion === b.contentVersion &&
    a.placeVersion === b.placeVersion
  );
}
