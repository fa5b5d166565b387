/**
 * The simulated disk keeps the file system's contract, and loses in a power cut only what was not
 * synced.
 */
import { describe, expect, test } from "bun:test";
import { type FileSystemUnderTest, fileSystemContract } from "../contracts/filesystem-contract.ts";
import { Scheduler, SimClock } from "./sim-clock.ts";
import { type DirectoryInode, type Inode, SimDisk } from "./sim-disk.ts";
import { SimFileSystem } from "./sim-filesystem.ts";
import { SimRandom } from "./sim-random.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function makeDisk(seed: number, ordered = false): SimDisk {
  const clock = new SimClock(new Scheduler());
  const random = new SimRandom(seed, "disk");
  return new SimDisk({
    nowMs: () => clock.now(),
    elapsedMs: () => clock.monotonic(),
    fraction: () => random.fraction(),
    granularityNs: 1n,
    ordered,
  });
}

function placeOf(disk: SimDisk, path: string): { directory: DirectoryInode; name: string } {
  const cut = path.lastIndexOf("/");
  const directory = cut < 0 ? disk.root : disk.at(path.slice(0, cut));
  if (directory?.kind !== "directory") throw new Error(`No directory for ${path}`);
  return { directory, name: path.slice(cut + 1) };
}

function put(disk: SimDisk, path: string, after: Inode | undefined): void {
  disk.link([{ ...placeOf(disk, path), after }], "durable", [path]);
}

function makeSubject(exchange: boolean): FileSystemUnderTest {
  const disk = makeDisk(1);
  for (const path of [".synced", ".synced/staging", ".synced/quarantine"]) {
    put(disk, path, disk.newDirectory(undefined));
  }
  const fs = new SimFileSystem({ disk, exchange, beforeCall: () => undefined });
  return {
    fs,
    user: {
      writeFile(path, text) {
        const existing = disk.at(path);
        const inode = existing?.kind === "file" ? existing : disk.newFile("user");
        if (existing === undefined) put(disk, path, inode);
        disk.write(inode, encoder.encode(text), "user", "durable");
      },
      readFile(path) {
        const inode = disk.at(path);
        if (inode?.kind !== "file") throw new Error(`No file ${path}`);
        return decoder.decode(inode.bytes);
      },
      makeDirectory: (path) => put(disk, path, disk.newDirectory(undefined)),
      rename(from, to) {
        const after = disk.at(from);
        disk.link(
          [
            { ...placeOf(disk, from), after: undefined },
            { ...placeOf(disk, to), after },
          ],
          "durable",
          [from, to],
        );
      },
      remove: (path) => put(disk, path, undefined),
      makeSymlink: (path, target) => put(disk, path, disk.newSymlink(target)),
      makeExecutable(path) {
        const inode = disk.at(path);
        if (inode?.kind === "file")
          disk.setMetadata(inode, { executable: true }, "durable", disk.root);
      },
    },
  };
}

fileSystemContract("SimFileSystem", () => makeSubject(true));
fileSystemContract("SimFileSystem without exchange", () => makeSubject(false));

/** What stands at `path` after a power cut, over many seeds. */
async function afterCuts(act: (fs: SimFileSystem, disk: SimDisk) => Promise<void>, path: string) {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 60; seed++) {
    const disk = makeDisk(seed, seed % 2 === 0);
    const fs = new SimFileSystem({ disk, exchange: true, beforeCall: () => undefined });
    await act(fs, disk);
    disk.powerCut();
    const inode = disk.at(path);
    seen.add(
      inode === undefined
        ? "absent"
        : inode.kind === "file"
          ? decoder.decode(inode.bytes)
          : inode.kind,
    );
  }
  return [...seen].sort();
}

describe("a power cut", () => {
  test("keeps what was synced with its directory [I15]", async () => {
    const kept = await afterCuts(async (fs) => {
      const writer = fs.createFile("file");
      writer.write(encoder.encode("bytes"));
      await writer.sync();
      await fs.syncDirectories([""]);
    }, "file");
    expect(kept).toEqual(["bytes"]);
  });

  test("may drop a name whose directory was not synced [I15]", async () => {
    const kept = await afterCuts(async (fs) => {
      const writer = fs.createFile("file");
      writer.write(encoder.encode("bytes"));
      await writer.sync();
    }, "file");
    expect(kept).toEqual(["absent", "bytes"]);
  });

  test("may empty or cut a file that was not synced [I15]", async () => {
    const kept = await afterCuts(async (fs) => {
      fs.createFile("file").write(encoder.encode("bytes"));
      await fs.syncDirectories([""]);
    }, "file");
    expect(kept).toContain("");
    expect(kept).toContain("bytes");
    expect(kept).toContain("\0".repeat(5));
  });

  test("leaves an exchange done or undone, never half [I13]", async () => {
    const write = async (fs: SimFileSystem, path: string, text: string) => {
      const writer = fs.createFile(path);
      writer.write(encoder.encode(text));
      await writer.sync();
    };
    const outcomes = new Set<string>();
    for (let seed = 1; seed <= 60; seed++) {
      const disk = makeDisk(seed);
      const fs = new SimFileSystem({ disk, exchange: true, beforeCall: () => undefined });
      await write(fs, "a", "1");
      await write(fs, "b", "2");
      await fs.syncDirectories([""]);
      fs.exchange("a", "b");
      disk.powerCut();
      const texts = ["a", "b"].map((path) => {
        const inode = disk.at(path);
        return inode?.kind === "file" ? decoder.decode(inode.bytes) : "absent";
      });
      outcomes.add(texts.join());
    }
    expect([...outcomes].sort()).toEqual(["1,2", "2,1"]);
  });

  test("never takes a renamed file from both places [I2]", async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const disk = makeDisk(seed);
      const fs = new SimFileSystem({ disk, exchange: true, beforeCall: () => undefined });
      for (const path of ["d", "e"]) fs.makeDirectory(path);
      const writer = fs.createFile("d/file");
      writer.write(encoder.encode("bytes"));
      await writer.sync();
      await fs.syncDirectories(["", "d", "e"]);
      fs.moveNoReplace("d/file", "e/file");
      fs.removeDirectory("d");
      disk.powerCut();
      expect([...disk.walk()].filter(([, inode]) => inode.kind === "file")).toHaveLength(1);
    }
  });
});

test("a killed process's port does nothing more [I14]", () => {
  const disk = makeDisk(1);
  const fs = new SimFileSystem({ disk, exchange: true, beforeCall: () => undefined });
  fs.kill();
  expect(() => fs.makeDirectory("d")).toThrow("killed");
  expect(disk.at("d")).toBeUndefined();
});
