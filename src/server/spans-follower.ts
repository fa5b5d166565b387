/**
 * Folds every folder's log into the HistoryStore, behind the commits and never in their way.
 * Rules: E1, E2. Nothing here decides what a commit does.
 *
 * It folds a few events at a time and rests between, so that commits of that moment wait for
 * milliseconds. A question about a moment that is not folded yet has the missing events folded
 * first, if they are few enough.
 */
import { assert, SyncedError } from "../core/error.ts";
import type { Cursor } from "../core/event.ts";
import type { Epoch, FolderName } from "../core/identifier.ts";
import {
  HISTORY_CATCH_UP_EVENTS_MAX,
  HISTORY_DELAY_MS,
  HISTORY_DUTY_SHARE,
  HISTORY_SLICE_EVENTS,
  RETRY_DELAY_MS_MAX,
} from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import type { Clock } from "../ports/clock.ts";
import type { FoldedSpans, HistoryStore } from "../ports/history-store.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import { headOf } from "./path-reads.ts";
import type { Sequencer } from "./sequencer.ts";

export interface SpansFollowerPorts {
  readonly sequencer: Pick<Sequencer, "subscribeAll">;
  readonly metadata: MetadataStore;
  readonly history: HistoryStore;
  readonly clock: Clock;
  /** Called when folding fails. It is tried again. */
  readonly onError: (error: unknown) => void;
}

/** Hears of each fold; `undefined` when a folder begins anew. */
export type FoldListener = (folder: FolderName, folded: FoldedSpans | undefined) => void;

export class SpansFollower {
  readonly #ports: SpansFollowerPorts;
  readonly #cursors = new Map<FolderName, Cursor>();
  /** Folders whose cursor was looked up, or is being looked up. */
  readonly #found = new Map<FolderName, Promise<void>>();
  /** The fold under way of each folder. Folds of one folder come one after the other. */
  readonly #turns = new Map<FolderName, Promise<unknown>>();
  readonly #behind = new Set<FolderName>();
  readonly #listeners = new Set<FoldListener>();
  readonly #stopping = new AbortController();
  readonly #unsubscribe: () => void;
  #running: Promise<void>;
  #isRunning = true;

  constructor(ports: SpansFollowerPorts) {
    this.#ports = ports;
    this.#unsubscribe = ports.sequencer.subscribeAll((folder) => this.#wake(folder));
    this.#running = this.#begin();
  }

  onFold(listener: FoldListener): void {
    this.#listeners.add(listener);
  }

