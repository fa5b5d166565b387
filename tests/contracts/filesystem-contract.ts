/**
 * What every FileSystem must do: the disk's and the simulator's. `make` gives an empty folder with
 * an empty `.synced/staging` (and quarantine), and its user.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  type FileSystem,
  FileSystemError,
  type FileSystemErrorCode,
  type FileWriter,
  type Stat,
} from "../../src/ports/filesystem.ts";

/**
 * Acts as a person or program would on the same folder, at once visible to the file system under
 * test.
 */
export interface FileSystemUser {
  /** Makes the file or truncates and rewrites it in place. */
  writeFile(path: string, text: string): void;
  readFile(path: string): string;
  makeDirectory(path: string): void;
  /** rename(2): replaces a file at `to`. */
  rename(from: string, to: string): void;
  /** A file, symlink or empty directory. */
  remove(path: string): void;
  makeSymlink(path: string, target: string): void;
  makeExecutable(path: string): void;
}

export interface FileSystemUnderTest {
  readonly fs: FileSystem;
  readonly user: FileSystemUser;
  close?(): void;
}

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

export function fileSystemContract(name: string, make: () => FileSystemUnderTest): void {
  describe(name, () => {
    let subject: FileSystemUnderTest;
    let fs: FileSystem;
    let user: FileSystemUser;

    beforeEach(() => {
      subject = make();
      fs = subject.fs;
      user = subject.user;
    });
    afterEach(() => subject.close?.());

    const context = { fs: () => fs, user: () => user };
    describe("looking", () => lookingContract(context));
    describe("identity and stamp", () => identityContract(context));
    describe("making", () => makingContract(context));
    describe("moving", () => movingContract(context));
    describe("exchanging", () => exchangingContract(context));
    describe("removing", () => removingContract(context));
    describe("metadata", () => metadataContract(context));
    describe("confinement", () => confinementContract(context));
  });
}

interface Context {
  readonly fs: () => FileSystem;
  readonly user: () => FileSystemUser;
}

