/** The folder's devices: what they are called, how they are, and what they are asked to do. */
import { computed, signal } from "@preact/signals";
import type { DeviceOrder } from "../../core/device-order.ts";
import { type DeviceStanding, standingOf } from "../../core/device-state.ts";
import type { LogRow } from "../../protocol/time-answers.ts";
import { type Device, devicesSchema, type Held, type Usage, usageSchema } from "./answers.ts";
import { ask, folderRoute, query, request } from "./api.ts";
import { folder, head } from "./live.ts";
import { logRows } from "./log-rows.ts";
import { takeBackSince } from "./plans.ts";
import { browser, newId } from "./session.ts";

/** A held change makes no event, so it is looked for. */
const LOOK_MS = 15_000;
/** The guards of a device look at the changes of this time together. */
const BURST_MS = 60_000;

/** The bytes in the folder and on the server's disk; undefined until the server has told. */
export const usage = signal<Usage | undefined>(undefined);

export const devices = signal<readonly Device[]>([]);

/** How many devices wait for a person. */
export const heldCount = computed(
  () => devices.value.filter(({ held }) => held !== undefined).length,
);

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
export async function loadDevices(name: string): Promise<void> {
  const found: Device[] = [];
  let after: string | undefined;
  do {
    const route = folderRoute(name, `/devices?${query({ after, limit: 1000 })}`);
    const page = await ask(devicesSchema, route);
    for (const device of page.devices) found.push(device);
    after = page.next;
  } while (after !== undefined);
  devices.value = found;
}

/** @throws {Problem} */
export async function loadUsage(name: string): Promise<void> {
  usage.value = await ask(usageSchema, folderRoute(name, "/usage"));
}

export function watchDevices(): void {
  setInterval(() => {
    const name = folder.value?.name;
    if (name !== undefined && !document.hidden) void loadDevices(name).catch(() => undefined);
  }, LOOK_MS);
}

/** How many events of the log it has not. */
export function behindOf({ applied }: Device): number {
  const isSame = applied.epoch === folder.value?.epoch;
  return isSame ? Math.max(0, head.value - applied.seq) : head.value;
}

export function standing(device: Device): DeviceStanding {
  return standingOf(device, behindOf(device) === 0);
}

/** @throws {Problem} */
export async function order(device: string, wanted: DeviceOrder): Promise<void> {
  const name = folder.value?.name ?? "";
  const route = folderRoute(name, `/devices/${device}/orders/${newId()}`);
  await request(route, { method: "PUT", json: wanted });
  await loadDevices(name);
}

/**
 * Proposes to take back, for everybody, what a device holds that another one did.
 *
 * @returns false if the log does not tell who did it
 * @throws {Problem}
 */
export async function takeBackHeld({ examples = [] }: Held): Promise<boolean> {
  const [path] = examples;
  const of = path === undefined ? undefined : await latest({ path });
  if (of === undefined) return false;
  let first = of;
  for await (const each of logRows({ device: of.device, before: of.seq, limit: 1000 })) {
    if (new Date(first.time).getTime() - new Date(each.time).getTime() > BURST_MS) break;
    first = each;
  }
  takeBackSince(first, deviceName(of.device));
  return true;
}

async function latest(values: Parameters<typeof query>[0]): Promise<LogRow | undefined> {
  for await (const row of logRows({ ...values, limit: 1 })) return row;
  return undefined;
}