  /**
   * Resolves when all events up to `at` (as of now, if it is absent) are folded.
   *
   * @returns `at`, or the head
   * @throws {SyncedError} `folder_not_found`; `cursor_ahead`; `history_pending` while more events
   * are missing than a question waits for
   */
  async ready(folder: FolderName, at?: Sequence): Promise<Sequence> {
    const { seq: head, epoch } = await headOf(this.#ports.metadata, folder, at);
    const wanted = at ?? head;
    this.#forgetOtherLog(folder, epoch);
    for (;;) {
      const { seq: indexed } = await this.#cursor(folder);
      if (indexed >= wanted) return wanted;
      if (wanted - indexed > HISTORY_CATCH_UP_EVENTS_MAX) {
        this.#wake(folder);
        throw new SyncedError(
          "history_pending",
          `Cannot look at event ${wanted} yet: the history has ${indexed} of ${head} events`,
          { extensions: { indexed, head } },
        );
      }
      await this.#fold(folder);
      await this.#ports.clock.yield();
    }
  }

  async stop(): Promise<void> {
    this.#unsubscribe();
    this.#stopping.abort();
    await this.#running;
    await Promise.allSettled(this.#turns.values());
  }

  #wake(folder: FolderName): void {
    this.#behind.add(folder);
    if (this.#isRunning || this.#stopping.signal.aborted) return;
    this.#isRunning = true;
    this.#running = this.#run();
  }

  /** At the start every folder may be behind. */
  async #begin(): Promise<void> {
    let after: FolderName | undefined;
    try {
      for (;;) {
        const page = { limit: 1000, ...(after === undefined ? undefined : { after }) };
        const folders = await this.#ports.metadata.folders(page);
        for (const { folder } of folders) this.#behind.add(folder.name);
        after = folders.at(-1)?.folder.name;
        if (after === undefined) break;
      }
    } catch (error) {
      this.#ports.onError(error);
    }
    await this.#run();
  }

  async #run(): Promise<void> {
    const { clock, onError } = this.#ports;
    const { signal } = this.#stopping;
    await clock.sleep(HISTORY_DELAY_MS, signal);
    while (!signal.aborted) {
      const [folder] = this.#behind;
      if (folder === undefined) break;
      this.#behind.delete(folder);
      try {
        const startMs = clock.monotonic();
        if (await this.#fold(folder)) this.#behind.add(folder);
        const busyMs = clock.monotonic() - startMs;
        await clock.sleep(busyMs / HISTORY_DUTY_SHARE - busyMs, signal);
      } catch (error) {
        if (signal.aborted) break;
        // A folder that was deleted needs no history.
        if (error instanceof SyncedError && error.code === "folder_not_found") continue;
        onError(error);
        this.#behind.add(folder);
        await clock.sleep(RETRY_DELAY_MS_MAX, signal);
      }
    }
    this.#isRunning = false;
  }

  /** Folds the next events. @returns true if there are more */
  #fold(folder: FolderName): Promise<boolean> {
    const before = this.#turns.get(folder) ?? Promise.resolve();
    const turn = before.catch(() => {}).then(() => this.#foldSlice(folder));
    this.#turns.set(folder, turn);
    return turn;
  }

  async #foldSlice(folder: FolderName): Promise<boolean> {
    const { metadata, history } = this.#ports;
    this.#forgetOtherLog(folder, (await headOf(metadata, folder, undefined)).epoch);
    const cursor = await this.#cursor(folder);
    const page = { after: cursor.seq, limit: HISTORY_SLICE_EVENTS };
    const { head, events } = await metadata.events(folder, page);
    const last = events.at(-1);
    if (last === undefined) return false;
    const after = { epoch: cursor.epoch, seq: last.seq, hash: last.hash };
    const folded = await history.fold(folder, events, after);
    this.#cursors.set(folder, after);
    for (const listener of this.#listeners) listener(folder, folded);
    return last.seq < head.seq;
  }

  /** A folder may have been deleted or renamed, and another one have its name now. */
  #forgetOtherLog(folder: FolderName, epoch: Epoch): void {
    const known = this.#cursors.get(folder);
    if (known === undefined || known.epoch === epoch) return;
    this.#cursors.delete(folder);
    this.#found.delete(folder);
  }

  /** The place in the log up to which it is folded. */
  async #cursor(folder: FolderName): Promise<Cursor> {
    let finding = this.#found.get(folder);
    if (finding === undefined) {
      finding = this.#findCursor(folder).then((cursor) => void this.#cursors.set(folder, cursor));
      finding.catch(() => this.#found.delete(folder));
      this.#found.set(folder, finding);
    }
    await finding;
    const cursor = this.#cursors.get(folder);
    assert(cursor !== undefined, "a folder whose cursor was found has one");
    return cursor;
  }

  /**
   * If what is stored is not on the log, as after a restored backup, the folder's history begins
   * anew.
   */
  async #findCursor(folder: FolderName): Promise<Cursor> {
    const { metadata, history } = this.#ports;
    const { epoch } = await headOf(metadata, folder, undefined);
    const stored = await history.followed(folder);
    if (stored !== undefined) {
      const hash = await metadata.hashAt(folder, stored.seq);
      if (stored.epoch === epoch && stored.hash === hash) return stored;
      await history.forget(folder);
    }
    for (const listener of this.#listeners) listener(folder, undefined);
    const genesis = await metadata.hashAt(folder, 0);
    assert(genesis !== undefined, "a log has a beginning");
    return { epoch, seq: 0, hash: genesis };
  }
}