function lookingContract({ fs, user }: Context): void {
  test("stat() tells the kinds apart and says absent for what is not there [A6]", () => {
    user().writeFile("file", "five!");
    user().makeDirectory("directory");
    user().makeSymlink("link", "nowhere");
    expect(fs().stat("file")).toMatchObject({ kind: "file", size: 5, executable: false, links: 1 });
    expect(fs().stat("directory")?.kind).toBe("directory");
    expect(fs().stat("link")?.kind).toBe("symlink");
    expect(fs().stat("")?.kind).toBe("directory");
    expect(fs().stat("file")?.sameDevice).toBe(true);
    expect(fs().stat("none")).toBeUndefined();
    expect(fs().stat("none/below")).toBeUndefined();
  });

  test("stat() sees the owner's executable bit [N7]", () => {
    user().writeFile("run", "");
    user().makeExecutable("run");
    expect(fs().stat("run")?.executable).toBe(true);
  });

  test("list() gives each entry with the stat that stat() gives [A3]", () => {
    user().makeDirectory("d");
    user().writeFile("d/file", "x");
    user().makeDirectory("d/inner");
    user().makeSymlink("d/link", "file");
    const listing = fs().list("d");
    expect(listing?.illegible).toEqual([]);
    expect(namesOf(fs(), "d")).toEqual(["file", "inner", "link"]);
    for (const { name, stat } of listing?.entries ?? [])
      expect(fs().stat(`d/${name}`)).toEqual(stat);
    expect(
      fs()
        .list("")
        ?.entries.map(({ name }) => name),
    ).toContain("d");
    expect(
      fs()
        .list("")
        ?.entries.map(({ name }) => name),
    ).toContain("d");
  });

  test("list() says undefined for what is absent or no directory, and empty for an empty one [A3]", () => {
    user().writeFile("file", "");
    user().makeDirectory("empty");
    user().makeSymlink("link", "empty");
    expect(fs().list("none")).toBeUndefined();
    expect(fs().list("none/below")).toBeUndefined();
    expect(fs().list("file")).toBeUndefined();
    expect(fs().list("link")).toBeUndefined();
    expect(fs().list("empty")).toEqual({ entries: [], illegible: [] });
  });

  test("names keep their exact bytes [N3]", () => {
    const names = [
      "line\nfeed",
      "tab\tescape\u001b[31m",
      "emoji 🫠",
      "\u00e9 composed",
      "e\u0301 composed",
      "\uFEFFmark first",
      ' space, \\ and "quotes"',
      "-rf",
      "...",
      "x".repeat(255),
      "ä".repeat(127),
    ];
    user().makeDirectory("d");
    for (const name of names) user().writeFile(`d/${name}`, name);
    expect(namesOf(fs(), "d")).toEqual([...names].sort());
    for (const name of names) expect(readAll(fs(), `d/${name}`)).toBe(name);
  });

  test("open() reads any part of a file and nothing else opens [A5]", () => {
    user().writeFile("file", "0123456789");
    user().makeDirectory("directory");
    user().makeSymlink("link", "file");
    const reader = fs().open("file");
    const buffer = new Uint8Array(4);
    expect(reader?.read(buffer, 8)).toBe(2);
    expect(decoder.decode(buffer.subarray(0, 2))).toBe("89");
    expect(reader?.read(buffer, 2)).toBe(4);
    expect(decoder.decode(buffer)).toBe("2345");
    expect(reader?.read(buffer, 10)).toBe(0);
    expect(reader?.stat()).toEqual(known(fs().stat("file")));
    reader?.close();
    for (const path of ["directory", "link", "none", "none/below"]) {
      expect(fs().open(path)).toBeUndefined();
    }
  });

  test("an open file stays the one that was opened when its name goes to another [A5]", () => {
    user().writeFile("file", "old");
    user().writeFile("new", "new!");
    const reader = fs().open("file");
    user().rename("new", "file");
    const buffer = new Uint8Array(8);
    expect(reader?.read(buffer, 0)).toBe(3);
    expect(reader?.stat().identity).not.toBe(known(fs().stat("file")).identity);
    reader?.close();
  });

  test("readLink() gives the target as it is [N8]", () => {
    user().writeFile("file", "");
    for (const target of ["file", "../../etc/passwd", "/", "none at all\n"]) {
      user().makeSymlink("link", target);
      expect(fs().readLink("link")).toBe(target);
      user().remove("link");
    }
    expect(fs().readLink("file")).toBeUndefined();
    expect(fs().readLink("none")).toBeUndefined();
  });
}

function identityContract({ fs, user }: Context): void {
  test("an identity stays with its entry over renames [A1]", () => {
    user().makeDirectory("d");
    user().writeFile("d/file", "x");
    const [directory, file] = [identityOf(fs(), "d"), identityOf(fs(), "d/file")];
    user().rename("d", "e");
    user().rename("e/file", "file");
    expect(identityOf(fs(), "e")).toBe(directory);
    expect(identityOf(fs(), "file")).toBe(file);
    expect(fs().moveNoReplace("file", "e/back")).toBe("moved");
    expect(identityOf(fs(), "e/back")).toBe(file);
  });

  test("an atomic save puts another identity at the path [A1]", () => {
    user().writeFile("file", "old");
    const before = identityOf(fs(), "file");
    user().writeFile("temporary", "new");
    user().rename("temporary", "file");
    expect(identityOf(fs(), "file")).not.toBe(before);
  });

  test("siblings never share an identity [A1]", () => {
    for (const name of ["a", "b", "c"]) user().writeFile(name, "");
    expect(new Set(["a", "b", "c"].map((name) => identityOf(fs(), name))).size).toBe(3);
  });

  test("every edit in place changes the stamp and not the identity [A2]", () => {
    user().writeFile("file", "one");
    const seen = [known(fs().stat("file"))];
    const edits = [
      () => user().writeFile("file", "two"),
      () => user().writeFile("file", "longer"),
      () => user().makeExecutable("file"),
    ];
    for (const edit of edits) {
      edit();
      const stat = known(fs().stat("file"));
      expect(seen.map(({ stamp }) => stamp)).not.toContain(stat.stamp);
      expect(stat.identity).toBe(known(seen[0]).identity);
      seen.push(stat);
    }
    expect(fs().stat("file")).toEqual(known(seen.at(-1)));
  });
}

