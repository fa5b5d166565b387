/**
 * The hand of one device's users: each call changes the disk as a program would, and tells the
 * ledger what it replaced and what stands there now. What happens between the look and the act is
 * the length of one system call. Calls that come to nothing, since the client was quicker or the
 * disk is full, return false or undefined.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { digestOf } from "../scenarios/snapshot.ts";
import { renameNoReplace, writeMapped } from "./chaos-calls.ts";
import { type ChaosLedger, EMPTY, type Piece } from "./chaos-ledger.ts";
import { linkContent } from "./chaos-snapshot.ts";

const { O_RDWR, O_RDONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = constants;

/** An open file that is written to. */
export interface Held {
  readonly fd: number;
  readonly path: string;
  readonly inode: string;
  piece: Piece | undefined;
}

/** What stands at a path: a file is kept open, so that what becomes of it can be told. */
interface Sight {
  readonly kind: "file" | "symlink" | "directory";
  readonly fd: number | undefined;
  readonly inode: string;
  readonly content: string | undefined;
}

export class ChaosHand {
  readonly device: string;
  readonly root: string;
  readonly ledger: ChaosLedger;
  /** Files that users took the last name of. */
  readonly #unlinked = new Set<string>();

  constructor(device: string, root: string, ledger: ChaosLedger) {
    this.device = device;
    this.root = root;
    this.ledger = ledger;
  }

  /** All entries, directories before what is in them; `.synced` left out. */
  list(below = ""): { readonly path: string; readonly kind: Sight["kind"] }[] {
    const entries = attempt(() => readdirSync(this.#at(below), { withFileTypes: true })) ?? [];
    return entries.flatMap((entry) => {
      if (entry.name === ".synced") return [];
      const path = below === "" ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) return [{ path, kind: "directory" as const }, ...this.list(path)];
      return [{ path, kind: entry.isSymbolicLink() ? ("symlink" as const) : ("file" as const) }];
    });
  }

  /** A new file, open and empty. */
  create(path: string, as?: Piece): Held | undefined {
    const fd = attempt(() =>
      openSync(this.#at(path), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644),
    );
    if (fd === undefined) return undefined;
    const piece = as ?? this.ledger.newPiece(this.device);
    this.ledger.placeEvent(this.device, path);
    this.ledger.placed(piece, this.device, undefined, path);
    this.ledger.note(this.device, "creates", [path], [piece]);
    return { fd, path, inode: inodeOf(fd), piece };
  }

  open(path: string): Held | undefined {
    const fd = attempt(() => openSync(this.#at(path), O_RDWR | O_NOFOLLOW | O_NONBLOCK));
    if (fd === undefined) return undefined;
    const piece = this.ledger.pieceOf(digestOf(readAll(fd)));
    return { fd, path, inode: inodeOf(fd), piece };
  }

  close(held: Held): void {
    closeSync(held.fd);
  }

  append(held: Held, bytes: Uint8Array): boolean {
    return this.#write(held, `appends ${bytes.length} to`, () => {
      writeSync(held.fd, bytes, 0, bytes.length, fstatSync(held.fd).size);
    });
  }

  /** Over what stands there, in place. */
  overwrite(held: Held, at: number, bytes: Uint8Array): boolean {
    return this.#write(held, `writes ${bytes.length} at ${at} of`, () => {
      writeSync(held.fd, bytes, 0, bytes.length, at);
    });
  }

