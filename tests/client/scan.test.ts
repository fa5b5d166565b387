/** What a scan trusts, leaves alone, waits for and reports. */
import { describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { RETRY_DELAY_MS_MAX } from "../../src/core/limits.ts";
import type { FileContent } from "../../src/core/node.ts";
import { CALM_MS, ScanWorld } from "./scan-world.ts";

async function agreed(...paths: string[]): Promise<ScanWorld> {
  const world = new ScanWorld();
  world.make(...paths);
  await world.agree();
  expect(world.store.dirty()).toEqual([]);
  return world;
}

function file(world: ScanWorld, path: string): FileContent {
  const { content } = world.node(path);
  if (content.kind !== "file") throw new Error(`${path} is no file`);
  return content;
}

function reads(world: ScanWorld): string[] {
  return world.calls.filter((call) => call.startsWith("open ") && !call.includes(".synced/"));
}

function problems(world: ScanWorld): string[] {
  return world.store.problems().map(({ path, code }) => `${path}: ${code}`);
}

describe("stamps", () => {
  test("scan() reads nothing and writes nothing when nothing changed [A2]", async () => {
    const world = await agreed("a", "d/f", "l -> a");
    const report = await world.scan();
    expect({ ...report, again: [...report.again] }).toEqual({
      complete: true,
      changed: 0,
      again: [],
      pending: false,
      files: 2,
      root: "ok",
    });
    expect(reads(world)).toEqual([]);
  });

  test("scan() reads a young file once more, two seconds later [A2]", async () => {
    const world = new ScanWorld();
    world.write("a", "one");
    const first = await world.scan();
    expect([...first.again]).toEqual([["a", world.clock.monotonic() + 2_100]]);
    expect(world.node("a").stamp.endsWith("~")).toBe(true);
    await world.scan("a");
    expect(reads(world)).toEqual([]);
    world.clock.elapsedMs += 2_100;
    const second = await world.scan("a");
    expect(reads(world)).toEqual(["open a"]);
    expect(second.again.size).toBe(0);
    expect(second.changed).toBe(0);
    await world.scan("a");
    expect(reads(world)).toEqual([]);
  });

  test("scan() sees an edit that left a young stamp as it was [A2]", async () => {
    const world = await agreed("a");
    world.write("a", "one");
    await world.scan("a");
    const inode = world.inode("a");
    if (inode.kind !== "file") throw new Error("no file");
    inode.bytes = new TextEncoder().encode("two");
    await world.settle("a");
    expect(file(world, "a").sha256).toBe(sha256("two"));
  });

  test("the second look at an unchanged young file leaves no dirty mark [A2]", async () => {
    const world = await agreed("a");
    world.replace("a", "text of a");
    const inode = world.inode("a");
    if (inode.kind === "file") inode.mtimeNs = BigInt(file(world, "a").mtimeNs);
    expect((await world.scan("a")).again.size).toBe(1);
    expect(await world.settle("a")).toBe(0);
    expect(world.store.dirty()).toEqual([]);
  });

  test("scan() comes to rest with a file whose time lies in the future [A2] [F60]", async () => {
    const world = await agreed("a");
    const inode = world.inode("a");
    if (inode.kind !== "file") throw new Error("no file");
    world.disk.setMetadata(inode, { mtimeNs: 17_000_000_000_000_000_000n }, "durable");
    expect(await world.settle("a")).toBe(1);
    expect(file(world, "a").mtimeNs).toBe("17000000000000000000");
    world.restart();
    expect(await world.settle()).toBe(0);
    await world.scan();
    expect(reads(world)).toEqual([]);
  });

  test("a restart forgets no young stamp [A2]", async () => {
    const world = new ScanWorld();
    world.write("a", "one");
    await world.scan();
    world.restart();
    expect((await world.scan()).again.size).toBe(1);
    world.clock.elapsedMs += CALM_MS;
    await world.scan();
    expect(reads(world)).toEqual(["open a"]);
    expect(world.node("a").stamp.endsWith("~")).toBe(false);
  });

  test("a changed executable bit or time is a change of metadata only [F62]", async () => {
    const world = await agreed("a");
    const before = file(world, "a");
    const inode = world.inode("a");
    if (inode.kind !== "file") throw new Error("no file");
    world.disk.setMetadata(inode, { executable: true, mtimeNs: -5n }, "durable");
    expect(await world.settle("a")).toBe(1);
    expect(file(world, "a")).toEqual({ ...before, executable: true, mtimeNs: "-5" });
  });

  test("a disk without executable bits keeps the one that is known [F62]", async () => {
    const world = new ScanWorld({ keepsExecutable: false });
    world.make("a", "b");
    await world.agree();
    const node = world.node("a");
    world.store.putLocal({ ...node, content: { ...file(world, "a"), executable: true } });
    world.write("a", "edited");
    await world.settle("a");
    expect(file(world, "a").executable).toBe(true);
    expect(file(world, "b").executable).toBe(false);
  });

  test("a time that differs by less than the disk can keep is no change [A2]", async () => {
    const world = new ScanWorld({ mtimeGranularityNs: 1_000_000 });
    world.make("a");
    await world.agree();
    const inode = world.inode("a");
    if (inode.kind !== "file") throw new Error("no file");
    const before = file(world, "a").mtimeNs;
    world.disk.setMetadata(inode, { mtimeNs: BigInt(before) - 999_999n }, "durable");
    expect(await world.settle("a")).toBe(0);
    expect(file(world, "a").mtimeNs).toBe(before);
    world.disk.setMetadata(inode, { mtimeNs: BigInt(before) - 1_000_000n }, "durable");
    expect(await world.settle("a")).toBe(1);
  });
});

describe("unknown is not absent", () => {
  test("nothing is missed below a directory that cannot be listed [A3] [I16]", async () => {
    const world = await agreed("d/e/f", "g");
    const before = world.ids();
    world.inode("d").unreadable = true;
    const report = await world.scan();
    expect(problems(world)).toEqual(["d: file_unreadable"]);
    // Nobody tells when it can be listed again: it is looked at from time to time.
    const at = world.clock.elapsedMs + RETRY_DELAY_MS_MAX;
    expect([...report.again]).toEqual([["d", at]]);
    expect(report.pending).toBe(false);
    world.clock.elapsedMs += CALM_MS;
    await world.scan();
    expect(world.ids()).toEqual(before);
    expect(world.events.filter(({ event }) => event === "problem")).toHaveLength(1);
    world.write("d/e/new", "new");
    world.inode("d").unreadable = false;
    await world.scan("d");
    expect(problems(world)).toEqual([]);
    expect(world.tree()).toHaveProperty("d/e/new");
  });

  test("nothing is missed below another file system [A3] [I16]", async () => {
    const world = await agreed("d/e/f", "g");
    const before = world.ids();
    const mount = world.disk.newDirectory(world.disk.root);
    mount.mounted = true;
    world.put("d", mount);
    await world.settle("d");
    world.clock.elapsedMs += CALM_MS;
    await world.settle();
    expect(world.ids()).toEqual(before);
    expect(problems(world)).toEqual(["d: other_file_system"]);
  });

  for (const code of [
    "denied",
    "io",
    "exhausted",
    "name",
    "not_directory",
    "other_device",
  ] as const) {
    test(`a scan whose calls fail with ${code} removes nothing [A3] [I16]`, async () => {
      for (let nth = 0; ; nth++) {
        const world = await agreed("d/e/f", "d/g", "h");
        const before = world.ids();
        let calls = 0;
        world.onCall = () => (calls++ === nth ? code : undefined);
        await world.scan();
        world.onCall = () => undefined;
        world.clock.elapsedMs += CALM_MS;
        await world.settle();
        expect(world.ids()).toEqual(before);
        expect(problems(world)).toEqual([]);
        if (calls <= nth) break;
      }
    });
  }

  test("a directory that vanishes during its scan loses nothing [A3] [A4]", async () => {
    const world = await agreed("d/f", "d/g");
    const ids = world.ids();
    world.make("d/new");
    world.onCall = (name, path) => {
      if (name === "list" && path === "d") {
        world.onCall = () => undefined;
        world.move("d", "e");
      }
      return undefined;
    };
    await world.scan();
    await world.settle("d", "e");
    const { d, "d/f": f, "d/g": g } = ids;
    expect(world.ids()).toMatchObject({ e: d ?? "", "e/f": f ?? "", "e/g": g ?? "" });
    expect(world.paths()).toEqual(world.diskPaths());
  });

  test("a lost root changes nothing [G1]", async () => {
    const world = await agreed("a", "d/f");
    const before = world.ids();
    world.onCall = (name, path) => (name === "stat" && path === "" ? "io" : undefined);
    const report = await world.scan();
    expect([report.root, report.complete, report.changed]).toEqual(["lost", false, 0]);
    expect(world.ids()).toEqual(before);
  });
});

describe("disappearances", () => {
  test("a removed file counts as removed after 300 ms and another look [A4]", async () => {
    const world = await agreed("a", "b");
    world.remove("a");
    const report = await world.scan("a");
    expect(world.paths()).toEqual(["a", "b"]);
    expect([...report.again]).toEqual([["a", world.clock.monotonic() + 300]]);
    world.clock.elapsedMs += 299;
    await world.scan("a");
    expect(world.paths()).toEqual(["a", "b"]);
    world.clock.elapsedMs += 1;
    const last = await world.scan("b");
    expect(world.paths()).toEqual(["b"]);
    expect([last.changed, last.again.size]).toEqual([1, 0]);
  });

  test("what the system told of was seen to go, and what lies below it [A12]", async () => {
    const world = await agreed("d/a", "d/b", "e");
    const ids = ["d/a", "d/b", "e"].map((path) => world.id(path));
    world.remove("d");
    await world.settle("d");
    world.remove("e");
    await world.settle();
    expect(ids.map((id) => world.store.wasSeenGoing(id))).toEqual([true, true, false]);
  });

  test("each disappearance makes the others wait [A4]", async () => {
    const world = await agreed("a", "b", "c");
    world.remove("a");
    await world.scan("a");
    world.clock.elapsedMs += 200;
    world.remove("b");
    await world.scan("b");
    world.clock.elapsedMs += 200;
    await world.scan("a", "b");
    expect(world.paths()).toEqual(["a", "b", "c"]);
    world.clock.elapsedMs += 100;
    await world.scan("a", "b");
    expect(world.paths()).toEqual(["c"]);
  });

  test("what disappears all the time does not hold back deletions for ever [A4]", async () => {
    const names = Array.from({ length: 400 }, (_, index) => `f${index}`);
    const world = await agreed(...names);
    for (const name of names) {
      world.remove(name);
      await world.scan(name);
      world.clock.elapsedMs += 200;
    }
    expect(world.paths().length).toBeLessThan(350);
  });

  test("a file that comes back in time was never gone [A4]", async () => {
    const world = await agreed("a");
    const { id } = world.node("a");
    world.remove("a");
    await world.scan("a");
    world.write("a", "back");
    const report = await world.scan("a");
    expect(world.id("a")).toBe(id);
    expect(report.changed).toBe(1);
    await world.settle();
    expect(world.ids()).toEqual({ a: id });
  });

  test("edits and new files do not wait for disappearances [A4]", async () => {
    const world = await agreed("a", "b");
    world.remove("a");
    world.write("b", "edited");
    world.write("c", "new");
    const report = await world.scan();
    expect(report.changed).toBe(2);
    expect(world.paths()).toEqual(["a", "b", "c"]);
    expect(file(world, "b").sha256).toBe(sha256("edited"));
  });

  test("a move that is seen in two scans is a move, in any order [A4] [A1]", async () => {
    for (const hints of [
      ["d/a", "e/b"],
      ["e/b", "d/a"],
    ]) {
      const world = await agreed("d/a", "e/x");
      const id = world.id("d/a");
      world.move("d/a", "e/b");
      for (const hint of hints) {
        await world.scan(hint);
        world.clock.elapsedMs += 100;
      }
      await world.settle(...hints);
      expect(world.id("e/b")).toBe(id);
    }
  });

  test("a file that nobody else knows goes without waiting [A4]", async () => {
    const world = await agreed("a");
    world.write("tmp", "x");
    await world.scan("tmp");
    world.remove("tmp");
    const report = await world.scan("tmp");
    expect(world.paths()).toEqual(["a"]);
    expect([...report.again]).toEqual([]);
    expect(report.pending).toBe(false);
  });

  test("a temporary file that was seen and renamed over another is an edit [A15, F48]", async () => {
    const world = await agreed("a");
    const { id } = world.node("a");
    world.write("a.tmp", "saved");
    await world.scan("a.tmp");
    world.move("a.tmp", "a");
    await world.scan("a", "a.tmp");
    expect(world.ids()).toEqual({ a: id });
    expect(file(world, "a").sha256).toBe(sha256("saved"));
    await world.settle();
    expect(world.ids()).toEqual({ a: id });
  });

  test("what looks temporary is taken when it has stayed for 50 ms [A11]", async () => {
    const world = await agreed("f");
    const id = world.id("f");
    world.write(".f.x1y2", "two");
    const first = await world.scan(".f.x1y2");
    expect([...first.again]).toEqual([[".f.x1y2", world.clock.monotonic() + 50]]);
    expect(first.pending).toBe(true);
    world.clock.elapsedMs += 30;
    world.write(".f.x1y2", "two and more");
    await world.scan(".f.x1y2");
    expect(world.paths()).toEqual(["f"]);
    world.move(".f.x1y2", "f");
    await world.settle("f", ".f.x1y2");
    expect(world.ids()).toEqual({ f: id });

    world.write("stays.tmp", "stays");
    const waiting = await world.scan("stays.tmp");
    expect(waiting.changed).toBe(0);
    world.clock.elapsedMs += 30;
    world.write("stays.tmp", "stays and grows");
    await world.scan("stays.tmp");
    world.clock.elapsedMs += 20;
    await world.scan("stays.tmp");
    expect(world.paths()).toEqual(["f", "stays.tmp"]);
  });

  test("what looks temporary and was left alone for long is taken at once [A11]", async () => {
    const world = new ScanWorld();
    world.make("f~", "d/.g.swp", "l.tmp -> f");
    world.clock.elapsedMs += 50;
    expect((await world.scan()).pending).toBe(false);
    expect(world.paths()).toEqual(["d", "d/.g.swp", "f~", "l.tmp"]);
    // Directories do not wait, and a move is no new file.
    await world.agree();
    world.make("tmp/");
    world.move("f~", "tmp/f~");
    await world.scan();
    expect(world.paths()).toEqual(["d", "d/.g.swp", "l.tmp", "tmp", "tmp/f~"]);
  });

  test("a new file counts when something is in it, an empty one after 300 ms [A20]", async () => {
    const world = await agreed("f");
    world.write("new", "");
    const first = await world.scan("new");
    expect([first.changed, first.pending]).toEqual([0, true]);
    expect([...first.again]).toEqual([["new", world.clock.monotonic() + 300]]);
    world.clock.elapsedMs += 10;
    world.write("new", "bytes");
    expect((await world.scan("new")).changed).toBe(1);
    expect(file(world, "new").sha256).toBe(sha256("bytes"));

    world.write("flag", "");
    await world.scan("flag");
    world.clock.elapsedMs += 299;
    await world.scan("flag");
    expect(world.paths()).toEqual(["f", "new"]);
    world.clock.elapsedMs += 1;
    await world.scan("flag");
    expect(world.paths()).toEqual(["f", "flag", "new"]);
    // What was left alone for so long does not wait, and one that was empty before neither.
    world.write("old", "");
    world.clock.elapsedMs += 300;
    await world.scan("old");
    world.write("old", "");
    await world.scan("old");
    expect(world.paths()).toEqual(["f", "flag", "new", "old"]);
  });

  test("a file that is emptied to be written anew keeps its bytes for 300 ms [A20]", async () => {
    const world = await agreed("f");
    const { id, content } = world.node("f");
    world.write("f", "");
    await world.scan("f");
    expect(world.node("f").content).toEqual(content);
    world.clock.elapsedMs += 10;
    world.write("f", "saved");
    await world.scan("f");
    expect(file(world, "f").sha256).toBe(sha256("saved"));
    world.write("f", "");
    await world.settle("f");
    expect(file(world, "f").size).toBe(0);
    // The same where it is made anew, with the old one left beside it.
    world.write("f", "again");
    await world.agree();
    world.move("f", "f.bak");
    world.write("f", "");
    await world.scan("f", "f.bak");
    world.clock.elapsedMs += 60;
    await world.scan("f.bak");
    expect([world.id("f"), world.paths()]).toEqual([id, ["f", "f.bak"]]);
    world.write("f", "third");
    await world.settle("f");
    expect(world.id("f")).toBe(id);
    expect([file(world, "f").sha256, file(world, "f.bak").sha256]).toEqual([
      sha256("third"),
      sha256("again"),
    ]);
  });

  test("a new file of many writes is left to grow for a moment [A20]", async () => {
    const world = await agreed("f");
    const grow = (size: number) => world.write("big", "x".repeat(size));
    grow(8 * 1024 + 1);
    const started = world.clock.monotonic();
    await world.scan("big");
    world.clock.elapsedMs += 49;
    grow(20_000);
    await world.scan("big");
    world.clock.elapsedMs += 50;
    expect((await world.scan("big")).changed).toBe(1);
    expect([world.paths(), file(world, "big").size]).toEqual([["big", "f"], 20_000]);
    expect(world.clock.monotonic() - started).toBe(99);
    // One that grows for long is taken as it is.
    for (let size = 10_000; size < 17_000; size += 1_000) {
      world.write("log", "x".repeat(size));
      await world.scan("log");
      world.clock.elapsedMs += 49;
    }
    expect(world.paths()).toEqual(["big", "f"]);
    world.write("log", "x".repeat(17_000));
    await world.scan("log");
    expect(world.paths()).toEqual(["big", "f", "log"]);
  });

  test("vim's save is an edit even when a scan sees each of its steps [F48]", async () => {
    const world = await agreed("a", "b");
    const { id } = world.node("a");
    world.move("a", "a~");
    await world.scan("a", "a~");
    world.write("a", "saved");
    await world.scan("a");
    world.remove("a~");
    await world.scan("a~");
    await world.settle("a~");
    expect(world.paths()).toEqual(["a", "b"]);
    expect(world.id("a")).toBe(id);
    expect(file(world, "a").sha256).toBe(sha256("saved"));
  });

  test("a node that was held as deleted is itself when it reappears [A9]", async () => {
    const world = await agreed("d/f", "d/g", "x");
    const before = world.ids();
    for (const path of ["d/f", "d/g", "d"]) world.remove(path);
    await world.settle();
    expect(world.paths()).toEqual(["x"]);
    world.make("d/f", "d/g");
    await world.settle();
    expect(world.ids()).toEqual(before);
    world.remove("x");
    await world.settle();
    world.make("x/");
    await world.settle();
    expect(world.id("x")).not.toBe(before["x"] ?? "");
  });
});

describe("reading", () => {
  test("a file that changes while it is read is tried ever later [A5] [F45]", async () => {
    const world = await agreed("a");
    const before = file(world, "a");
    world.write("a", "growing");
    world.onCall = (name, path) => {
      if (name === "reader.read" && path === "a")
        world.write("a", `growing${"!".repeat(world.calls.length)}`);
      return undefined;
    };
    const delays: number[] = [];
    for (let look = 0; look < 9; look++) {
      const report = await world.scan("a");
      const at = report.again.get("a") ?? 0;
      delays.push(at - world.clock.monotonic());
      world.clock.elapsedMs = at;
      expect(file(world, "a")).toEqual(before);
    }
    expect(delays).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect(problems(world)).toEqual(["a: file_changed"]);
    world.onCall = () => undefined;
    await world.settle("a");
    expect(problems(world)).toEqual([]);
    expect(file(world, "a").size).toBeGreaterThan(before.size);
  });

  test("a file that cannot be read keeps its node and what is known of it [A5] [F50]", async () => {
    const world = await agreed("a", "d/b");
    const before = world.tree();
    world.write("a", "secret");
    world.inode("a").unreadable = true;
    world.move("d/b", "c");
    world.inode("c").unreadable = true;
    world.clock.elapsedMs += CALM_MS;
    await world.settle();
    expect(problems(world)).toEqual(["a: file_unreadable", "c: file_unreadable"]);
    expect(world.tree()).toEqual({ a: before["a"] ?? "", c: before["d/b"] ?? "", d: "dir" });
    world.inode("a").unreadable = false;
    world.inode("c").unreadable = false;
    await world.settle();
    expect(file(world, "a").sha256).toBe(sha256("secret"));
    expect(problems(world)).toEqual([]);
  });

  test("large files get manifests that the store keeps [C2]", async () => {
    const world = new ScanWorld();
    const text = Array.from({ length: 2_000 }, (_, index) => `line ${index * 7919}\n`).join("");
    world.write("big", text);
    world.write("empty", "");
    world.clock.elapsedMs += CALM_MS;
    await world.scan();
    const content = file(world, "big");
    expect(content.sha256).toBe(sha256(text));
    expect(content.depth).toBeGreaterThan(0);
    expect(world.store.manifest(content.manifest)).toBeDefined();
    expect(file(world, "empty")).toMatchObject({ depth: 0, size: 0, manifest: sha256("") });
  });
});

describe("what is not synced", () => {
  test("sockets, reserved and too long names are listed and left alone [A6]", async () => {
    const world = await agreed("a");
    world.put("pipe", world.disk.newOther());
    world.make(".Synced", "d/.synced/f", `${"n".repeat(255)}/${"m".repeat(255)}`);
    world.make(Array.from({ length: 257 }, () => "x").join("/"));
    await world.settle();
    const listed = problems(world).map((line) => line.replace(/(x\/)+x/, "x..x"));
    expect(listed.sort()).toEqual([
      ".Synced: reserved_name",
      "d/.synced: reserved_name",
      "pipe: unsupported_kind",
      "x..x: path_too_long",
    ]);
    expect(world.paths()).not.toContain("pipe");
    world.replace("pipe", "a file now");
    await world.settle("pipe");
    expect(problems(world)).not.toContain("pipe: unsupported_kind");
    world.remove(".Synced");
    await world.settle(".Synced");
    expect(problems(world)).toHaveLength(2);
  });

  test("the state directory is nobody's business [A6]", async () => {
    const world = await agreed("a");
    world.make(".synced/state.db", ".synced/staging/x");
    await world.settle();
    await world.settle(".synced/staging/x", ".synced");
    expect(world.paths()).toEqual(["a"]);
    expect(problems(world)).toEqual([]);
  });

  test("what is in a synced folder of its own is left to its own client [A6] [F74]", async () => {
    for (const hints of [[], ["inner/a", "inner/deep/b"]]) {
      const world = await agreed("a");
      world.make("inner/.synced/marker.json", "inner/a", "inner/deep/b");
      await world.settle(...hints);
      expect(world.paths()).toEqual(["a", "inner"]);
      expect(problems(world)).toContain("inner: folder_nested");
      world.remove("inner/.synced/marker.json");
      world.remove("inner/.synced");
      await world.settle();
      expect(world.paths()).toEqual(["a", "inner", "inner/a", "inner/deep", "inner/deep/b"]);
      expect(problems(world)).toEqual([]);
    }
  });

  test("a socket in place of a file is a removed file and a problem [A6] [A4]", async () => {
    const world = await agreed("a");
    world.remove("a");
    world.put("a", world.disk.newOther());
    await world.scan("a");
    expect(world.paths()).toEqual(["a"]);
    await world.settle("a");
    expect(world.paths()).toEqual([]);
    expect(problems(world)).toEqual(["a: unsupported_kind"]);
  });

  test("newly ignored nodes are forgotten, un-ignored ones new [A7] [F95]", async () => {
    for (const hints of [[], [".syncedignore"]]) {
      const world = await agreed("keep", "logs/a", "logs/deep/b", "x.tmp");
      const { id } = world.node("x.tmp");
      world.write(".syncedignore", "logs/\n*.tmp\n");
      await world.scan(...hints);
      expect(world.paths()).toEqual([".syncedignore", "keep"]);
      expect(world.store.base.get(id)).toBeUndefined();
      expect(world.store.remote.get(id)).toBeDefined();
      expect(world.store.dirty()).toEqual([world.id(".syncedignore")]);
      await world.settle(...hints);
      expect(world.store.dirty()).toEqual([world.id(".syncedignore")]);
      world.write(".syncedignore", "logs/deep\n");
      await world.scan(...hints);
      expect(world.paths()).toEqual([".syncedignore", "keep", "logs", "logs/a", "x.tmp"]);
      world.remove(".syncedignore");
      await world.settle(...hints, ".syncedignore");
      expect(world.paths()).toEqual([
        "keep",
        "logs",
        "logs/a",
        "logs/deep",
        "logs/deep/b",
        "x.tmp",
      ]);
    }
  });

  test("ignored entries are not looked at, and their directory is synced [A6] [F65]", async () => {
    const world = await agreed(".syncedignore", "d/f");
    world.write(".syncedignore", "*.o\nbuild/\n");
    world.make("d/x.o", "only/y.o", "build/z");
    await world.settle();
    expect(world.paths()).toEqual([".syncedignore", "d", "d/f", "only"]);
    await world.scan("d/x.o", "build/z", "only/y.o");
    expect(world.paths()).toEqual([".syncedignore", "d", "d/f", "only"]);
  });

  test("rules move with their directory [A6]", async () => {
    const world = await agreed("d/.syncedignore", "d/x");
    world.write("d/.syncedignore", "*.o\n");
    world.make("d/a.o");
    await world.settle();
    world.move("d", "e");
    await world.settle("d", "e");
    expect(world.paths()).toEqual(["e", "e/.syncedignore", "e/x"]);
    world.make("e/b.o", "d/c.o");
    await world.settle("e/b.o", "d/c.o");
    expect(world.paths()).toEqual(["d", "d/c.o", "e", "e/.syncedignore", "e/x"]);
  });

  test("rules of this device are taken in by full scans [A6]", async () => {
    const world = await agreed("a.o", "b");
    world.write(".synced/ignore", "*.o\n");
    await world.settle();
    expect(world.paths()).toEqual(["b"]);
    expect(world.scanner.ignoreRules.ignores("d/x.o", false)).toBe(true);
  });

  test("nothing is offered from a directory whose rules cannot be read [A6]", async () => {
    const world = new ScanWorld();
    world.make("d/.syncedignore", "d/secret", "a");
    world.inode("d/.syncedignore").unreadable = true;
    await world.settle();
    expect(world.paths()).toEqual(["a", "d"]);
    await world.settle("d/secret");
    expect(world.paths()).toEqual(["a", "d"]);
    expect(problems(world)).toEqual(["d/.syncedignore: invalid_ignore_rules"]);
    world.inode("d/.syncedignore").unreadable = false;
    await world.settle();
    expect(world.paths()).toEqual(["a", "d", "d/.syncedignore", "d/secret"]);
    expect(problems(world)).toEqual([]);
  });

  test("a left-over directory is offered when something syncable appears in it [A8]", async () => {
    const world = await agreed(".syncedignore");
    world.write(".syncedignore", "*.o\n");
    world.make("d/e/x.o");
    for (const path of ["d", "d/e"]) {
      world.store.setLeftover(world.fs.stat(path)?.identity ?? "", true);
    }
    await world.settle();
    expect(world.paths()).toEqual([".syncedignore"]);
    world.move("d", "renamed");
    await world.settle("d", "renamed");
    expect(world.paths()).toEqual([".syncedignore"]);
    world.make("renamed/e/f");
    await world.settle("renamed/e/f");
    expect(world.paths()).toEqual([".syncedignore", "renamed", "renamed/e", "renamed/e/f"]);
    expect(world.store.isLeftover(world.node("renamed/e").identity)).toBe(false);
  });

  test("what rules in a left-over directory left out is offered once they are gone [A8, A10]", async () => {
    const world = await agreed("d");
    world.write("d/.syncedignore", "*\n");
    world.make("d/f");
    await world.settle();
    const { id, identity } = world.node("d");
    world.store.forget(id);
    world.store.setLeftover(identity, true);
    await world.settle();
    expect(world.paths()).toEqual([]);
    world.remove("d/.syncedignore");
    await world.settle("d/.syncedignore");
    expect(world.paths()).toEqual(["d", "d/f"]);
  });
});

describe("cost and course", () => {
  test("a hint costs a look at the file and one at its directory [Y1]", async () => {
    const names = Array.from({ length: 200 }, (_, index) => `d/f${index}`);
    const world = await agreed(...names);
    await world.scan("d/f7");
    expect(world.calls).toEqual(["stat ", "stat d/f7"]);
    world.write("d/f7", "edited");
    await world.scan("d/f7");
    expect(world.calls.filter((call) => call.startsWith("list"))).toEqual([]);
    expect(world.calls.length).toBeLessThan(9);
  });

  test("a first scan is full whatever is asked, as rules may be anywhere [A6]", async () => {
    const world = new ScanWorld();
    world.make("d/.syncedignore", "d/f.o");
    world.write("d/.syncedignore", "*.o");
    await world.scan("d/f.o");
    expect(world.paths()).toEqual(["d", "d/.syncedignore"]);
  });

  test("a stopped scan removes nothing, keeps what it saw and says so [F10]", async () => {
    const world = await agreed("a", "d/f", "e/g");
    const before = world.ids();
    const stop = new AbortController();
    world.onCall = (name, path) => {
      if (name === "list" && path !== "") stop.abort();
      return undefined;
    };
    world.remove("a");
    const report = await world.scanner.scan({ kind: "full" }, stop.signal);
    expect(report.complete).toBe(false);
    expect(world.ids()).toEqual(before);
  });

  test("a long scan tells of its progress [Y1]", async () => {
    const world = new ScanWorld();
    world.make(...Array.from({ length: 300 }, (_, index) => `f${index}`));
    world.onCall = () => {
      world.clock.elapsedMs += 5;
      return undefined;
    };
    await world.scan();
    const progress = world.events.filter((event) => event.event === "progress");
    expect(progress.length).toBeGreaterThan(2);
    expect(world.clock.yields).toBeGreaterThan(50);
  });

  test("a scan of everything after any step finds what hints found [Y2]", async () => {
    const world = await agreed("a", "d/f");
    for (const [hint, act] of [
      ["n", () => world.make("n/m")],
      ["d/f", () => world.replace("d/f", "x")],
      ["a", () => world.remove("a")],
      ["d", () => world.move("d", "n/d")],
    ] as const) {
      act();
      await world.settle(hint, "n/d");
      const ids = world.ids();
      expect(await world.settle()).toBe(0);
      expect(world.ids()).toEqual(ids);
    }
  });
});
