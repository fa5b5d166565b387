/** PostgreSQL as MetadataStore, against a real server: the contract, and what is its own. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { genesisHash } from "../../src/core/canonical.ts";
import { sha256 } from "../../src/core/digest.ts";
import type { Cursor } from "../../src/core/event.ts";
import { type Epoch, ROOT_ID } from "../../src/core/identifier.ts";
import { METADATA_CONNECTIONS } from "../../src/core/limits.ts";
import type { Op } from "../../src/core/op.ts";
import type { Append, MetadataStore } from "../../src/ports/metadata-store.ts";
import type { KnownObject } from "../../src/ports/object-records.ts";
import { batchTouches } from "../../src/server/batch-touches.ts";
import { decide } from "../../src/server/commit.ts";
import { metadataStoreContract } from "../contracts/metadata-store-contract.ts";
import { objectRecordsContract } from "../contracts/object-records-contract.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import { batchOf, create, DIRECTORY, FOLDER, hexId, SERVER } from "../server/server-world.ts";
import { type MetadataDatabase, startMetadataDatabase } from "./postgres-metadata.ts";

let database: MetadataDatabase;

beforeAll(async () => {
  database = await startMetadataDatabase();
}, 180_000);

afterAll(() => database.stop());

metadataStoreContract("PostgreSQL", () => database.emptyStore());
objectRecordsContract("PostgreSQL", () => database.emptyStore());

describe("two stores on one PostgreSQL", () => {
  const epoch = hexId<Epoch>("e", 1);
  const one: KnownObject = { digest: sha256("one"), depth: 0, size: 3 };
  let first: MetadataStore;
  let second: MetadataStore;

  beforeEach(async () => {
    first = await database.emptyStore();
    second = await database.store();
    const genesis = genesisHash({ server: SERVER, folder: FOLDER, epoch });
    const chunker = { minBytes: 1, averageBytes: 2, maxBytes: 3 };
    await first.createFolder({ name: FOLDER, epoch, genesis, chunker, nameBytesMax: 255 });
  });
  afterEach(async () => {
    await first.close();
    await second.close();
  });

  async function headOf(store: MetadataStore): Promise<Cursor> {
    const found = await store.folder(FOLDER);
    if (found === undefined) throw new Error("No folder");
    return found.head;
  }

  /** Each op is a group. */
  async function decided(store: MetadataStore, ...ops: readonly Op[]): Promise<Append> {
    const objectsVersion = await store.objectRecords.version();
    const batch = batchOf(
      await headOf(store),
      ops.map((op) => [op]),
    );
    const loaded = await store.load(FOLDER, batchTouches([batch]).request);
    const time = "2026-01-02T03:04:05.006Z";
    const steps = decide({ loaded, extents: new Map(), batches: [batch], time });
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    const { events, nodes } = step.value;
    return { expectedHead: loaded.head, objectsVersion, events, nodes };
  }

  async function record(store: MetadataStore): Promise<string> {
    const version = await store.objectRecords.version();
    const recording = { version, objects: [one], children: [], timeMs: 0 };
    return await store.objectRecords.record(FOLDER, recording);
  }

  test("of appends that come at once one wins, whatever their lengths [P2]", async () => {
    let made = 0;
    const racer = async (store: MetadataStore, index: number) => {
      let wins = 0;
      for (let attempt = 0; attempt < 12; attempt += 1) {
        const ops = Array.from({ length: 1 + ((index + attempt) % 4) }, () => {
          made += 1;
          return create(nodeId(made), `n${made}`, DIRECTORY);
        });
        const outcome = await store.append(FOLDER, await decided(store, ...ops));
        if (outcome === "appended") wins += ops.length;
        else expect(outcome).toBe("head_moved");
      }
      return wins;
    };
    const wins = await Promise.all([0, 1, 2, 3].map((n) => racer(n % 2 ? first : second, n)));
    const { events, head } = await first.events(FOLDER, { after: 0, limit: 1000 });
    expect(head.seq).toBe(wins.reduce((sum, count) => sum + count, 0));
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
    for (const [index, event] of events.entries()) {
      if (index > 0) expect(event.previousHash).toBe(events[index - 1]?.hash ?? event.hash);
    }
    const children = await first.children(FOLDER, { parent: ROOT_ID, limit: 1000 });
    expect(children.length).toBe(head.seq);
  });

  test("an append to another log of the same length does nothing [P2]", async () => {
    const append = await decided(first, create(nodeId(1), "a", DIRECTORY));
    expect(await first.append(FOLDER, append)).toBe("appended");
    const next = await decided(first, create(nodeId(2), "b", DIRECTORY));
    const expectedHead = { ...next.expectedHead, hash: sha256("another") };
    expect(await second.append(FOLDER, { ...next, expectedHead })).toBe("head_moved");
    expect((await headOf(second)).seq).toBe(1);
    expect(await second.append(FOLDER, next)).toBe("appended");
  });

  test("what one store forgot, the other does not build upon [P4]", async () => {
    expect(await record(first)).toBe("recorded");
    const append = await decided(second, create(nodeId(1), "a", fileOf("one")));
    const forgetting = { objects: [one], untilMs: 1, turn: 0 };
    expect(await first.objectRecords.forget(FOLDER, forgetting)).toEqual([one]);
    expect(await second.append(FOLDER, append)).toBe("objects_moved");
  });

  test("a commit and a collection at once leave no event without its object [P4]", async () => {
    for (let round = 0; round < 15; round += 1) {
      const text = `round ${round}`;
      const object = { digest: sha256(text), depth: 0, size: text.length };
      const version = await first.objectRecords.version();
      const recording = { version, objects: [object], children: [], timeMs: 0 };
      await first.objectRecords.record(FOLDER, recording);
      const append = await decided(second, create(nodeId(round + 1), `n${round}`, fileOf(text)));
      const forgetting = { objects: [object], untilMs: 1, turn: 0 };
      const [outcome, forgotten] = await Promise.all([
        second.append(FOLDER, append),
        first.objectRecords.forget(FOLDER, forgetting),
      ]);
      const known = await first.knownObjects(FOLDER, [object.digest]);
      if (outcome === "appended") expect([round, forgotten, known]).toEqual([round, [], [object]]);
      else expect([round, outcome, known]).toEqual([round, "objects_moved", []]);
    }
  });

  test("uses eight connections, and leaves nothing in them [P3]", async () => {
    const reads = Array.from({ length: 40 }, () =>
      first.nodes(FOLDER, { limit: 9, tombstones: true }),
    );
    await Promise.all(reads);
    const sessions = await database.admin`
      SELECT state FROM pg_stat_activity WHERE application_name = 'synced'
        AND pid <> pg_backend_pid()`;
    expect(sessions.length).toBeGreaterThan(1);
    expect(sessions.length).toBeLessThanOrEqual(METADATA_CONNECTIONS + 1);
    expect(sessions.filter(({ state }) => state !== "idle")).toEqual([]);
  });

  test("goes on after its connections were cut, and asks what became of an append [P5]", async () => {
    const cut = () => database.admin`
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'synced'`;
    await cut();
    expect((await headOf(first)).seq).toBe(0);
    const append = await decided(first, create(nodeId(1), "a", DIRECTORY));
    // Holds the append up until its connection is gone.
    await database.admin.begin(async (sql) => {
      await sql`SELECT FROM synced.server FOR UPDATE`;
      const outcome = first.append(FOLDER, append);
      await Bun.sleep(200);
      await sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'synced' AND wait_event_type = 'Lock'`;
      expect(await outcome).toBe("outcome_unknown");
    });
    expect((await headOf(first)).seq).toBe(0);
    expect(await first.append(FOLDER, append)).toBe("appended");
    expect(await first.append(FOLDER, append)).toBe("head_moved");
  });
});
