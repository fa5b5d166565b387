/** Which node is at a path as of a moment, and at which path a node is. Rules: E3, H40. */
import { SyncedError } from "../core/error.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";

export interface NodeRequest {
  readonly node: NodeId;
  /** @default the head */
  readonly at?: Sequence | undefined;
}

export interface NodePlace {
  readonly seq: Sequence;
  readonly node: NodeId;
  /** "" is the root. */
  readonly path: string;
}

export async function readNodeAt(
  { follower, history }: PastSources,
  folder: FolderName,
  { path, at }: { readonly path: string; readonly at?: Sequence | undefined },
): Promise<NodePlace> {
  const seq = await follower.ready(folder, at);
  if (path === "") return { seq, node: ROOT_ID, path };
  const entry = await new PastPaths(history, folder, seq).entryAt(path);
  if (entry !== undefined) return { seq, node: entry.node, path };
  throw new SyncedError("not_found", `Cannot find "${path}": nothing was there as of event ${seq}`);
}

export async function readPathOf(
  { follower, history }: PastSources,
  folder: FolderName,
  { node, at }: NodeRequest,
): Promise<NodePlace> {
  const seq = await follower.ready(folder, at);
  if (node === ROOT_ID) return { seq, node, path: "" };
  const paths = new PastPaths(history, folder, seq);
  const span = await paths.nodeAt(node);
  if (span === undefined) {
    throw new SyncedError("not_found", "Cannot find the entry: it is gone as of that event");
  }
  return { seq, node, path: await paths.pathOf(span) };
}
