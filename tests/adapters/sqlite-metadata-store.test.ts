/** SQLite as MetadataStore: the contract, and what is its own. */
import { expect, test } from "bun:test";
import { openSqliteMetadataStore } from "../../src/adapters/metadata/store.ts";
import { metadataStoreContract } from "../contracts/metadata-store-contract.ts";
import { SERVER } from "../server/server-world.ts";

metadataStoreContract("SQLite", () =>
  openSqliteMetadataStore({ path: ":memory:", newServerId: SERVER }),
);

test("a new SQLite store takes the server's id that it is given", () => {
  const store = openSqliteMetadataStore({ path: ":memory:", newServerId: SERVER });
  expect(store.serverId).toBe(SERVER);
});