function makingContract({ fs, user }: Context): void {
  test("createFile() makes a file that holds what was written [D2]", async () => {
    const writer = fs().createFile(".synced/staging/new");
    writer.write(encoder.encode("hello "));
    writer.write(new Uint8Array());
    writer.write(encoder.encode("world"));
    await writer.sync();
    expect(writer.stat()).toMatchObject({ kind: "file", size: 11, executable: false });
    writer.close();
    expect(user().readFile(".synced/staging/new")).toBe("hello world");
  });

  test("createFile() never opens what exists, nor through a symlink [D1]", () => {
    user().writeFile("file", "kept");
    user().makeSymlink("link", "elsewhere");
    for (const path of ["file", "link", "none/below"]) {
      expect(codeOf(() => fs().createFile(path))).toBe("io");
    }
    expect(user().readFile("file")).toBe("kept");
    expect(fs().stat("elsewhere")).toBeUndefined();
  });

  test("makeDirectory() and makeSymlink() make, or say that something is there [D1]", () => {
    expect(fs().makeDirectory("d")).toBe("made");
    expect(fs().makeDirectory("d")).toBe("exists");
    expect(fs().makeSymlink("d/link", "../out of here")).toBe("made");
    expect(fs().makeSymlink("d/link", "other")).toBe("exists");
    expect(fs().makeDirectory("d/link")).toBe("exists");
    expect(fs().makeSymlink("d", "x")).toBe("exists");
    expect(fs().readLink("d/link")).toBe("../out of here");
    expect(codeOf(() => fs().makeDirectory("none/below"))).toBe("io");
    expect(codeOf(() => fs().makeSymlink("none/below", "x"))).toBe("io");
  });

  test("names that are too long are refused as names [N3]", () => {
    const name = "x".repeat(256);
    expect(codeOf(() => fs().createFile(name))).toBe("name");
    expect(codeOf(() => fs().makeDirectory(name))).toBe("name");
  });

  test("syncDirectories() takes absent and repeated directories [D2]", async () => {
    fs().makeDirectory("d");
    await fs().syncDirectories(["", "d", "d", "none", "none/below"]);
    await fs().syncDirectories([]);
    expect(fs().stat("d")?.kind).toBe("directory");
  });

  test("sync() takes files and directories, and skips what is neither [I15]", async () => {
    user().makeDirectory("d");
    user().writeFile("d/f", "x");
    user().writeFile("f", "y");
    user().makeSymlink("link", "d/f");
    expect(await fs().sync(["", "d", "d/f", "f", "f", "none", "none/below", "link"])).toEqual([]);
    expect(await fs().sync([])).toEqual([]);
  });

  test("sync() takes very many files, which may be done in one call [I15]", async () => {
    const paths = Array.from({ length: 1_000 }, (_, index) => `f${index}`);
    for (const path of paths) user().writeFile(path, "x");
    expect(await fs().sync([...paths, "none"])).toEqual([]);
  });

  test("syncDirectories() skips what a user put in a directory's place [D2]", async () => {
    fs().makeDirectory("d");
    user().writeFile("file", "x");
    user().makeSymlink("link", "d");
    await fs().syncDirectories(["file", "file/below", "link", "link/below", "d"]);
    expect(fs().stat("d")?.kind).toBe("directory");
  });
}

