/**
 * Transitions on a simulated disk: what each step does, and what it leaves alone. Rules: D1-D8, A8,
 * R13.
 */
import { describe, expect, test } from "bun:test";
import { RACY_MARK } from "../../src/client/scan/content.ts";
import { sha256 } from "../../src/core/digest.ts";
import { ROOT_ID } from "../../src/core/identifier.ts";
import { failureOf } from "../failure.ts";
import { ApplyWorld, syncedWorld } from "./apply-world.ts";

for (const exchange of [true, false]) {
  describe(`applyTransitions() ${exchange ? "with" : "without"} exchange`, () => {
    test("creates directories, files and symlinks with their metadata, and settles them [D2]", async () => {
      const world = await syncedWorld(exchange);
      world.remoteCreate("d", { kind: "directory" });
      world.remoteCreate("d/f", world.content("hello", { executable: true }));
      world.remoteCreate("d/empty", "");
      world.remoteCreate("l", { kind: "symlink", target: "../nowhere" });
      const report = await world.apply();
      expect(report).toEqual({ applied: 4, conflicts: 0, rescan: new Set(), failed: [] });
      expect(world.files()).toEqual({ "d/empty": "", "d/f": "hello" });
      const stat = world.fs.stat("d/f");
      expect(stat).toMatchObject({ executable: true, mtimeNs: "1600000000000000007" });
      expect(world.fs.readLink("l")).toBe("../nowhere");
      expect(world.isSettled()).toBe(true);
      expect(world.entries("staging")).toEqual([]);
      // The next scan finds nothing new.
      await world.settle();
      expect(world.isSettled()).toBe(true);
    });

    test("replaces bytes and keeps the old ones in quarantine for a minute and two scans [D2, D3]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "new");
      await world.apply();
      expect(world.files()).toEqual({ f: "new" });
      expect(world.isSettled()).toBe(true);
      expect(world.entries("quarantine").length).toBe(1);
      expect(world.store.quarantine()).toMatchObject([{ path: "f", digest: sha256("text of f") }]);
      await world.emptyQuarantine();
      expect(world.entries("quarantine")).toEqual([]);
      expect(world.store.quarantine()).toEqual([]);
      expect(world.files()).toEqual({ f: "new" });
    });

    test("a late write to a displaced file becomes a conflict copy [D3, I4]", async () => {
      const world = await syncedWorld(exchange, "d/f");
      const handle = world.inode("d/f");
      world.remoteWrite("d/f", "new");
      await world.apply();
      if (handle.kind !== "file") throw new Error("a file");
      world.disk.write(handle, new TextEncoder().encode("late"), "user", "durable");
      await world.emptyQuarantine();
      expect(Object.values(world.files()).toSorted()).toEqual(["late", "new"]);
      expect(world.store.conflicts()).toMatchObject([{ of: "d/f" }]);
      expect(world.entries("quarantine")).toEqual([]);
    });

    test("chunks that stand in quarantine are not fetched again [D3, C4]", async () => {
      const world = await syncedWorld(exchange);
      const before = Uint8Array.from({ length: 200_000 }, (_, at) => Math.imul(at, at) >> 7);
      const after = Uint8Array.from([0, ...before]);
      world.remoteCreate("f", world.content(before));
      await world.apply();
      expect(world.fetched.length).toBeGreaterThan(20);
      const large = world.remote("f").content;
      // As a program leaves it that writes in place: empty for a moment.
      world.remoteWrite("f", "");
      await world.apply();
      world.fetched.length = 0;
      world.remoteWrite("f", world.content(after));
      await world.apply();
      expect(world.fetched.length).toBeLessThan(10);
      expect(world.fs.stat("f")?.size).toBe(200_001);
      // As a mistake that was undone leaves it: deleted, and another file with the same bytes.
      world.remoteDelete("f");
      await world.apply();
      world.fetched.length = 0;
      world.remoteCreate("again", large);
      await world.apply();
      expect(world.fs.stat("again")?.size).toBe(200_000);
      expect(world.fetched).toEqual([]);
      expect(world.isSettled()).toBe(true);
    });

    test("replaces a symlink and leaves no link below the state directory [D2, I23]", async () => {
      const world = await syncedWorld(exchange, "l -> a");
      world.remoteWrite("l", { kind: "symlink", target: "b" });
      await world.apply();
      expect(world.fs.readLink("l")).toBe("b");
      expect(world.isSettled()).toBe(true);
      expect([...world.entries("staging"), ...world.entries("quarantine")]).toEqual([]);
    });

    test("changes metadata alone without new bytes [R5]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", world.content("text of f", { executable: true }));
      await world.apply();
      expect(world.fs.stat("f")?.executable).toBe(true);
      expect(world.fetched).toEqual([]);
      expect(world.isSettled()).toBe(true);
      await world.settle();
      expect(world.isSettled()).toBe(true);
    });

    test("metadata of one hard link is not that of the others [D11, R5]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.link("f", "g");
      await world.agree();
      const before = world.fs.stat("g");
      world.remoteWrite("f", world.content("text of f", { executable: true }));
      await world.apply();
      expect(world.fs.stat("f")?.executable).toBe(true);
      expect(world.fs.stat("g")).toMatchObject({ mtimeNs: before?.mtimeNs, executable: false });
      await world.converge();
      expect(world.isSettled()).toBe(true);
      // What is written through the other name is no late write to the displaced one.
      world.write("g", "edited");
      await world.emptyQuarantine();
      expect(world.files()).toEqual({ f: "text of f", g: "edited" });
      expect(world.entries("quarantine")).toEqual([]);
    });

    test("a hard link that is made meanwhile keeps its metadata [D11, R5]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", world.content("text of f", { executable: true }));
      let stats = 0;
      world.onCall = (name, path) => {
        if (name === "stat" && path === "f" && ++stats === 2) world.link("f", "g");
        return undefined;
      };
      const report = await world.apply();
      expect(report.rescan).toEqual(new Set(["f"]));
      expect(world.fs.stat("f")?.executable).toBe(false);
      await world.converge();
      expect(world.fs.stat("f")?.executable).toBe(true);
      expect(world.fs.stat("g")?.executable).toBe(false);
    });

    test("an executable bit that is set right after the swap is seen [D2, A2]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "new");
      let isSwapped = false;
      world.onCall = (name, path) => {
        const inode = world.disk.at("f");
        if (isSwapped && name === "stat" && path === "f" && inode?.kind === "file") {
          world.disk.setMetadata(inode, { executable: true }, "durable");
        }
        isSwapped ||= name === (exchange ? "exchange" : "moveNoReplace");
        return undefined;
      };
      const report = await world.apply();
      world.onCall = () => undefined;
      expect(report.rescan).toEqual(new Set(["f"]));
      await world.settle("f");
      expect(world.node("f").content).toMatchObject({ executable: true });
    });

    test("a link that cannot be removed keeps its note until it can [I23, D7]", async () => {
      const world = await syncedWorld(exchange, "l -> x");
      world.remoteDelete("l");
      world.onCall = (name) => (name === "removeFile" ? "exhausted" : undefined);
      await world.apply();
      expect(world.entries("quarantine").length).toBe(1);
      expect(world.store.journal().length).toBe(1);
      world.onCall = () => undefined;
      await world.apply([]);
      expect(world.entries("quarantine")).toEqual([]);
      expect(world.diskPaths()).toEqual([]);
      expect(world.isSettled()).toBe(true);
    });

    test("deletes files into quarantine and directories only when empty [D4]", async () => {
      const world = await syncedWorld(exchange, "d/e/f", "l -> x");
      for (const path of ["d/e/f", "d/e", "d", "l"]) world.remoteDelete(path);
      const report = await world.apply();
      expect(report).toMatchObject({ applied: 4, failed: [] });
      expect(world.diskPaths()).toEqual([]);
      expect(world.isSettled()).toBe(true);
      expect(world.entries("quarantine").length).toBe(1);
    });

    test("a directory with an unseen file is not removed, its path is scanned [D4, I8]", async () => {
      const world = await syncedWorld(exchange, "d/f");
      world.remoteDelete("d/f");
      world.remoteDelete("d");
      world.write("d/new", "mine");
      const report = await world.apply();
      expect(report.rescan).toEqual(new Set(["d"]));
      expect(world.files()).toEqual({ "d/new": "mine" });
      await world.settle();
      expect(world.plan().ops.size).toBeGreaterThan(0);
    });

    test("a directory with only ignored entries is left over, and taken up again [A8, I12]", async () => {
      const world = await syncedWorld(exchange, "d/f");
      world.ignores = (path) => path.endsWith(".o");
      world.write(".syncedignore", "*.o\n");
      await world.agree();
      world.write("d/x.o", "object");
      await world.settle();
      world.remoteDelete("d/f");
      world.remoteDelete("d");
      await world.apply();
      expect(world.files()).toMatchObject({ "d/x.o": "object" });
      expect(world.isSettled()).toBe(true);
      expect(world.store.isLeftover(world.fs.stat("d")?.identity ?? "")).toBe(true);
      await world.settle();
      expect(world.isSettled()).toBe(true);
      world.remoteCreate("d", { kind: "directory" });
      world.remoteCreate("d/g", "again");
      await world.apply();
      expect(world.files()).toMatchObject({ "d/g": "again", "d/x.o": "object" });
      expect(world.store.isLeftover(world.fs.stat("d")?.identity ?? "")).toBe(false);
      expect(world.isSettled()).toBe(true);
    });

    test("moves, swaps, rotates and nests by renames alone [D5]", async () => {
      const world = await syncedWorld(exchange, "a", "b", "c", "d/x", "e/y");
      const inodes = ["a", "b", "c", "d", "e"].map((path) => world.inode(path));
      const [a, b, c] = ["a", "b", "c"].map((path) => world.remote(path).id);
      world.remoteMove("a", "tmp");
      world.remoteMove("c", "a");
      world.remoteMove("b", "c");
      world.remoteMove("tmp", "b");
      world.remoteSwap("d", "e");
      await world.apply();
      expect(world.isSettled()).toBe(true);
      expect([a, b, c].map((id) => (id === undefined ? "" : world.pathOfNode(id)))).toEqual([
        "b",
        "c",
        "a",
      ]);
      expect(["b", "c", "a", "e", "d"].map((path) => world.inode(path))).toEqual(inodes);
      expect(world.files()["e/x"]).toBe("text of d/x");
      expect(world.entries("parking")).toEqual([]);
      await world.settle();
      expect(world.isSettled()).toBe(true);
    });

    test("rings of renames to each other's spellings close on a folding disk [D20]", async () => {
      const fold = (name: string) => name.toLowerCase();
      for (const ring of [
        ["a", "B"],
        ["a", "B", "c"],
        ["a", "b", "C", "d"],
      ]) {
        const world = new ApplyWorld(exchange, { fold });
        world.make(".synced/", ...ring);
        await world.agree();
        const nodes = ring.map((path) => world.remote(path));
        for (const { name } of nodes) world.remoteMove(name, `${name}.tmp`);
        const names = nodes.map((_, index) => ring[(index + 1) % ring.length] ?? "");
        const spelled = names.map((name) => (name < "a" ? name.toLowerCase() : name.toUpperCase()));
        for (const [index, { name }] of nodes.entries()) {
          world.remoteMove(`${name}.tmp`, spelled[index] ?? "");
        }
        await world.converge();
        expect(world.isSettled()).toBe(true);
        expect(nodes.map(({ id }) => world.pathOfNode(id))).toEqual(spelled);
        expect(Object.keys(world.files()).sort()).toEqual([...spelled].sort());
        expect(world.entries("parking")).toEqual([]);
      }
    });

    test("a directory and its own child trade places [D5]", async () => {
      const world = await syncedWorld(exchange, "a/b/f", "a/g");
      const a = world.remote("a");
      world.remoteMove("a/b", "tmp");
      world.remoteMove("a", "tmp/b");
      world.remoteMove("tmp", "a");
      await world.apply();
      await world.converge();
      expect(world.files()).toEqual({ "a/b/g": "text of a/g", "a/f": "text of a/b/f" });
      expect(world.pathOfNode(a.id)).toBe("a/b");
      expect(world.isSettled()).toBe(true);
      expect(world.entries("parking")).toEqual([]);
    });

    test("a directory gives way to a file of its name that came out of it [D13, F39]", async () => {
      const world = await syncedWorld(exchange, "a/f", "a/g");
      world.remoteMove("a/f", "tmp");
      world.remoteDelete("a/g");
      world.remoteDelete("a");
      world.remoteMove("tmp", "a");
      await world.apply();
      await world.converge();
      expect(world.files()).toEqual({ a: "text of a/f" });
      expect(world.isSettled()).toBe(true);
      expect(world.entries("parking")).toEqual([]);
    });

    test("a directory gives way also where its user has just removed files in it [D13, R13]", async () => {
      const world = await syncedWorld(exchange, "a/f", "a/d/g", "a/d/e/h");
      for (const path of ["a/f", "a/d/e/h", "a/d/e", "a/d/g", "a/d", "a"]) world.remoteDelete(path);
      world.remoteCreate("a", "now a file");
      for (const path of ["a/f", "a/d/e/h", "a/d/e"]) world.remove(path);
      await world.apply();
      await world.converge();
      expect(world.files()).toEqual({ a: "now a file" });
      expect(world.store.conflicts()).toEqual([]);
      expect(world.isSettled()).toBe(true);
      expect(world.entries("parking")).toEqual([]);
    });

    test("a parked directory with unseen files comes back into sight [D13, I3]", async () => {
      const world = await syncedWorld(exchange, "a/f", "a/g");
      world.remoteMove("a/f", "tmp");
      world.remoteDelete("a/g");
      world.remoteDelete("a");
      world.remoteMove("tmp", "a");
      world.write("a/mine", "mine");
      await world.apply();
      await world.converge();
      expect(world.entries("parking")).toEqual([]);
      expect(Object.values(world.files()).toSorted()).toEqual(["mine", "text of a/f"]);
    });

    test("a place that its user has just emptied waits until it is known where its node went [A1, R6]", async () => {
      const world = await syncedWorld(exchange, "a");
      world.remoteMove("a", "b");
      world.remoteCreate("a", "new");
      const { transitions } = world.plan();
      world.move("a", "mine");
      const { applied, rescan } = await world.apply(transitions);
      expect([applied, rescan]).toEqual([0, new Set(["a"])]);
      await world.converge();
      // Renamed twice, it is one file still.
      expect(world.files()).toEqual({ a: "new", b: "text of a" });
    });

    test("an occupied place is not overwritten by a create or a move [D2, D5]", async () => {
      const world = await syncedWorld(exchange, "m");
      world.remoteCreate("f", "theirs");
      world.remoteCreate("d", { kind: "directory" });
      world.remoteCreate("d/x", "inner");
      world.remoteMove("m", "n");
      world.write("f", "mine");
      world.write("d", "mine too");
      world.write("n", "mine as well");
      const report = await world.apply();
      expect(report.rescan).toEqual(new Set(["f", "d", "n"]));
      expect(world.files()).toEqual({
        d: "mine too",
        f: "mine",
        m: "text of m",
        n: "mine as well",
      });
      expect(world.entries("staging")).toEqual([]);
    });

    test("both edited: the server's bytes take the place, the local ones get the name [R4, R13]", async () => {
      const world = await syncedWorld(exchange, "doc.txt");
      world.write("doc.txt", "local");
      await world.settle();
      world.remoteWrite("doc.txt", "remote");
      const report = await world.apply();
      expect(report.conflicts).toBe(1);
      const hash6 = sha256("local").slice(0, 6);
      const copy = `doc (conflict laptop 2026-01-01 ${hash6}).txt`;
      expect(world.files()).toEqual({ "doc.txt": "remote", [copy]: "local" });
      const node = world.node(copy);
      expect(node.conflictOf).toMatchObject({ node: world.node("doc.txt").id });
      expect(world.store.conflicts()).toEqual([
        { node: node.id, path: copy, of: "doc.txt", ofNode: world.node("doc.txt").id },
      ]);
      expect(world.events).toContainEqual({ event: "conflict", path: copy, of: "doc.txt" });
      await world.settle();
      expect(world.plan().ops.get(node.id)).toMatchObject([{ kind: "create" }]);
      expect(world.plan().transitions).toEqual([]);
    });

    test("in a quarrel a device has one copy, and earlier losers in its history [R19]", async () => {
      const world = await syncedWorld(exchange, "doc.txt");
      let round = 0;
      const lose = async (text: string) => {
        round += 1;
        world.write("doc.txt", text);
        await world.settle();
        world.remoteWrite("doc.txt", `theirs ${round}`);
        const report = await world.apply();
        expect(report.conflicts).toBe(1);
      };
      const copies = () => Object.keys(world.files()).filter((path) => path !== "doc.txt");
      const nameOf = (text: string) =>
        `doc (conflict laptop 2026-01-01 ${sha256(text).slice(0, 6)}).txt`;
      await lose("one");
      // Its bytes are nowhere else yet.
      await lose("two");
      expect(copies().toSorted()).toEqual([nameOf("one"), nameOf("two")].toSorted());
      await world.agree();
      const kept = world.id(nameOf("one"));
      const other = world.id(nameOf("two"));
      await lose("three");
      expect(copies()).toContain(nameOf("three"));
      expect(copies()).toHaveLength(2);
      const id = world.id(nameOf("three"));
      expect([kept, other]).toContain(id);
      await world.settle();
      expect(
        world
          .plan()
          .ops.get(id)
          ?.map(({ kind }) => kind),
      ).toEqual(["move", "modify"]);
      const rows = world.store.conflicts();
      expect(rows.find(({ node }) => node === id)?.path).toBe(nameOf("three"));
      expect(rows).toHaveLength(2);

      // A file that was emptied takes no copy's bytes away.
      await world.agree();
      await lose("");
      expect(copies()).toHaveLength(3);
      world.remove(nameOf(""));
      await world.settle();

      // What a person wrote into a copy, and what is old, stays by itself.
      await world.agree();
      for (const path of copies()) world.write(path, `merged ${path}`);
      await world.agree();
      await lose("four");
      expect(copies()).toHaveLength(3);
      await world.agree();
      world.clock.elapsedMs += 600_000;
      await lose("five");
      expect(copies()).toHaveLength(4);
      await world.agree();
      await world.emptyQuarantine();
      expect(Object.values(world.files())).toEqual(
        expect.arrayContaining(["four", "five", `theirs ${round}`]),
      );
      expect(world.isSettled()).toBe(true);
    });

    test("a copy that cannot be looked at as its next version comes stays [R19, D7]", async () => {
      const world = await syncedWorld(exchange, "doc.txt");
      const lose = async (text: string) => {
        world.write("doc.txt", text);
        await world.settle();
        world.remoteWrite("doc.txt", `not ${text}`);
      };
      await lose("one");
      await world.apply();
      await world.agree();
      await lose("two");
      const [name = ""] = Object.keys(world.files()).filter((path) => path !== "doc.txt");
      const copy = world.store.local.child(ROOT_ID, name);
      if (copy === undefined) throw new Error("a copy");
      // Young, so that only its bytes tell.
      world.store.putLocal({ ...copy, stamp: copy.stamp + RACY_MARK });
      const isCopy = (path: string) =>
        path.startsWith(".synced/quarantine/") && world.fs.stat(path)?.identity === copy.identity;
      world.onCall = (call, path) =>
        call === "reader.read" && isCopy(path) ? "exhausted" : undefined;
      await world.apply();
      world.onCall = () => undefined;
      await world.converge();
      expect(Object.values(world.files()).toSorted()).toEqual(["not two", "one", "two"]);
      await world.agree();
      await world.emptyQuarantine();
      expect(world.entries("quarantine")).toEqual([]);
      expect(Object.values(world.files()).toSorted()).toEqual(["not two", "one", "two"]);
      expect(world.isSettled()).toBe(true);
    });

    test("a file that only lost its place is nobody's copy, and keeps its bytes [R9, R20]", async () => {
      const world = await syncedWorld(exchange, "doc.txt", "mine.txt");
      world.remoteMove("doc.txt", "new.txt");
      world.move("mine.txt", "new.txt");
      await world.settle();
      await world.apply();
      const hash6 = sha256("text of mine.txt").slice(0, 6);
      const displaced = `new (conflict laptop 2026-01-01 ${hash6}).txt`;
      // The log has it there too.
      world.remoteMove("mine.txt", displaced);
      await world.converge();
      expect(world.files()).toEqual({
        "new.txt": "text of doc.txt",
        [displaced]: "text of mine.txt",
      });
      world.write("new.txt", "losing");
      await world.settle();
      world.remoteWrite("new.txt", "theirs");
      await world.apply();
      await world.agree();
      expect(Object.values(world.files()).toSorted()).toEqual([
        "losing",
        "text of mine.txt",
        "theirs",
      ]);
      expect(world.files()[displaced]).toBe("text of mine.txt");
    });

    test("a file that came back, or is new, is nobody's copy either [R7, R9, R20]", async () => {
      const world = await syncedWorld(exchange, "doc.txt", "other.txt");
      // Edited here; there it was deleted, and another file has its place.
      world.write("doc.txt", "my edit");
      await world.settle();
      world.remoteDelete("doc.txt");
      world.remoteMove("other.txt", "doc.txt");
      await world.apply();
      await world.converge();
      await world.agree();
      // Both made a file of that name.
      world.write("new.txt", "mine");
      await world.settle();
      world.remoteCreate("new.txt", "theirs");
      await world.apply();
      await world.agree();
      expect(Object.values(world.files()).toSorted()).toEqual(
        ["mine", "my edit", "text of other.txt", "theirs"].toSorted(),
      );
      for (const path of ["doc.txt", "new.txt"]) world.write(path, `losing ${path}`);
      await world.settle();
      for (const path of ["doc.txt", "new.txt"]) world.remoteWrite(path, `winning ${path}`);
      await world.apply();
      await world.agree();
      await world.emptyQuarantine();
      const texts = Object.values(world.files());
      expect(texts).toEqual(expect.arrayContaining(["mine", "my edit"]));
      expect(texts).toHaveLength(6);
    });

    test("a copy of another file that had the path before stays, too [R19]", async () => {
      const world = await syncedWorld(exchange, "doc.txt", "other.txt");
      const lose = async (path: string, now = path) => {
        world.write(path, `losing ${path}`);
        await world.settle();
        world.remoteWrite(now, `winning ${path}`);
        await world.converge();
        await world.agree();
      };
      await lose("doc.txt");
      world.remoteSwap("doc.txt", "other.txt");
      await lose("other.txt", "doc.txt");
      expect(Object.values(world.files()).toSorted()).toEqual([
        "losing doc.txt",
        "losing other.txt",
        "winning doc.txt",
        "winning other.txt",
      ]);
    });

    test("a copy that somebody works on is not taken away [R20, I3]", async () => {
      const world = await syncedWorld(exchange, "f");
      const lose = async (text: string, there: string) => {
        world.write("f", text);
        await world.settle();
        world.remoteWrite("f", there);
        await world.apply();
      };
      await lose("one", "theirs");
      await world.agree();
      const [copy = ""] = Object.keys(world.files()).filter((path) => path !== "f");
      let isWritten = false;
      world.onCall = (name, path) => {
        // Just as it leaves: nobody has seen it yet.
        if (name !== "moveNoReplace" || path !== copy || isWritten) return undefined;
        isWritten = true;
        world.write(copy, "merged by hand");
        return undefined;
      };
      await lose("two", "theirs too");
      expect(isWritten).toBe(true);
      await world.converge();
      const texts = Object.values(world.files()).toSorted();
      expect(texts).toEqual(["merged by hand", "theirs too", "two"]);
      expect(world.files()[copy]).toBe("merged by hand");
    });

    test("no conflict copy is made where a sibling holds the losing bytes [R18]", async () => {
      const world = await syncedWorld(exchange, "f", "sibling");
      world.write("f", "text of sibling");
      await world.settle();
      world.remoteWrite("f", "remote");
      await world.apply();
      expect(world.files()).toEqual({ f: "remote", sibling: "text of sibling" });
      expect(world.entries("quarantine").length).toBe(1);
    });

    test("an edit that no scan saw is not touched, its path is scanned [D10, I3]", async () => {
      const world = await syncedWorld(exchange, "f", "g");
      world.remoteWrite("f", "remote");
      world.remoteDelete("g");
      world.write("f", "unseen");
      world.replace("g", "unseen too");
      const report = await world.apply();
      expect(report.rescan).toEqual(new Set(["f", "g"]));
      expect(world.files()).toEqual({ f: "unseen", g: "unseen too" });
      await world.converge();
      expect(Object.values(world.files()).toSorted()).toEqual(["remote", "unseen", "unseen too"]);
    });

    test("an edit within the same clock tick as the scan is found by its bytes [A2, I20]", async () => {
      const world = await syncedWorld(exchange, "f");
      const inode = world.inode("f");
      if (inode.kind !== "file") throw new Error("a file");
      world.write("f", "seen");
      await world.scan();
      expect(world.node("f").stamp.endsWith("~")).toBe(true);
      inode.bytes = new TextEncoder().encode("SEEN");
      world.remoteWrite("f", "remote");
      await world.apply();
      await world.converge();
      expect(Object.values(world.files()).toSorted()).toEqual(["SEEN", "remote"]);
    });

    test("trouble on one path is that path's; the others go on [D8]", async () => {
      const world = await syncedWorld(exchange, "a", "b", "c");
      for (const path of ["a", "b", "c"]) world.remoteWrite(path, `new ${path}`);
      world.remoteCreate("n", "new n");
      world.onCall = (name, path) => (name !== "stat" || path !== "b" ? undefined : "denied");
      const report = await world.apply();
      expect(report.failed).toMatchObject([{ path: "b", code: "file_protected" }]);
      expect(world.store.problems()).toMatchObject([{ path: "b", code: "file_protected" }]);
      expect(world.files()).toEqual({ a: "new a", b: "text of b", c: "new c", n: "new n" });
      world.onCall = () => undefined;
      await world.converge();
      expect(world.files()["b"]).toBe("new b");
      expect(world.store.problems()).toEqual([]);
      expect(world.isSettled()).toBe(true);
      expect(world.entries("staging")).toEqual([]);
    });

    test("a full disk ends the staging and leaves every file as it was [D8, F21]", async () => {
      const world = await syncedWorld(exchange, "a", "b");
      world.remoteWrite("a", "new a");
      world.remoteWrite("b", "new b");
      world.remoteDelete("b");
      world.remoteCreate("c", "new c");
      world.onCall = (name) => (name === "writer.write" ? "full" : undefined);
      const report = await world.apply();
      expect(report.failed.map(({ code }) => code)).toEqual(["storage_full", "storage_full"]);
      expect(world.files()).toEqual({ a: "text of a" });
      expect(world.entries("staging")).toEqual([]);
      world.onCall = () => undefined;
      await world.converge();
      expect(world.files()).toEqual({ a: "new a", c: "new c" });
    });

    test("what is below a directory that cannot be made waits without a word [D18]", async () => {
      const world = await syncedWorld(exchange);
      world.remoteCreate("d", { kind: "directory" });
      world.remoteCreate("d/f", "inner");
      world.onCall = (name, path) =>
        name === "makeDirectory" && path === "d" ? "denied" : undefined;
      const report = await world.apply();
      expect(report.failed.map(({ path }) => path)).toEqual(["d"]);
      expect(world.entries("staging")).toEqual([]);
      world.onCall = () => undefined;
      await world.converge();
      expect(world.files()).toEqual({ "d/f": "inner" });
    });

    test("nothing is recorded as agreed when directories cannot be made durable [S2, S7, I15, I41]", async () => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", "new");
      world.onCall = (name) => (name === "syncDirectories" ? "io" : undefined);
      expect(String(await failureOf(world.apply()))).toContain("io");
      expect(world.store.base.child(ROOT_ID, "f")?.content).toMatchObject({
        sha256: sha256("text of f"),
      });
      world.onCall = () => undefined;
      await world.recover();
      await world.converge();
      expect(world.files()).toEqual({ f: "new" });
      expect(world.isSettled()).toBe(true);
    });

    test("a server that is lost in the middle leaves what was done recorded [Y3, D8]", async () => {
      const world = await syncedWorld(exchange, "f", "g");
      world.remoteDelete("g");
      world.remoteWrite("f", "new");
      world.onFetch = () => {
        throw new Error("connection lost");
      };
      expect(String(await failureOf(world.apply()))).toContain("connection lost");
      expect(world.files()).toEqual({ f: "text of f" });
      expect(world.store.local.child(ROOT_ID, "g")).toBeUndefined();
      world.onFetch = () => {};
      await world.converge();
      expect(world.files()).toEqual({ f: "new" });
    });
  });
}

test("nothing is put into a directory that took the place of the known one [D5, A1]", async () => {
  const world = await syncedWorld(true, "a/", "b/", "f");
  const { id } = world.node("a");
  world.remoteCreate("a/new", "from elsewhere");
  world.remoteMove("f", "a/f");
  world.move("a", "c");
  world.move("b", "a");
  await world.apply();
  expect(world.files()).toEqual({ f: "text of f" });
  await world.converge();
  expect(world.files()).toEqual({ "c/f": "text of f", "c/new": "from elsewhere" });
  expect(world.node("c").id).toBe(id);
});
