/** The folder's devices, and what they are called. */
import { computed, signal } from "@preact/signals";
import { type Device, devicesSchema } from "./answers.ts";
import { ask, folderRoute, query } from "./api.ts";
import { browser } from "./session.ts";

export const devices = signal<readonly Device[]>([]);

/** Plain HTTP's device. */
const HTTP_DEVICE = "0".repeat(32);

const names = computed(() => new Map(devices.value.map(({ device, name }) => [device, name])));

/** @param told the name that came with the id, if one did */
export function deviceName(id: string, told?: string): string {
  if (id === browser.id) return "this browser";
  if (id === HTTP_DEVICE) return "plain HTTP";
  const name = names.value.get(id) ?? told;
  return name === undefined || name === id ? `device ${id.slice(0, 6)}` : name;
}

/** @throws {Problem} */
export async function loadDevices(folder: string): Promise<void> {
  const found: Device[] = [];
  let after: string | undefined;
  do {
    const route = folderRoute(folder, `/devices?${query({ after, limit: 1000 })}`);
    const page = await ask(devicesSchema, route);
    for (const device of page.devices) found.push(device);
    after = page.next;
  } while (after !== undefined);
  devices.value = found;
}