function movingContract({ fs, user }: Context): void {
  test("moveNoReplace() moves a file, a directory with its entries and a symlink [D5]", () => {
    user().writeFile("file", "x");
    user().makeDirectory("d");
    user().writeFile("d/inner", "y");
    user().makeSymlink("link", "none");
    expect(fs().moveNoReplace("file", "d/file")).toBe("moved");
    expect(fs().moveNoReplace("d", "e")).toBe("moved");
    expect(fs().moveNoReplace("link", "e/link")).toBe("moved");
    expect(namesOf(fs(), "e")).toEqual(["file", "inner", "link"]);
    expect(user().readFile("e/file")).toBe("x");
    for (const path of ["file", "d", "link"]) expect(fs().stat(path)).toBeUndefined();
  });

  test("moveNoReplace() replaces nothing, of whatever kind [D5]", () => {
    user().writeFile("file", "source");
    user().makeDirectory("source");
    user().writeFile("taken", "kept");
    user().makeDirectory("empty");
    user().makeSymlink("link", "none");
    for (const from of ["file", "source"]) {
      for (const to of ["taken", "empty", "link", from]) {
        expect(fs().moveNoReplace(from, to)).toBe("exists");
      }
    }
    expect(user().readFile("taken")).toBe("kept");
    expect(user().readFile("file")).toBe("source");
    expect(fs().stat("empty")?.kind).toBe("directory");
    expect(fs().stat("link")?.kind).toBe("symlink");
  });

  test("moveNoReplace() says absent for a missing source or target directory [D5]", () => {
    user().writeFile("file", "x");
    expect(fs().moveNoReplace("none", "there")).toBe("absent");
    expect(fs().moveNoReplace("none/below", "there")).toBe("absent");
    expect(fs().moveNoReplace("file", "none/below")).toBe("absent");
    expect(user().readFile("file")).toBe("x");
  });

  test("moveNoReplace() brings staged files into place and the user's out of it [D2]", () => {
    user().writeFile(".synced/staging/a", "staged");
    user().writeFile("taken", "user's");
    expect(fs().moveNoReplace(".synced/staging/a", "taken")).toBe("exists");
    expect(fs().moveNoReplace(".synced/staging/a", "free")).toBe("moved");
    expect(fs().moveNoReplace("taken", ".synced/quarantine/b")).toBe("moved");
    expect(user().readFile("free")).toBe("staged");
    expect(user().readFile(".synced/quarantine/b")).toBe("user's");
    expect(fs().stat(".synced/staging/a")).toBeUndefined();
    expect(fs().stat("taken")).toBeUndefined();
    expect(fs().stat("free")?.links).toBe(1);
  });

  test("a directory does not move below itself [R10]", () => {
    user().makeDirectory("d");
    expect(codeOf(() => fs().moveNoReplace("d", "d/inner"))).toBe("name");
    expect(fs().stat("d")?.kind).toBe("directory");
  });
}

function exchangingContract({ fs, user }: Context): void {
  const kinds = ["file", "directory", "symlink"] as const;
  for (const a of kinds) {
    for (const b of kinds) {
      test(`exchange() swaps a ${a} and a ${b}, or says that it cannot [D2]`, () => {
        user().makeDirectory("deep");
        put(user(), "one", a);
        put(user(), "deep/two", b);
        const [first, second] = [identityOf(fs(), "one"), identityOf(fs(), "deep/two")];
        const result = fs().exchange("one", "deep/two");
        expect(result).toBe(fs().capabilities.exchange ? "exchanged" : "unsupported");
        const swapped = result === "exchanged";
        expect(identityOf(fs(), "one")).toBe(swapped ? second : first);
        expect(identityOf(fs(), "deep/two")).toBe(swapped ? first : second);
        expect(fs().stat("one")?.kind).toBe(swapped ? b : a);
        expect(fs().stat("deep/two")?.kind).toBe(swapped ? a : b);
      });
    }
  }

  test("exchange() wants both entries there, and changes nothing otherwise [D2]", () => {
    user().writeFile("file", "x");
    const nothing = fs().capabilities.exchange ? "absent" : "unsupported";
    expect(fs().exchange("file", "none")).toBe(nothing);
    expect(fs().exchange("none", "file")).toBe(nothing);
    expect(fs().exchange("file", "none/below")).toBe(nothing);
    expect(user().readFile("file")).toBe("x");
  });

  test("exchange() of a directory and its own descendant is refused [D5]", () => {
    user().makeDirectory("d");
    user().makeDirectory("d/inner");
    if (!fs().capabilities.exchange) return;
    expect(codeOf(() => fs().exchange("d", "d/inner"))).toBe("name");
    expect(codeOf(() => fs().exchange("d/inner", "d"))).toBe("name");
    expect(fs().stat("d/inner")?.kind).toBe("directory");
  });
}

