/**
 * LogNews in PostgreSQL. Rules: P12. The heads of all logs are read every second; a notification
 * only makes that earlier, so one that is lost or doubled does no harm. It is sent beside commits,
 * never in one, since PostgreSQL lets only one transaction at a time notify.
 */
import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { FolderName } from "../../core/identifier.ts";
import { HEADS_READ_INTERVAL_MS } from "../../core/limits.ts";
import type { Sequence } from "../../core/node.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogNews } from "../../ports/log-news.ts";
import { hex, integer, text } from "../metadata/rows.ts";
import {
  addressOf,
  connectOnce,
  type PostgresClient,
  parseDatabaseUrl,
} from "../postgres/client.ts";
import type { PostgresPool } from "./pool.ts";

const CHANNEL = "synced";
const TELL = `SELECT pg_notify('${CHANNEL}', $1)`;

/** $1: the heads that are known, as JSON. @returns also which hash the log has there now */
const HEADS = `
SELECT f.name, coalesce(head.seq, 0) AS seq, head.hash, known.hash AS known
FROM synced.folders AS f LEFT JOIN LATERAL (
  SELECT seq, hash FROM synced.events WHERE folder = f.id ORDER BY seq DESC LIMIT 1
) AS head ON true
LEFT JOIN json_to_recordset($1::text::json) AS w (name text, seq bigint) ON w.name = f.name
LEFT JOIN LATERAL (
  SELECT hash FROM synced.events WHERE folder = f.id AND seq = w.seq OFFSET 0
) AS known ON true`;

export interface PostgresLogNewsOptions {
  readonly pool: PostgresPool;
  /** Of PostgreSQL itself: a pooler gives each statement another connection. */
  readonly listenUrl: string;
  readonly clock: Clock;
  /** Another one for each server. */
  readonly id: string;
  /** Looks at what else others may have changed, each time that heads are read. */
  readonly lookToo: () => Promise<void>;
}

/** @throws {SyncedError} `usage` for an illegal URL */
export function parseListenUrl(url: string): string {
  const parsed = parseDatabaseUrl(url, "metadata listen");
  addressOf(parsed, "metadata listen");
  return parsed;
}

interface KnownHead {
  readonly seq: Sequence;
  readonly hash: Digest;
}

export class PostgresLogNews implements LogNews {
  readonly failure: Promise<unknown>;
  readonly #options: PostgresLogNewsOptions;
  readonly #listeners = new Set<(folder: FolderName, head: Sequence) => void>();
  readonly #known = new Map<FolderName, KnownHead>();
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #fail: (error: unknown) => void = () => undefined;
  #news = new AbortController();
  #listening: PostgresClient | undefined;
  #telling: Promise<void> | undefined;
  #isToldAgain = false;

  /** Begins at once. */
  constructor(options: PostgresLogNewsOptions) {
    this.#options = options;
    this.failure = new Promise((resolve) => {
      this.#fail = resolve;
    });
    this.#running = this.#run();
  }

  watch(listener: (folder: FolderName, head: Sequence) => void): void {
    this.#listeners.add(listener);
    for (const [folder, { seq }] of this.#known) listener(folder, seq);
  }

  tell(): void {
    this.#isToldAgain = this.#telling !== undefined;
    if (this.#isToldAgain || this.#stopping.signal.aborted) return;
    const { pool, id } = this.#options;
    this.#telling = pool
      .write(TELL, id)
      .catch(() => undefined)
      .then(() => {
        this.#telling = undefined;
        if (this.#isToldAgain) this.tell();
      });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#news.abort();
    this.#listening?.drop();
    await this.#running;
    await this.#telling;
  }

  async #run(): Promise<void> {
    const { clock, lookToo } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#listen();
      this.#news = new AbortController();
      try {
        await this.#look();
        await lookToo();
      } catch (error) {
        // PostgreSQL is away: requests say so, and the next look is a second away.
        if (!(error instanceof SyncedError)) throw error;
      }
      if (!signal.aborted) await clock.sleep(HEADS_READ_INTERVAL_MS, this.#news.signal);
    }
  }

  async #look(): Promise<void> {
    const asked = [...this.#known].map(([name, { seq }]) => ({ name, seq }));
    const rows = await this.#options.pool.read(HEADS, JSON.stringify(asked));
    const found = new Set<string>();
    for (const row of rows) {
      const name = text<FolderName>(row, "name");
      found.add(name);
      const known = this.#known.get(name);
      if (known !== undefined && (row["known"] === null || hex(row, "known") !== known.hash)) {
        this.#fail(wentBack(name, known.seq));
        return;
      }
      if (row["hash"] === null) continue;
      const head = { seq: integer(row, "seq"), hash: hex<Digest>(row, "hash") };
      if (head.hash === known?.hash) continue;
      this.#known.set(name, head);
      for (const listener of this.#listeners) listener(name, head.seq);
    }
    const gone = asked.find(({ name }) => !found.has(name));
    if (gone !== undefined) this.#fail(wentBack(gone.name, gone.seq));
  }

  /** A connection that was lost is made anew before the next look. */
  #listen(): void {
    if (this.#listening !== undefined) return;
    const { listenUrl, id } = this.#options;
    const forget = () => {
      if (this.#listening === client) this.#listening = undefined;
    };
    const client = connectOnce(listenUrl, {
      onClose: forget,
      onNotify: (sender) => {
        if (sender !== id) this.#news.abort();
      },
    });
    this.#listening = client;
    client.sql
      .unsafe(`LISTEN ${CHANNEL}`)
      .simple()
      .then(
        // Commits from before it listened are found by one more look.
        () => this.#news.abort(),
        () => {
          client.drop();
          forget();
        },
      );
  }
}

function wentBack(folder: FolderName, seq: Sequence): SyncedError {
  const claim = `event ${seq} of folder "${folder}" is not in PostgreSQL any more`;
  const advice = "it was restored, or lost its last commits; start the server again";
  return new SyncedError("storage_failed", `Cannot go on: ${claim}; ${advice}`);
}
