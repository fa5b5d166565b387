/**
 * Follows every folder's log and writes it into an EventSink. It runs beside sync and never delays
 * it; the sequencer does not know of it. Rules: M1-M6.
 *
 * It compares the heads every second instead of subscribing, because folders appear without notice,
 * a comparison costs microseconds a folder, and nobody notices a second.
 */
import { SyncedError } from "../core/error.ts";
import type { ServedEvent } from "../core/event.ts";
import type { FolderName } from "../core/identifier.ts";
import {
  EVENTS_PER_PAGE_MAX,
  FILES_LOG_CHECK_MS,
  FILES_LOG_POLL_MS,
  RETRY_DELAY_MS_MAX,
  RETRY_DELAY_MS_MIN,
} from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import type { Clock } from "../ports/clock.ts";
import type { EventSink, LogName, SinkCursor } from "../ports/event-sink.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { Random } from "../ports/random.ts";
import type { FolderInfo } from "../protocol/messages.ts";
import { readDeviceNames } from "./device-names.ts";
import { filesLogRow } from "./files-log.ts";
import { previousContents } from "./previous-contents.ts";
import type { Sequencer } from "./sequencer.ts";

export interface FilesLogOptions {
  readonly sequencer: Pick<Sequencer, "serverId" | "folders" | "events" | "devices">;
  readonly metadata: Pick<MetadataStore, "eventsAt">;
  /** The follower owns the sink: `stop` closes it. */
  readonly sink: EventSink;
  readonly clock: Clock;
  readonly random: Random;
  /** Called once for each trouble until it is over, and when writing begins or goes on. */
  readonly onNotice: (notice: FilesLogNotice) => void;
}

export interface FilesLogNotice {
  readonly code: "files_log_connected" | "files_log_trouble" | "files_log_stopped";
  readonly message: string;
}

export interface FilesLogStatus {
  /** True if the last contact succeeded. */
  readonly connected: boolean;
  /** undefined if all is well. */
  readonly lastError: string | undefined;
  /**
   * How many events are not written yet, by folder. A folder is left out while its cursor is not
   * known.
   */
  readonly lag: ReadonlyMap<FolderName, number>;
}

export interface FilesLog {
  status(): FilesLogStatus;
  /** Stops at once. The next start writes the events that are still missing. */
  stop(): Promise<void>;
}

/** Begins to follow. Returns before anything is written. */
export function startFilesLog(options: FilesLogOptions): FilesLog {
  return new Follower(options);
}

interface FollowedFolder {
  readonly log: LogName;
  head: Sequence;
  /**
   * Read from the sink, and again after each trouble, because only the sink knows whether a write
   * whose answer was lost took place.
   */
  cursor: SinkCursor | undefined;
  /** The last known seq, for `status`; kept while the sink is away. */
  written: Sequence | undefined;
  /** The message, if the sink has events that the log does not have. */
  strayed: string | undefined;
  /** In milliseconds of `clock.monotonic`. */
  retryAt: number;
}

/** When a folder whose log was rolled back is looked at again. */
const STRAYED_RETRY_MS = RETRY_DELAY_MS_MAX;
const FOLDERS_PER_PAGE = 1000;

class Follower implements FilesLog {
  readonly #options: FilesLogOptions;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  readonly #folders = new Map<FolderName, FollowedFolder>();
  /** Notices that were given since it last worked. */
  readonly #said = new Set<string>();
  #isConnected = false;
  #lastError: string | undefined;
  #attempts = 0;
  #retryAt = 0;
  #checkAt = 0;

  constructor(options: FilesLogOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  status(): FilesLogStatus {
    const lag = new Map<FolderName, number>();
    let strayed: string | undefined;
    for (const [name, folder] of this.#folders) {
      strayed ??= folder.strayed;
      const { head, written } = folder;
      if (written !== undefined) lag.set(name, Math.max(0, head - written));
    }
    return { connected: this.#isConnected, lastError: this.#lastError ?? strayed, lag };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#options.sink.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      let isBehind = false;
      try {
        await this.#lookAtHeads();
        if (clock.monotonic() >= this.#retryAt) isBehind = await this.#round();
      } catch (error) {
        if (signal.aborted) return;
        if (this.#giveUp(error)) return;
      }
      if (isBehind) {
        await clock.yield();
      } else {
        const retryIn = this.#retryAt - clock.monotonic();
        const delay = retryIn > 0 ? Math.min(retryIn, FILES_LOG_POLL_MS) : FILES_LOG_POLL_MS;
        await clock.sleep(delay, signal);
      }
    }
  }

  async #lookAtHeads(): Promise<void> {
    const { sequencer } = this.#options;
    let page: readonly FolderInfo[] = [];
    do {
      const after = page.at(-1)?.name;
      const limit = FOLDERS_PER_PAGE;
      page = await sequencer.folders(after === undefined ? { limit } : { after, limit });
      for (const { name, epoch, head } of page) {
        const known = this.#folders.get(name);
        if (known?.log.epoch === epoch) {
          known.head = head;
        } else {
          const log = { server: sequencer.serverId, folder: name, epoch };
          this.#folders.set(name, {
            log,
            head,
            cursor: undefined,
            written: undefined,
            strayed: undefined,
            retryAt: 0,
          });
        }
      }
    } while (page.length === FOLDERS_PER_PAGE);
  }

