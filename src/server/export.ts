/**
 * exportTree(): writes a folder as of one event into an empty directory, as plain files with their
 * executable bits and times. Rules: U10.
 */
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { TREE_NODES_PER_PAGE_MAX } from "../core/limits.ts";
import type { FileContent, Sequence } from "../core/node.ts";
import type { FileSystem } from "../ports/filesystem.ts";
import type { PathNode } from "./requests.ts";
import type { Sequencer } from "./sequencer.ts";

export interface ExportParts {
  readonly sequencer: Pick<Sequencer, "index" | "readContent">;
  /** Of the empty directory. */
  readonly fs: FileSystem;
  /** Removes a file that could not be written whole. */
  readonly discard: (path: string) => void;
}

export interface Exported {
  readonly files: number;
  readonly directories: number;
  readonly symlinks: number;
  readonly bytes: number;
  /** Files that cannot be had: one message each, with the path. */
  readonly missing: readonly string[];
}

/** Durable when it resolves. @throws {SyncedError} `folder_not_found`, `cursor_ahead` */
export async function exportTree(
  parts: ExportParts,
  { folder, seq }: { readonly folder: FolderName; readonly seq: Sequence },
): Promise<Exported> {
  const counts = { files: 0, directories: 0, symlinks: 0, bytes: 0 };
  const missing: string[] = [];
  let after: string | undefined;
  do {
    const page = await parts.sequencer.index(folder, {
      seq,
      limit: TREE_NODES_PER_PAGE_MAX,
      ...(after === undefined ? {} : { after }),
    });
    const written: string[] = [];
    for (const entry of page.entries) {
      const trouble = await writeEntry(parts, folder, entry);
      if (trouble !== undefined) {
        missing.push(trouble);
        continue;
      }
      written.push(entry.path);
      const { content } = entry.node;
      if (content.kind === "file") counts.bytes += content.size;
      counts[COUNT_OF[content.kind]] += 1;
    }
    const [failed] = await parts.fs.sync(["", ...written]);
    if (failed !== undefined) throw failed;
    after = page.next;
  } while (after !== undefined);
  return { ...counts, missing };
}

const COUNT_OF = { file: "files", directory: "directories", symlink: "symlinks" } as const;

/** @returns why the bytes cannot be had */
async function writeEntry(
  parts: ExportParts,
  folder: FolderName,
  { path, node: { content } }: PathNode,
): Promise<string | undefined> {
  switch (content.kind) {
    case "directory":
      require(parts.fs.makeDirectory(path), path);
      return undefined;
    case "symlink":
      require(parts.fs.makeSymlink(path, content.target), path);
      return undefined;
    case "file":
      return await writeFile(parts, folder, { path, content });
  }
}

/** On a file system that folds names the second of two twins finds the first. */
function require(outcome: "made" | "exists", path: string): void {
  if (outcome === "made") return;
  throw new SyncedError("name_collision", `Cannot write "${path}": it is there already`, { path });
}

async function writeFile(
  { sequencer, fs, discard }: ExportParts,
  folder: FolderName,
  { path, content }: { readonly path: string; readonly content: FileContent },
): Promise<string | undefined> {
  const writer = fs.createFile(path);
  try {
    for await (const piece of await sequencer.readContent(folder, content)) writer.write(piece);
    writer.setMetadata(content);
    return undefined;
  } catch (error) {
    if (!(error instanceof SyncedError)) throw error;
    discard(path);
    return `${path}: ${error.message}`;
  } finally {
    writer.close();
  }
}
