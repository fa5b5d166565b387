/**
 * Logs of a server that has been taken over: hashes fit, the tree is none. Nothing of them is
 * stored. `SYNCED_TEST_LOGS` sets how many random ones are tried, `SYNCED_TEST_SEED` which.
 */
import { describe, expect, test } from "bun:test";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { checkEvents, checkTree } from "../../src/client/connect/log-gate.ts";
import { sha256 } from "../../src/core/digest.ts";
import { SyncedError } from "../../src/core/error.ts";
import type { Cursor } from "../../src/core/event.ts";
import {
  type Epoch,
  type NodeId,
  PARKING_ID,
  parseId,
  ROOT_ID,
} from "../../src/core/identifier.ts";
import { OPS_PER_GROUP_MAX, PATH_DEPTH_MAX } from "../../src/core/limits.ts";
import type { RemoteNode } from "../../src/core/node.ts";
import { failureOf } from "../failure.ts";
import {
  addRandomEvents,
  DIRECTORY,
  fileOf,
  hexId,
  isLegalTree,
  LogWriter,
} from "../generate/logs.ts";
import { Scheduler, SimClock } from "../sim/sim-clock.ts";
import { SimRandom } from "../sim/sim-random.ts";
import { FOLDER_URL, LoopWorld } from "./loop-world.ts";

const LOGS = Number(process.env["SYNCED_TEST_LOGS"] ?? 120);
const SEED = Number(process.env["SYNCED_TEST_SEED"] ?? 1);
const TIMEOUT_MS = 60_000 + LOGS * 1_000;

const EPOCH = parseId<Epoch>("e".repeat(32));
const START: Cursor = { epoch: EPOCH, seq: 0, hash: sha256("genesis") };
const { signal } = new AbortController();
const node = (number: number): NodeId => hexId<NodeId>(number);

/** A directory 1 with a file 2 and a directory 3 in it, and a file 4 beside it. */
function honest(): LogWriter {
  const log = new LogWriter(START);
  log.create(node(1), ROOT_ID, "d");
  log.create(node(2), node(1), "f", fileOf("two"));
  log.create(node(3), node(1), "e");
  log.create(node(4), ROOT_ID, "g", fileOf("four"));
  return log;
}

/** @returns why the gate refuses what `write` adds to an honest log; undefined if it lets it in. */
async function refusalOf(write: (log: LogWriter) => void): Promise<string | undefined> {
  const store = openStateStore(":memory:");
  const clock = new SimClock(new Scheduler());
  const before = honest();
  for (const row of before.rows.values()) store.putRemote(row);
  const log = new LogWriter(before.cursor, before.rows.values());
  write(log);
  try {
    await checkEvents({ store, clock }, log.events, signal);
    return undefined;
  } catch (error) {
    if (!(error instanceof SyncedError) || error.code !== "protocol_violation") throw error;
    return error.message;
  } finally {
    store.close();
  }
}

/** A chain of directories, so many deep, below directory 3. */
function deep(log: LogWriter, count: number): void {
  for (let at = 0; at < count; at += 1) {
    log.create(node(100 + at), at === 0 ? node(3) : node(99 + at), "x");
  }
}

