/**
 * LoopDisk: a small real file system in a file, whose power can be cut: what the kernel has not
 * written to the file by then is lost, and the next mount replays the journal. Needs root and loop
 * devices.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

interface Kind {
  readonly make: readonly string[];
  /** Up to 300 s of what was not synced is lost. */
  readonly options: string;
}

const KINDS = {
  ext4: { make: ["-q", "-F"], options: "noatime,data=ordered,commit=300" },
  xfs: { make: ["-q"], options: "noatime" },
  btrfs: { make: ["-q"], options: "noatime,commit=300" },
} as const satisfies Record<string, Kind>;

/** XFS takes no less. */
const MEBIBYTES_MIN = 320;

export type LoopDiskKind = keyof typeof KINDS;

export function isLoopDiskKind(name: string): name is LoopDiskKind {
  return Object.hasOwn(KINDS, name);
}

/** @returns why there can be none here; undefined where there can. */
export function whyNoLoopDisk(kind: LoopDiskKind, scratch: string): string | undefined {
  const place = { image: join(scratch, "probe"), at: join(scratch, "probed") };
  const disk = new LoopDisk(kind, MEBIBYTES_MIN, place);
  try {
    disk.mount();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    disk.remove();
  }
}

export class LoopDisk {
  readonly #kind: Kind & { readonly name: string };
  readonly #mebibytes: number;
  readonly #image: string;
  readonly #at: string;
  #device: string | undefined;

  /** Makes the file system; it is not mounted yet. @param place of the file, and of the mount */
  constructor(
    kind: LoopDiskKind,
    mebibytes: number,
    place: { readonly image: string; readonly at: string },
  ) {
    this.#kind = { ...KINDS[kind], name: kind };
    this.#mebibytes = Math.max(mebibytes, MEBIBYTES_MIN);
    this.#image = place.image;
    this.#at = place.at;
  }

  /** @throws {Error} what the tool said */
  mount(): void {
    mkdirSync(this.#at, { recursive: true });
    if (this.#device === undefined) {
      const { name, make } = this.#kind;
      run("truncate", "-s", `${this.#mebibytes}M`, this.#image);
      run(`mkfs.${name}`, ...make, this.#image);
      this.#device = run("losetup", "--find", "--show", this.#image);
    }
    run("mount", "-t", this.#kind.name, "-o", this.#kind.options, this.#device, this.#at);
    rmSync(join(this.#at, "lost+found"), { recursive: true, force: true });
  }

  /**
   * What the disk holds at this moment becomes all that it holds. Nobody may be writing: their
   * processes are stopped, and what they wait for in the kernel is waited for.
   *
   * @param end ends those that use it, once there is nothing more that they could save
   */
  async cutPower(end: () => Promise<void>): Promise<void> {
    const kept = `${this.#image}.kept`;
    let before = "";
    do {
      before = await this.#quiet();
      run("cp", "--sparse=always", this.#image, kept);
    } while (before !== (await this.#quiet()));
    await end();
    run("umount", this.#at);
    // The same device as before: another one could be taken for another disk.
    run("cp", "--sparse=always", kept, this.#image);
    this.mount();
  }

  /** An error in the file system's own data: from now on it is read-only. ext4 alone. */
  failReadOnly(): void {
    run("mount", "-o", "remount,errors=remount-ro", this.#at);
    writeFileSync(`/sys/fs/ext4/${basename(this.#device ?? "")}/trigger_fs_error`, "1");
  }

  remove(): void {
    Bun.spawnSync(["umount", "-l", this.#at]);
    if (this.#device !== undefined) Bun.spawnSync(["losetup", "--detach", this.#device]);
    this.#device = undefined;
    for (const path of [this.#image, `${this.#image}.kept`]) rmSync(path, { force: true });
  }

  /** @returns how much was written, once nothing is on its way. */
  async #quiet(): Promise<string> {
    for (;;) {
      const written = this.#written();
      await Bun.sleep(2);
      const inFlight = this.#statistic("inflight").trim().split(/\s+/);
      if (written === this.#written() && inFlight.every((count) => count === "0")) return written;
    }
  }

  /** Sectors written since the device was made. */
  #written(): string {
    return this.#statistic("stat").trim().split(/\s+/)[6] ?? "";
  }

  #statistic(name: string): string {
    return readFileSync(`/sys/block/${basename(this.#device ?? "")}/${name}`, "utf8");
  }
}

function run(...command: string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
  return stdout.toString().trim();
}
