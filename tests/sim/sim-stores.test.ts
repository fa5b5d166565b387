/** The simulated server's stores keep the contracts that the real ones keep. */
import type { ServerId } from "../../src/core/identifier.ts";
import { metadataStoreContract } from "../contracts/metadata-store-contract.ts";
import { objectRecordsContract } from "../contracts/object-records-contract.ts";
import { SimMetadataStore } from "./sim-metadata-store.ts";
import { SimServerDisk } from "./sim-server-disk.ts";

const serverId = "5".repeat(32) as ServerId;

function make(): SimMetadataStore {
  return new SimMetadataStore({ disk: new SimServerDisk(), serverId, latency: async () => {} });
}

metadataStoreContract("SimMetadataStore", make);
objectRecordsContract("SimMetadataStore", make);