const ILLEGAL: readonly [string, (log: LogWriter) => void, string][] = [
  ["a parent that is unknown", (log) => log.create(node(9), node(8), "x"), "below no directory"],
  ["a parent that is a file", (log) => log.create(node(9), node(4), "x"), "below a file"],
  ["the parking as a parent", (log) => log.create(node(9), PARKING_ID, "x"), "no directory of"],
  ["the root as its own child", (log) => log.create(ROOT_ID, ROOT_ID, "x"), "about the root"],
  ["a name for the parking", (log) => log.create(PARKING_ID, ROOT_ID, "x"), "about the root"],
  ["one name twice", (log) => log.create(node(9), ROOT_ID, "g"), "two nodes have its name"],
  ["a node that exists", (log) => log.create(node(3), ROOT_ID, "x"), "its node exists"],
  [
    "a directory in itself",
    (log) => log.change("move", node(1), { parent: node(1) }),
    "leads in a circle",
  ],
  [
    "a directory below its child",
    (log) => log.change("move", node(1), { parent: node(3) }),
    "leads in a circle",
  ],
  ["a deletion with something in it", (log) => log.change("delete", node(1)), "something in it"],
  [
    "a move onto a name",
    (log) => log.change("move", node(2), { parent: ROOT_ID, name: "g" }),
    "two",
  ],
  [
    "another kind",
    (log) => log.change("modify", node(4), { content: DIRECTORY }),
    "its node is a file for life",
  ],
  [
    "an edit that moves",
    (log) => log.change("modify", node(4), { name: "elsewhere" }),
    "does not follow",
  ],
  [
    "a move that edits",
    (log) => log.change("move", node(4), { name: "h", content: fileOf("other") }),
    "does not follow",
  ],
  [
    "a version that never was",
    (log) => log.change("modify", node(4), { content: fileOf("x"), baseContent: 2 }),
    "does not follow",
  ],
  [
    "a base from the future",
    (log) => log.change("move", node(4), { name: "h", baseContent: 2 ** 53 - 1 }),
    "based on a later event",
  ],
  [
    "an edit of nothing",
    (log) =>
      log.add({ kind: "modify", node: node(9), parent: ROOT_ID, name: "x", content: DIRECTORY }),
    "does not exist",
  ],
  [
    "an edit of what is deleted",
    (log) => {
      log.change("delete", node(4));
      log.change("modify", node(4), { content: fileOf("x") });
    },
    "does not exist",
  ],
  [
    "a revival of another kind",
    (log) => {
      log.change("delete", node(4));
      log.create(node(4), ROOT_ID, "g");
    },
    "a file for life",
  ],
  ["a path that is too deep", (log) => deep(log, PATH_DEPTH_MAX), "too long"],
  [
    "a directory that takes its children too deep",
    (log) => {
      deep(log, 200);
      log.create(node(1_000), ROOT_ID, "top");
      for (let at = 1; at <= 80; at += 1) log.create(node(1_000 + at), node(999 + at), "y");
      log.change("move", node(100), { parent: node(1_080) });
    },
    "too long",
  ],
  [
    "a group without end",
    (log) => {
      for (let at = 0; at <= OPS_PER_GROUP_MAX; at += 1) {
        const place = { parent: ROOT_ID, name: `n${at}`, content: DIRECTORY };
        log.add({ kind: "create", node: node(2_000 + at), ...place, groupEnd: false });
      }
    },
    "never ends",
  ],
];

describe("a log is refused that has", () => {
  for (const [what, write, why] of ILLEGAL) {
    test(`${what} [L7, O2, O3]`, async () => {
      expect(await refusalOf(write)).toContain(why);
    });
  }
});

describe("a log is let in that has", () => {
  const LEGAL: readonly [string, (log: LogWriter) => void][] = [
    ["names that trade places in one group", swap],
    [
      "a directory deleted from its bottom",
      (log) => {
        for (const id of [2, 3, 1]) log.change("delete", node(id));
      },
    ],
    [
      "a revival of a node that a snapshot does not name",
      (log) => {
        const place = { parent: ROOT_ID, name: "back", content: fileOf("x") };
        log.add({ kind: "create", node: node(9), ...place, baseContent: 3, basePlace: 3 });
      },
    ],
    ["an edit that changes nothing", (log) => log.change("modify", node(4))],
    ["as deep a path as may be", (log) => deep(log, PATH_DEPTH_MAX - 2)],
  ];
  for (const [what, write] of LEGAL) {
    test(`${what} [L7, O3, O9]`, async () => {
      expect(await refusalOf(write)).toBeUndefined();
    });
  }
});

function swap(log: LogWriter): void {
  log.change("move", node(4), { name: "d", groupEnd: false });
  log.change("move", node(1), { name: "g" });
}

