/**
 * Session: one folder's dealings with its server. It finds out who the server is and whether it
 * answers, and pulls its log. Rules: G5, S4, S5, Y3, Y4.
 */

import type { ChunkerProfile } from "../../core/chunker.ts";
import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import {
  CHUNK_SIZE_BYTES_AVERAGE,
  CHUNK_SIZE_BYTES_MAX,
  CHUNK_SIZE_BYTES_MIN,
  ONCE_UNREACHABLE_MS,
} from "../../core/limits.ts";
import type { StateStore } from "../../ports/state-store.ts";
import { createServerApi } from "../../protocol/server-api-client.ts";
import { ServerUrls } from "../../protocol/server-urls.ts";
import { KEPT, readKept, writeKept } from "../folder/kept-values.ts";
import type { ClientOptions, ClientWorld } from "../folder/options.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { Connection, isPassing } from "./connection.ts";
import { bind, greet, type OpenedState } from "./join.ts";
import type { Marker } from "./marker.ts";
import { RemoteLog } from "./remote-log.ts";
import { isDiverged, isRejoining, rejoinRestored } from "./rollback.ts";

export class Session {
  readonly ports: ClientPorts;
  readonly log: RemoteLog;
  readonly connection: Connection;
  readonly #world: ClientWorld;
  readonly #options: ClientOptions;
  readonly #opened: OpenedState;
  readonly #startedMs: number;
  #marker: Marker | undefined;
  /** True if the marker is of this run. */
  #isBound = false;
  #fileBytesMax: number | undefined;
  #forgetHistory = (): void => {};

  constructor(
    world: ClientWorld,
    options: ClientOptions,
    { opened, wake }: { readonly opened: OpenedState; readonly wake: () => void },
  ) {
    const { serverUrl, folder, token } = options;
    const { transport, clock, fs, watcher, random, observer, instruments } = world;
    const api = createServerApi({
      transport,
      clock,
      serverUrl,
      folder,
      ...(token === undefined ? undefined : { token }),
      ...(instruments === undefined ? undefined : { instruments }),
    });
    this.ports = { fs, watcher, clock, random, observer, store: opened.store, api };
    this.log = new RemoteLog(this.ports, opened.device);
    const hasOthers = new ServerUrls(serverUrl).count > 1;
    this.connection = new Connection(this.ports, wake, { hasOthers });
    this.#world = world;
    this.#options = options;
    this.#opened = opened;
    this.#marker = opened.marker;
    this.#startedMs = clock.monotonic();
  }

  /** @param forget forgets what the server said of its history, before the log is read anew */
  onRestored(forget: () => void): void {
    this.#forgetHistory = forget;
  }

  /** The marker of this run; undefined until the folder has joined. */
  get marker(): Marker | undefined {
    return this.#isBound ? this.#marker : undefined;
  }

  /** The size of the largest file that the server takes, as it said at the last contact (O13). */
  get fileBytesMax(): number | undefined {
    return this.#fileBytesMax;
  }

  /** The folder's profile, as the server gave it when the folder joined. */
  get chunkerProfile(): ChunkerProfile {
    return knownChunkerProfile(this.ports.store);
  }

  /** With `once`: true if the server has been out of reach for too long. */
  get gaveUp(): boolean {
    const { clock } = this.ports;
    return this.#options.once && clock.monotonic() - this.#startedMs > ONCE_UNREACHABLE_MS;
  }

  /**
   * A folder that never joined, or lost its state, needs the server. One that did join begins
   * without it.
   *
   * @returns false if the run ends before the folder has joined.
   */
  async firstContact(signal: AbortSignal): Promise<boolean> {
    while (!signal.aborted) {
      try {
        await this.#connect(signal);
        return true;
      } catch (cause) {
        if (!(cause instanceof SyncedError) || !cause.kind.retriable) throw cause;
        this.connection.offline(cause);
        if (this.#opened.marker !== undefined && !this.#opened.union) {
          await this.#bind(this.#opened.marker.server);
          return true;
        }
        if (this.gaveUp) return false;
        const { clock } = this.ports;
        await clock.sleep((this.connection.dueAtMs ?? 0) - clock.monotonic(), signal);
      }
    }
    return false;
  }

