/** What other devices' rules un-ignore stays here until a person says otherwise. Rules: A21, A22, I43. */
import { expect, test } from "bun:test";
import { KEPT, readKept } from "../../src/client/folder/kept-values.ts";
import { FormerRules } from "../../src/client/scan/former-rules.ts";
import { IgnoreRules } from "../../src/core/ignore.ts";
import { FORMER_PATHS_MAX, FORMER_RULES_MAX } from "../../src/core/limits.ts";
import { LoopWorld } from "./loop-world.ts";

const RULES = "*.key\n/private/\n";

async function started(rules: string | undefined, ...paths: string[]): Promise<LoopWorld> {
  const world = new LoopWorld();
  if (rules !== undefined) world.folder.write(".syncedignore", rules);
  world.make("a", ...paths);
  world.start();
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  return world;
}

async function hasSent(world: LoopWorld, path: string): Promise<boolean> {
  return await world.read(path).then(
    () => true,
    () => false,
  );
}

function write(world: LoopWorld, path: string, text: string): void {
  world.folder.write(path, text);
  world.folder.disk.touched(path);
}

async function approve(world: LoopWorld): Promise<void> {
  const held = readKept(world.store, KEPT.held);
  world.folder.write(".synced/approved", held?.id ?? "");
  await world.pass(10_000);
}

test("sends nothing that another device's rules un-ignore, until a person agrees [A21]", async () => {
  const world = await started(RULES, "id.key", "private/x", "d/b.key");
  await world.remote(".syncedignore", "*.tmp\n");
  await world.pass(20_000);
  expect(world.status.state).toBe("held");
  expect(readKept(world.store, KEPT.held)).toMatchObject({
    kinds: ["unignoring"],
    direction: "up",
    count: 3,
  });
  const paths = world.store.problems().map(({ path, code }) => `${code} ${path}`);
  expect(paths.sort()).toEqual([
    "formerly_ignored d/b.key",
    "formerly_ignored id.key",
    "formerly_ignored private",
  ]);
  for (const path of ["id.key", "private/x", "d/b.key"]) {
    expect(await hasSent(world, path)).toBe(false);
  }
  // All else goes on, new rules that ignore more too.
  write(world, "a", "edited");
  world.make("new", "b.tmp");
  await world.remote("d/news", "news");
  await world.pass(10_000);
  expect(await world.read("a")).toBe("edited");
  expect(await hasSent(world, "new")).toBe(true);
  expect(await hasSent(world, "b.tmp")).toBe(false);
  expect(world.folder.disk.at("d/news")?.kind).toBe("file");
  await approve(world);
  expect(world.status.state).toBe("in_sync");
  expect(world.store.problems()).toEqual([]);
  expect(await world.read("private/x")).toBe("text of private/x");
  expect(await hasSent(world, "d/b.key")).toBe(true);
  expect(readKept(world.store, KEPT.held)).toBeUndefined();
  await world.stop();
});

test("survives a restart, a kill before the approval, and ends once with exit held [A21, I18]", async () => {
  const world = await started(RULES, "id.key");
  await world.stop();
  await world.remote(".syncedignore");
  world.start(true);
  await world.pass(30_000);
  expect(await world.stop()).toMatchObject({ end: "held" });
  world.start();
  await world.pass(30_000);
  expect(world.status.state).toBe("held");
  // What comes into being later is as protected.
  world.make("later.key");
  await world.pass(10_000);
  expect(readKept(world.store, KEPT.held)?.count).toBe(2);
  await world.stop();
  world.folder.write(".synced/approved", readKept(world.store, KEPT.held)?.id ?? "");
  world.start(true);
  await world.pass(30_000);
  expect(await world.stop()).toMatchObject({ end: "in_sync" });
  expect(await hasSent(world, "id.key")).toBe(true);
  expect(await hasSent(world, "later.key")).toBe(true);
});

test("protects what comes into being after the rules came, too [A21]", async () => {
  const world = await started(RULES);
  await world.remote(".syncedignore", "/private/\n");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  world.make("id.key");
  await world.pass(10_000);
  expect(world.status.state).toBe("held");
  expect(await hasSent(world, "id.key")).toBe(false);
  // Gone again, or ignored by this device's own rules: nothing waits.
  world.remove("id.key");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  world.make("other.key");
  await world.pass(10_000);
  world.folder.write(".synced/ignore", "*.key\n");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(await hasSent(world, "other.key")).toBe(false);
  await world.stop();
});

test("rules that this device's own person wrote hold at once [A21, A10]", async () => {
  const world = await started(RULES, "id.key", "private/x");
  write(world, ".syncedignore", "/private/\n");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(await hasSent(world, "id.key")).toBe(true);
  world.remove(".syncedignore");
  await world.pass(10_000);
  expect(await hasSent(world, "private/x")).toBe(true);
  await world.stop();
});

