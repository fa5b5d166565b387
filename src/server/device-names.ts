/** Names of the devices that appear in a log. */
import { type DeviceId, type FolderName, parseId } from "../core/identifier.ts";
import type { Page } from "../ports/page.ts";

/** Changes through plain HTTP that name no device carry this one. */
export const HTTP_DEVICE = parseId<DeviceId>("0".repeat(32));
const HTTP_DEVICE_NAME = "http";

const DEVICES_PER_PAGE = 1000;

/** Looks a device's name up; its id if it never reported. */
export type DeviceNames = (device: DeviceId) => string;

interface Devices {
  devices(
    folder: FolderName,
    page: Page<DeviceId>,
  ): Promise<readonly { readonly device: DeviceId; readonly name: string }[]>;
}

/** Reads the names of all devices that ever reported to a folder. */
export async function readDeviceNames(source: Devices, folder: FolderName): Promise<DeviceNames> {
  const names = new Map<DeviceId, string>([[HTTP_DEVICE, HTTP_DEVICE_NAME]]);
  let after: DeviceId | undefined;
  for (;;) {
    const limit = DEVICES_PER_PAGE;
    const page = await source.devices(folder, after === undefined ? { limit } : { after, limit });
    for (const { device, name } of page) names.set(device, name);
    after = page.at(-1)?.device;
    if (page.length < limit) return (device) => names.get(device) ?? device;
  }
}
