/** SQLite as MetadataStore: the contract, and what is its own. */
import { expect, test } from "bun:test";
import { openSqliteMetadataStore } from "../../src/adapters/metadata/store.ts";
import type { MetadataStore } from "../../src/ports/metadata-store.ts";
import { metadataStoreContract } from "../contracts/metadata-store-contract.ts";
import { objectRecordsContract } from "../contracts/object-records-contract.ts";
import { SERVER } from "../server/server-world.ts";

function make(): MetadataStore {
  return openSqliteMetadataStore({ path: ":memory:", newServerId: SERVER });
}

metadataStoreContract("SQLite", make);
objectRecordsContract("SQLite", make);

test("a new SQLite store takes the server's id that it is given", () => {
  const store = openSqliteMetadataStore({ path: ":memory:", newServerId: SERVER });
  expect(store.serverId).toBe(SERVER);
});
