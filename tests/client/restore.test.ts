/** A server that is restored from a backup while something waits, or while it is joined anew. */
import { expect, test } from "bun:test";
import { FOLDER_URL, LoopWorld } from "./loop-world.ts";

/** Many times what it takes where nothing else runs. */
const TIMEOUT_MS = 60_000;

test(
  "news that waits is no edit of this device's once the server was restored [S10, R3]",
  async () => {
    const world = new LoopWorld();
    world.make("f");
    world.start();
    await world.pass(5_000);
    expect(await world.read("f")).toBe("text of f");
    // The disk does not take it.
    const { onCall } = world.folder;
    world.folder.onCall = (name, path) => (name === "exchange" ? "io" : onCall(name, path));
    await world.remote("f", "news");
    await world.pass(2_000);
    const kept = world.server.log?.head.seq ?? 0;
    await world.remote("g", "lost with the server's disk");
    await world.pass(2_000);
    world.server.restore(kept);
    world.breakStreams();
    await world.pass(20_000);
    expect(world.said("notice")).toMatchObject([{ code: "server_restored" }]);
    expect(await world.read("f")).toBe("news");
    world.folder.onCall = onCall;
    await world.pass(60_000);
    expect(await world.read("f")).toBe("news");
    expect(await world.read("g")).toBe("lost with the server's disk");
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "bytes that wait are no edit of a device that renamed the file since the copy [S10, R1]",
  async () => {
    const world = new LoopWorld();
    world.make("f");
    world.start();
    await world.pass(5_000);
    const { onCall } = world.folder;
    world.folder.onCall = (name, path) => (name === "exchange" ? "io" : onCall(name, path));
    await world.remote("f", "news");
    await world.pass(2_000);
    const kept = world.server.log?.head.seq ?? 0;
    world.move("f", "g");
    await world.pass(5_000);
    expect(await world.read("g")).toBe("news");
    world.server.restore(kept);
    world.breakStreams();
    await world.pass(20_000);
    expect(world.said("notice")).toMatchObject([{ code: "server_restored" }]);
    world.folder.onCall = onCall;
    await world.pass(60_000);
    expect(await world.read("g")).toBe("news");
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "a name that waits is kept by a device that wrote to the file since the copy [S10, R1]",
  async () => {
    const world = new LoopWorld();
    world.make("f");
    world.start();
    await world.pass(5_000);
    const { onCall } = world.folder;
    world.folder.onCall = (name, path) => (name === "moveNoReplace" ? "io" : onCall(name, path));
    await world.remoteRename("f", "g");
    await world.pass(2_000);
    const kept = world.server.log?.head.seq ?? 0;
    world.folder.write("f", "an edit");
    world.folder.disk.touched("f");
    await world.pass(5_000);
    expect(await world.read("g")).toBe("an edit");
    world.server.restore(kept);
    world.breakStreams();
    await world.pass(20_000);
    world.folder.onCall = onCall;
    await world.pass(60_000);
    expect(await world.read("g")).toBe("an edit");
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "a device that was away while the server was restored takes what others changed since [S10, R3]",
  async () => {
    const world = new LoopWorld();
    world.make("f", "g", "edited");
    world.start();
    await world.pass(5_000);
    const kept = world.server.log?.head.seq ?? 0;
    await world.remote("lost", "lost with the server's disk");
    await world.pass(5_000);
    await world.stop();
    world.server.restore(kept);
    for (const path of ["f", "edited"]) await world.remote(path, "changed since");
    await world.remote("g");
    world.folder.write("edited", "changed here");
    world.start();
    await world.pass(60_000);
    expect(await world.read("f")).toBe("changed since");
    expect(await world.read("edited")).toBe("changed since");
    expect(await world.read("lost")).toBe("lost with the server's disk");
    expect(await world.read("g")).toBe("text of g");
    expect(world.said("conflict")).toMatchObject([{ of: "edited" }]);
    expect(world.status.state).toBe("in_sync");
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "what merges by union goes on so when the server is restored again [S10, R11]",
  async () => {
    const world = new LoopWorld();
    world.start();
    await world.pass(2_000);
    await world.stop();
    await world.remote("f", "as it was");
    for (const path of ["g", "h"]) await world.remote(path, path);
    world.start();
    await world.pass(5_000);
    await world.stop();
    // This device knows no event from before the backup.
    world.server.restore(1);
    await world.remote("f", "theirs");
    world.folder.write("f", "mine");
    world.start();
    // The disk takes nothing.
    const { onCall } = world.folder;
    world.folder.onCall = (name, path) =>
      name === "exchange" && !path.includes("marker") ? "io" : onCall(name, path);
    await world.pass(5_000);
    const kept = world.server.log?.head.seq ?? 0;
    await world.remote("lost", "lost with the server's disk");
    await world.pass(5_000);
    world.server.restore(kept);
    world.breakStreams();
    await world.pass(20_000);
    expect(world.said("notice").length).toBe(2);
    world.folder.onCall = onCall;
    await world.pass(600_000);
    expect(await world.read("f")).toBe("theirs");
    expect(world.said("conflict")).toMatchObject([{ of: "f" }]);
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "a deletion that waits leaves nothing to be refused for ever once the server was restored [S10, I11]",
  async () => {
    const world = new LoopWorld();
    world.make("f");
    world.start();
    await world.pass(5_000);
    const { onCall } = world.folder;
    world.folder.onCall = (name, path) => (name === "moveNoReplace" ? "io" : onCall(name, path));
    await world.remote("f");
    await world.pass(2_000);
    const kept = world.server.log?.head.seq ?? 0;
    await world.remote("g", "lost with the server's disk");
    await world.pass(2_000);
    world.server.restore(kept);
    world.breakStreams();
    await world.pass(20_000);
    world.remove("f");
    world.folder.onCall = onCall;
    await world.pass(90_000);
    const refused = world.said("problem").filter((one) => "path" in one && one.path === "f");
    await world.pass(600_000);
    expect(world.said("problem").filter((one) => "path" in one && one.path === "f")).toEqual(
      refused,
    );
    expect(world.said("in_sync").length).toBeGreaterThan(1);
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "a server that is restored again while it is joined anew does not stop that [S5, I1]",
  async () => {
    const world = new LoopWorld();
    world.make("f");
    world.start();
    await world.pass(5_000);
    for (const name of ["g", "h", "i"]) await world.remote(name, `text of ${name}`);
    await world.pass(3_000);
    const head = world.server.log?.head.seq ?? 0;
    let isAgain = false;
    world.answer = ({ url }) => {
      if (isAgain || world.said("notice").length === 0 || !/\/events/.test(url)) return undefined;
      isAgain = true;
      world.server.restore(head - 2);
      return undefined;
    };
    world.server.restore(head - 1);
    world.breakStreams();
    await world.pass(20_000);
    expect(isAgain).toBe(true);
    expect(world.said("notice").map((one) => ("code" in one ? one.code : ""))).toEqual([
      "server_restored",
      "server_restored",
    ]);
    for (const name of ["f", "g", "h", "i"]) expect(await world.read(name)).toBe(`text of ${name}`);
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "a server that is restored again while a re-join is interrupted loses nobody's news [S10, R3, I2]",
  async () => {
    const world = new LoopWorld();
    world.make("f");
    world.start();
    await world.pass(5_000);
    const head = world.server.log?.head.seq ?? 0;
    for (const name of ["g", "h"]) await world.remote(name, `text of ${name}`);
    await world.pass(3_000);
    world.answer = () => {
      if (world.said("notice").length === 0) return undefined;
      return new Response("Bad gateway", { status: 502 });
    };
    world.server.restore(head + 1);
    world.breakStreams();
    await world.pass(10_000);
    expect(world.said("offline")).not.toEqual([]);
    world.server.restore(head);
    // Its version is not newer than what the device found common with the first restored log.
    await world.remote("f", "theirs");
    await world.remote("i", "text of i");
    world.answer = () => undefined;
    await world.pass(60_000);
    expect(await world.read("f")).toBe("theirs");
    for (const name of ["g", "h", "i"]) expect(await world.read(name)).toBe(`text of ${name}`);
    // It merged by union, since what was based on what is not known any more.
    expect(world.said("conflict")).toMatchObject([{ of: "f" }]);
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "a silent stream does not hide for long that the server was restored [S5, I43]",
  async () => {
    const world = new LoopWorld();
    world.make("f");
    world.start();
    await world.pass(5_000);
    const kept = world.server.log?.head.seq ?? 0;
    await world.remote("g", "lost with the server's disk");
    await world.pass(500);
    world.server.restore(kept);
    await world.pass(3_000);
    expect(world.said("notice")).toMatchObject([{ code: "server_restored" }]);
    expect(await world.read("g")).toBe("lost with the server's disk");
    expect(world.said("error")).toEqual([]);
    expect(world.said("offline")).toEqual([]);
    await world.stop();
  },
  TIMEOUT_MS,
);

test(
  "bytes that the restored server has never had are no earlier version [S10, R17, I2]",
  async () => {
    const world = new LoopWorld();
    await world.call(FOLDER_URL, { method: "PUT" });
    for (const text of ["first", "text of f", "third"]) await world.remote("f", text);
    world.make("f");
    world.start();
    const { onCall } = world.folder;
    // The disk does not take the version that is to replace the earlier one.
    world.folder.onCall = (name, path) => (name === "exchange" ? "io" : onCall(name, path));
    await world.pass(5_000);
    expect(world.said("conflict")).toEqual([]);
    expect(world.said("in_sync")).toEqual([]);
    world.server.restore(1);
    world.breakStreams();
    await world.pass(20_000);
    expect(world.said("notice")).toMatchObject([{ code: "server_restored" }]);
    world.folder.onCall = onCall;
    await world.pass(60_000);
    const { entries } = JSON.parse(await world.call(`${FOLDER_URL}/index`));
    const texts = [];
    for (const { path } of entries) texts.push(await world.read(path));
    expect(texts.sort()).toEqual(["first", "text of f"]);
    expect(world.said("conflict")).toMatchObject([{ of: "f" }]);
    await world.stop();
  },
  TIMEOUT_MS,
);
