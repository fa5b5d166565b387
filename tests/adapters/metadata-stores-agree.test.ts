/**
 * Random work on the store in SQLite and on the one in PostgreSQL: each step has the same outcome,
 * and after the last one every read of both says the same [P1].
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { openSqliteMetadataStore } from "../../src/adapters/metadata/store.ts";
import { genesisHash } from "../../src/core/canonical.ts";
import { sha256 } from "../../src/core/digest.ts";
import { type DeviceId, type Epoch, type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { Content, RemoteNode } from "../../src/core/node.ts";
import type { Op } from "../../src/core/op.ts";
import { formatTime } from "../../src/core/time.ts";
import type { LoadRequest, MetadataStore } from "../../src/ports/metadata-store.ts";
import type { KnownObject } from "../../src/ports/object-records.ts";
import { batchTouches } from "../../src/server/batch-touches.ts";
import { decide } from "../../src/server/commit.ts";
import { fileOf, nodeId } from "../generate/trees.ts";
import {
  batchOf,
  create,
  DIRECTORY,
  FOLDER,
  hexId,
  modify,
  move,
  remove,
  SERVER,
} from "../server/server-world.ts";
import { type MetadataDatabase, startMetadataDatabase } from "./postgres-metadata.ts";

const RUNS = Number(process.env["SYNCED_TEST_ROUNDS"] ?? 8);
const NAMES = ["a", "B", "\\x41", "é", "\uffee", "😀"];
const TEXTS = ["", "one", "two", "three"];
const NODES = [1, 2, 3, 4, 5, 6].map(nodeId);
const DEVICES = [1, 2].map((n) => hexId<DeviceId>("d", n));
const LARGE: Content = {
  kind: "file",
  manifest: sha256("manifest"),
  depth: 1,
  sha256: sha256("whole"),
  size: 99,
  executable: true,
  mtimeNs: "-1",
};
const CONTENTS: readonly Content[] = [
  DIRECTORY,
  DIRECTORY,
  { kind: "symlink", target: "\\x41" },
  LARGE,
  ...TEXTS.map(fileOf),
];
const OBJECTS: readonly KnownObject[] = [
  ...TEXTS.map((text) => ({ digest: sha256(text), depth: 0, size: text.length })),
  { digest: sha256("manifest"), depth: 1, size: 99 },
  { digest: sha256("one"), depth: 1, size: 7 },
];
const EPOCH = hexId<Epoch>("e", 1);

const number = fc.nat(1000);
const step = fc.record({
  act: fc.constantFrom("post", "post", "post", "post", "record", "collect", "prune", "report"),
  numbers: fc.array(number, { minLength: 6, maxLength: 24 }),
});

let database: MetadataDatabase;

beforeAll(async () => {
  database = await startMetadataDatabase();
}, 180_000);

afterAll(() => database.stop());

/** An endless supply of choices. */
class Choices {
  readonly #numbers: readonly number[];
  #at = 0;

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers;
  }

  get isSpent(): boolean {
    return this.#at >= this.#numbers.length;
  }

  below(count: number): number {
    const found = this.#numbers[this.#at % this.#numbers.length] ?? 0;
    this.#at += 1;
    return found % count;
  }

  of<Item>(items: readonly Item[]): Item {
    const item = items[this.below(items.length)];
    if (item === undefined) throw new Error("Nothing to choose from");
    return item;
  }
}

function opOf(choices: Choices, known: ReadonlyMap<NodeId, RemoteNode>): Op {
  const id = choices.of(NODES);
  const node = known.get(id);
  const { contentVersion = 0, placeVersion = 0 } = node ?? {};
  const parent = choices.of([ROOT_ID, ...NODES]);
  const name = choices.of(NAMES);
  const content = choices.of(CONTENTS);
  const body = node?.content.kind === "directory" ? DIRECTORY : content;
  if (node === undefined || node.deleted) {
    const made = create(id, name, node === undefined ? content : body, parent);
    const conflictOf = { node: choices.of(NODES), version: 1 };
    const origin = choices.below(4) === 0 && made.kind === "create" ? { conflictOf } : {};
    return made.kind === "create" ? { ...made, base: contentVersion, ...origin } : made;
  }
  const kind = choices.below(3);
  if (kind === 0) return modify(id, body, contentVersion);
  if (kind === 1) return move(id, name, placeVersion, parent);
  return remove(id, contentVersion, placeVersion);
}

/** Does the same in each store, and wants the same to come of it. */
class Pair {
  readonly #sqlite: MetadataStore;
  readonly #postgres: MetadataStore;
  #time = 0;

