/**
 * EventSink in memory: the model of what PostgreSQL must do, and its troubles at will. An append
 * that fails "after" was done and its answer lost, as when a connection breaks in a commit.
 */
import { SyncedError } from "../../src/core/error.ts";
import type {
  EventSink,
  FilesLogRow,
  LogName,
  SinkBatch,
  SinkCursor,
} from "../../src/ports/event-sink.ts";

export interface MemoryRow extends FilesLogRow {
  readonly log: string;
}

/** What is to happen at the call of this number, counted from 1 over all calls. */
export type TroubleAt = (call: number, method: string) => "before" | "after" | undefined;

export class MemoryEventSink implements EventSink {
  readonly name = "memory";
  readonly rows: MemoryRow[] = [];
  calls = 0;
  openError: SyncedError | undefined;
  readonly #cursors = new Map<string, SinkCursor>();
  readonly #troubleAt: TroubleAt;
  #isClosed = false;

  constructor(troubleAt: TroubleAt = () => undefined) {
    this.#troubleAt = troubleAt;
  }

  /** The process that wrote is gone; what it wrote is not. */
  reopen(): void {
    this.#isClosed = false;
  }

  async open(): Promise<void> {
    if (this.openError !== undefined) throw this.openError;
    await this.#call("open", () => undefined);
  }

  async cursor(log: LogName): Promise<SinkCursor> {
    return await this.#call("cursor", () => this.#cursors.get(keyOf(log)) ?? { seq: 0 });
  }

  async append(log: LogName, batch: SinkBatch): Promise<"appended" | "cursor_moved"> {
    return await this.#call("append", () => {
      const key = keyOf(log);
      if ((this.#cursors.get(key)?.seq ?? 0) !== batch.after) return "cursor_moved";
      for (const row of batch.rows) this.rows.push({ ...row, log: key });
      const seq = batch.rows.at(-1)?.seq ?? batch.after;
      this.#cursors.set(key, { seq, hash: batch.hash });
      return "appended";
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  async #call<Result>(method: string, work: () => Result): Promise<Result> {
    await Promise.resolve();
    this.calls += 1;
    const trouble = this.#troubleAt(this.calls, method);
    if (this.#isClosed || trouble === "before") throw away();
    const result = work();
    if (trouble === "after") throw away();
    return result;
  }
}

export function keyOf({ server, folder, epoch }: LogName): string {
  return `${server}/${folder}/${epoch}`;
}

function away(): SyncedError {
  return new SyncedError("temporarily_unavailable", "The sink is away");
}