  /**
   * Asks the server when it is time: who it is (G5), for news, for a stream. Otherwise folds the
   * events that the stream brought.
   */
  async keepUp(signal: AbortSignal): Promise<void> {
    const { connection, log } = this;
    const hasNews = log.hasStreamed || log.isBehind || connection.hasOverflowed;
    if (connection.isDue) {
      await this.attempt(() => this.#connect(signal), true);
    } else if (connection.isOnline && hasNews) {
      await this.attempt(async () => {
        if (!(await log.foldStreamed(signal)) || log.isBehind) await this.#pull(signal);
        if (connection.hasOverflowed) connection.follow(log, signal);
      });
    }
  }

  /**
   * Does work that talks to the server. If trouble passes by itself, the client goes offline; any
   * other trouble ends the run.
   */
  async attempt(work: () => Promise<void>, isGreeting = false): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (isDiverged(cause)) return this.connection.diverged(cause);
      // Nobody waits for a person to mend the server.
      const isOver = this.#options.once && cause instanceof SyncedError && !cause.kind.retriable;
      if (isOver || !isPassing(cause)) throw cause;
      this.connection.offline(cause, isGreeting);
      if (cause.code !== "server_unreachable") this.connection.trouble(cause);
    }
  }

  /** Asked only about bytes of unknown origin. If nobody answers, they are kept as a user's. */
  async isInHistory(digest: Digest, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.ports.api.hasContent(digest, signal);
    } catch (cause) {
      if (signal.aborted || !(cause instanceof SyncedError)) throw cause;
      return false;
    }
  }

  async #connect(signal: AbortSignal): Promise<void> {
    const { store, api, observer } = this.ports;
    const { hello, folder } = await greet(
      api,
      { serverUrl: this.#options.serverUrl, marker: this.#marker },
      signal,
    );
    this.#fileBytesMax = hello.limits["fileBytes"];
    if (!this.#isBound) {
      writeKept(store, KEPT.chunker, folder.chunker);
      await this.#bind(hello.serverId);
      const { union } = this.#opened;
      const { created, name } = folder;
      const { serverUrl: server, deviceName: device } = this.#options;
      observer.emit({ event: "joined", folder: name, server, device, created, union });
    }
    await this.#pull(signal);
    this.connection.online(this.log, signal);
  }

  async #bind(server: Marker["server"]): Promise<void> {
    const { device } = this.#opened;
    const binding = { options: this.#options, server, device };
    this.#marker = await bind(this.#world, this.ports.store, binding);
    this.#isBound = true;
  }

  /** Pulls by pages. A log that does not contain the cursor was restored from a backup. */
  async #pull(signal: AbortSignal): Promise<void> {
    if (isRejoining(this.ports)) return this.#rejoin(signal);
    try {
      await this.log.catchUp(signal);
    } catch (cause) {
      if (!isDiverged(cause)) throw cause;
      await this.#rejoin(signal);
    }
  }

  async #rejoin(signal: AbortSignal): Promise<void> {
    this.#forgetHistory();
    await rejoinRestored(this.ports, this.log, signal);
  }
}

const DEFAULT_PROFILE: ChunkerProfile = {
  minBytes: CHUNK_SIZE_BYTES_MIN,
  averageBytes: CHUNK_SIZE_BYTES_AVERAGE,
  maxBytes: CHUNK_SIZE_BYTES_MAX,
};

/**
 * The folder's profile, as the server gave it when the folder joined. Before that, the profile of
 * new folders.
 */
export function knownChunkerProfile(store: StateStore): ChunkerProfile {
  return readKept(store, KEPT.chunker) ?? DEFAULT_PROFILE;
}