  /**
   * Writes one page of each folder that is behind, so that none waits until another is done.
   * @returns true if there is more to write.
   */
  async #round(): Promise<boolean> {
    const { sink, clock } = this.#options;
    if (!this.#isConnected || clock.monotonic() >= this.#checkAt) {
      await sink.open();
      this.#checkAt = clock.monotonic() + FILES_LOG_CHECK_MS;
    }
    let isBehind = false;
    for (const folder of this.#folders.values()) {
      if (this.#stopping.signal.aborted) return false;
      if (clock.monotonic() < folder.retryAt) continue;
      const known = folder.cursor;
      if (known?.seq === folder.head) continue;
      const cursor = known ?? (await sink.cursor(folder.log));
      if (await this.#writePage(folder, cursor)) isBehind = true;
    }
    this.#recover();
    return isBehind;
  }

  /** @returns true if there is more to write. */
  async #writePage(folder: FollowedFolder, cursor: SinkCursor): Promise<boolean> {
    const { sequencer, sink } = this.#options;
    const { log } = folder;
    const { seq: after, hash } = cursor;
    let events: readonly ServedEvent[];
    try {
      const { epoch } = log;
      const limit = EVENTS_PER_PAGE_MAX;
      const request = { after, epoch, limit };
      const page = await sequencer.events(
        log.folder,
        hash === undefined ? request : { ...request, hash },
      );
      events = page.events;
      folder.head = page.head;
    } catch (error) {
      this.#stray(folder, cursor, error);
      return false;
    }
    folder.strayed = undefined;
    folder.cursor = cursor;
    folder.written = after;
    const last = events.at(-1);
    if (last === undefined) return false;
    const rows = await this.#rows(log.folder, events);
    const outcome = await sink.append(log, { after, rows, hash: last.hash });
    folder.cursor = outcome === "appended" ? { seq: last.seq, hash: last.hash } : undefined;
    if (outcome === "appended") folder.written = last.seq;
    return outcome === "cursor_moved" || last.seq < folder.head;
  }

  async #rows(folder: FolderName, events: readonly ServedEvent[]) {
    const [names, previous] = await Promise.all([
      readDeviceNames(this.#options.sequencer, folder),
      previousContents(this.#options.metadata, folder, events),
    ]);
    return events.map((event) => filesLogRow(event, previous.get(event.seq), names));
  }

  /** The server's log ends before the events that were written. The folder waits for a person. */
  #stray(folder: FollowedFolder, cursor: SinkCursor, error: unknown): void {
    const strayed =
      error instanceof SyncedError &&
      (error.code === "log_diverged" || error.code === "cursor_ahead");
    if (!strayed) throw error;
    const { server, folder: name, epoch } = folder.log;
    const which = `WHERE server_id = '${server}' AND folder = '${name}' AND epoch = '${epoch}'`;
    const message =
      `Cannot write events of folder "${name}" to ${this.#options.sink.name}: it has event ` +
      `${cursor.seq} of a log that this server does not have, as after restoring an older backup. ` +
      "Sync goes on. To write the folder's log anew: " +
      `DELETE FROM files_log ${which}; DELETE FROM files_log_cursors ${which};`;
    folder.cursor = undefined;
    folder.retryAt = this.#options.clock.monotonic() + STRAYED_RETRY_MS;
    if (folder.strayed === undefined) this.#notice("files_log_trouble", message);
    folder.strayed = message;
  }

  /** @returns true if another try is of no use. */
  #giveUp(error: unknown): boolean {
    const { clock, random } = this.#options;
    const isFinal = error instanceof SyncedError && error.code === "data_newer";
    const message = error instanceof Error ? error.message : String(error);
    this.#isConnected = false;
    this.#lastError = message;
    for (const folder of this.#folders.values()) folder.cursor = undefined;
    const code = isFinal ? "files_log_stopped" : "files_log_trouble";
    if (!this.#said.has(message)) this.#notice(code, message);
    this.#said.add(message);
    const delay = Math.min(RETRY_DELAY_MS_MIN * 2 ** this.#attempts, RETRY_DELAY_MS_MAX);
    this.#retryAt = clock.monotonic() + delay * (0.5 + random.fraction() / 2);
    this.#attempts = Math.min(this.#attempts + 1, 16);
    return isFinal;
  }

  /** Called only after a whole round, because a sink that opens but takes no row is not well. */
  #recover(): void {
    if (this.#isConnected) return;
    this.#isConnected = true;
    this.#lastError = undefined;
    this.#attempts = 0;
    this.#said.clear();
    const name = this.#options.sink.name;
    this.#notice("files_log_connected", `Writing events to files_log in ${name}`);
  }

  #notice(code: FilesLogNotice["code"], message: string): void {
    this.#options.onNotice({ code, message });
  }
}