  constructor(sqlite: MetadataStore, postgres: MetadataStore) {
    this.#sqlite = sqlite;
    this.#postgres = postgres;
  }

  async both<Result>(
    question: string,
    work: (store: MetadataStore) => Promise<Result>,
  ): Promise<Result> {
    const first = await work(this.#sqlite);
    expect<unknown>(await work(this.#postgres), question).toEqual(first);
    return first;
  }

  async close(): Promise<void> {
    await this.#sqlite.close();
    await this.#postgres.close();
  }

  async make(): Promise<void> {
    await this.both("createFolder", (store) => {
      const genesis = genesisHash({ server: SERVER, folder: FOLDER, epoch: EPOCH });
      const chunker = { minBytes: 1, averageBytes: 2, maxBytes: 3 };
      const record = { name: FOLDER, epoch: EPOCH, genesis, chunker, nameBytesMax: 255 };
      return store.createFolder(record);
    });
    await this.record(OBJECTS);
  }

  async act(act: string, choices: Choices): Promise<void> {
    this.#time += 1;
    if (act === "post") await this.#post(choices);
    else if (act === "record") await this.record([choices.of(OBJECTS), choices.of(OBJECTS)]);
    else if (act === "collect") await this.#collect(choices);
    else if (act === "prune") {
      const before = formatTime(this.#time - choices.below(3));
      const limit = 1 + choices.below(9);
      await this.both("prune", (store) => store.prune(FOLDER, { before, limit }));
    } else await this.#report(choices);
  }

  async record(objects: readonly KnownObject[]): Promise<void> {
    const timeMs = this.#time;
    await this.both("record", async (store) => {
      const version = await store.objectRecords.version();
      return await store.objectRecords.record(FOLDER, { version, objects, children: [], timeMs });
    });
  }

  async #post(choices: Choices): Promise<void> {
    const { head, nodes } = await this.both("nodes", (store) =>
      store.nodes(FOLDER, { limit: 100, tombstones: true }),
    );
    const known = new Map(nodes.map((node) => [node.id, node]));
    const groups: Op[][] = [[]];
    while (!choices.isSpent) {
      const op = opOf(choices, known);
      if (choices.below(2) === 0) groups.push([]);
      groups.at(-1)?.push(op);
    }
    const batch = batchOf(
      head,
      groups.filter((group) => group.length > 0),
      choices.of(DEVICES),
    );
    const time = formatTime(this.#time);
    await this.both("append", async (store) => {
      const objectsVersion = await store.objectRecords.version();
      const loaded = await store.load(FOLDER, batchTouches([batch]).request);
      const extents = await store.subtreeExtents(FOLDER, batchTouches([batch]).request.nodes);
      const steps = decide({ loaded, extents, batches: [batch], time });
      let next = steps.next();
      while (next.done !== true) next = steps.next();
      const { results, events, nodes: rows } = next.value;
      const append = { expectedHead: loaded.head, objectsVersion, events, nodes: rows };
      if (events.length === 0) return { results };
      return { results, outcome: await store.append(FOLDER, append) };
    });
  }

  async #collect(choices: Choices): Promise<void> {
    const { depth } = choices.of(OBJECTS);
    const objects = OBJECTS.filter((object) => object.depth === depth);
    const untilMs = this.#time - choices.below(4);
    await this.both("collect", async ({ objectRecords: records }) => {
      const above = await records.manifests(FOLDER, { depth: depth + 1, limit: 9 });
      const turn = above.at(-1)?.turn ?? 0;
      const unnamed = await records.unnamed(FOLDER, { objects, untilMs, turn });
      const known = sorted(unnamed);
      const forgotten = await records.forget(FOLDER, { objects: unnamed, untilMs, turn });
      const condemned = await records.condemn(objects.map(({ digest }) => digest));
      return { known, isDone: Array.isArray(forgotten), condemned };
    });
    if (choices.below(2) === 0) return;
    await this.both("absolve", async ({ objectRecords: records }) => {
      const digests = await records.condemned(100);
      await records.absolve(digests);
      return digests;
    });
  }

  async #report(choices: Choices): Promise<void> {
    const device = choices.of(DEVICES);
    const state = { settled: choices.below(2) === 0, problems: choices.below(3) };
    const name = `\0"${choices.below(2)}`;
    await this.both("report", async (store) => {
      const found = await store.folder(FOLDER);
      if (found === undefined) return;
      const seenTime = formatTime(this.#time);
      const report = { device, name, applied: found.head, seenTime };
      await store.putDevice(FOLDER, { ...report, ...state });
    });
  }

  async compare(): Promise<void> {
    const { head } = await this.both("events", (store) =>
      store.events(FOLDER, { after: 0, limit: 10_000 }),
    );
    const seqs = Array.from({ length: head.seq + 2 }, (_, seq) => seq);
    const everything: LoadRequest = {
      nodes: NODES,
      places: NODES.flatMap((parent) => NAMES.map((name) => ({ parent, name }))),
      ops: [],
      deleted: NODES,
      objects: OBJECTS.map(({ digest }) => digest),
      cursors: seqs,
    };
    await this.both("load", async (store) => {
      const { nodes, objects, hashes, ...rest } = await store.load(FOLDER, everything);
      const ordered = [...hashes].toSorted(([a], [b]) => a - b);
      return { ...rest, ordered, nodes: byId(nodes), objects: sorted(objects) };
    });
    await this.#compareLog(seqs);
    await this.#compareTrees(seqs);
    await this.both("usage", (store) => store.usage(FOLDER));
    await this.both("devices", (store) => store.devices(FOLDER, { limit: 9 }));
    await this.both("folders", (store) => store.folders({ limit: 9 }));
    await this.both("objects", (store) => store.objects(FOLDER, { limit: 100 }));
    const digests = OBJECTS.map(({ digest }) => digest);
    await this.both("unknown", async (store) =>
      (await store.objectRecords.unknown(digests)).toSorted(),
    );
    for (const depth of [1, 2]) {
      await this.both("manifests", async (store) =>
        (await store.objectRecords.manifests(FOLDER, { depth, limit: 9 })).map(
          ({ turn: _, ...manifest }) => manifest,
        ),
      );
    }
  }

  async #compareLog(seqs: readonly number[]): Promise<void> {
    await this.both("eventsAt", (store) => store.eventsAt(FOLDER, seqs.toReversed()));
    await this.both("conflictEvents", (store) => store.conflictEvents(FOLDER, { limit: 3 }));
    for (const seq of someOf(seqs)) {
      for (const splitsGroups of [true, false]) {
        const page = { after: seq, limit: 2, splitsGroups };
        await this.both("events of a page", (store) => store.events(FOLDER, page));
      }
      const page = { before: seq, limit: 3 };
      await this.both("eventsBefore", (store) => store.eventsBefore(FOLDER, page));
      await this.both("hashAt", (store) => store.hashAt(FOLDER, seq));
    }
    for (const text of [...TEXTS, "whole", "none"]) {
      await this.both("contentBySha256", (store) => store.contentBySha256(FOLDER, sha256(text)));
    }
  }

  async #compareTrees(seqs: readonly number[]): Promise<void> {
    const moments = [undefined, ...someOf(seqs)];
    for (const node of NODES) {
      await this.both("history", (store) => store.history(FOLDER, { node, limit: 4 }));
      for (const seq of moments) await this.both("node", (store) => store.node(FOLDER, node, seq));
    }
    for (const parent of [ROOT_ID, ...NODES]) {
      for (const seq of moments) {
        const page = { parent, after: "A", limit: 3, ...(seq === undefined ? {} : { seq }) };
        await this.both("children", (store) => store.children(FOLDER, page));
      }
    }
    for (const name of NAMES) {
      const place = { parent: ROOT_ID, name };
      await this.both("placeHistory", (store) => store.placeHistory(FOLDER, { place, limit: 3 }));
      for (const seq of moments) {
        await this.both("child", (store) => store.child(FOLDER, place, seq));
      }
    }
  }
}

/** A third and two thirds of the way. */
function someOf(seqs: readonly number[]): readonly number[] {
  return [Math.floor(seqs.length / 3), Math.floor((seqs.length * 2) / 3)];
}

function byId(nodes: readonly RemoteNode[]): readonly RemoteNode[] {
  return nodes.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function sorted(objects: readonly KnownObject[]): readonly KnownObject[] {
  return objects.toSorted((a, b) =>
    a.digest === b.digest ? a.depth - b.depth : a.digest < b.digest ? -1 : 1,
  );
}

test("whatever is done, SQLite and PostgreSQL answer every question alike [P1]", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      const sqlite = openSqliteMetadataStore({ path: ":memory:", newServerId: SERVER });
      const pair = new Pair(sqlite, await database.emptyStore());
      try {
        await pair.make();
        for (const { act, numbers } of steps) await pair.act(act, new Choices(numbers));
        await pair.compare();
      } finally {
        await pair.close();
      }
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
}, 180_000);
