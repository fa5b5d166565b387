/** New nodes of which a crash kept the record from being written. Rules: D7, D23, S2, R13. */
import { describe, expect, test } from "bun:test";
import { recoverUnrecorded } from "../../src/client/apply/recover-unrecorded.ts";
import { KEPT } from "../../src/client/folder/kept-values.ts";
import { failureOf } from "../failure.ts";
import type { FileInode } from "../sim/sim-disk.ts";
import { type ApplyWorld, DEVICE, syncedWorld } from "./apply-world.ts";

/** All is in place when the process ends, and nothing of it is recorded. */
async function crashBeforeTheRecord(world: ApplyWorld, at = "syncDirectories"): Promise<void> {
  world.onCall = (name) => (name === at ? "io" : undefined);
  expect(String(await failureOf(world.apply()))).toContain("io");
  world.crash();
}

async function startAgain(world: ApplyWorld): Promise<void> {
  await world.recover();
  await recoverUnrecorded(world.ports, { deviceName: DEVICE });
}

function setMetadata(world: ApplyWorld, path: string, change: Partial<FileInode>): void {
  const inode = world.inode(path);
  if (inode.kind !== "file") throw new Error(`${path} is no file`);
  world.disk.setMetadata(inode, change, "durable");
}

/** The ops that are left, each as its kind, place, bytes and metadata. */
async function opsOf(world: ApplyWorld): Promise<readonly unknown[]> {
  await world.settle();
  const { transitions, ops } = world.plan();
  expect(transitions).toEqual([]);
  return [...ops.values()].flat();
}

const TOUCHED_NS = 1_700_000_000_000_000_000n;

/** What the log wants of a file, and what its user does to it as soon as it stands there. */
const PLACED = [
  { what: "created", news: (world: ApplyWorld) => world.remoteCreate("d/f", "remote") },
  { what: "replaced", news: (world: ApplyWorld) => world.remoteWrite("d/f", "remote") },
] as const;

const CASES = PLACED.flatMap((one) => [true, false].map((exchange) => ({ ...one, exchange })));