test("one's own edit of rules that came settles what waits [A21]", async () => {
  const world = await started(RULES, "id.key", "private/x");
  await world.remote(".syncedignore", "# nothing\n");
  await world.pass(10_000);
  expect(world.status.state).toBe("held");
  write(world, ".syncedignore", "/private/\n");
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(await hasSent(world, "id.key")).toBe(true);
  expect(await hasSent(world, "private/x")).toBe(false);
  await world.stop();
});

test("takes what comes from elsewhere, but no bytes of its own to its place [A21, R9]", async () => {
  const world = await started(RULES, "id.key", "private/x", "private/same");
  await world.remote("id.key", "");
  await world.remote("private/x", "theirs");
  await world.remote("private/same", "text of private/same");
  await world.remote("private/new", "new");
  await world.remote(".syncedignore", "");
  await world.pass(30_000);
  expect(world.status.state).toBe("held");
  expect(world.folder.disk.at("private/new")?.kind).toBe("file");
  expect(await world.read("id.key")).toBe("");
  expect(await world.read("private/x")).toBe("theirs");
  const waiting = world.store.problems().map(({ path }) => path);
  expect(waiting.sort()).toEqual(["id.key", "private/x"]);
  const { plans } = await world.pass(60_000);
  expect(plans).toBeLessThanOrEqual(1);
  await approve(world);
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(world.store.conflicts()).toHaveLength(1);
  await world.stop();
});

test("a synced file that its user replaces by another kind is replaced everywhere [A21, A7]", async () => {
  const world = await started(RULES);
  await world.remote(".syncedignore", "");
  await world.remote("id.key", "theirs");
  await world.pass(10_000);
  expect(world.folder.disk.at("id.key")?.kind).toBe("file");
  world.remove("id.key");
  world.make("id.key/x");
  await world.pass(30_000);
  expect(world.store.problems().map(({ path }) => path)).toEqual(["id.key/x"]);
  expect(await hasSent(world, "id.key/x")).toBe(false);
  await approve(world);
  await world.pass(10_000);
  expect(world.status.state).toBe("in_sync");
  expect(world.store.conflicts()).toEqual([]);
  expect(await hasSent(world, "id.key/x")).toBe(true);
  await world.stop();
});

test("rules of a directory that others delete go on to protect what stays in it [A21, A8]", async () => {
  const world = await started(undefined, "d/x.o", "d/b");
  await world.stop();
  const other = new LoopWorld();
  other.folder.write("d/.syncedignore", "*.o\n");
  other.make("d/b", "d/x.o");
  other.start();
  await other.pass(10_000);
  expect(other.status.state).toBe("in_sync");
  await other.remote("d/b");
  await other.remote("d/.syncedignore");
  await other.remote("d");
  await other.pass(30_000);
  expect(other.folder.disk.at("d/x.o")?.kind).toBe("file");
  expect(await hasSent(other, "d/x.o")).toBe(false);
  await other.stop();
});

test("rules that come along with a folder withhold nothing from whoever joins [A21]", async () => {
  const world = new LoopWorld();
  world.start();
  await world.pass(5_000);
  await world.stop();
  await world.remote(".syncedignore", "*.log\n");
  await world.remote("x/.syncedignore", "!keep.log\n");
  await world.remote("x/keep.log", "kept");
  world.folder.write(".syncedignore", "*.log\n");
  world.folder.make("x/");
  world.folder.write("x/.syncedignore", "!keep.log\n");
  world.make("x/keep.log", "b.log");
  world.start();
  await world.pass(20_000);
  expect(world.status.state).toBe("in_sync");
  expect(await hasSent(world, "b.log")).toBe(false);
  await world.stop();
});

test("a rename of others takes nothing out from under a rule [A22]", async () => {
  const world = await started("/work/private/\n/work/*.key\n", "work/a", "work/private/x");
  world.make("work/id.key", "work/deep/b");
  await world.pass(10_000);
  await world.remoteRename("work", "old");
  await world.pass(10_000);
  await world.remoteRename("old", "older");
  await world.pass(20_000);
  expect(world.folder.disk.at("older/private/x")?.kind).toBe("file");
  const paths = () => world.store.problems().map(({ path, code }) => `${code} ${path}`);
  expect(paths().sort()).toEqual([
    "formerly_ignored older/id.key",
    "formerly_ignored older/private",
  ]);
  expect(readKept(world.store, KEPT.held)).toMatchObject({ kinds: ["unignoring"], count: 2 });
  // It holds for what comes later, and over a restart.
  await world.stop();
  world.make("older/new.key", "older/c");
  world.start();
  await world.pass(20_000);
  expect(await hasSent(world, "older/c")).toBe(true);
  for (const path of ["older/private/x", "older/id.key", "older/new.key"]) {
    expect(await hasSent(world, path)).toBe(false);
  }
  await approve(world);
  expect(world.status.state).toBe("in_sync");
  expect(await world.read("older/private/x")).toBe("text of work/private/x");
  expect(await hasSent(world, "older/new.key")).toBe(true);
  expect(readKept(world.store, KEPT.formerPaths)).toBeUndefined();
  await world.stop();
});

