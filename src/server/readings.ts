/**
 * The server's state for a scraper. It comes from heads, devices and kept counts, never from a walk
 * of the log. Rules: V2, V3.
 */
import type { DeviceId, FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import { parseTime } from "../core/time.ts";
import type { Clock } from "../ports/clock.ts";
import type { DeviceReading, FolderReading, ServerReadings } from "../ports/instruments.ts";
import type { ObjectStore } from "../ports/object-store.ts";
import type { DeviceInfo, FolderInfo } from "../protocol/messages.ts";
import type { FilesLog } from "./files-log-follower.ts";
import type { Sequencer } from "./sequencer.ts";

/** Each folder makes a handful of time series. */
const LABELLED_FOLDERS_MAX = 100;
/** In each folder, the devices that reported last. */
const LABELLED_DEVICES_MAX = 50;
/** How many devices are read to find these. A folder with more devices shows only some of them. */
const DEVICES_READ_MAX = 1000;
/** One page of names and heads. */
const FOLDERS_READ_MAX = 1000;

export interface ReadingsOptions {
  readonly sequencer: Pick<Sequencer, "folders" | "usage" | "devices" | "events">;
  readonly objects: Pick<ObjectStore, "usage">;
  readonly clock: Clock;
  /** Absent if the server writes to no PostgreSQL. */
  readonly filesLog?: Pick<FilesLog, "status">;
}

/** @returns a function that reads everything anew, in a few milliseconds */
export function createReadings(options: ReadingsOptions): () => Promise<ServerReadings> {
  const lags = new Lags(options);
  return async () => {
    const { sequencer, objects, filesLog } = options;
    const folders = await sequencer.folders({ limit: FOLDERS_READ_MAX });
    const labelled = folders.slice(0, LABELLED_FOLDERS_MAX);
    const [readings, devices, store] = await Promise.all([
      Promise.all(labelled.map((folder) => readFolder(options, folder))),
      Promise.all(labelled.map((folder) => lags.read(folder))),
      objects.usage(),
    ]);
    const status = filesLog?.status();
    return {
      folders: readings,
      folderCount: folders.length,
      devices: devices.flat(),
      storeBytes: store.bytes,
      roomBytes: store.roomBytes,
      filesLog:
        status === undefined
          ? undefined
          : { isWell: status.connected && status.lastError === undefined, lag: status.lag },
    };
  };
}

async function readFolder(
  { sequencer }: ReadingsOptions,
  { name, head }: FolderInfo,
): Promise<FolderReading> {
  return { name, head, ...(await sequencer.usage(name)) };
}

/** How far devices are behind, and since when. The time of each event is looked up once. */
class Lags {
  readonly #options: ReadingsOptions;
  /** By device: the seq that it has applied, and the time of the event after that one. */
  readonly #since = new Map<DeviceId, { readonly seq: Sequence; readonly timeMs: number }>();

  constructor(options: ReadingsOptions) {
    this.#options = options;
  }

  async read(folder: FolderInfo): Promise<readonly DeviceReading[]> {
    const { sequencer, clock } = this.#options;
    const known = await sequencer.devices(folder.name, { limit: DEVICES_READ_MAX });
    const latest = known
      .toSorted((a, b) => (a.seenTime < b.seenTime ? 1 : -1))
      .slice(0, LABELLED_DEVICES_MAX);
    const byName = new Map<string, DeviceReading>();
    for (const device of latest) {
      const applied = device.applied.epoch === folder.epoch ? device.applied.seq : 0;
      const lagEvents = Math.max(0, folder.head - applied);
      if (lagEvents === 0) this.#since.delete(device.device);
      const sinceMs = lagEvents === 0 ? clock.now() : await this.#sinceMs(folder, device, applied);
      const lagSeconds = Math.max(0, clock.now() - sinceMs) / 1000;
      const other = byName.get(device.name);
      if (other !== undefined && other.lagEvents >= lagEvents) continue;
      byName.set(device.name, { folder: folder.name, device: device.name, lagEvents, lagSeconds });
    }
    return [...byName.values()];
  }

  async #sinceMs(
    { name, epoch }: { readonly name: FolderName; readonly epoch: FolderInfo["epoch"] },
    { device }: DeviceInfo,
    applied: Sequence,
  ): Promise<number> {
    const known = this.#since.get(device);
    if (known?.seq === applied) return known.timeMs;
    const page = await this.#options.sequencer.events(name, { after: applied, epoch, limit: 1 });
    const time = page.events[0]?.time;
    const timeMs = time === undefined ? this.#options.clock.now() : parseTime(time);
    this.#since.set(device, { seq: applied, timeMs });
    return timeMs;
  }
}
