/** Two servers on one PostgreSQL hear of each other's commits, whatever is lost on the way. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { openDiskObjectStore } from "../../src/adapters/objects/store.ts";
import { PostgresLogNews } from "../../src/adapters/postgres-metadata/news.ts";
import { PostgresPool } from "../../src/adapters/postgres-metadata/pool.ts";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import type { Sequence } from "../../src/core/node.ts";
import { createSequencer, type Sequencer } from "../../src/server/sequencer.ts";
import { nodeId } from "../generate/trees.ts";
import { waitFor } from "../scenarios/lab.ts";
import { batchOf, create, DIRECTORY, FOLDER } from "../server/server-world.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { type MetadataDatabase, startMetadataDatabase } from "./postgres-metadata.ts";

let database: MetadataDatabase;

beforeAll(async () => {
  database = await startMetadataDatabase();
}, 180_000);
afterAll(() => database.stop());

interface Server {
  readonly sequencer: Sequencer;
  readonly news: PostgresLogNews;
  /** The heads that a listener was called with. */
  readonly heard: Sequence[];
  close(): Promise<void>;
}

/** @param listenUrl where no PostgreSQL is, so that notifications are lost */
async function openServer(listenUrl: string, isFirst: boolean): Promise<Server> {
  const metadata = isFirst ? await database.emptyStore() : await database.store();
  const pool = new PostgresPool(database.server.url);
  const id = systemRandom.id<string>();
  const lookToo = async () => undefined;
  const news = new PostgresLogNews({ pool, listenUrl, clock: systemClock, id, lookToo });
  const scratch = makeScratchFolder();
  const objects = openDiskObjectStore({ directory: scratch.root });
  const ports = { metadata, objects, clock: systemClock, random: systemRandom, news };
  const sequencer = createSequencer(ports);
  const heard: Sequence[] = [];
  if (isFirst) await sequencer.createFolder(FOLDER);
  sequencer.subscribe(FOLDER, (head) => heard.push(head));
  return {
    sequencer,
    news,
    heard,
    async close() {
      await sequencer.close();
      await news.stop();
      await objects.close();
      await metadata.close();
      pool.close();
      scratch.drop();
    },
  };
}

const NOWHERE = "postgres://nobody:nothing@127.0.0.1:1/nowhere";

describe.each([
  ["by notification", () => database.server.url],
  ["without any", () => NOWHERE],
])("a commit of another server, %s", (_, listenUrl) => {
  let first: Server;
  let second: Server;
  let count = 0;

  beforeEach(async () => {
    first = await openServer(listenUrl(), true);
    second = await openServer(listenUrl(), false);
  });
  afterEach(async () => {
    await first.close();
    await second.close();
  });

  async function commit({ sequencer }: Server): Promise<void> {
    const { epoch, head, hash } = await sequencer.folder(FOLDER);
    count += 1;
    const op = create(nodeId(count), `made-${count}`, DIRECTORY);
    const { results } = await sequencer.commit(FOLDER, batchOf({ epoch, seq: head, hash }, [[op]]));
    expect(results[0]?.status).toBe("accepted");
  }

  test("is heard of, each head once, and never an older one after a newer [P12]", async () => {
    for (let round = 0; round < 5; round += 1) {
      await commit(first);
      await commit(second);
    }
    for (const server of [first, second]) {
      await waitFor("the head", () => server.heard.at(-1) === 10);
      expect(server.heard).toEqual([...new Set(server.heard)].toSorted((a, b) => a - b));
    }
  });

  test("of many at once makes one chain without a gap [P2, L1]", async () => {
    await Promise.all(
      Array.from({ length: 30 }, (_unused, index) => commit(index % 2 === 0 ? first : second)),
    );
    const page = await second.sequencer.events(FOLDER, { after: 0, limit: 100 });
    expect(page.events.map(({ seq }) => seq)).toEqual(Array.from({ length: 30 }, (_u, n) => n + 1));
    await waitFor("the head", () => first.heard.at(-1) === 30);
  });

  test("is missed by nobody when PostgreSQL was away [P12]", async () => {
    await commit(first);
    await database.server.stop();
    await database.server.start();
    await waitFor("a commit", () =>
      commit(first).then(
        () => true,
        () => false,
      ),
    );
    const { head } = await first.sequencer.folder(FOLDER);
    await waitFor("the head", () => second.heard.at(-1) === head);
  });

  test("that is lost again ends the servers that knew it [P12, L1]", async () => {
    await commit(first);
    await commit(first);
    await waitFor("the head", () => second.heard.at(-1) === 2);
    // A restored database has other events there, or none.
    await database.admin`UPDATE synced.events SET hash = sha256('another') WHERE seq = 2`;
    expect(await second.news.failure).toMatchObject({
      code: "storage_failed",
      message: expect.stringContaining("start the server again"),
    });
  });
});
