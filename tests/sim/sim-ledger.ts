/**
 * The ledger: what simulated users did, and what of it nobody may undo. Contents are asked for
 * here, all other aspects in SimEntries, whose header has the law. A content must be visible, in
 * place or in a conflict copy, until a user's own hand destroyed a file that held it; what was
 * destroyed once and is brought back from a backup is not asked for again. Rules: I2, I5, I6, R5,
 * R6, R7.
 */
import { type Digest, sha256 } from "../../src/core/digest.ts";
import type { FileInode, Inode, SimDisk } from "./sim-disk.ts";
import { SimEntries } from "./sim-entries.ts";

interface Entry {
  readonly device: string;
  readonly path: string;
  readonly atMs: number;
  required: boolean;
}

export class SimLedger {
  readonly entries = new SimEntries();
  readonly #entries = new Map<Digest, Entry>();
  readonly #late = new Set<Digest>();
  /** Written more than once. */
  readonly #repeated = new Set<Digest>();
  readonly #digests = new WeakMap<Uint8Array, Digest>();

  /** Contents are immutable arrays here, so each is hashed once. */
  digest(bytes: Uint8Array): Digest {
    const known = this.#digests.get(bytes);
    if (known !== undefined) return known;
    const digest = sha256(bytes);
    this.#digests.set(bytes, digest);
    return digest;
  }

  wrote(device: string, path: string, bytes: Uint8Array, atMs: number): void {
    if (bytes.length === 0) return;
    const digest = this.digest(bytes);
    if (this.#entries.has(digest)) {
      this.entries.forgetTimes(digest);
      this.#repeated.add(digest);
    } else this.#entries.set(digest, { device, path, atMs, required: true });
  }

  /** A file that was displaced from that path was written to: it comes back as something else. */
  wroteLate(path: string, digest: Digest): void {
    this.#late.add(digest);
    this.entries.mayHold(path, digest);
  }

  isLate(digest: Digest): boolean {
    return this.#late.has(digest);
  }

  /**
   * A user overwrote, truncated or deleted a file with these bytes, or no program could have kept
   * them.
   */
  destroyed(bytes: Uint8Array): void {
    const digest = this.digest(bytes);
    const entry = this.#entries.get(digest);
    if (entry !== undefined) entry.required = false;
    this.entries.loosenTime(digest);
  }

  /** The device whose user wrote this, once. */
  writerOf(digest: Digest): string | undefined {
    if (this.#late.has(digest) || this.#repeated.has(digest)) return undefined;
    return this.#entries.get(digest)?.device;
  }

  /** Whether a user ever wrote this. */
  knows(digest: Digest): boolean {
    return this.#entries.has(digest);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** After a disaster, only what is still somewhere can be asked for. */
  requireOnly(present: ReadonlySet<Digest>): void {
    for (const [digest, entry] of this.#entries) if (!present.has(digest)) entry.required = false;
  }

  /** @returns what is required and in none of these places. */
  lost(present: ReadonlySet<Digest>): readonly string[] {
    const lost: string[] = [];
    for (const [digest, { device, path, atMs, required }] of this.#entries) {
      if (required && !present.has(digest))
        lost.push(`${digest.slice(0, 8)} written by ${device} to ${path} at ${atMs}`);
    }
    return lost;
  }

  /**
   * Everything that a disk holds: visible, staged, quarantined or parked.
   *
   * @param counts whether a path does. @default every path
   */
  onDisk(
    disk: SimDisk,
    into: Set<Digest>,
    counts?: (path: string, inode: FileInode) => boolean,
  ): void {
    for (const [path, inode] of disk.walk())
      if (inode.kind === "file" && counts?.(path, inode) !== false)
        into.add(this.digest(inode.bytes));
  }
}

export function isFile(inode: Inode | undefined): inode is FileInode {
  return inode?.kind === "file";
}
