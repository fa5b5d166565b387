/** A server's database on a disk that is full when the server starts. Rules: O7. */
import { afterAll, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SqliteDatabase } from "../../src/adapters/sqlite/database.ts";

const SCHEMA = ["CREATE TABLE things (x)"];
const PAGE_BYTES = 4096;
/** With more room it opens, and sometimes with less. */
const LEFT_BYTES_MAX = 40 * 1024;
const scratch = mkdtempSync(join(tmpdir(), "synced-test-full-"));
const disk = join(scratch, "disk");
const filler = join(disk, "filler");
const path = join(disk, "a.db");

function mount(): boolean {
  mkdirSync(disk);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const isMounted = mount();
afterAll(() => {
  if (isMounted) execFileSync("umount", ["--lazy", disk]);
  rmSync(scratch, { recursive: true });
});

test.skipIf(!isMounted)("says that the disk is full, however little room is left [O7]", () => {
  const codes = new Set<string>();
  for (let leftBytes = 0; leftBytes < LEFT_BYTES_MAX; leftBytes += PAGE_BYTES) {
    new SqliteDatabase(path, SCHEMA).close();
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(filler, new Uint8Array(bavail * bsize - leftBytes));
    codes.add(codeOf(() => new SqliteDatabase(path, SCHEMA).close()));
    rmSync(filler);
    for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
  }
  codes.delete("none");
  expect([...codes]).toEqual(["storage_full"]);
});

function codeOf(work: () => void): string {
  try {
    work();
    return "none";
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  }
}
