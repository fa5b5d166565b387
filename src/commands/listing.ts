/** Reads directories as of one moment, page by page. Rules: E3. */
import { SyncedError } from "../core/error.ts";
import { HISTORY_ROWS_PER_PAGE_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { baseName, joinPath, parentPath } from "../core/path.ts";
import { printableName } from "../core/printable.ts";
import type { PastApi } from "../protocol/past-api.ts";
import type { ListEntry, Version } from "../protocol/time-answers.ts";

export interface Listed {
  readonly entry: ListEntry;
  /** Where it is; "" is the root. */
  readonly directory: string;
  /** As of which event. */
  readonly seq: Sequence;
}

export interface ListingRequest {
  readonly path: string;
  /** @default the head, the same for all that is read */
  readonly at?: Sequence | undefined;
  readonly isRecursive: boolean;
  readonly withDeleted: boolean;
}

/** Yields a directory before what is in it, by name. Of a file's path, that one entry. */
export async function* readEntries(
  api: PastApi,
  request: ListingRequest,
): AsyncGenerator<Listed, void, undefined> {
  let isListed = false;
  try {
    for await (const listed of readDirectories(api, request)) {
      isListed = true;
      yield listed;
    }
  } catch (error) {
    const isFile = error instanceof SyncedError && error.code === "not_found" && !isListed;
    if (!isFile || request.path === "") throw error;
    const place = { path: parentPath(request.path), isRecursive: false };
    const name = baseName(request.path);
    for await (const listed of readDirectories(api, { ...request, ...place })) {
      if (listed.entry.name === name) return yield listed;
    }
    throw error;
  }
}

async function* readDirectories(
  api: PastApi,
  { path, at: asked, isRecursive, withDeleted }: ListingRequest,
): AsyncGenerator<Listed, void, undefined> {
  const deleted = withDeleted ? 1 : 0;
  const waiting = [path];
  let at = asked;
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    const below: string[] = [];
    for (let offset: number | undefined = 0; offset !== undefined; ) {
      const limit = HISTORY_ROWS_PER_PAGE_MAX;
      const page = await api.list({ path: directory, at, deleted, limit, offset });
      at ??= page.seq;
      for (const entry of page.entries) {
        yield { entry, directory, seq: at };
        const isOpen = entry.kind === "directory" && entry.deleted === undefined;
        if (isRecursive && isOpen) below.push(joinPath(directory, entry.name));
      }
      offset = page.next;
    }
    for (const one of below.toReversed()) waiting.push(one);
  }
}

/**
 * The state of a file as of a moment, with its digest.
 *
 * @throws {SyncedError} `not_found`, which says where it was last if it is gone
 */
export async function fileAt(
  api: PastApi,
  { path, at }: { readonly path: string; readonly at: Sequence },
): Promise<Version> {
  const { versions } = await api.history({ path, at, before: at + 1, limit: 1 });
  const [version] = versions;
  if (version?.sha256 !== undefined) return version;
  const shown = printableName(path);
  if (version !== undefined && version.kind !== "delete") {
    throw new SyncedError("usage", `Cannot read "${shown}": it is not a file`);
  }
  const { versions: former } = await api.history({ path, before: at + 1, limit: 1 });
  throw new SyncedError(
    "not_found",
    `There was no "${shown}" at event ${at}: ${former[0] === undefined ? "nor before" : since(former[0])}`,
  );
}

/** Where what was at a path went. Of a directory above it that left, its own events say nothing. */
function since({ seq, kind, sha256, deviceName }: Version): string {
  const who = printableName(deviceName);
  if (kind !== "delete" && sha256 !== undefined) return `its latest version there is event ${seq}`;
  return `${who} took it away in event ${seq}; as of ${seq - 1} it was there`;
}
