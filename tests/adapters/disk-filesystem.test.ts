/** What only a real disk has: attackers, FIFOs, names that are no text, permissions. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createDiskFileSystem, type DiskFileSystem } from "../../src/adapters/disk/filesystem.ts";
import { createNodeDiskCalls } from "../../src/adapters/disk/node-calls.ts";
import { openFolder } from "../../src/adapters/open-folder.ts";
import { FileSystemError } from "../../src/ports/filesystem.ts";
import { makeScratchFolder } from "./disk-user.ts";
import { spawnScript } from "./processes/spawn.ts";

const ATTACK_MS = 2_000;
/** An attacker who is not given a processor is none. */
const ATTACK_MS_MAX = 60_000;
const isRoot = process.getuid?.() === 0;

let root: string;
let fs: DiskFileSystem;
let drop: () => void;

beforeEach(() => {
  ({ root, drop } = makeScratchFolder());
  fs = openFolder(root).fs;
});
afterEach(() => {
  fs.close();
  drop();
});

describe("an attacker", () => {
  for (const kind of ["native", "node:fs"] as const) {
    test(`who swaps a directory with a symlink gets nothing written outside (${kind}) [D1]`, async () => {
      const outside = makeScratchFolder();
      const attacker = spawnScript("bun", "swap-symlink.ts", root, outside.root);
      const victim =
        kind === "native" ? fs : createDiskFileSystem(root, { calls: createNodeDiskCalls(root) });
      try {
        expect(await attacker.line()).toBe("swapping");
        const outcomes = attack(victim);
        expect(readdirSync(outside.root)).toEqual([]);
        // Otherwise the attack has not been one.
        expect(outcomes.made).toBeGreaterThan(0);
        expect(outcomes.refused).toBeGreaterThan(0);
      } finally {
        attacker.kill("SIGKILL");
        await attacker.exited;
        if (victim !== fs) victim.close();
        outside.drop();
      }
    }, 180_000);
  }

  /** Each kind of write below `d`, which is a directory, a symlink or nothing at any moment. */
  function attack(victim: DiskFileSystem): { made: number; refused: number } {
    const outcomes = { made: 0, refused: 0 };
    const startMs = performance.now();
    const isOver = () => {
      const elapsedMs = performance.now() - startMs;
      const isMet = outcomes.made > 0 && outcomes.refused > 0;
      return elapsedMs > (isMet ? ATTACK_MS : ATTACK_MS_MAX);
    };
    for (let round = 0; !isOver(); round += 1) {
      const staged = `.synced/staging/${round}`;
      const writes = [
        () => victim.createFile(`d/file-${round}`).close(),
        () => victim.makeDirectory(`d/directory-${round}`),
        () => victim.makeSymlink(`d/link-${round}`, "x"),
        () => {
          victim.createFile(staged).close();
          if (victim.moveNoReplace(staged, `d/moved-${round}`) !== "moved")
            throw new Error("absent");
        },
      ];
      for (const write of writes) {
        try {
          write();
          outcomes.made += 1;
        } catch {
          outcomes.refused += 1;
        }
      }
    }
    return outcomes;
  }
});

describe("entries that are no files", () => {
  test("a FIFO and a socket are other, and open() does not hang on them [A6]", async () => {
    execFileSync("mkfifo", [join(root, "fifo")]);
    const server = createServer().listen(join(root, "socket"));
    await new Promise((resolve) => server.once("listening", resolve));
    for (const path of ["fifo", "socket"]) {
      expect(fs.stat(path)?.kind).toBe("other");
      expect(fs.open(path)).toBeUndefined();
    }
    expect(fs.setMetadata("fifo", { identity: "", stamp: "" }, METADATA)).toBe("changed");
    server.close();
  });

  test("names that are not UTF-8 are listed by their bytes, twins as two [A6]", () => {
    for (const last of [0xff, 0xfe]) {
      writeFileSync(Buffer.from([...Buffer.from(`${root}/x`), last]), "");
    }
    writeFileSync(join(root, "x\uFFFD"), "");
    const listing = fs.list("");
    expect(listing?.illegible.map(({ nameHex }) => nameHex).sort()).toEqual(["78fe", "78ff"]);
    expect(listing?.entries.map(({ name }) => name).sort()).toEqual([".synced", "x\uFFFD"]);
  });

  test("a symlink's target that is not UTF-8 is illegible [N8]", () => {
    symlinkSync(Buffer.from([0x78, 0xff]), join(root, "link"));
    expect(codeOf(() => fs.readLink("link"))).toBe("illegible");
  });

  test("another mount is another device [A3]", () => {
    if (!existsSync("/proc/self/mounts") || !existsSync("/dev/shm")) return;
    const dev = createDiskFileSystem("/dev", { readOnly: true });
    expect(dev.stat("shm")?.sameDevice).toBe(false);
    expect(dev.stat("null")?.sameDevice).toBe(true);
    dev.close();
  });
});