function removingContract({ fs, user }: Context): void {
  test("removeDirectory() removes only what is empty [D4]", () => {
    user().makeDirectory("d");
    user().writeFile("d/file", "kept");
    expect(fs().removeDirectory("d")).toBe("not_empty");
    expect(user().readFile("d/file")).toBe("kept");
    user().remove("d/file");
    expect(fs().removeDirectory("d")).toBe("removed");
    expect(fs().removeDirectory("d")).toBe("absent");
    expect(fs().removeDirectory("none/below")).toBe("absent");
  });

  test("removeDirectory() leaves files and symlinks alone [D4]", () => {
    user().writeFile("file", "kept");
    user().makeDirectory("d");
    user().makeSymlink("link", "d");
    expect(codeOf(() => fs().removeDirectory("file"))).toBe("not_directory");
    expect(codeOf(() => fs().removeDirectory("link"))).toBe("not_directory");
    expect(fs().stat("d")?.kind).toBe("directory");
    expect(fs().stat("link")?.kind).toBe("symlink");
  });

  test("removeFile() unlinks files and symlinks below .synced [D3]", () => {
    user().writeFile(".synced/staging/a", "x");
    user().makeSymlink(".synced/staging/b", "a");
    user().makeDirectory(".synced/staging/c");
    expect(fs().removeFile(".synced/staging/b")).toBe("removed");
    expect(user().readFile(".synced/staging/a")).toBe("x");
    expect(fs().removeFile(".synced/staging/a")).toBe("removed");
    expect(fs().removeFile(".synced/staging/a")).toBe("absent");
    expect(codeOf(() => fs().removeFile(".synced/staging/c"))).toBe("io");
  });
}

function metadataContract({ fs, user }: Context): void {
  const times = ["1700000000123456789", "0", "1", "999999999", "2147483648000000001"];
  for (const mtimeNs of times) {
    test(`mtime ${mtimeNs} comes back as it was set [N7]`, () => {
      const writer = fs().createFile(".synced/staging/a");
      writer.setMetadata({ executable: false, mtimeNs });
      expectTime(writer.stat(), mtimeNs);
      writer.close();
      user().writeFile("file", "x");
      expectTime(changeMetadata("file", { executable: false, mtimeNs }), mtimeNs);
    });
  }

  function expectTime(stat: Stat, mtimeNs: string): void {
    const granularity = BigInt(fs().capabilities.mtimeGranularityNs);
    expect(BigInt(stat.mtimeNs) / granularity).toBe(BigInt(mtimeNs) / granularity);
  }

  function changeMetadata(path: string, metadata: { executable: boolean; mtimeNs: string }): Stat {
    const stat = fs().setMetadata(path, known(fs().stat(path)), metadata);
    if (stat === "changed") throw new Error(`${path} has changed`);
    expect(fs().stat(path)).toEqual(stat);
    return stat;
  }

  test("the executable bit comes and goes [N7]", () => {
    const writer: FileWriter = fs().createFile(".synced/staging/a");
    writer.setMetadata({ executable: true, mtimeNs: "5" });
    expect(writer.stat().executable).toBe(true);
    writer.close();
    user().writeFile("file", "x");
    expect(changeMetadata("file", { executable: true, mtimeNs: "5" }).executable).toBe(true);
    expect(changeMetadata("file", { executable: false, mtimeNs: "5" }).executable).toBe(false);
    expect(user().readFile("file")).toBe("x");
  });

  test("setMetadata() leaves a file alone that is not the expected one [D11]", () => {
    const wanted = { executable: true, mtimeNs: "5" };
    user().writeFile("file", "x");
    const before = known(fs().stat("file"));
    user().writeFile("file", "xy");
    const after = known(fs().stat("file"));
    expect(fs().setMetadata("file", before, wanted)).toBe("changed");
    expect(fs().stat("file")).toEqual(after);
    user().writeFile("other", "xy");
    expect(fs().setMetadata("other", after, wanted)).toBe("changed");
    user().makeSymlink("link", "file");
    expect(fs().setMetadata("link", after, wanted)).toBe("changed");
    expect(fs().setMetadata("none", after, wanted)).toBe("changed");
    expect(fs().stat("file")).toEqual(after);
  });
}

