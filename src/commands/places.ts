/** Where a server's data are, from flags, files and the environment. Rules: P1, P7. */
import { readFileSync } from "node:fs";
import type { BucketPlace } from "../adapters/bucket/address.ts";
import { reasonOf } from "../adapters/disk/system-error.ts";
import { SyncedError } from "../core/error.ts";
import { textFlag } from "./flags.ts";

/**
 * A URL with a password in it, from the flag or from the file that the flag's twin names.
 *
 * @throws {SyncedError} `usage` if both are set, or the file cannot be read
 */
export function readUrl(
  name: string,
  { url, file }: { readonly url: string | undefined; readonly file: string | undefined },
): string | undefined {
  if (file === undefined) return url;
  if (url === undefined) return readSecret(file, "the URL's file");
  throw new SyncedError("usage", `Cannot use both --${name} and --${name}-file: name one`);
}

export const metadataFlags = {
  "metadata-url": textFlag(
    "metadata-url",
    "URL",
    "PostgreSQL, postgres://USER:PASSWORD@HOST/DATABASE",
  ),
  "metadata-url-file": textFlag("metadata-url-file", "FILE", "File that holds that URL"),
} as const;

export function readMetadataUrl(flags: {
  readonly "metadata-url"?: string | undefined;
  readonly "metadata-url-file"?: string | undefined;
}): string | undefined {
  return readUrl("metadata-url", {
    url: flags["metadata-url"],
    file: flags["metadata-url-file"],
  });
}

/** @throws {SyncedError} `usage` if there is no key, or its file cannot be read */
export function readBucket(
  flags: {
    readonly "bucket-url"?: string | undefined;
    readonly "bucket-key-file"?: string | undefined;
  },
  environment: Readonly<Record<string, string | undefined>>,
): BucketPlace | undefined {
  const { "bucket-url": url, "bucket-key-file": file } = flags;
  if (url === undefined) return undefined;
  const key =
    file === undefined ? environment["SYNCED_BUCKET_KEY"] : readSecret(file, "the key's file");
  if (key !== undefined) return { url, key };
  const advice = "set SYNCED_BUCKET_KEY, or name a file with --bucket-key-file";
  throw new SyncedError("usage", `Cannot use a bucket without its key: ${advice}`);
}

function readSecret(file: string, what: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    const message = `Cannot read ${what} "${file}": ${reasonOf(cause)}`;
    throw new SyncedError("usage", message, { cause });
  }
}
