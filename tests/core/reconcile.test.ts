/** What reconcile decides, case by case: base, what each side did, what both have afterwards. */
import { describe, expect, test } from "bun:test";
import { groupOps } from "../../src/core/group-ops.ts";
import { type NodeId, PARKING_ID, ROOT_ID } from "../../src/core/identifier.ts";
import { type Content, type NodeState, sameContent } from "../../src/core/node.ts";
import { pathOf } from "../../src/core/tree.ts";
import { directory, file, PlannerWorld } from "./planner-world.ts";

/** Paths of the final tree with the texts that files were given here. */
function outcome(world: PlannerWorld): string[] {
  world.converge();
  return tree(world);
}

const texts = new Map<string, string>();

function text(value: string, mtimeNs?: string, executable?: boolean): Content {
  const content = file(value, mtimeNs, executable);
  texts.set(content.sha256, value);
  return content;
}

function tree(world: PlannerWorld): string[] {
  return [...world.local.nodes()]
    .map((node) => {
      const { content } = node;
      const shown = content.kind === "file" ? `=${texts.get(content.sha256)}` : "/";
      return `${pathOf(world.local, node.id)}${content.kind === "symlink" ? "@" : shown}`;
    })
    .sort();
}

function onDisk(world: PlannerWorld, id: NodeId): NodeState {
  const node = world.local.get(id);
  if (node === undefined) throw new Error(`no ${id}`);
  return node;
}

function onServer(world: PlannerWorld, id: NodeId): NodeState {
  const node = world.remote.get(id);
  if (node === undefined) throw new Error(`no ${id}`);
  return node;
}

const DAY_2026 = "1767225600000000000";

describe("reconcile() of one file", () => {
  test("follows whichever side edited [R3]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    const b = world.agree(ROOT_ID, "b", text("old"));
    world.putLocal({ ...onDisk(world, a), content: text("here") });
    world.putRemote({ ...onServer(world, b), content: text("there") });
    expect(outcome(world)).toEqual(["a=here", "b=there"]);
  });

  test("settles at once what both sides did alike, without op or transition [R2]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    world.putLocal({ ...onDisk(world, a), content: text("same") });
    world.putRemote({ ...onServer(world, a), content: text("same") });
    const [plan, ...rest] = world.converge();
    expect(plan).toMatchObject({ transitions: [], settled: [a] });
    expect(plan?.ops.size).toBe(0);
    expect(rest).toEqual([]);
  });

  test("keeps the server's bytes and makes the local ones a conflict copy [R4] [R13]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a.txt", text("old"));
    const losing = text("here", DAY_2026);
    world.putLocal({ ...onDisk(world, a), content: losing });
    world.putRemote({ ...onServer(world, a), content: text("there") });
    const hash6 = losing.kind === "file" ? losing.sha256.slice(0, 6) : "";
    const copy = `a (conflict here 2026-01-01 ${hash6}).txt`;
    expect(outcome(world)).toEqual([`${copy}=here`, "a.txt=there"]);
  });

  test("makes no copy where a sibling already holds the losing bytes [R18]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a.txt", text("old"));
    const losing = text("here", DAY_2026);
    const hash6 = losing.kind === "file" ? losing.sha256.slice(0, 6) : "";
    world.agree(ROOT_ID, `a (conflict here 2026-01-01 ${hash6}).txt`, text("here"));
    world.putLocal({ ...onDisk(world, a), content: losing });
    world.putRemote({ ...onServer(world, a), content: text("there") });
    expect(outcome(world)).toHaveLength(2);
  });

  test("lets bytes beat metadata, and merges the executable bit [R5]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    world.putLocal({ ...onDisk(world, a), content: text("new", "5") });
    world.putRemote({ ...onServer(world, a), content: text("old", "7", true) });
    expect(outcome(world)).toEqual(["a=new"]);
    expect(onDisk(world, a).content).toMatchObject({ executable: true, mtimeNs: "5" });
  });

  test("takes the server's metadata where both changed it [R5]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    world.putLocal({ ...onDisk(world, a), content: text("old", "5") });
    world.putRemote({ ...onServer(world, a), content: text("old", "7") });
    expect(outcome(world)).toEqual(["a=old"]);
    expect(onDisk(world, a).content).toMatchObject({ mtimeNs: "7" });
  });

  test("keeps edit and rename of two people [R1]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    world.putLocal({ ...onDisk(world, a), name: "renamed" });
    world.putRemote({ ...onServer(world, a), content: text("edited") });
    expect(outcome(world)).toEqual(["renamed=edited"]);
  });

  test("lets the first rename in the log win [R6]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    world.putLocal({ ...onDisk(world, a), name: "here" });
    world.putRemote({ ...onServer(world, a), name: "there" });
    expect(outcome(world)).toEqual(["there=old"]);
  });

  test("lets edit and rename beat delete, on either side [R7]", () => {
    const world = new PlannerWorld();
    const ids = ["a", "b", "c", "d"].map((name) => world.agree(ROOT_ID, name, text("old")));
    const [a, b, c, d] = ids;
    if (a === undefined || b === undefined || c === undefined || d === undefined) return;
    world.putLocal({ ...onDisk(world, a), content: text("edited here") });
    world.removeRemote(a);
    world.local.remove(b);
    world.putRemote({ ...onServer(world, b), content: text("edited there") });
    world.putLocal({ ...onDisk(world, c), name: "moved here" });
    world.removeRemote(c);
    world.local.remove(d);
    world.putRemote({ ...onServer(world, d), name: "moved there" });
    expect(outcome(world)).toEqual([
      "a=edited here",
      "b=edited there",
      "moved here=old",
      "moved there=old",
    ]);
  });

  test("deletes what the other side only touched [R7]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    world.putLocal({ ...onDisk(world, a), content: text("old", "9") });
    world.removeRemote(a);
    expect(outcome(world)).toEqual([]);
  });
});

