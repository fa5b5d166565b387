/** Opens what a server keeps, wherever its metadata are. Rules: P1, P6. */
import { join } from "node:path";
import { type DataDirectory, openDataDirectory } from "./data-directory.ts";
import { hasMetadataElsewhere } from "./data-format.ts";
import { type ReportedDevice, readReportedDevices } from "./metadata/device-reports.ts";

/**
 * @param metadataUrl `postgres://...`, or undefined for metadata in the directory
 * @throws {SyncedError} as `openDataDirectory` and `openSplitDirectory` do
 */
export async function openServerData(
  path: string,
  metadataUrl: string | undefined,
): Promise<DataDirectory> {
  if (metadataUrl === undefined) return openDataDirectory(path);
  // Loaded here, so that others do not wait for the driver.
  const { openSplitDirectory } = await import("./split-directory.ts");
  return await openSplitDirectory(path, { metadataUrl });
}

/** Of the devices of a data directory; none if they report to PostgreSQL. */
export function readReportsIn(path: string): readonly ReportedDevice[] {
  return hasMetadataElsewhere(path) ? [] : readReportedDevices(join(path, "metadata.db"));
}
