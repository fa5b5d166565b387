/**
 * A fixed number of connections to PostgreSQL. Rules: P3, P5. Each statement is a transaction of
 * its own and leaves nothing behind, so that a pooler may give each another connection.
 */
import { SyncedError } from "../../core/error.ts";
import { METADATA_CALL_MS_MAX, METADATA_CONNECTIONS } from "../../core/limits.ts";
import {
  addressOf,
  connectOnce,
  type DatabaseAddress,
  type PostgresClient,
  parseDatabaseUrl,
  type Sql,
} from "../postgres/client.ts";
import { type DatabaseUse, describeTrouble, isAway, stateOf } from "../postgres/trouble.ts";
import type { SqlRow } from "../sqlite/database.ts";

export type Parameter = string | number | Uint8Array | null;

const METADATA: DatabaseUse = {
  failure: "Cannot use the metadata",
  variable: "SYNCED_METADATA_URL",
  outlook: "Nothing is lost; devices try again",
  grant: ({ user, database }) =>
    `Allow it: GRANT CREATE ON DATABASE "${database}" TO "${user}"; if another user made the ` +
    `schema synced: ALTER SCHEMA synced OWNER TO "${user}", and each table in it`,
  lost: "Restore the schema synced from a backup",
  foreign: "Its schema synced is not one that synced made; use another database",
};

/** Who waits for a connection. */
type Waiter = (lane: Lane) => void;

/** One connection, made when it is needed. */
interface Lane {
  client: PostgresClient | undefined;
}

export class PostgresPool {
  readonly name: string;
  readonly #url: string;
  readonly #address: DatabaseAddress;
  readonly #free: Lane[];
  readonly #waiting: Waiter[] = [];
  #isClosed = false;

  /**
   * Connects to nothing yet.
   *
   * @param url `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Missing parts come from PGHOST and so
   * on.
   * @throws {SyncedError} `usage` for an illegal URL
   */
  constructor(url: string) {
    this.#url = parseDatabaseUrl(url, "metadata");
    this.#address = addressOf(this.#url, "metadata");
    this.name = `PostgreSQL at ${this.#address.host}, database "${this.#address.database}"`;
    this.#free = Array.from({ length: METADATA_CONNECTIONS }, () => ({ client: undefined }));
  }

  /** Runs a statement that changes nothing; once more if the connection was lost. */
  async read(text: string, ...parameters: readonly Parameter[]): Promise<readonly SqlRow[]> {
    const work = (sql: Sql) => statement(sql, text, parameters);
    try {
      return await this.#run(work);
    } catch (error) {
      if (!isAway(stateOf(error))) throw this.trouble(error);
      return await this.#run(work).catch((again) => {
        throw this.trouble(again);
      });
    }
  }

  /** @throws {SyncedError} If it does not say that nothing was done, that is not known. */
  async write(text: string, ...parameters: readonly Parameter[]): Promise<readonly SqlRow[]> {
    return await this.tryWrite(text, ...parameters).catch((error) => {
      throw this.trouble(error);
    });
  }

  /** As `write`, but throws the driver's error. */
  async tryWrite(text: string, ...parameters: readonly Parameter[]): Promise<readonly SqlRow[]> {
    return await this.#run((sql) => statement(sql, text, parameters));
  }

  /**
   * Runs statements without parameters in one transaction, each of which sees what was committed
   * before it began.
   *
   * @returns the rows of each
   */
  async transaction(...statements: readonly string[]): Promise<readonly (readonly SqlRow[])[]> {
    try {
      return await this.#run((sql) => sql.unsafe<SqlRow[][]>(statements.join(";\n")).simple());
    } catch (error) {
      throw this.trouble(error);
    }
  }

  trouble(error: unknown): SyncedError {
    if (error instanceof SyncedError) return error;
    return describeTrouble(error, this.#address, METADATA);
  }

  close(): void {
    this.#isClosed = true;
    for (const { client } of this.#free) client?.drop();
  }

  async #run<Result>(work: (sql: Sql) => Promise<Result>): Promise<Result> {
    const lane = await this.#take();
    try {
      if (this.#isClosed) throw closed();
      const client = lane.client ?? this.#connect(lane);
      return await withinTime(work(client.sql));
    } catch (error) {
      // After an error nobody knows how the connection is. Errors are rare.
      lane.client?.drop();
      lane.client = undefined;
      throw error;
    } finally {
      this.#give(lane);
    }
  }

  #connect(lane: Lane): PostgresClient {
    const client = connectOnce(this.#url, {
      onClose: () => {
        if (lane.client === client) lane.client = undefined;
      },
    });
    lane.client = client;
    return client;
  }

  #take(): Promise<Lane> {
    const lane = this.#free.pop();
    if (lane !== undefined) return Promise.resolve(lane);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #give(lane: Lane): void {
    if (this.#isClosed) lane.client?.drop();
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(lane);
    else next(lane);
  }
}

async function statement(
  sql: Sql,
  text: string,
  parameters: readonly Parameter[],
): Promise<readonly SqlRow[]> {
  return await sql.unsafe<SqlRow[]>(text, [...parameters]);
}

async function withinTime<Result>(work: Promise<Result>): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const seconds = METADATA_CALL_MS_MAX / 1000;
    const error = Object.assign(new Error(`no answer within ${seconds} s`), { code: "ETIMEDOUT" });
    timer = setTimeout(() => reject(error), METADATA_CALL_MS_MAX);
  });
  // If time is up, what becomes of the work is nobody's concern any more.
  work.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function closed(): SyncedError {
  return new SyncedError("temporarily_unavailable", "The server is stopping");
}