for (const { what, news, exchange } of CASES) {
  const how = exchange ? "with" : "without";
  describe(`a file that was ${what} ${how} exchange before a crash, and then`, () => {
    async function placed(): Promise<ApplyWorld> {
      const world = await syncedWorld(exchange, "d/", "e/", ...(what === "created" ? [] : ["d/f"]));
      news(world);
      await crashBeforeTheRecord(world);
      return world;
    }

    test("touched has its user's time [D7, D23, R1, R5]", async () => {
      const world = await placed();
      setMetadata(world, "d/f", { mtimeNs: TOUCHED_NS });
      await startAgain(world);
      const content = { mtimeNs: String(TOUCHED_NS), executable: false };
      expect(await opsOf(world)).toMatchObject([{ kind: "modify", content }]);
    });

    test("made executable stays so [D7, D23, R1, R5]", async () => {
      const world = await placed();
      setMetadata(world, "d/f", { executable: true });
      await startAgain(world);
      expect(await opsOf(world)).toMatchObject([{ kind: "modify", content: { executable: true } }]);
    });

    test("written to has its user's bytes, without a conflict copy [D7, D23, R1]", async () => {
      const world = await placed();
      const { sha256 } = world.content("remote, and more");
      world.write("d/f", "remote, and more");
      await startAgain(world);
      expect(await opsOf(world)).toMatchObject([{ kind: "modify", content: { sha256 } }]);
      expect(world.files()).toEqual({ "d/f": "remote, and more" });
    });

    for (const to of ["d/g", "e/f"]) {
      test(`renamed to ${to} has its user's name [D7, D23, R1]`, async () => {
        const world = await placed();
        const { id } = world.remote("d/f");
        world.move("d/f", to);
        await startAgain(world);
        const name = to.slice(2);
        expect(await opsOf(world)).toMatchObject([{ kind: "move", node: id, name }]);
        expect(world.files()).toEqual({ [to]: "remote" });
      });
    }

    test("saved by rename and write keeps its node [D7, D23, R1, A1]", async () => {
      const world = await placed();
      const { id } = world.remote("d/f");
      const { sha256 } = world.content("saved");
      world.move("d/f", "d/f~");
      world.write("d/f", "saved");
      await startAgain(world);
      const ops = await opsOf(world);
      expect(ops).toHaveLength(2);
      expect(ops).toContainEqual(expect.objectContaining({ kind: "create", name: "f~" }));
      const content = expect.objectContaining({ sha256 });
      expect(ops).toContainEqual(expect.objectContaining({ kind: "modify", node: id, content }));
    });

    test("deleted does not come back [D7, D23, R3]", async () => {
      const world = await placed();
      const { id } = world.remote("d/f");
      world.remove("d/f");
      await startAgain(world);
      expect(await opsOf(world)).toMatchObject([{ kind: "delete", node: id }]);
      expect(world.files()).toEqual({});
    });

    test("deleted before the power goes comes back [D7, D23]", async () => {
      const world = await placed();
      world.remove("d/f");
      world.disk.powerCut();
      world.crash();
      await startAgain(world);
      await world.converge();
      expect(world.files()).toEqual({ "d/f": "remote" });
    });

    test("saved by rename over it has its user's bytes, without a conflict copy [D7, D23, R1]", async () => {
      const world = await placed();
      const { id } = world.remote("d/f");
      const { sha256 } = world.content("saved");
      world.replace("d/f", "saved");
      await startAgain(world);
      const content = { sha256 };
      expect(await opsOf(world)).toMatchObject([{ kind: "modify", node: id, content }]);
      expect(world.files()).toEqual({ "d/f": "saved" });
    });

    test("deleted meanwhile by others goes, though it was touched [D7, D23, R7]", async () => {
      const world = await placed();
      setMetadata(world, "d/f", { mtimeNs: TOUCHED_NS });
      await startAgain(world);
      world.remoteDelete("d/f");
      await world.converge();
      expect(world.files()).toEqual({});
    });
  });
}

describe("a directory that was made for a new file before a crash, and then", () => {
  async function placed(): Promise<ApplyWorld> {
    const world = await syncedWorld(true, "e/");
    world.remoteCreate("d", { kind: "directory" });
    world.remoteCreate("d/b", { kind: "directory" });
    world.remoteCreate("d/b/f", "remote");
    await crashBeforeTheRecord(world);
    return world;
  }

  for (const [from, to] of [
    ["d", "c"],
    ["d", "e/d"],
    ["d/b", "d/c"],
    ["d/b", "e/b"],
  ] as const) {
    test(`renamed from ${from} to ${to} has its user's name [D7, D23, R1]`, async () => {
      const world = await placed();
      const { id } = world.remote(from);
      world.move(from, to);
      await startAgain(world);
      const name = to.split("/").at(-1);
      expect(await opsOf(world)).toMatchObject([{ kind: "move", node: id, name }]);
    });
  }

  test("deleted does not come back [D7, D23, R3]", async () => {
    const world = await placed();
    world.remove("d");
    await startAgain(world);
    const ops = await opsOf(world);
    expect(ops).toHaveLength(3);
    expect(ops).toEqual(ops.map(() => expect.objectContaining({ kind: "delete" })));
    expect(world.files()).toEqual({});
  });

  test("emptied, with its file elsewhere, is gone and the file is moved [D7, D23, R1]", async () => {
    const world = await placed();
    const { id } = world.remote("d/b/f");
    world.move("d/b/f", "e/f");
    world.remove("d");
    await startAgain(world);
    const ops = await opsOf(world);
    expect(ops).toHaveLength(3);
    expect(ops).toContainEqual(expect.objectContaining({ kind: "move", node: id }));
    expect(world.files()).toEqual({ "e/f": "remote" });
  });
});

