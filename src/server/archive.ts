/** A directory as of any event, as the entries of a zip. Rules: E12. */
import { SyncedError } from "../core/error.ts";
import { type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import { ARCHIVE_ENTRIES_MAX, ARCHIVE_NAMES_LENGTH_MAX } from "../core/limits.ts";
import type { FileContent, Sequence } from "../core/node.ts";
import { baseName, joinPath } from "../core/path.ts";
import type { Span } from "../ports/history-store.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";

export interface ArchiveRequest {
  readonly path: string;
  /** @default the head */
  readonly at?: Sequence | undefined;
}

export type ArchiveEntry =
  | { readonly kind: "directory"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly content: FileContent }
  | { readonly kind: "text"; readonly path: string; readonly text: string };

export interface Archive {
  readonly seq: Sequence;
  /** Of the directory; the folder's name for the root. */
  readonly name: string;
  /** Directories before what is in them. Symlinks are told in a text, since few tools make them. */
  readonly entries: readonly ArchiveEntry[];
  /** Of all paths and link targets. */
  readonly namesLength: number;
}

const EVENTS_PER_READ = 500;
const SYMLINKS_FILE = "SYMLINKS.txt";

/** @throws {SyncedError} `not_found`, `archive_too_large` */
export async function readArchive(
  sources: PastSources,
  folder: FolderName,
  { path, at: asked }: ArchiveRequest,
): Promise<Archive> {
  const { follower, history, clock } = sources;
  const at = await follower.ready(folder, asked);
  const top = await new PastPaths(history, folder, at).directoryAt(path);
  const waiting = [{ id: top, path: "" }];
  const found: { readonly path: string; readonly span: Span }[] = [];
  const names = new NamesLength(path);
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const limit = ARCHIVE_ENTRIES_MAX + 1 - found.length;
    for (const span of await rowsOf(sources, folder, { parent: next.id, at, limit })) {
      const own = joinPath(next.path, span.name);
      names.add(own);
      found.push({ path: own, span });
      if (span.kind === "directory") waiting.push({ id: span.node, path: own });
    }
    if (found.length > ARCHIVE_ENTRIES_MAX) {
      throw tooLarge(path, `it has more than ${ARCHIVE_ENTRIES_MAX} entries`);
    }
    await clock.yield();
  }
  const name = top === ROOT_ID ? folder : baseName(path);
  const entries = await entriesOf(sources, folder, { found, names });
  return { seq: at, name, entries, namesLength: names.length };
}

/** Adds up names, which stand in memory as long as the zip is sent. */
class NamesLength {
  length = 0;
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws {SyncedError} `archive_too_large` */
  add(name: string): void {
    this.length += name.length;
    if (this.length <= ARCHIVE_NAMES_LENGTH_MAX) return;
    throw tooLarge(this.#path, "the names and link targets in it are too long together");
  }
}

function tooLarge(path: string, claim: string): SyncedError {
  const message = `Cannot pack "${path}": ${claim}; take a directory at a time`;
  return new SyncedError("archive_too_large", message);
}

async function rowsOf(
  { history }: PastSources,
  folder: FolderName,
  { parent, at, limit }: { readonly parent: NodeId; readonly at: Sequence; readonly limit: number },
): Promise<readonly Span[]> {
  const order = { sort: "name", descending: false, offset: 0 } as const;
  return await history.list(folder, { parent, at, withDeleted: false, ...order, limit });
}

interface Found {
  readonly found: readonly { readonly path: string; readonly span: Span }[];
  readonly names: NamesLength;
}

async function entriesOf(
  { metadata, clock }: PastSources,
  folder: FolderName,
  { found, names }: Found,
): Promise<readonly ArchiveEntry[]> {
  const entries: ArchiveEntry[] = [];
  const symlinks: string[] = [];
  for (let start = 0; start < found.length; start += EVENTS_PER_READ) {
    const part = found.slice(start, start + EVENTS_PER_READ);
    const events = await metadata.eventsAt(
      folder,
      part.map(({ span }) => span.from),
    );
    for (const [index, { path }] of part.entries()) {
      const content = events[index]?.content;
      if (content?.kind === "file") entries.push({ kind: "file", path, content });
      if (content?.kind === "directory") entries.push({ kind: "directory", path });
      if (content?.kind !== "symlink") continue;
      names.add(content.target);
      symlinks.push(`${path} -> ${content.target}\n`);
    }
    await clock.yield();
  }
  if (symlinks.length === 0) return entries;
  const paths = new Set(found.map(({ path }) => path));
  let path = SYMLINKS_FILE;
  while (paths.has(path)) path = `_${path}`;
  return [...entries, { kind: "text", path, text: symlinks.join("") }];
}
