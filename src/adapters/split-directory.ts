/**
 * A server's data directory whose metadata are in PostgreSQL: objects, tokens and the derived
 * history stay in it. Rules: P6, O7, I44.
 *
 * Its `format` names the server that the database holds. Another database, or another directory,
 * would make garbage of all objects.
 */
import { SyncedError } from "../core/error.ts";
import type { ServerId } from "../core/identifier.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import { type DataDirectory, enterData, openBeside } from "./data-directory.ts";
import { readFormat, writeFormat } from "./data-format.ts";
import { openPostgresMetadataStore } from "./postgres-metadata/store.ts";
import { systemRandom } from "./runtime/random.ts";

/**
 * Opens or creates it.
 *
 * @throws {SyncedError} `usage` if the directory has metadata of its own; as `openDataDirectory`
 * and `openPostgresMetadataStore` do
 */
export async function openSplitDirectory(
  path: string,
  { metadataUrl }: { readonly metadataUrl: string },
): Promise<DataDirectory> {
  requireNoOwnMetadata(path);
  const { unlock } = enterData(path);
  let metadata: MetadataStore;
  try {
    metadata = await openBoundMetadata(path, metadataUrl);
  } catch (error) {
    unlock();
    throw error;
  }
  return openBeside(path, metadata, unlock);
}

/** The directory is bound to the database before anything is written to either. */
async function openBoundMetadata(path: string, url: string): Promise<MetadataStore> {
  const format = readFormat(path);
  const serverId = format.kind === "objects" ? format.serverId : systemRandom.id<ServerId>();
  const isBound = format.kind === "objects" && format.isBound;
  if (!isBound) writeFormat(path, { kind: "objects", serverId, isBound: false });
  const metadata = await openPostgresMetadataStore({ url, serverId, isNew: !isBound });
  if (!isBound) writeFormat(path, { kind: "objects", serverId, isBound: true });
  return metadata;
}

function requireNoOwnMetadata(path: string): void {
  if (readFormat(path).kind !== "whole") return;
  const claim = "it has metadata of its own; leave --metadata-url out, or name another directory";
  throw new SyncedError("usage", `Cannot use "${path}" with PostgreSQL: ${claim}`);
}
