/** The law about aspects: which acts of users may be undone, and which not. */
import { expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { type NameChange, type Seen, type SeenInode, SimEntries } from "./sim-entries.ts";

const [FIRST, SECOND] = [sha256("first"), sha256("second")];

function file(recorded: SeenInode["recorded"], digest = FIRST): SeenInode {
  return { key: {}, kind: "file", links: 1, recorded, executable: false, digest };
}

function renamed(inode: SeenInode, from: string, to: string, over?: SeenInode): NameChange[] {
  return [
    { path: from, before: inode, after: undefined },
    { path: to, before: over, after: inode },
  ];
}

function seen(path: string, digest = FIRST, mtimeNs = 0n): Seen {
  return { path, kind: "file", digest, executable: false, mtimeNs };
}

/** All agree on `u0`. Ada renames it and saves a new file over it; bob makes it executable. */
function renameAndSave(recorded: SeenInode["recorded"]): readonly string[] {
  const entries = new SimEntries();
  const [old, saved] = [file(recorded), file("nowhere", SECOND)];
  entries.renamed("ada", [{ path: "u0", before: undefined, after: old }]);
  entries.agree([seen("u0")]);
  entries.madeExecutable("bob", "u0", true);
  entries.renamed("ada", renamed(old, "u0", "u1"));
  entries.renamed("ada", renamed(saved, "u1~", "u1", old));
  return entries.undone([seen("u1", SECOND)], false);
}

test("a mode does not follow a file that no scan saw where another is saved over it [A1, A15]", () => {
  expect(renameAndSave("elsewhere")).toEqual([]);
});

test("a mode follows a file that is seen where another is saved over it [A1, R5]", () => {
  expect(renameAndSave("here")).toEqual(["executable bit of u0 u1: u1 has false, not true"]);
});

/** All agree. Bob touches the file at `from`; ada swaps it with another, as one of its own. */
function swapAndTouch(from: string, recorded: SeenInode["recorded"]): readonly string[] {
  const entries = new SimEntries();
  const [moved, other] = [file(recorded), file("here", SECOND)];
  entries.timed("ada", FIRST, undefined, 0n);
  entries.agree([seen(from), seen("e", SECOND)]);
  entries.timed("bob", FIRST, 0n, 9n);
  entries.renamed("ada", [
    { path: from, before: moved, after: other },
    { path: "e", before: other, after: moved },
  ]);
  return entries.undone([seen("e"), seen(from, SECOND)], false);
}

test("swapping a temporary file with another saves it, which gives its time up [A15]", () => {
  expect(swapAndTouch("c~", "here")).toEqual([]);
});

test("the time of other files that swap places is kept, and of those nobody else knows [R5]", () => {
  const undone = ["time of e is 0, not 9"];
  expect(swapAndTouch("c", "here")).toEqual(undone);
  expect(swapAndTouch("c~", "nowhere")).toEqual(undone);
});

/** All agree on two files. Bob touches one; ada swaps it with the other, or with one of her own. */
function touchAndSwap(isOnlyLocal: boolean): readonly string[] {
  const entries = new SimEntries();
  const [old, own] = [file("here"), { ...file("here", SECOND), isOnlyLocal }];
  entries.timed("ada", FIRST, undefined, 0n);
  entries.agree([seen("a")]);
  entries.timed("bob", FIRST, 0n, 9n);
  entries.renamed("ada", [
    { path: "a", before: old, after: own },
    { path: "b", before: own, after: old },
  ]);
  return entries.undone([seen("b"), seen("a", SECOND)], false);
}

test("a time is given up where a file that nobody else knows swaps places with its file [A15]", () => {
  expect(touchAndSwap(true)).toEqual([]);
  expect(touchAndSwap(false)).toEqual(["time of b is 0, not 9"]);
});

/**
 * All agree on `u0` and `u0~`. Ada saves the latter over the former and renames that; bob makes the
 * former executable and renames the latter.
 */
function saveAndRename(recorded: SeenInode["recorded"]): readonly string[] {
  const entries = new SimEntries();
  const [old, saved] = [file("here"), file("here", SECOND)];
  entries.renamed("ada", [{ path: "u0", before: undefined, after: old }]);
  entries.renamed("ada", [{ path: "u0~", before: undefined, after: saved }]);
  entries.agree([seen("u0"), seen("u0~", SECOND)]);
  entries.renamed("ada", renamed(saved, "u0~", "u0", old));
  entries.madeExecutable("bob", "u0", true);
  entries.renamed("ada", renamed({ ...saved, recorded }, "u0", "u1"));
  return entries.undone([seen("d", SECOND)], false);
}

test("a saved file that is renamed before a scan may be the file it was written as [A1, R6]", () => {
  expect(saveAndRename("elsewhere")).toEqual([]);
  expect(saveAndRename("here")).toEqual(["file u0 u1 is gone"]);
});

test("who moves a file out of a directory of no name need not know of its move to another [R6]", () => {
  const entries = new SimEntries();
  const directory: SeenInode = { key: {}, kind: "directory", links: 1, recorded: "here" };
  const moved = file("here");
  entries.renamed("ada", [{ path: "u0", before: undefined, after: directory }]);
  entries.renamed("ada", [{ path: "u0/u1", before: undefined, after: moved }]);
  entries.agree([{ path: "u0", kind: "directory" }, seen("u0/u1")]);
  entries.renamed("bob", renamed(moved, "u0/u1", "e/u1"));
  entries.disown("u0");
  entries.renamed("ada", renamed(moved, "u0/u1", "u1"));
  expect(entries.undone([seen("e/u1")], false)).toEqual([]);
});