describe("reconcile() of directories", () => {
  test("revives a directory for what was added beneath it here [R8]", () => {
    const world = new PlannerWorld();
    const dir = world.agree(ROOT_ID, "d", directory);
    const old = world.agree(dir, "old", text("old"));
    world.putLocal({ id: world.newId(), parent: dir, name: "new", content: text("new") });
    world.removeRemote(old);
    world.removeRemote(dir);
    expect(outcome(world)).toEqual(["d/", "d/new=new"]);
  });

  test("restores a directory for what was added beneath it there [R8]", () => {
    const world = new PlannerWorld();
    const dir = world.agree(ROOT_ID, "d", directory);
    const old = world.agree(dir, "old", text("old"));
    world.putRemote({ id: world.newId(), parent: dir, name: "new", content: text("new") });
    world.local.remove(old);
    world.local.remove(dir);
    expect(outcome(world)).toEqual(["d/", "d/new=new"]);
  });

  test("undoes a local move that makes a cycle with a remote one [R10]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", directory);
    const b = world.agree(ROOT_ID, "b", directory);
    world.putLocal({ ...onDisk(world, a), parent: b });
    world.putRemote({ ...onServer(world, b), parent: a });
    expect(outcome(world)).toEqual(["a/", "a/b/"]);
  });

  test("keeps the new name of a directory whose move makes a cycle [R10, R1]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", directory);
    const b = world.agree(ROOT_ID, "b", directory);
    world.putLocal({ ...onDisk(world, a), parent: b, name: "mine" });
    world.putRemote({ ...onServer(world, b), parent: a });
    expect(outcome(world)).toEqual(["mine/", "mine/b/"]);
  });

  test("leaves the log its place where a move that makes a cycle has a taken name [R10, R6]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", directory);
    const b = world.agree(ROOT_ID, "b", directory);
    world.agree(ROOT_ID, "taken", text("taken"));
    world.putLocal({ ...onDisk(world, a), parent: b, name: "taken" });
    world.putRemote({ ...onServer(world, b), parent: a });
    expect(outcome(world)).toEqual(["a/", "a/b/", "taken=taken"]);
  });

  test("merges two new directories of one name and adopts equal files in them [R9]", () => {
    const world = new PlannerWorld();
    const here = world.newId();
    const there = world.newId();
    world.putLocal({ id: here, parent: ROOT_ID, name: "d", content: directory });
    world.putLocal({ id: world.newId(), parent: here, name: "same", content: text("same", "1") });
    world.putLocal({ id: world.newId(), parent: here, name: "here", content: text("here") });
    world.putRemote({ id: there, parent: ROOT_ID, name: "d", content: directory });
    const same = world.newId();
    world.putRemote({ id: same, parent: there, name: "same", content: text("same", "2") });
    const plans = world.converge();
    expect(tree(world)).toEqual(["d/", "d/here=here", "d/same=same"]);
    const adopted = plans.map(({ adoptions }) => adoptions.length).filter((count) => count > 0);
    expect(adopted).toEqual([2]);
    expect(plans.flatMap((plan) => plan.transitions.map((step) => step.kind))).toEqual([
      "metadata",
    ]);
  });

  test("gives the later of two different files of one name a conflict name [R9]", () => {
    const world = new PlannerWorld();
    world.putLocal({ id: world.newId(), parent: ROOT_ID, name: "x", content: text("here") });
    world.putRemote({ id: world.newId(), parent: ROOT_ID, name: "x", content: text("there") });
    const result = outcome(world);
    expect(result).toHaveLength(2);
    expect(result).toContain("x=there");
    expect(result.find((line) => line.startsWith("x (conflict here "))).toEndWith("=here");
  });

  const sides: readonly (readonly [string, string, string])[] = [
    ["", "there", "there"],
    ["here", "", "here"],
    ["", "", ""],
  ];
  for (const [here, there, kept] of sides) {
    const title = `${here === "" ? "empty" : "bytes"} here, ${there === "" ? "empty" : "bytes"} there`;
    test(`lets bytes take the place of an empty new file: ${title} [R9]`, () => {
      const world = new PlannerWorld();
      world.putLocal({ id: world.newId(), parent: ROOT_ID, name: "x", content: text(here) });
      world.putRemote({ id: world.newId(), parent: ROOT_ID, name: "x", content: text(there) });
      expect(outcome(world)).toEqual([`x=${kept}`]);
    });

    test(`lets bytes win over an empty file without a base: ${title} [R11]`, () => {
      const world = new PlannerWorld();
      const id = world.newId();
      world.putLocal({ id, parent: ROOT_ID, name: "x", content: text(here) });
      world.putRemote({ id, parent: ROOT_ID, name: "x", content: text(there) });
      expect(outcome(world)).toEqual([`x=${kept}`]);
    });
  }

  for (const isOneNode of [false, true]) {
    const title = isOneNode ? "one node" : "two nodes";
    test(`lets what the log had before give way without a copy: ${title} [R16]`, () => {
      const world = new PlannerWorld();
      const theirs = world.newId();
      const ours = isOneNode ? theirs : world.newId();
      world.putLocal({ id: ours, parent: ROOT_ID, name: "x", content: text("first") });
      world.putRemote({ id: theirs, parent: ROOT_ID, name: "x", content: text("second") });
      const first = text("first");
      world.isEarlier = (id, content) => id === theirs && sameContent(content, first);
      expect(outcome(world)).toEqual(["x=second"]);
    });
  }

  test("takes an edit for an edit where there is a base, whatever the log had before [R17, R4]", () => {
    const world = new PlannerWorld();
    const id = world.agree(ROOT_ID, "x", text("base"));
    world.isEarlier = () => true;
    world.putLocal({ ...onServer(world, id), content: text("first") });
    world.putRemote({ ...onServer(world, id), content: text("second") });
    expect(outcome(world)).toHaveLength(2);
  });

  test("lets a renamed file have the place of an empty new one [R9]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("bytes"));
    world.putLocal({ id: world.newId(), parent: ROOT_ID, name: "x", content: text("") });
    world.putRemote({ ...onServer(world, a), name: "x" });
    expect(outcome(world)).toEqual(["x=bytes"]);
  });

  test("keeps an empty file of a person beside a directory, and one that was emptied [R4] [R9]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("old"));
    world.putLocal({ ...onDisk(world, a), content: text("") });
    world.putRemote({ ...onServer(world, a), content: text("there") });
    world.putLocal({ id: world.newId(), parent: ROOT_ID, name: "x", content: text("") });
    world.putRemote({ id: world.newId(), parent: ROOT_ID, name: "x", content: directory });
    expect(outcome(world).map((line) => line.replace(/ \(.*\)/, " (copy)"))).toEqual([
      "a (copy)=",
      "a=there",
      "x (copy)=",
      "x/",
    ]);
  });

  test("does not materialise what this device ignores, and leaves it on the server [R15]", () => {
    const world = new PlannerWorld();
    world.ignored = (path) => path === "build" || path.startsWith("build/");
    const build = world.newId();
    world.putRemote({ id: build, parent: ROOT_ID, name: "build", content: directory });
    const out = world.newId();
    world.putRemote({ id: out, parent: build, name: "out", content: text("out") });
    world.converge();
    expect(tree(world)).toEqual([]);
    expect([...world.remote.nodes()]).toHaveLength(2);
  });

  test("what is ignored here by now is not deleted there [A7, R15]", () => {
    const world = new PlannerWorld();
    const build = world.agree(ROOT_ID, "build", directory);
    const out = world.agree(build, "out", text("out"));
    world.local.remove(out);
    world.local.remove(build);
    world.ignored = (path) => path === "build" || path.startsWith("build/");
    const { ops, transitions, skipped } = world.plan();
    expect([ops.size, transitions.length]).toEqual([0, 0]);
    expect(new Set(skipped)).toEqual(new Set([build, out]));
  });

  test("what stands withheld in its place is not deleted there, and arrives otherwise [A21]", () => {
    const world = new PlannerWorld();
    const file = world.agree(ROOT_ID, "key", text("key"));
    world.local.remove(file);
    world.withheld = (path) => path === "key";
    const { ops, transitions, skipped } = world.plan();
    expect([ops.size, transitions.length, skipped]).toEqual([0, 0, [file]]);
    // The base of what was skipped is forgotten. What others made there comes, and finds it.
    world.base.remove(file);
    expect(world.plan().transitions).toMatchObject([{ kind: "create", node: { id: file } }]);
  });

  test("a deleted directory is kept for what is left out beneath it here [R8, R15]", () => {
    const world = new PlannerWorld();
    const dir = world.agree(ROOT_ID, "d", directory);
    const hidden = world.newId();
    world.putRemote({ id: hidden, parent: dir, name: "build", content: directory });
    const out = world.newId();
    world.putRemote({ id: out, parent: hidden, name: "out", content: text("out") });
    world.ignored = (path) => path.startsWith("d/build");
    world.local.remove(dir);
    // What was skipped before is not dirty any more; what others put into it is.
    const plan = world.plan([dir, out]);
    expect(plan.transitions).toMatchObject([{ kind: "create", node: { id: dir } }]);
    expect([plan.ops.size, plan.skipped]).toEqual([0, [out]]);
  });
});

