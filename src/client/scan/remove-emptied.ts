/**
 * Removes left-over directories that hold nothing any more, because everybody has deleted them.
 * Rules: A8, D4.
 */
import { FileSystemError } from "../../ports/filesystem.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { Emptied } from "./run.ts";

/** Removes each, unless something has come into it since, or another directory stands there. */
export function removeEmptied(
  { fs, store }: Pick<ClientPorts, "fs" | "store">,
  emptied: readonly Emptied[],
): void {
  for (const { path, identity } of emptied) {
    try {
      if (fs.stat(path)?.identity !== identity) continue;
      if (fs.removeDirectory(path) === "removed") store.setLeftover(identity, false);
    } catch (error) {
      // It stays, empty, until a later scan.
      if (!(error instanceof FileSystemError)) throw error;
    }
  }
}