const METADATA = { executable: false, mtimeNs: "1" };

describe("paths", () => {
  const illegal = ["..", ".", "a/../b", "a/./b", "a//b", "/a", "a/", "a\0b", "a\uD800", ""];
  test("that could lead elsewhere are refused [D1]", () => {
    mkdirSync(join(root, "a"));
    for (const path of illegal) {
      expect(codeOf(() => fs.createFile(path))).toBe("name");
      expect(codeOf(() => fs.moveNoReplace("a", path))).toBe("name");
      if (path !== "") expect(codeOf(() => fs.list(path))).toBe("name");
    }
    expect(codeOf(() => fs.makeSymlink("link", "a\uD800"))).toBe("name");
    expect(readdirSync(root).sort()).toEqual([".synced", "a"]);
  });

  test("longer than PATH_MAX are reached [N4]", () => {
    const names = Array.from({ length: 20 }, () => "d".repeat(250));
    let path = "";
    for (const name of names) {
      path = path === "" ? name : `${path}/${name}`;
      expect(fs.makeDirectory(path)).toBe("made");
    }
    expect(Buffer.byteLength(path)).toBeGreaterThan(5_000);
    fs.createFile(`${path}/file`).close();
    expect(fs.list(path)?.entries.map(({ name }) => name)).toEqual(["file"]);
    expect(fs.stat(`${path}/file`)?.kind).toBe("file");
  });

  test("removeFile() outside .synced is a bug, not a deletion [D4]", () => {
    writeFileSync(join(root, "file"), "kept");
    expect(() => fs.removeFile("file")).toThrow("Broken invariant");
    expect(readFileSync(join(root, "file"), "utf8")).toBe("kept");
  });
});

describe("permissions", () => {
  for (const kind of ["native", "node:fs"] as const) {
    test(`of a directory are those of the one that it is made like (${kind}) [D12]`, () => {
      const calls = { calls: createNodeDiskCalls(root) };
      const disk = kind === "native" ? fs : createDiskFileSystem(root, calls);
      mkdirSync(join(root, "private"));
      chmodSync(join(root, "private"), 0o2750);
      if (isRoot) chownSync(join(root, "private"), 12, 34);
      expect(disk.makeDirectory("like", "private")).toBe("made");
      const { mode, uid, gid } = statSync(join(root, "private"));
      expect(statSync(join(root, "like"))).toMatchObject({ mode, uid, gid });
      if (disk !== fs) disk.close();
    });
  }

  test("of a private file stay private when its bytes are replaced [D2] [F62]", () => {
    writeFileSync(join(root, "private"), "old");
    chmodSync(join(root, "private"), 0o600);
    const writer = fs.createFile(".synced/staging/new");
    writer.setMetadata({ executable: true, mtimeNs: "1" });
    writer.close();
    const staged = fs.takePermissions(".synced/staging/new", "private");
    expect(statSync(join(root, ".synced/staging/new")).mode & 0o777).toBe(0o700);
    expect(staged).toMatchObject({ executable: true, mtimeNs: "1" });
    expect(fs.takePermissions(".synced/staging/none", "private")).toBeUndefined();
  });
});

describe("the root", () => {
  test("that was replaced shows its new identity, and none when it is gone [G1]", () => {
    const before = fs.stat("");
    renameSync(root, `${root}-moved`);
    expect(fs.stat("")).toBeUndefined();
    mkdirSync(root);
    expect(fs.stat("")?.kind).toBe("directory");
    expect(fs.stat("")?.identity).not.toBe(before?.identity);
    rmSync(`${root}-moved`, { recursive: true });
    expect(fs.list("")).toBeUndefined();
    expect(codeOf(() => fs.makeDirectory("x"))).toBe("io");
  });
});

