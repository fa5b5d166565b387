/**
 * History of a path: the events of all nodes that ever stood there, one node after the other.
 * Rules: H14, L5.
 *
 * Programs save by deleting a file and making it anew, so a path's versions belong to many nodes.
 * The node that is there now, or was last, is followed back across its renames. Of the nodes before
 * it the history has their time in this place, and where they went.
 */

import type { ServedEvent } from "../core/event.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import { HISTORY_DIRECTORIES_MAX } from "../core/limits.ts";
import { type Place, type Sequence, samePlace } from "../core/node.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { Version } from "../protocol/time-answers.ts";
import { readDeviceNames } from "./device-names.ts";
import { headOf, legalNames, nodeAt, nodesAlong } from "./path-reads.ts";
import type { HistoryPage, HistoryRequest } from "./requests.ts";
import { shownContent, type Touched, touchesOf } from "./touches.ts";

/** A node's last stay at a place or path. */
interface Stay {
  readonly node: NodeId;
  /** The seq of the event with which the stay ended. */
  readonly until: Sequence;
}

/** An event, and whether it took the node away from the path. */
type Found = ServedEvent & { readonly hasLeft?: boolean };

/** @throws {SyncedError} `folder_not_found`; `cursor_ahead` if `at` is beyond the head */
export async function readHistory(
  metadata: MetadataStore,
  folder: FolderName,
  request: HistoryRequest,
): Promise<HistoryPage> {
  const found = await versionsOf(metadata, folder, request);
  const names = await readDeviceNames(metadata, folder);
  const touched = await touchesOf(metadata, folder, { events: found, names });
  const versions = touched.map(({ event, touch }, index) => {
    return toVersion({ event, touch, hasLeft: found[index]?.hasLeft === true });
  });
  const next = versions.length < request.limit ? undefined : versions.at(-1)?.seq;
  return next === undefined || next <= 1 ? { versions } : { versions, next };
}

async function versionsOf(
  metadata: MetadataStore,
  folder: FolderName,
  request: HistoryRequest,
): Promise<readonly Found[]> {
  const { of, limit, before = Number.MAX_SAFE_INTEGER } = request;
  await headOf(metadata, folder, "at" in of ? of.at : undefined);
  if ("id" in of) return await metadata.history(folder, { node: of.id, before, limit });
  if (of.at === undefined) return await versionsAtPath(metadata, folder, { ...of, before, limit });
  const node = await nodeAt(metadata, folder, { path: of.path, seq: of.at });
  if (node === undefined) return [];
  return await metadata.history(folder, { node: node.id, before, limit });
}

/** The events of all that ever stood at the path. */
async function versionsAtPath(
  metadata: MetadataStore,
  folder: FolderName,
  request: { readonly path: string; readonly before: Sequence; readonly limit: number },
): Promise<readonly Found[]> {
  const names = legalNames(request.path);
  const name = names?.at(-1);
  if (names === undefined || name === undefined) return [];
  const { limit, before } = request;
  const directories = await staysOfDirectory(metadata, folder, names.slice(0, -1));
  const last = await lastStay(metadata, folder, { names, name, directories });
  if (last === undefined) return [];

  const page = { node: last.node, before: Math.min(before, last.until), limit };
  let found: readonly Found[] = await metadata.history(folder, page);
  for (const { node: parent, until } of directories) {
    const isFull = found.length === limit;
    if (isFull && until <= (found.at(-1)?.seq ?? 0)) break;
    const place = { parent, name };
    const stay = { place, before: Math.min(before, until), limit };
    const events = await metadata.placeHistory(folder, stay);
    const there = events.map((event) => ({ ...event, hasLeft: !samePlace(event, place) }));
    found = newest([...there, ...found], limit);
  }
  return found;
}

/**
 * All directories that ever stood at the path, each with the seq at which it last left. The latest
 * come first, and the number is limited.
 */
async function staysOfDirectory(
  metadata: MetadataStore,
  folder: FolderName,
  names: readonly string[],
): Promise<readonly Stay[]> {
  let stays: readonly Stay[] = [{ node: ROOT_ID, until: Number.MAX_SAFE_INTEGER }];
  for (const name of names) {
    const below: Stay[] = [];
    for (const { node, until } of stays) {
      const place = { parent: node, name };
      const limit = HISTORY_DIRECTORIES_MAX - below.length;
      if (limit === 0) break;
      const events = await metadata.placeHistory(folder, { place, before: until, limit });
      const directories = events.filter(({ content }) => content.kind === "directory");
      for (const stay of staysAt(place, directories, until)) below.push(stay);
    }
    stays = below.sort((a, b) => b.until - a.until);
  }
  return stays;
}

/** @param events the events of one place, newest first. */
function staysAt(place: Place, events: readonly ServedEvent[], until: Sequence): Stay[] {
  const stays = new Map<NodeId, Stay>();
  for (const event of events) {
    if (stays.has(event.node)) continue;
    const hasLeft = event.kind === "delete" || !samePlace(event, place);
    stays.set(event.node, { node: event.node, until: hasLeft ? event.seq : until });
  }
  return [...stays.values()];
}

/** The node that stands there now; else the node that left last. */
async function lastStay(
  metadata: MetadataStore,
  folder: FolderName,
  path: {
    readonly names: readonly string[];
    readonly name: string;
    readonly directories: readonly Stay[];
  },
): Promise<Stay | undefined> {
  const nodes = await nodesAlong(metadata, folder, path);
  const live = nodes.length === path.names.length ? nodes.at(-1) : undefined;
  if (live !== undefined) return { node: live.id, until: Number.MAX_SAFE_INTEGER };
  for (const { node: parent, until } of path.directories) {
    const place = { parent, name: path.name };
    const [event] = await metadata.placeHistory(folder, { place, before: until, limit: 1 });
    if (event === undefined) continue;
    return { node: event.node, until: samePlace(event, place) ? event.seq + 1 : event.seq };
  }
  return undefined;
}

/** The newest events. If an event is there twice, the later one in the list counts. */
function newest(events: readonly Found[], limit: number): readonly Found[] {
  const bySeq = new Map(events.map((event) => [event.seq, event]));
  return [...bySeq.values()].sort((a, b) => b.seq - a.seq).slice(0, limit);
}

function toVersion({ event, touch, hasLeft }: Touched & { readonly hasLeft: boolean }): Version {
  const { kind, node: id, path, from, content } = event;
  const version = { ...touch, kind, id, path, ...(from === undefined ? {} : { from }) };
  if (content.kind !== "file" || kind === "delete" || hasLeft) return version;
  const gone = event.gone === true ? { gone: true } : {};
  return { ...version, ...shownContent(content), ...gone };
}
