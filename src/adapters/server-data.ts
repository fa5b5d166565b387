/** Opens what a server keeps, wherever its metadata and its objects are. Rules: P1, P6, P7. */
import { join } from "node:path";
import { SyncedError } from "../core/error.ts";
import type { BucketPlace } from "./bucket/address.ts";
import { type DataDirectory, openDataDirectory } from "./data-directory.ts";
import { hasMetadataElsewhere } from "./data-format.ts";
import { type ReportedDevice, readReportedDevices } from "./metadata/device-reports.ts";

export interface ServerDataPlaces {
  /** `postgres://...`; absent for metadata in the directory. */
  readonly metadataUrl?: string;
  /** Absent for objects in the directory. */
  readonly bucket?: BucketPlace;
  /** True if other servers use the same database and bucket. @default false */
  readonly isShared?: boolean;
  /** Of the same database without a pooler. @default `metadataUrl` */
  readonly metadataListenUrl?: string;
}

/** @throws {SyncedError} `usage`; as `openDataDirectory` and `openSplitDirectory` do */
export async function openServerData(
  path: string,
  { metadataUrl, bucket, isShared = false, metadataListenUrl }: ServerDataPlaces,
): Promise<DataDirectory> {
  if (metadataListenUrl !== undefined && !isShared) {
    const claim = "only servers with --shared listen to each other";
    throw new SyncedError("usage", `Cannot use --metadata-listen-url: ${claim}`);
  }
  if (metadataUrl !== undefined) {
    // Loaded here, so that others do not wait for the driver.
    const { openSplitDirectory } = await import("./split-directory.ts");
    const sharing =
      metadataListenUrl === undefined ? { isShared } : { isShared, metadataListenUrl };
    return await openSplitDirectory(path, { metadataUrl, bucket, ...sharing });
  }
  if (isShared) {
    const claim = "it is for servers with one --metadata-url and one --bucket-url";
    throw new SyncedError("usage", `Cannot use --shared alone: ${claim}`);
  }
  if (bucket === undefined) return openDataDirectory(path);
  const claim = "what is in a bucket is known in PostgreSQL; name it with --metadata-url";
  throw new SyncedError("usage", `Cannot use --bucket-url alone: ${claim}`);
}

/** Of the devices of a data directory; none if they report to PostgreSQL. */
export function readReportsIn(path: string): readonly ReportedDevice[] {
  return hasMetadataElsewhere(path) ? [] : readReportedDevices(join(path, "metadata.db"));
}