function confinementContract({ fs, user }: Context): void {
  test("no call goes through a symlink or a file in the middle of a path [D1]", () => {
    user().makeDirectory("real");
    user().writeFile("real/file", "kept");
    user().makeDirectory("real/inner");
    user().makeSymlink("link", "real");
    user().writeFile(".synced/staging/a", "staged");
    const expected = known(fs().stat("real/file"));
    const metadata = { executable: true, mtimeNs: "5" };
    for (const bad of ["link", "real/file"]) {
      const calls: (() => unknown)[] = [
        () => fs().stat(`${bad}/file`),
        () => fs().list(`${bad}/inner`),
        () => fs().readLink(`${bad}/file`),
        () => fs().open(`${bad}/file`),
        () => fs().createFile(`${bad}/new`),
        () => fs().makeDirectory(`${bad}/new`),
        () => fs().makeSymlink(`${bad}/new`, "x"),
        () => fs().moveNoReplace(`${bad}/file`, "out"),
        () => fs().moveNoReplace(".synced/staging/a", `${bad}/new`),
        () => fs().removeDirectory(`${bad}/inner`),
        () => fs().setMetadata(`${bad}/file`, expected, metadata),
      ];
      if (fs().capabilities.exchange) {
        calls.push(() => fs().exchange(".synced/staging/a", `${bad}/file`));
      }
      expect(calls.map(codeOf)).toEqual(calls.map(() => "not_directory"));
    }
    expect(namesOf(fs(), "real")).toEqual(["file", "inner"]);
    expect(fs().stat("real/file")).toEqual(expected);
    expect(user().readFile(".synced/staging/a")).toBe("staged");
  });
}

function put(user: FileSystemUser, path: string, kind: "file" | "directory" | "symlink"): void {
  if (kind === "file") return user.writeFile(path, path);
  if (kind === "symlink") return user.makeSymlink(path, "none");
  user.makeDirectory(path);
  user.writeFile(`${path}/inner`, path);
}

/** Sorted, without the state directory. */
function namesOf(fs: FileSystem, path: string): string[] {
  const names = fs.list(path)?.entries.map(({ name }) => name) ?? [];
  return names.filter((name) => name !== ".synced").sort();
}

function identityOf(fs: FileSystem, path: string): string {
  return known(fs.stat(path)).identity;
}

function readAll(fs: FileSystem, path: string): string {
  const reader = fs.open(path);
  if (reader === undefined) throw new Error(`${path} does not open`);
  const buffer = new Uint8Array(1024);
  const length = reader.read(buffer, 0);
  reader.close();
  return decoder.decode(buffer.subarray(0, length));
}

function known<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new Error("Expected something, found nothing");
  return value;
}

/** @returns the error's code, or "no error". */
function codeOf(call: () => unknown): FileSystemErrorCode | "no error" {
  try {
    call();
    return "no error";
  } catch (error) {
    if (error instanceof FileSystemError) return error.code;
    throw error;
  }
}