describe("a plan's order", () => {
  test("a swap of two names is one group and one exchange [R14]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("A"));
    const b = world.agree(ROOT_ID, "b", text("B"));
    world.local.remove(b);
    world.putLocal({ ...onDisk(world, a), name: "b" });
    world.putLocal({ id: b, parent: ROOT_ID, name: "a", content: text("B") });
    const { groups } = groupOps({ ops: world.plan().ops, remote: world.remote });
    expect(groups.map((group) => group.length)).toEqual([2]);
    expect(outcome(world)).toEqual(["a=B", "b=A"]);
  });

  test("a chain of renames is one group, and needs no exchange on disk [R14]", () => {
    const world = new PlannerWorld();
    const a = world.agree(ROOT_ID, "a", text("A"));
    const b = world.agree(ROOT_ID, "b", text("B"));
    world.putRemote({ ...onServer(world, b), name: "c" });
    world.putRemote({ ...onServer(world, a), name: "b" });
    const plan = world.plan();
    expect(plan.transitions.map((step) => (step.kind === "move" ? step.id : ""))).toEqual([b, a]);

    const other = new PlannerWorld();
    const x = other.agree(ROOT_ID, "x", text("X"));
    const y = other.agree(ROOT_ID, "y", text("Y"));
    other.putLocal({ ...onDisk(other, y), name: "z" });
    other.putLocal({ ...onDisk(other, x), name: "y" });
    const { groups } = groupOps({ ops: other.plan().ops, remote: other.remote });
    expect(groups.map((group) => group.length)).toEqual([2]);
  });

  test("a chain longer than a group may be is posted from its free end [R14]", () => {
    const world = new PlannerWorld();
    const ids = Array.from({ length: 1_500 }, (_, i) => world.agree(ROOT_ID, `${i}`, text(`${i}`)));
    for (const id of ids) world.local.remove(id);
    for (const [i, id] of ids.entries()) {
      world.putLocal({ id, parent: ROOT_ID, name: `${i + 1}`, content: text(`${i}`) });
    }
    const { groups } = groupOps({ ops: world.plan().ops, remote: world.remote });
    expect(groups).toHaveLength(1_500);
    expect(outcome(world)).toHaveLength(1_500);
  });

  test("a file that takes a directory's name is one group with its delete [R14] [N6]", () => {
    const world = new PlannerWorld();
    const dir = world.agree(ROOT_ID, "d", directory);
    const child = world.agree(dir, "child", text("child"));
    world.local.remove(child);
    world.local.remove(dir);
    world.putLocal({ id: world.newId(), parent: ROOT_ID, name: "d", content: text("file") });
    const { groups } = groupOps({ ops: world.plan().ops, remote: world.remote });
    expect(groups.map((group) => group.map(({ kind }) => kind).sort())).toEqual([
      ["delete"],
      ["create", "delete"],
    ]);
    expect(outcome(world)).toEqual(["d=file"]);
  });

  test("a directory and its own child trade places through the parking [D5]", () => {
    const world = new PlannerWorld();
    const outer = world.agree(ROOT_ID, "x", directory);
    const inner = world.agree(outer, "x", directory);
    world.putRemote({ ...onServer(world, inner), parent: ROOT_ID, name: "tmp" });
    world.putRemote({ ...onServer(world, outer), parent: inner });
    world.putRemote({ ...onServer(world, inner), name: "x" });
    const places = world.plan().transitions.map((s) => (s.kind === "move" ? s.parent : ROOT_ID));
    expect(places).toEqual([PARKING_ID, ROOT_ID, inner]);
    expect(outcome(world)).toEqual(["x/", "x/x/"]);
  });

  test("an op waits until the disk is as the plan wants it [R12]", () => {
    const world = new PlannerWorld();
    world.putLocal({ id: world.newId(), parent: ROOT_ID, name: "x", content: text("here") });
    world.putRemote({ id: world.newId(), parent: ROOT_ID, name: "x", content: text("there") });
    expect(world.plan().ops.size).toBe(0);
  });
});