describe("permissions and links", () => {
  test("a file takes the umask's permissions, and read-only ones can be replaced [D2]", () => {
    const writer = fs.createFile(".synced/staging/a");
    expect(statSync(join(root, ".synced/staging/a")).mode & 0o777).toBe(0o600);
    writer.setMetadata({ executable: true, mtimeNs: "1" });
    writer.close();
    expect(statSync(join(root, ".synced/staging/a")).mode & 0o777).toBe(0o777 & ~process.umask());
    writeFileSync(join(root, "read-only"), "x", { mode: 0o444 });
    expect(fs.exchange(".synced/staging/a", "read-only")).toBe("exchanged");
    expect(fs.moveNoReplace(".synced/staging/a", ".synced/quarantine/a")).toBe("moved");
    expect(fs.removeFile(".synced/quarantine/a")).toBe("removed");
  });

  test("setMetadata() keeps the user's other permission bits [N7]", () => {
    const path = join(root, "private");
    writeFileSync(path, "x", { mode: 0o640 });
    const change = (executable: boolean) => {
      const stat = fs.stat("private") ?? { identity: "", stamp: "" };
      expect(fs.setMetadata("private", stat, { executable, mtimeNs: "1" })).not.toBe("changed");
      return statSync(path).mode & 0o777;
    };
    expect(change(true)).toBe(0o750);
    expect(change(false)).toBe(0o640);
  });

  test("heldMtime() tells what the disk makes of a time, and leaves nothing behind [N7]", () => {
    const far = "95617584000123456789";
    writeFileSync(join(root, "file"), "x");
    execFileSync("touch", ["-d", "@95617584000.123456789", join(root, "file")]);
    expect(fs.heldMtime(far)).toBe(fs.stat("file")?.mtimeNs ?? "");
    expect(fs.heldMtime("1700000000000000001")).toBe("1700000000000000001");
    expect(readdirSync(join(root, ".synced/staging"))).toEqual([]);
  });

  test("hard links share an identity and count [A1]", () => {
    writeFileSync(join(root, "one"), "x");
    linkSync(join(root, "one"), join(root, "two"));
    expect(fs.stat("one")?.links).toBe(2);
    expect(fs.stat("two")?.identity).toBe(fs.stat("one")?.identity ?? "absent");
  });

  test("times before 1970 and far ahead are read exactly [N7]", () => {
    writeFileSync(join(root, "file"), "x");
    execFileSync("touch", ["-d", "@-1.5", join(root, "file")]);
    expect(fs.stat("file")?.mtimeNs).toBe("-1500000000");
    const { identity, stamp } = fs.stat("file") ?? { identity: "", stamp: "" };
    const changed = fs.setMetadata(
      "file",
      { identity, stamp },
      {
        executable: false,
        mtimeNs: "-1000000001",
      },
    );
    expect(changed).toMatchObject({ mtimeNs: "-1000000001" });
  });

  test.skipIf(isRoot)("what may not be read is denied, and never absent [A3]", () => {
    mkdirSync(join(root, "closed"));
    writeFileSync(join(root, "closed/file"), "x", { mode: 0 });
    expect(codeOf(() => fs.open("closed/file"))).toBe("denied");
    chmodSync(join(root, "closed"), 0);
    expect(codeOf(() => fs.list("closed"))).toBe("denied");
    expect(codeOf(() => fs.stat("closed/file"))).toBe("denied");
    expect(codeOf(() => fs.makeDirectory("closed/new"))).toBe("denied");
    chmodSync(join(root, "closed"), 0o400);
    expect(codeOf(() => fs.list("closed"))).toBe("denied");
    chmodSync(join(root, "closed"), 0o100);
    expect(fs.stat("closed/file")?.kind).toBe("file");
    chmodSync(join(root, "closed"), 0o700);
  });
});

test("a read-only file system changes nothing [Y5]", () => {
  writeFileSync(join(root, "file"), "x");
  const reading = createDiskFileSystem(root, { readOnly: true });
  const stat = reading.stat("file") ?? { identity: "", stamp: "" };
  const changes = [
    () => reading.createFile("new"),
    () => reading.makeDirectory("new"),
    () => reading.makeSymlink("new", "x"),
    () => reading.moveNoReplace("file", "new"),
    () => reading.exchange("file", "file"),
    () => reading.removeDirectory(".synced/staging"),
    () => reading.removeFile(".synced/new"),
    () => reading.setMetadata("file", stat, METADATA),
  ];
  expect(changes.map(codeOf)).toEqual(changes.map(() => "denied"));
  expect(reading.stat("file")).toMatchObject(stat);
  reading.close();
});

test("no call leaves a descriptor open [D8]", async () => {
  // Of this folder only: other tests of this process may still be closing theirs.
  const count = () =>
    readdirSync("/proc/self/fd").filter((fd) => pathOf(fd).startsWith(root)).length;
  mkdirSync(join(root, "d"));
  writeFileSync(join(root, "d/file"), "x");
  const use = async () => {
    fs.list("d");
    fs.list("d/file");
    fs.stat("d/none");
    fs.open("d/file")?.close();
    fs.open("d");
    fs.moveNoReplace("d/none", "d/x");
    fs.exchange("d/none", "d/file");
    codeOf(() => fs.stat("d/file/x"));
    codeOf(() => fs.createFile("d/file"));
    fs.setMetadata("d/file", { identity: "", stamp: "" }, METADATA);
    await fs.syncDirectories(["", "d", "none"]);
  };
  await use();
  const before = count();
  expect(before).toBeGreaterThan(0);
  for (let round = 0; round < 20; round += 1) await use();
  expect(count()).toBe(before);
});

function pathOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    // Closed since it was listed.
    return "";
  }
}

function codeOf(call: () => unknown): string {
  try {
    call();
    return "no error";
  } catch (error) {
    if (error instanceof FileSystemError) return error.code;
    throw error;
  }
}
