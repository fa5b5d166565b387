/**
 * ChaosDisk: a small file system of its own, mounted for one folder, that can be filled up and made
 * free again. Needs root.
 */
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";

export type ChaosDiskKind = "ext4" | "tmpfs";

const BLOCK = new Uint8Array(65_536).fill(0x2e);

export class ChaosDisk {
  /** What is mounted. */
  readonly at: string;
  readonly #image: string;
  /** Since it was last made free. */
  isFull = false;

  /** @throws {Error} what the tool said, where none can be mounted here */
  constructor(kind: ChaosDiskKind, mebibytes: number, at: string) {
    this.at = at;
    this.#image = `${at}.image`;
    mkdirSync(at, { recursive: true });
    if (kind === "tmpfs") run("mount", "-t", "tmpfs", "-o", `size=${mebibytes}M`, "tmpfs", at);
    else {
      run("truncate", "-s", `${mebibytes}M`, this.#image);
      // None of it is kept for root. In blocks as large disks have them: SQLite's shared memory has
      // holes in smaller ones, and where the disk is full no program lives through that.
      run("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096", this.#image);
      run("mount", "-o", "loop,noatime", this.#image, at);
      rmSync(join(at, "lost+found"), { recursive: true, force: true });
    }
  }

  /** @param leftBytes about what stays free */
  fill(leftBytes: number): void {
    this.isFull = true;
    const fd = openSync(this.#filler, "a");
    try {
      for (;;) {
        const { bavail, bsize } = statfsSync(this.at);
        const count = Math.min(BLOCK.length, bavail * bsize - leftBytes);
        if (count <= 0) return;
        writeSync(fd, BLOCK, 0, count);
      }
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
    } finally {
      closeSync(fd);
    }
  }

  free(): void {
    this.isFull = false;
    const fd = openSync(this.#filler, "a");
    ftruncateSync(fd, 0);
    closeSync(fd);
  }

  remove(): void {
    Bun.spawnSync(["umount", "-l", this.at]);
    rmSync(this.#image, { force: true });
  }

  get #filler(): string {
    return join(this.at, "filler");
  }
}

/** @returns why none can be mounted here; undefined where it can. */
export function whyNoChaosDisk(kind: ChaosDiskKind, scratch: string): string | undefined {
  try {
    new ChaosDisk(kind, 32, join(scratch, `probe-${kind}`)).remove();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function run(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
}
