/** A real PostgreSQL for tests of the metadata in it. */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { openPostgresMetadataStore } from "../../src/adapters/postgres-metadata/store.ts";
import type { MetadataStore } from "../../src/ports/metadata-store.ts";
import { SERVER } from "../server/server-world.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { type PostgresServer, startPostgres } from "./postgres-server.ts";

export interface MetadataDatabase {
  readonly server: PostgresServer;
  readonly admin: postgres.Sql;
  /** A store on it, after everything was deleted. */
  emptyStore(): Promise<MetadataStore>;
  /** One more store on it. */
  store(): Promise<MetadataStore>;
  stop(): Promise<void>;
}

export async function startMetadataDatabase(): Promise<MetadataDatabase> {
  const scratch = makeScratchFolder();
  // Run by root, PostgreSQL is another user who must come in here.
  chmodSync(scratch.root, 0o711);
  const server = await startPostgres({ dataDir: join(scratch.root, "postgres") });
  const admin = postgres(server.url, { max: 1, onnotice: () => undefined });
  const store = () => {
    const pool = new PostgresPool(server.url);
    return openPostgresMetadataStore({ pool, serverId: SERVER, isNew: true });
  };
  return {
    server,
    admin,
    store,
    async emptyStore() {
      // Making the tables takes a second.
      const tables = await admin`SELECT relname AS name FROM pg_class
        WHERE relnamespace = to_regnamespace('synced') AND relkind = 'r'
          AND relname NOT IN ('version', 'turns', 'records_version')`;
      await admin.unsafe(tables.map(({ name }) => `DELETE FROM synced.${name};`).join(""));
      return await store();
    },
    async stop() {
      await admin.end({ timeout: 1 });
      await server.stop();
      scratch.drop();
    },
  };
}
