/** Recovery of what only a rare crash leaves: orphans, partial downloads, a lost state. Rules: D7, D14-D16, I14, I23. */
import { describe, expect, test } from "bun:test";
import { recoverJournal } from "../../src/client/apply/recover.ts";
import { formerPartialPath, partialPath } from "../../src/client/stage/plan.ts";
import { sha256 } from "../../src/core/digest.ts";
import { ApplyWorld, DEVICE, syncedWorld } from "./apply-world.ts";

const ID = "0123456789abcdef0123456789abcdef";

describe("recoverJournal()", () => {
  test("makes the directories below the state directory [S1]", async () => {
    const world = new ApplyWorld();
    await recoverJournal(world.ports, { deviceName: DEVICE });
    for (const name of ["staging", "quarantine", "parking", "names"]) {
      expect(world.disk.kindAt(`.synced/${name}`)).toBe("directory");
    }
  });

  test("removes what was staged without a note, whatever it is [D14, F4]", async () => {
    const world = await syncedWorld(true, "f");
    world.write(`.synced/staging/${ID}`, "staged");
    world.write(`.synced/staging/u-${ID}`, "staged, whole or not");
    world.make(".synced/staging/link -> /etc/passwd");
    world.write(".synced/staging/marker-1", "{}");
    await world.recover();
    expect(world.entries("staging")).toEqual([]);
    expect(world.files()).toEqual({ f: "text of f" });
  });

  test("what was displaced or in place before is no leftover of staging [D14, I2]", async () => {
    const world = await syncedWorld(true, "f", "g", "h", "i");
    const entry = { node: world.node("f").id, path: "f", sinceMs: 0, scans: 0 };
    const [unchanged, written] = ["a".repeat(32), "b".repeat(32)];
    for (const id of [unchanged, written]) {
      world.store.putQuarantine({ ...entry, id, digest: sha256("displaced") });
    }
    world.write(`.synced/staging/${unchanged}`, "displaced");
    world.write(`.synced/staging/${written}`, "displaced, then written to");
    world.move("g", `.synced/staging/${ID}`);
    world.write("h", "only here");
    world.move("h", `.synced/staging/${"c".repeat(32)}`);
    world.move("i", `.synced/staging/u-${"d".repeat(32)}`);
    await world.recover();
    expect(world.entries("staging")).toEqual([]);
    expect(world.entries("quarantine")).toEqual([ID, unchanged, "d".repeat(32)].toSorted());
    expect(Object.values(world.files()).toSorted()).toEqual([
      "displaced, then written to",
      "only here",
      "text of f",
    ]);
  });

  test("keeps a partial download while its content is still wanted [D14]", async () => {
    const world = await syncedWorld(true);
    const wanted = world.content("w".repeat(5_000));
    const unwanted = world.content("u".repeat(5_000));
    world.remoteCreate("w", wanted);
    world.write(partialPath(wanted), "www");
    world.write(formerPartialPath(unwanted), "uuu");
    await world.recover();
    expect(world.entries("staging").length).toBe(1);
    await world.apply();
    expect(world.entries("staging")).toEqual([]);
    expect(world.files()["w"]).toBe("w".repeat(5_000));
  });

  test("after the state was lost nothing is removed whose origin nobody knows [S8, I2]", async () => {
    const world = await syncedWorld(true);
    world.write(`.synced/staging/${ID}`, "unseen edit");
    world.write(`.synced/quarantine/${ID}`, "displaced");
    world.write(".synced/parking/d/f", "parked");
    await world.recover(true);
    expect(Object.values(world.files()).toSorted()).toEqual(["displaced", "parked", "unseen edit"]);
    expect([...world.entries("staging"), ...world.entries("quarantine")]).toEqual([]);
    expect(world.entries("parking")).toEqual([]);
  });

  test("after the state was lost, bytes that the server has wait in quarantine [S8, D15]", async () => {
    const world = await syncedWorld(true);
    world.remoteCreate("f", "on the server");
    world.write(`.synced/staging/${ID}`, "on the server");
    await world.recover(true);
    expect(world.files()).toEqual({});
    expect(world.store.quarantine()).toMatchObject([{ id: ID, digest: sha256("on the server") }]);
  });

  test("after the state was lost, what the history has is no find [S8, D15, R16]", async () => {
    const world = await syncedWorld(true);
    const [replaced, unseen, empty] = ["a".repeat(32), "b".repeat(32), "c".repeat(32)];
    world.write(`.synced/quarantine/${replaced}`, "an earlier version");
    world.write(`.synced/quarantine/${unseen}`, "unseen edit");
    world.write(`.synced/quarantine/${empty}`, "");
    const asked: string[] = [];
    await recoverJournal(world.ports, {
      deviceName: DEVICE,
      isStateLost: true,
      async isInHistory(digest) {
        asked.push(digest);
        return digest === sha256("an earlier version");
      },
    });
    expect(world.files()).toEqual({ recovered: "unseen edit" });
    expect(world.entries("quarantine")).toEqual([replaced, empty]);
    expect(asked).toEqual([sha256("an earlier version"), sha256("unseen edit")]);
    await world.emptyQuarantine();
    expect(world.entries("quarantine")).toEqual([]);
    expect(world.files()).toEqual({ recovered: "unseen edit" });
  });

  test("after the state was lost, rescued bytes have the name they had [D15, S4]", async () => {
    for (const exchange of [true, false]) {
      const world = await syncedWorld(exchange, "d/f.txt", "g", "e/deep/h", "twin/f");
      const late = ["d/f.txt", "g", "e/deep/h"].map((path) => [path, world.inode(path)] as const);
      for (const [path] of late) world.remoteWrite(path, `new ${path}`);
      await world.apply();
      expect(world.entries("names")).toEqual(world.entries("quarantine"));
      // Programs go on writing to what was displaced; then the database is gone.
      for (const [path, inode] of late) {
        if (inode.kind !== "file") throw new Error("a file");
        world.disk.write(inode, new TextEncoder().encode(`late ${path}`), "user", "durable");
      }
      world.remove("e/deep/h");
      world.remove("e/deep");
      const taken = `f (recovered 2026-01-01 ${sha256("late d/f.txt").slice(0, 6)}).txt`;
      world.write(`d/${taken}`, "of the user");
      world.loseState();
      await world.recover(true);
      const nameOf = (name: string, text: string) =>
        `${name} (recovered 2026-01-01 ${sha256(text).slice(0, 6)})`;
      expect(world.files()).toEqual({
        "d/f.txt": "new d/f.txt",
        [`d/${taken}`]: "of the user",
        [`d/${taken.replace(")", " 2)")}`]: "late d/f.txt",
        g: "new g",
        [nameOf("g", "late g")]: "late g",
        [nameOf("h", "late e/deep/h")]: "late e/deep/h",
        "twin/f": "text of twin/f",
      });
      expect([...world.entries("names"), ...world.entries("quarantine")]).toEqual([]);
    }
  });

  test("names are kept for as long as what they name, and no trouble stops the rest [D16]", async () => {
    const world = await syncedWorld(true, "f", "g", "h");
    world.onCall = (name, path) =>
      path.startsWith(".synced/names/") && name !== "list" ? "denied" : undefined;
    world.remoteWrite("f", "new");
    await world.apply();
    expect([world.entries("names").length, world.entries("quarantine").length]).toEqual([0, 1]);
    world.onCall = () => undefined;
    world.remoteWrite("g", "new");
    world.remoteDelete("h");
    await world.apply();
    expect([world.entries("names").length, world.entries("quarantine").length]).toEqual([2, 3]);
    await world.recover();
    expect(world.entries("names").length).toBe(2);
    await world.emptyQuarantine();
    expect([...world.entries("names"), ...world.entries("quarantine")]).toEqual([]);
    // One that nobody made here says nothing.
    world.write(`.synced/names/${ID}`, "../../etc/passwd");
    world.write(`.synced/quarantine/${ID}`, "unseen edit");
    await world.recover(true);
    expect(world.files()).toEqual({ f: "new", g: "new", recovered: "unseen edit" });
    expect(world.entries("names")).toEqual([]);
  });

  test("an unseen edit in staging gets a conflict name beside its file [D14, F6]", async () => {
    const world = await syncedWorld(true, "d/f");
    world.remoteWrite("d/f", "new");
    const { id } = world.node("d/f");
    const digests = { oldDigest: sha256("text of d/f"), newDigest: sha256("new") };
    world.store.addJournal({ id: ID, kind: "replace", node: id, path: "d/f", ...digests });
    world.write(`.synced/staging/${ID}`, "unseen");
    await world.recover();
    await world.converge();
    expect(Object.values(world.files()).toSorted()).toEqual(["new", "unseen"]);
    expect(world.store.conflicts()).toMatchObject([{ of: "d/f" }]);
    expect(world.store.journal()).toEqual([]);
  });

  test("a deleted file that was not the expected one is put back [D4, D7]", async () => {
    const world = await syncedWorld(true, "f");
    const { id } = world.node("f");
    const oldDigest = sha256("text of f");
    world.store.addJournal({ id: ID, kind: "delete", node: id, path: "f", oldDigest });
    world.make(".synced/quarantine/");
    world.write("f", "unseen");
    world.move("f", `.synced/quarantine/${ID}`);
    await world.recover();
    expect(world.files()).toEqual({ f: "unseen" });
  });

  test("what cannot be read keeps its note and its bytes until it can [D7, F23]", async () => {
    const world = await syncedWorld(true, "f");
    const { id } = world.node("f");
    const digests = { oldDigest: sha256("old"), newDigest: sha256("new") };
    world.store.addJournal({ id: ID, kind: "replace", node: id, path: "f", ...digests });
    world.write(`.synced/staging/${ID}`, "unseen");
    world.onCall = (name, path) => (name === "open" && path.endsWith(ID) ? "exhausted" : undefined);
    await world.recover();
    expect(world.store.journal().length).toBe(1);
    expect(world.entries("staging")).toEqual([ID]);
    world.onCall = () => undefined;
    await world.recover();
    expect(Object.values(world.files()).toSorted()).toEqual(["text of f", "unseen"]);
    expect(world.store.journal()).toEqual([]);
  });
});