  overwriteMapped(held: Held, at: number, bytes: Uint8Array): boolean {
    return this.#write(held, `writes ${bytes.length} mapped at ${at} of`, () => {
      writeMapped(held.fd, fstatSync(held.fd).size, at, bytes);
    });
  }

  truncate(held: Held): boolean {
    return this.#write(held, "truncates", () => ftruncateSync(held.fd, 0));
  }

  size(held: Held): number {
    return fstatSync(held.fd).size;
  }

  isExecutable(held: Held): boolean {
    return (fstatSync(held.fd).mode & 0o100) !== 0;
  }

  chmod(path: string, executable: boolean): boolean {
    const seen = this.#look(path);
    if (seen?.fd === undefined) return false;
    try {
      const was = (fstatSync(seen.fd).mode & 0o100) !== 0;
      if (was === executable) return false;
      chmodSync(`/proc/self/fd/${seen.fd}`, executable ? 0o755 : 0o644);
      if (!this.#stands(path, seen)) return false;
      const piece = this.ledger.pieceOf(seen.content);
      piece?.touchedBy.add(this.device);
      piece?.modeBy.set(this.device, executable);
      this.ledger.note(this.device, executable ? "chmod +x" : "chmod -x", [path], [piece]);
      return true;
    } finally {
      closeSync(seen.fd);
    }
  }

  /** @param seconds since 1970 */
  touch(path: string, seconds: number): boolean {
    const seen = this.#look(path);
    if (seen?.fd === undefined) return false;
    const { fd } = seen;
    try {
      futimesSync(fd, seconds, seconds);
      if (!this.#stands(path, seen)) return false;
      const piece = this.ledger.pieceOf(seen.content);
      piece?.touchedBy.add(this.device);
      piece?.timeBy.set(this.device, String(fstatSync(fd, { bigint: true }).mtimeNs));
      this.ledger.note(this.device, "sets the time of", [path], [piece]);
      return true;
    } finally {
      closeSync(fd);
    }
  }

  setMode(held: Held, executable: boolean): void {
    chmodSync(`/proc/self/fd/${held.fd}`, executable ? 0o755 : 0o644);
  }

  setTime(held: Held, seconds: number): void {
    futimesSync(held.fd, seconds, seconds);
  }

  mkdir(path: string): boolean {
    if (attempt(() => mkdirSync(this.#at(path)) ?? true) !== true) return false;
    this.ledger.placeEvent(this.device, path);
    this.ledger.note(this.device, "mkdir", [path]);
    return true;
  }

  rmdir(path: string): boolean {
    if (attempt(() => rmdirSync(this.#at(path)) ?? true) !== true) return false;
    this.ledger.placeEvent(this.device, path);
    this.ledger.note(this.device, "rmdir", [path]);
    return true;
  }

  /** @param replaced whose story it takes up */
  symlink(path: string, target: string, replaced?: Piece): boolean {
    if (attempt(() => symlinkSync(target, this.#at(path)) ?? true) !== true) return false;
    const piece = replaced ?? this.ledger.newPiece(this.device);
    if (replaced !== undefined) replaced.replacedBy.add(this.device);
    this.ledger.holds(piece, linkContent(target));
    this.ledger.require(linkContent(target), this.device, path);
    this.ledger.placeEvent(this.device, path);
    this.ledger.placed(piece, this.device, undefined, path);
    this.ledger.note(this.device, `links to ${target}`, [path], [piece]);
    return true;
  }

  unlink(path: string): boolean {
    const seen = this.#look(path);
    if (seen === undefined || seen.kind === "directory") return false;
    try {
      if (attempt(() => unlinkSync(this.#at(path)) ?? true) !== true) return false;
      this.ledger.placeEvent(this.device, path);
      this.#gone(path, seen, "removedBy");
      this.ledger.note(
        this.device,
        `unlinks ${short(seen.content)} at`,
        [path],
        [this.ledger.pieceOf(seen.content)],
      );
      return true;
    } finally {
      if (seen.fd !== undefined) closeSync(seen.fd);
    }
  }

  /** Moves what stands at `from`, a directory with all that is in it. What stands at `to` is replaced only if that is asked for. */
  rename(from: string, to: string, options: { readonly replace: boolean }): boolean {
    const moving = this.#look(from);
    if (moving === undefined) return false;
    const inside = moving.kind === "directory" ? this.#contentsBelow(from) : [];
    const replaced = options.replace ? this.#look(to) : undefined;
    try {
      const isReplacing = replaced !== undefined && replaced.kind !== "directory";
      const isDone = isReplacing
        ? attempt(() => renameSync(this.#at(from), this.#at(to)) ?? true) === true
        : renameNoReplace(this.#at(from), this.#at(to));
      if (!isDone) return false;
      this.ledger.placeEvent(this.device, from);
      this.ledger.placeEvent(this.device, to);
      if (moving.kind === "directory") this.ledger.renamedDirectory(from, to);
      const over = isReplacing ? ` over ${short(replaced.content)}` : "";
      const what = `${short(moving.content)}${over}`;
      this.ledger.note(
        this.device,
        `renames ${what}`,
        [from, to],
        [moving.content, replaced?.content, ...inside.map(([, content]) => content)].map(
          (content) => this.ledger.pieceOf(content),
        ),
      );
      if (isReplacing) this.#gone(to, replaced, "replacedBy");
      this.#moved(from, to, moving, inside);
      return true;
    } finally {
      close(moving.fd);
      close(replaced?.fd);
    }
  }

  /** A save that puts a file of its own in the place of another takes up that one's story. */
  follow(held: Held, replaced: Piece | undefined): void {
    if (replaced === undefined) return;
    held.piece = replaced;
    replaced.touchedBy.add(this.device);
    replaced.replacedBy.add(this.device);
  }

  /** @returns the piece that stands there. */
  pieceAt(path: string): Piece | undefined {
    const seen = this.#look(path);
    close(seen?.fd);
    return this.ledger.pieceOf(seen?.content);
  }

  #moved(from: string, to: string, moving: Sight, inside: readonly [string, string][]): void {
    if (!this.#stands(to, moving)) this.ledger.lostInRace(from);
    const piece = this.ledger.pieceOf(moving.content);
    this.ledger.named(piece, this.device, from, to);
    if (moving.content !== undefined) this.ledger.placed(piece, this.device, from, to);
    if (moving.content !== undefined) this.#moveRequired(moving.content, to);
    for (const [path, content] of inside) {
      const there = to + path.slice(from.length);
      this.ledger.placed(this.ledger.pieceOf(content), this.device, path, there);
    }
  }

  /** Only where it stands is another one now. */
  #moveRequired(content: string, to: string): void {
    if (this.ledger.requires(content)) this.ledger.require(content, this.device, to);
  }

  /** A user took away what he saw, unless the client was quicker: then nobody knows what went. */
  #gone(path: string, seen: Sight, how: "removedBy" | "replacedBy"): void {
    const isLast = seen.fd === undefined || fstatSync(seen.fd).nlink === 0;
    if (isLast) {
      this.#unlinked.add(seen.inode);
      this.ledger.giveUp(seen.content);
    } else this.ledger.lostInRace(path);
    const piece = this.ledger.pieceOf(seen.content);
    piece?.touchedBy.add(this.device);
    piece?.[how].add(this.device);
  }

  #write(held: Held, what: string, write: () => void): boolean {
    const before = digestOf(readAll(held.fd));
    let isDone = true;
    try {
      write();
    } catch (error) {
      if (!isRefused(error)) throw error;
      isDone = false;
    }
    const after = digestOf(readAll(held.fd));
    if (after === before) return false;
    const { ledger, device } = this;
    held.piece = ledger.pieceOf(before) ?? held.piece;
    if (before === EMPTY) held.piece ??= ledger.filledPiece(device, held.path);
    held.piece?.touchedBy.add(device);
    held.piece?.writtenBy.add(device);
    ledger.holds(held.piece, after);
    ledger.giveUp(before);
    ledger.note(device, `${what} ${short(before)} -> ${short(after)}`, [held.path], [held.piece]);
    if (fstatSync(held.fd).nlink > 0) ledger.require(after, device, held.path);
    else if (!this.#unlinked.has(held.inode)) {
      ledger.suspicions.push(`${device}: ${held.path} was unlinked while a program wrote to it`);
    }
    return isDone;
  }

  /** What stands there. The caller closes a file's descriptor. */
  #look(path: string): Sight | undefined {
    const stat = attempt(() => lstatSync(this.#at(path)));
    if (stat === undefined) return undefined;
    const inode = `${stat.dev}:${stat.ino}`;
    if (stat.isDirectory()) return { kind: "directory", fd: undefined, inode, content: undefined };
    if (stat.isSymbolicLink()) {
      const target = attempt(() => readlinkSync(this.#at(path)));
      const content = target === undefined ? undefined : linkContent(target);
      return { kind: "symlink", fd: undefined, inode, content };
    }
    const fd = attempt(() => openSync(this.#at(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    if (fd === undefined) return undefined;
    return { kind: "file", fd, inode: inodeOf(fd), content: digestOf(readAll(fd)) };
  }

  #stands(path: string, seen: Sight): boolean {
    const stat = attempt(() => lstatSync(this.#at(path)));
    return stat !== undefined && `${stat.dev}:${stat.ino}` === seen.inode;
  }

  #contentsBelow(path: string): [string, string][] {
    return this.list(path).flatMap((entry): [string, string][] => {
      const seen = entry.kind === "directory" ? undefined : this.#look(entry.path);
      close(seen?.fd);
      return seen?.content === undefined ? [] : [[entry.path, seen.content]];
    });
  }

  #at(path: string): string {
    return join(this.root, path);
  }
}

function inodeOf(fd: number): string {
  const { dev, ino } = fstatSync(fd);
  return `${dev}:${ino}`;
}

function readAll(fd: number): Uint8Array {
  return readFileSync(`/proc/self/fd/${fd}`);
}

function close(fd: number | undefined): void {
  if (fd !== undefined) closeSync(fd);
}

function short(content: string | undefined): string {
  if (content === undefined) return "a directory";
  return content === EMPTY ? "nothing" : content.slice(0, 8);
}

/** @returns undefined where the disk, or what the client did meanwhile, is against it. */
function attempt<Result>(call: () => Result): Result | undefined {
  try {
    return call();
  } catch (error) {
    if (isRefused(error)) return undefined;
    throw error;
  }
}

const REFUSALS = new Set([
  ..."ENOENT EEXIST ENOTDIR EISDIR ENOTEMPTY ENOSPC ELOOP ENXIO EINVAL EXDEV".split(" "),
]);

function isRefused(error: unknown): boolean {
  return error instanceof Error && "code" in error && REFUSALS.has(String(error.code));
}