test("the gate lets in no random log that leaves a tree which is none [L7, O3]", async () => {
  let letIn = 0;
  for (let seed = SEED; seed < SEED + 10 * LOGS; seed += 1) {
    const rows = new Map<NodeId, RemoteNode>();
    const random = new SimRandom(seed, "log");
    const refusal = await refusalOf((log) => {
      addRandomEvents(log, random);
      for (const row of log.rows.values()) rows.set(row.id, row);
    });
    if (refusal !== undefined) continue;
    letIn += 1;
    expect({ seed, isLegal: isLegalTree(rows) }).toEqual({ seed, isLegal: true });
  }
  expect(letIn).toBeGreaterThan(0);
});

describe("a snapshot is refused that has", () => {
  const at = (id: number, parent: NodeId, name: string, content = DIRECTORY): RemoteNode => {
    const versions = { contentVersion: 1, placeVersion: 1, deleted: false };
    return { id: node(id), parent, name, content, ...versions };
  };
  const SNAPSHOTS: readonly [string, readonly RemoteNode[]][] = [
    ["a node below nothing", [at(1, ROOT_ID, "a"), at(2, node(7), "b")]],
    ["directories in a circle", [at(1, node(2), "a"), at(2, node(1), "b")]],
    ["one name twice", [at(1, ROOT_ID, "a"), at(2, ROOT_ID, "a")]],
    ["a node below a file", [at(1, ROOT_ID, "a", fileOf("x")), at(2, node(1), "b")]],
    ["the root in itself", [{ ...at(1, ROOT_ID, "a"), id: ROOT_ID }]],
    ["a node in the parking", [at(1, PARKING_ID, "a")]],
  ];
  for (const [what, rows] of SNAPSHOTS) {
    test(`${what} [L7, O3]`, async () => {
      const store = openStateStore(":memory:");
      const clock = new SimClock(new Scheduler());
      for (const row of rows) store.putRemote(row);
      const checked = checkTree({ store, clock }, rows.length, signal);
      expect(await failureOf(checked)).toMatchObject({ code: "protocol_violation" });
      store.close();
    });
  }
});

/** Answers the client's question for events with those of `log`. */
function serve(world: LoopWorld, log: LogWriter): void {
  const { epoch, seq } = log.cursor;
  world.answer = ({ url, headers }) => {
    const isStream = headers.get("accept")?.includes("event-stream") === true;
    if (isStream || !url.startsWith(`${FOLDER_URL}/events?`)) return undefined;
    return Response.json({ epoch, head: seq, events: log.events, next: seq });
  };
}

test(
  "a client that is fed broken logs ends with a reason each time, and goes on with a sound server [L7, B86]",
  async () => {
    const world = new LoopWorld();
    world.make("d/", "d/f", "g");
    world.start(true);
    await world.pass(5_000);
    await world.stop();
    const cursor = world.store.cursor();
    if (cursor === undefined) throw new Error("The folder did not join");
    const { remote } = world.store;
    const rows = [...remote.children(ROOT_ID)].flatMap((row) => [row, ...remote.children(row.id)]);
    const before = world.folder.diskPaths();
    let refused = 0;
    for (let seed = SEED; refused < LOGS; seed += 1) {
      const log = new LogWriter(cursor, rows);
      addRandomEvents(log, new SimRandom(seed, "log"));
      if (isLegalTree(log.rows)) continue;
      refused += 1;
      serve(world, log);
      world.start(true);
      await world.pass(9_000);
      expect(await failureOf(world.stop())).toMatchObject({ code: "protocol_violation" });
      expect(world.store.cursor()).toEqual(cursor);
      expect(world.folder.diskPaths()).toEqual(before);
    }
    world.answer = () => undefined;
    await world.remote("after", "that");
    world.start();
    await world.pass(5_000);
    expect(world.status).toMatchObject({ state: "in_sync" });
    expect(world.folder.diskPaths()).toContain("after");
    await world.stop();
  },
  TIMEOUT_MS,
);