describe("a new file that was not put in place before a crash", () => {
  for (const meanwhile of ["stays", "goes"]) {
    test(`because another stood there, which ${meanwhile}, is not deleted [D7, D23, R9]`, async () => {
      const world = await syncedWorld(true, "d/");
      world.remoteCreate("d/f", "remote");
      world.remoteCreate("d/g", "remote too");
      const { transitions } = world.plan();
      world.write("d/f", "a user's");
      world.onCall = (name) => (name === "syncDirectories" ? "io" : undefined);
      expect(String(await failureOf(world.apply(transitions)))).toContain("io");
      world.crash();
      if (meanwhile === "goes") world.remove("d/f");
      await startAgain(world);
      await world.converge();
      const files = Object.values(world.files()).toSorted();
      const own = meanwhile === "goes" ? [] : ["a user's"];
      expect(files).toEqual([...own, "remote", "remote too"]);
      const kinds = (await opsOf(world)).map((op) => Object(op).kind);
      expect(kinds).not.toContain("delete");
    });
  }
});

for (const [what, from, to, then] of [
  ["file", "d/f", "d/g", "d/h"],
  ["file", "d/f", "e/f", "d/h"],
  ["directory", "d", "e/d", "c"],
] as const) {
  test(`a ${what} renamed to ${to} before a crash, and then to ${then}, has its user's name [D7, D23, R6]`, async () => {
    const world = await syncedWorld(true, "d/f", "e/");
    const { id } = world.remote(from);
    world.remoteMove(from, to);
    await crashBeforeTheRecord(world);
    world.move(to, then);
    await startAgain(world);
    const name = then.split("/").at(-1);
    expect(await opsOf(world)).toMatchObject([{ kind: "move", node: id, name }]);
  });
}

test("a directory that went into one of its own before a crash makes no ring [D7, D23, R10]", async () => {
  const world = await syncedWorld(true, "d/e/f", "d/g");
  world.remoteMove("d/e", "e");
  world.remoteMove("d", "e/d");
  await crashBeforeTheRecord(world);
  expect(world.files()).toEqual({ "e/d/g": "text of d/g", "e/f": "text of d/e/f" });
  world.move("e/d", "x");
  world.remove("e");
  await startAgain(world);
  expect(world.pathOfNode(world.remote("e/d").id)).toBe("d");
  await world.converge();
  expect(Object.values(world.files())).toContain("text of d/g");
});

/** What the log wants of a file whose bytes stay. */
const KEPT_BYTES = [
  { what: "moved", news: (world: ApplyWorld) => world.remoteMove("e/f", "d/f") },
  {
    what: "made executable",
    news: (world: ApplyWorld) => {
      const content = world.content("text of e/f", { executable: true });
      world.remoteWrite("e/f", { ...content, mtimeNs: mtimeOf(world, "e/f") });
    },
  },
] as const;

function mtimeOf(world: ApplyWorld, path: string): string {
  const { content } = world.remote(path);
  return content.kind === "file" ? content.mtimeNs : "";
}

for (const { what, news } of KEPT_BYTES) {
  describe(`a file that was ${what} before a crash, and then`, () => {
    const isMoved = what === "moved";
    const path = isMoved ? "d/f" : "e/f";

    async function placed(): Promise<ApplyWorld> {
      const world = await syncedWorld(true, "d/", "e/f");
      news(world);
      await crashBeforeTheRecord(world, isMoved ? "syncDirectories" : "sync");
      return world;
    }

    async function startToFind(world: ApplyWorld, op: object): Promise<void> {
      await startAgain(world);
      const content = { executable: !isMoved };
      expect(await opsOf(world)).toMatchObject([{ content, ...op }]);
    }

    test("touched has its user's time, and what the log wanted [D7, R1, R5]", async () => {
      const world = await placed();
      setMetadata(world, path, { mtimeNs: TOUCHED_NS });
      const content = { executable: !isMoved, mtimeNs: String(TOUCHED_NS) };
      await startToFind(world, { kind: "modify", content });
      expect(world.files()).toEqual({ [path]: "text of e/f" });
    });

    test("written to has its user's bytes, and what the log wanted [D7, R1]", async () => {
      const world = await placed();
      world.write(path, "an edit");
      const content = { executable: !isMoved, sha256: world.content("an edit").sha256 };
      await startToFind(world, { kind: "modify", content });
      expect(world.files()).toEqual({ [path]: "an edit" });
    });
  });
}