test("a rename that no rule depends on is not remembered [A22]", async () => {
  const world = await started("*.tmp\n/else/private/\n/*/cache/\n", "work/a", "work/b.tmp");
  await world.remoteRename("work", "old");
  await world.pass(20_000);
  expect(world.status.state).toBe("in_sync");
  expect(readKept(world.store, KEPT.formerPaths)).toBeUndefined();
  await world.stop();
});

const ROOT = IgnoreRules.none;

test("renames count one after the other, of what stands above and below [A22]", () => {
  const rules = ROOT.withFile("", "/a/b/secret\n*.o\n")
    .withFile("s", "key\n")
    .withDeviceFile("/own/x\n");
  for (const [renames, path] of [
    [[["a", "z"]], "z/b/secret"],
    [[["a/b", "c"]], "c/secret"],
    [
      [
        ["a", "z"],
        ["z/b", "y"],
      ],
      "y/secret",
    ],
    [
      [
        ["a/b", "a/c"],
        ["a", "d"],
      ],
      "d/c/secret",
    ],
    [[["s/t", "u"]], "u/key"],
    [[["own", "other"]], "other/x"],
  ] as const) {
    const former = new FormerRules();
    for (const rename of renames) former.renamed([rename], rules);
    expect({ path, is: former.ignored(rules, path, false) }).toEqual({ path, is: true });
    const again = new FormerRules([], former.renames);
    expect(again.ignored(rules, path, false)).toBe(true);
    expect(former.ignored(rules, `${path}-else`, false)).toBe(false);
    former.forget();
    expect(former.ignored(rules, path, false)).toBe(false);
  }
  const negated = ROOT.withFile("", "secret\n!/old/secret\n");
  const former = new FormerRules();
  former.renamed([["work", "old"]], negated);
  expect(former.ignored(negated, "old/secret", false)).toBe(true);
});

test("after too many renames all that is new waits [A22]", () => {
  const rules = ROOT.withFile("", "/w*/x\n");
  const former = new FormerRules();
  for (let index = 0; index < FORMER_PATHS_MAX; index += 1) {
    former.renamed([[`w${index}`, `other${index}`]], rules);
  }
  expect(former.ignored(rules, "y", false)).toBe(false);
  former.renamed([["w", "other"]], rules);
  expect(former.renames).toHaveLength(1);
  expect(new FormerRules([], former.renames).ignored(rules, "y", false)).toBe(true);
});

/** Rules files of other devices, one after the other, in scans of their own. */
function received(...texts: readonly (string | undefined)[]): [FormerRules, IgnoreRules] {
  const former = new FormerRules();
  let rules = ROOT;
  let before: string | undefined;
  for (const text of texts) {
    former.beginScan();
    former.received("", before, text);
    rules = rules.withFile("", text);
    before = text;
  }
  return [former, rules];
}

test("rules that only ignore more leave nothing to be asked [A21]", () => {
  const [former] = received("a\n", "b\na\n", "b\n# more\n\na\nc\n");
  expect(former.moments).toEqual([]);
  for (const [before, after] of [
    ["a\nb\n", "a\n"],
    ["a\n", "a\n!b\n"],
    ["a\n!b\n", "!b\na\n"],
    ["a\n", undefined],
  ] as const) {
    const [former] = received(before, after);
    expect(former.moments.at(-1)).toEqual(new Map([["", before]]));
  }
});

test("every version that was in force counts, however they come and go [A21]", () => {
  const [former, rules] = received("*.key\n", "*.pem\n", "x\n", "*.key\n", "x\n", "");
  for (const path of ["a.key", "a.pem", "x"]) expect(former.ignored(rules, path, false)).toBe(true);
  expect(former.ignored(rules, "y", false)).toBe(false);
  const again = new FormerRules(former.texts);
  expect(again.ignored(rules, "a.pem", false)).toBe(true);
  former.edited("");
  expect(former.ignored(rules, "a.pem", false)).toBe(false);
});

test("what changes in one scan is one change, and a change too many is not taken over [A21]", () => {
  const former = new FormerRules();
  former.beginScan();
  for (const directory of ["a", "b", "c"]) {
    expect(former.received(directory, "x\n", undefined)).toBe(true);
  }
  expect(former.moments).toHaveLength(1);
  for (let count = 1; count < FORMER_RULES_MAX; count += 1) {
    former.beginScan();
    expect(former.received("", `${count}\n`, `${count + 1}\n`)).toBe(true);
  }
  former.beginScan();
  expect(former.received("", "8\n", "9\n")).toBe(false);
  expect(former.received("", "8\n", "8\n9\n")).toBe(true);
  former.forget();
  expect(former.received("", "8\n", "9\n")).toBe(true);
});
