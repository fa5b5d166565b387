/** Reads by path: finds the node at a path and lists the nodes below it. Rules: L5, H4, H7. */

import { SyncedError } from "../core/error.ts";
import type { Cursor } from "../core/event.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import type { FileContent, RemoteNode, Sequence } from "../core/node.ts";
import { joinPath, parsePath } from "../core/path.ts";
import type { FolderHead, MetadataStore } from "../ports/metadata-store.ts";
import type { IndexPage, IndexRequest, PathNode } from "./requests.ts";

/** @throws {SyncedError} `folder_not_found` */
export async function requireFolder(
  metadata: MetadataStore,
  name: FolderName,
): Promise<FolderHead> {
  const found = await metadata.folder(name);
  if (found !== undefined) return found;
  throw new SyncedError("folder_not_found", `Cannot find folder "${name}"`);
}

/** True if the bytes belong to no version that is kept (U7), also while they still lie there. */
export async function isGone(
  metadata: MetadataStore,
  folder: FolderName,
  { sha256, size }: FileContent,
): Promise<boolean> {
  return size > 0 && (await metadata.contentBySha256(folder, sha256))?.gone === true;
}

/** @returns the names along the path; undefined for "" and for every illegal path */
export function legalNames(path: string): readonly string[] | undefined {
  try {
    return parsePath(path);
  } catch (error) {
    if (error instanceof SyncedError) return undefined;
    throw error;
  }
}

/**
 * The live nodes along a path, beginning with the root's child, up to the first name that does not
 * exist.
 */
export async function nodesAlong(
  metadata: MetadataStore,
  folder: FolderName,
  at: { readonly names: readonly string[]; readonly seq?: Sequence },
): Promise<readonly RemoteNode[]> {
  const nodes: RemoteNode[] = [];
  let parent: NodeId = ROOT_ID;
  for (const name of at.names) {
    const node = await metadata.child(folder, { parent, name }, at.seq);
    if (node === undefined) break;
    nodes.push(node);
    parent = node.id;
  }
  return nodes;
}

/** @throws {SyncedError} `folder_not_found`; `cursor_ahead` if `seq` is beyond the head */
export async function nodeAt(
  metadata: MetadataStore,
  folder: FolderName,
  at: { readonly path: string; readonly seq?: Sequence },
): Promise<RemoteNode | undefined> {
  await headOf(metadata, folder, at.seq);
  const names = legalNames(at.path);
  if (names === undefined) return undefined;
  const nodes = await nodesAlong(metadata, folder, { ...at, names });
  return nodes.length === names.length ? nodes.at(-1) : undefined;
}

/** One page of all paths, depth first. */
export async function readIndex(
  metadata: MetadataStore,
  folder: FolderName,
  request: IndexRequest,
): Promise<IndexPage> {
  const { epoch, seq } = await headOf(metadata, folder, request.seq);
  const first = await walkIndex(metadata, folder, request);
  const after = await headOf(metadata, folder, undefined);
  // The current rows are quicker to read. But several reads see one moment only if nothing was
  // committed between them.
  const entries =
    request.seq === undefined && after.seq !== seq
      ? await walkIndex(metadata, folder, { ...request, seq })
      : first;
  const page = { folder, epoch, seq: request.seq ?? seq, entries: entries.slice(0, request.limit) };
  const next = entries.length > request.limit ? page.entries.at(-1)?.path : undefined;
  return next === undefined ? page : { ...page, next };
}

/** @throws {SyncedError} `folder_not_found`; `cursor_ahead` if `seq` is beyond the head */
export async function headOf(
  metadata: MetadataStore,
  folder: FolderName,
  seq: Sequence | undefined,
): Promise<Cursor> {
  const { head } = await requireFolder(metadata, folder);
  if (seq === undefined || seq <= head.seq) return head;
  const claim = `the head is ${head.seq}`;
  throw new SyncedError("cursor_ahead", `Cannot read as of event ${seq}: ${claim}`);
}

/** A directory on the way down, with its children that were fetched and not visited yet. */
interface Frame {
  readonly id: NodeId;
  readonly path: string;
  /** In reverse order: the next child is last. */
  ready: RemoteNode[];
  after: string | undefined;
  isExhausted: boolean;
}

/** Entries after `request.after`: one more than `limit`, if there are so many. */
async function walkIndex(
  metadata: MetadataStore,
  folder: FolderName,
  request: IndexRequest,
): Promise<readonly PathNode[]> {
  const { seq, limit } = request;
  const at = seq === undefined ? {} : { seq };
  const stack = await framesAfter(metadata, folder, request);
  const entries: PathNode[] = [];
  for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
    if (frame.ready.length === 0 && !frame.isExhausted) {
      const wanted = limit + 1 - entries.length;
      const after = frame.after === undefined ? {} : { after: frame.after };
      const page = { parent: frame.id, limit: wanted, ...after, ...at };
      const found = await metadata.children(folder, page);
      frame.isExhausted = found.length < wanted;
      frame.after = found.at(-1)?.name;
      frame.ready = found.toReversed();
    }
    const node = frame.ready.pop();
    if (node === undefined) {
      stack.pop();
      continue;
    }
    const path = joinPath(frame.path, node.name);
    entries.push({ path, node });
    if (entries.length > limit) break;
    if (node.content.kind === "directory") stack.push(newFrame(node.id, path, undefined));
  }
  return entries;
}

/** The directories on the way to `after`. Each continues behind the name that leads there. */
async function framesAfter(
  metadata: MetadataStore,
  folder: FolderName,
  request: IndexRequest,
): Promise<Frame[]> {
  const names = request.after === undefined ? [] : parsePath(request.after);
  const at = request.seq === undefined ? { names } : { names, seq: request.seq };
  const nodes = await nodesAlong(metadata, folder, at);
  const frames = [newFrame(ROOT_ID, "", names[0])];
  for (const [index, node] of nodes.entries()) {
    if (node.content.kind !== "directory") break;
    const path = names.slice(0, index + 1).join("/");
    frames.push(newFrame(node.id, path, names[index + 1]));
  }
  return frames;
}

function newFrame(id: NodeId, path: string, after: string | undefined): Frame {
  return { id, path, ready: [], after, isExhausted: false };
}
