/**
 * Events as people read them, and the follower that writes them, against the model of a sink.
 * Rules: M1-M6.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { SyncedError } from "../../src/core/error.ts";
import { type DeviceId, type NodeId, parseFolderName } from "../../src/core/identifier.ts";
import type { Content } from "../../src/core/node.ts";
import type { Op } from "../../src/core/op.ts";
import { createReadings } from "../../src/server/readings.ts";
import { caughtUp, fastClock, fileOf, follow, oneTo, seqsOf, until } from "./files-log-world.ts";
import { keyOf, MemoryEventSink } from "./memory-event-sink.ts";
import {
  batchOf,
  bytesOf,
  create,
  DEVICE,
  DIRECTORY,
  FOLDER,
  hexId,
  modify,
  move,
  remove,
  revive,
  type ServerWorld,
  serverWorld,
} from "./server-world.ts";

let world: ServerWorld;
beforeEach(async () => {
  world = await serverWorld();
});
afterEach(async () => await world.close());

const id = (n: number) => hexId<NodeId>("1", n);
const LINK: Content = { kind: "symlink", target: "a" };

/** Commits one op and @returns its seq. */
async function done(op: Op): Promise<number> {
  const seqs = await world.outcome(op);
  if (typeof seqs === "string") throw new Error(`Refused: ${seqs}`);
  return seqs[0] ?? 0;
}

/** Follows until all is written. */
async function mirror(sink: MemoryEventSink): Promise<void> {
  const followed = follow(world, sink);
  await caughtUp(followed);
  await followed.filesLog.stop();
  sink.reopen();
}

describe("actions", () => {
  test("each kind of change has the word that a person would use [M2]", async () => {
    await world.upload("one", "two");
    const sink = new MemoryEventSink();
    await done(create(id(1), "docs", DIRECTORY));
    const file = await done(create(id(2), "a.txt", fileOf("one"), id(1)));
    const link = await done(create(id(3), "link", LINK));
    const updated = await done(modify(id(2), fileOf("two"), file));
    const touched = await done(modify(id(2), fileOf("two", { mtimeNs: "5" }), updated));
    const relinked = await done(modify(id(3), { kind: "symlink", target: "b" }, link));
    const moved = await done(move(id(2), "b.txt", file));
    const deleted = await done(remove(id(2), touched, moved));
    await done(revive(id(2), "back.txt", fileOf("one"), deleted));
    await done(remove(id(3), relinked, link));
    await done(remove(id(1), 1));
    await done(create(id(4), "empty", fileOf("")));
    await mirror(sink);

    const one = { size: 3, sha256: fileOf("one").sha256 };
    const two = { size: 3, sha256: fileOf("two").sha256 };
    const shown = sink.rows.map(({ seq, time, log, device, deviceId, ...row }) => row);
    expect(shown).toEqual([
      { action: "mkdir", path: "docs" },
      { action: "upload", path: "docs/a.txt", ...one },
      { action: "symlink", path: "link" },
      { action: "update", path: "docs/a.txt", ...two },
      { action: "metadata", path: "docs/a.txt", ...two },
      { action: "symlink", path: "link" },
      { action: "rename", path: "b.txt", oldPath: "docs/a.txt", ...two },
      { action: "delete", path: "b.txt", ...two },
      { action: "restore", path: "back.txt", ...one },
      { action: "delete", path: "link" },
      { action: "rmdir", path: "docs" },
      { action: "upload", path: "empty", size: 0, sha256: fileOf("").sha256 },
    ]);
  });

  test("a conflict copy is an upload, a revived directory a restore [M2]", async () => {
    await world.upload("one", "two");
    const seq = await done(create(id(1), "a", fileOf("one")));
    const copy: Op = {
      ...create(id(2), "a (conflict)", fileOf("two")),
      ...{ conflictOf: { node: id(1), version: seq } },
    };
    await done(copy);
    await done(create(id(3), "d", DIRECTORY));
    await done(revive(id(3), "d", DIRECTORY, await done(remove(id(3), 3))));
    const sink = new MemoryEventSink();
    await mirror(sink);
    const actions = sink.rows.map(({ action }) => action);
    expect(actions).toEqual(["upload", "upload", "mkdir", "rmdir", "restore"]);
  });

  test("a modify is compared with what it replaced, in its group and in earlier pages [M2]", async () => {
    await world.upload("one", "two");
    const sink = new MemoryEventSink();
    const made = await done(create(id(1), "a", fileOf("one")));
    await mirror(sink);
    const touched = await done(modify(id(1), fileOf("one", { executable: true }), made));
    await mirror(sink);
    const changed = await done(modify(id(1), fileOf("two"), touched));
    await world.outcome(
      modify(id(1), fileOf("one"), changed),
      modify(id(1), fileOf("one", { mtimeNs: "7" }), changed + 1),
    );
    await mirror(sink);
    const actions = sink.rows.map(({ action }) => action);
    expect(actions).toEqual(["upload", "metadata", "update", "update", "metadata"]);
  });

  test("through HTTP, a move between leaves the bytes comparable [M2]", async () => {
    const put = async (text: string, mtimeNs: string) => {
      const body = (async function* () {
        yield bytesOf(text);
      })();
      const device = hexId<DeviceId>("0", 0);
      return await world.sequencer.putFile(FOLDER, { path: "d/a", body, device, mtimeNs });
    };
    const { node, seq } = await put("one", "1");
    await done(move(node, "b", seq));
    await done(modify(node, fileOf("one", { mtimeNs: "2" }), seq));
    await put("new", "3");
    const sink = new MemoryEventSink();
    await mirror(sink);
    const shown = sink.rows.map(({ action, path, device }) => `${action} ${path} ${device}`);
    expect(shown).toEqual([
      "mkdir d http",
      "upload d/a http",
      `rename b ${DEVICE}`,
      `metadata b ${DEVICE}`,
      "upload d/a http",
    ]);
  });

  test("a device has its name where it is known, and always its id [M7]", async () => {
    const other = hexId<DeviceId>("d", 2);
    await done(create(id(1), "a", DIRECTORY));
    const group = [create(id(2), "b", DIRECTORY)];
    await world.sequencer.commit(FOLDER, batchOf(await world.cursor(), [group], other));
    const applied = await world.cursor();
    await world.sequencer.reportDevice(FOLDER, DEVICE, { name: "laptop", applied });
    const sink = new MemoryEventSink();
    await mirror(sink);
    const devices = sink.rows.map(({ device, deviceId }) => [device, deviceId]);
    expect(devices).toEqual([
      ["laptop", DEVICE],
      [other, other],
    ]);
  });
});