describe("recoverUnrecorded()", () => {
  test("a user's own file of the same bytes takes the log's time and mode [D7, D23, R5, R9]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "text of f");
    world.make("f");
    setMetadata(world, "f", { mtimeNs: TOUCHED_NS, executable: true });
    await startAgain(world);
    await world.converge();
    expect(await opsOf(world)).toEqual([]);
    expect(world.node("f").content).toEqual(world.remote("f").content);
  });

  test("a file that was put in place follows the log, without a conflict copy [D7, R13]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("d", { kind: "directory" });
    world.remoteCreate("d/f", "first");
    await crashBeforeTheRecord(world);
    expect(world.files()).toEqual({ "d/f": "first" });
    await startAgain(world);
    world.remoteWrite("d/f", "second");
    await world.converge();
    expect(world.files()).toEqual({ "d/f": "second" });
    expect(world.isSettled()).toBe(true);
  });

  test("one that is deleted meanwhile goes, and does not come back as a new one [D7, R3]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "first");
    await crashBeforeTheRecord(world);
    await startAgain(world);
    world.remoteDelete("f");
    await world.converge();
    expect(world.files()).toEqual({});
  });

  test("a directory that was moved by parts is the node that it was [D12, D7]", async () => {
    const world = await syncedWorld(true, "a/f", "a/b/g");
    world.makeLower("a", "a/b");
    const { id } = world.node("a");
    world.remoteMove("a", "c");
    await crashBeforeTheRecord(world);
    expect(world.files()).toEqual({ "c/f": "text of a/f", "c/b/g": "text of a/b/g" });
    await startAgain(world);
    await world.scan();
    expect(world.plan()).toMatchObject({ transitions: [], ops: new Map() });
    expect(world.id("c")).toBe(id);
    expect(world.isSettled()).toBe(true);
  });

  test("what its user has written there since is kept [R9, I3]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "first");
    await crashBeforeTheRecord(world);
    world.write("f", "an edit");
    await startAgain(world);
    world.remoteWrite("f", "second");
    await world.converge();
    expect(Object.values(world.files()).toSorted()).toEqual(["an edit", "second"]);
  });

  test("what cannot be read is left to the scan, if no note tells of it [D8, F23]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "first");
    await crashBeforeTheRecord(world);
    world.store.setValue(KEPT.placing.key, undefined);
    world.onCall = (name, path) => (name === "open" && path === "f" ? "io" : undefined);
    await startAgain(world);
    expect(world.store.local.children(world.remote("f").parent)).toEqual([]);
    world.onCall = () => undefined;
    await world.converge();
    expect(world.files()).toEqual({ f: "first" });
  });

  for (const taken of [false, true]) {
    const title = taken ? "has taken that place" : "comes to that place";
    test(`a user's rename survives a crash while its node is parked and another ${title} [D7, R6]`, async () => {
      const world = await syncedWorld(false, "d/a", "e/b");
      world.move("d/a", "d/b");
      world.clock.elapsedMs += 10_000;
      await world.settle();
      world.remoteMove("e/b", "tmp");
      world.remoteMove("d/a", "e/a");
      world.remoteMove("tmp", "d/b");
      world.onCall = (name) => {
        const isParked = name === "moveNoReplace" && world.entries("parking").length > 0;
        const isTaken = world.disk.at("d/b") !== undefined;
        if (isParked && isTaken === taken) throw new Error("crash");
        return undefined;
      };
      expect(String(await failureOf(world.apply()))).toContain("crash");
      world.crash();
      expect(world.entries("parking")).toHaveLength(1);
      await startAgain(world);
      await world.converge();
      expect(world.files()).toEqual({ "d/b": "text of e/b", "e/b": "text of d/a" });
    });
  }
});