describe("exactly once, in order", () => {
  test("what happened while nobody followed is written at the next start [M3]", async () => {
    const sink = new MemoryEventSink();
    for (let round = 0; round < 4; round += 1) {
      for (let n = 0; n < 3; n += 1) {
        await done(create(id(10 * round + n + 1), `${round} ${n}`, DIRECTORY));
      }
      await mirror(sink);
      expect(seqsOf(sink.rows)).toEqual(oneTo(await world.cursor()));
    }
  });

  test("more events than a page, and groups at its edge [M3]", async () => {
    const group = (from: number) =>
      Array.from({ length: 700 }, (_, n) => create(id(from + n), `${from + n}`, DIRECTORY));
    for (const from of [1, 1001, 2001, 3001]) await world.outcome(...group(from));
    const sink = new MemoryEventSink();
    await mirror(sink);
    expect(seqsOf(sink.rows)).toEqual(oneTo(await world.cursor()));
  });

  test("the sink fails at any call, done or not: no gap, no double [M3]", async () => {
    const groups = [1, 2, 3].map((part) =>
      Array.from({ length: 600 }, (_, n) => create(id(1000 * part + n), `${part}-${n}`, DIRECTORY)),
    );
    for (const group of groups) await world.outcome(...group);
    const expected = oneTo(await world.cursor());
    const count = new MemoryEventSink();
    await mirror(count);
    expect(count.calls).toBeGreaterThan(3);
    for (let failing = 1; failing <= count.calls; failing += 1) {
      for (const when of ["before", "after"] as const) {
        const sink = new MemoryEventSink((call) => (call === failing ? when : undefined));
        await mirror(sink);
        expect([failing, when, seqsOf(sink.rows)]).toEqual([failing, when, expected]);
      }
    }
  });

  test("half of all calls fail while events come in, with restarts between [M3]", async () => {
    // A fixed pattern, so that a failure can be repeated.
    const sink = new MemoryEventSink((call) => {
      const dice = (call * 7919) % 13;
      return dice < 3 ? "before" : dice < 6 ? "after" : undefined;
    });
    for (let round = 0; round < 5; round += 1) {
      const followed = follow(world, sink);
      for (let n = 0; n < 20; n += 1) {
        await done(create(id(100 * round + n + 1), `${round}-${n}`, DIRECTORY));
        if (n % 4 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
      }
      // Some stop in the middle, some after all was written.
      if (round % 2 === 0) await caughtUp(followed);
      await followed.filesLog.stop();
      sink.reopen();
    }
    expect(seqsOf(sink.rows)).toEqual(oneTo(await world.cursor()));
  });

  test("two followers of one log write each event once [M3]", async () => {
    const sink = new MemoryEventSink();
    const both = [follow(world, sink), follow(world, sink)];
    for (let n = 1; n <= 200; n += 1) await done(create(id(n), `${n}`, DIRECTORY));
    for (const followed of both) await caughtUp(followed);
    for (const { filesLog } of both) await filesLog.stop();
    expect(seqsOf(sink.rows)).toEqual(oneTo(await world.cursor()));
  });

  test("folders that appear later are followed too, each with its own order [M3]", async () => {
    const sink = new MemoryEventSink();
    const followed = follow(world, sink);
    await caughtUp(followed);
    const photos = parseFolderName("photos");
    const { epoch, head, hash } = await world.sequencer.createFolder(photos);
    const ops = [create(id(1), "p", DIRECTORY), create(id(2), "q", DIRECTORY)];
    await world.sequencer.commit(photos, batchOf({ epoch, seq: head, hash }, [ops]));
    await done(create(id(1), "d", DIRECTORY));
    await until("three rows", () => sink.rows.length === 3);
    const log = keyOf({ server: world.sequencer.serverId, folder: photos, epoch });
    expect(sink.rows.filter((row) => row.log === log).map(({ path }) => path)).toEqual(["p", "q"]);
    await followed.filesLog.stop();
  });
});

describe("troubles", () => {
  test("are said once, tried again, and over when a round succeeded [M4]", async () => {
    const sink = new MemoryEventSink();
    sink.openError = new SyncedError("unauthenticated", "The password is wrong");
    await done(create(id(1), "a", DIRECTORY));
    const followed = follow(world, sink);
    const { filesLog, notices } = followed;
    await until("a trouble", () => filesLog.status().lastError !== undefined);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(notices).toEqual([{ code: "files_log_trouble", message: "The password is wrong" }]);
    expect(filesLog.status()).toMatchObject({ connected: false, lastError: notices[0]?.message });
    // Sync does not notice.
    await done(create(id(2), "b", DIRECTORY));
    sink.openError = undefined;
    await caughtUp(followed);
    expect(notices.slice(1)).toEqual([
      { code: "files_log_connected", message: "Writing events to files_log in memory" },
    ]);
    expect(filesLog.status().lastError).toBeUndefined();
    expect(seqsOf(sink.rows)).toEqual([1, 2]);
    await filesLog.stop();
  });

  test("the lag grows while the sink is away, and is said in events [M6]", async () => {
    let isAway = false;
    const sink = new MemoryEventSink(() => (isAway ? "before" : undefined));
    await done(create(id(1), "a", DIRECTORY));
    const followed = follow(world, sink);
    await caughtUp(followed);
    isAway = true;
    for (const n of [2, 3, 4]) await done(create(id(n), `${n}`, DIRECTORY));
    await until("a lag of 3", () => followed.filesLog.status().lag.get(FOLDER) === 3);
    await until("away", () => !followed.filesLog.status().connected);
    isAway = false;
    await caughtUp(followed);
    await followed.filesLog.stop();
  });

  test("tables of a newer version end it for good; sync goes on [M5]", async () => {
    const sink = new MemoryEventSink();
    sink.openError = new SyncedError("data_newer", "The tables are newer");
    const { filesLog, notices } = follow(world, sink);
    await until("the end", () => notices.length > 0);
    sink.openError = undefined;
    await done(create(id(1), "a", DIRECTORY));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(notices).toEqual([{ code: "files_log_stopped", message: "The tables are newer" }]);
    expect(sink.calls).toBe(0);
    expect(filesLog.status().connected).toBe(false);
    await filesLog.stop();
  });

  test("a log that was rolled back waits for a person; other folders go on [M8]", async () => {
    const sink = new MemoryEventSink();
    for (const n of [1, 2, 3]) await done(create(id(n), `${n}`, DIRECTORY));
    await mirror(sink);
    const before = world;
    // The same server restored from its first moments: the same epoch, another history.
    world = await serverWorld();
    await before.close();
    const other = parseFolderName("other");
    const { epoch, head, hash } = await world.sequencer.createFolder(other);
    await world.sequencer.commit(
      other,
      batchOf({ epoch, seq: head, hash }, [[create(id(1), "o", DIRECTORY)]]),
    );
    for (const n of [1, 2, 3, 4]) await done(create(id(n), `other ${n}`, DIRECTORY));
    const { filesLog, notices } = follow(world, sink);
    await until("both", () => notices.length === 2 && sink.rows.length === 4);
    const said = notices.find(({ code }) => code === "files_log_trouble")?.message ?? "";
    expect(said).toContain(
      'Cannot write events of folder "default" to memory: it has event 3 of a',
    );
    expect(said).toContain("DELETE FROM files_log_cursors WHERE server_id = '5");
    expect(sink.rows.map(({ path }) => path)).toEqual(["1", "2", "3", "o"]);
    expect(filesLog.status().lastError).toBe(said);
    const { sequencer, objects } = world;
    const read = createReadings({ sequencer, objects, clock: fastClock, filesLog });
    expect((await read()).filesLog?.isWell).toBe(false);
    await filesLog.stop();
  });

  test("stop() ends at once, and nothing is written after it [M6]", async () => {
    const sink = new MemoryEventSink();
    const { filesLog } = follow(world, sink);
    await filesLog.stop();
    await done(create(id(1), "a", DIRECTORY));
    const { calls } = sink;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(sink.calls).toBe(calls);
  });
});
