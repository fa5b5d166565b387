/**
 * Stage: brings the bytes of files into `.synced/staging`, verified and durable, ready to be put in
 * place. It touches nothing outside staging, and never reports an incomplete file as staged. Rules:
 * D2, C5, D8.
 */

import { type Digest, Sha256, sha256 } from "../../core/digest.ts";
import { type ErrorCode, SyncedError } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import type { ManifestPlace } from "../../core/manifest-walk.ts";
import { joinPath } from "../../core/path.ts";
import { STAGING_DIRECTORY } from "../../core/state-directory.ts";
import {
  type FileReader,
  FileSystemError,
  type FileWriter,
  type Stat,
} from "../../ports/filesystem.ts";
import { codeOfTrouble } from "../folder/disk-trouble.ts";
import { Pace } from "../folder/pace.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { ProgressReport } from "../folder/progress-report.ts";
import { type FetchedObjects, fetchAhead, fetchObjects } from "./fetch-objects.ts";
import {
  type ChunkSource,
  completeManifests,
  formerPartialPath,
  partialPath,
  planLoads,
  type ReuseSource,
  type StageFailure,
  type StageStep,
  type StageWant,
  unfinishedPath,
} from "./plan.ts";

export type { ReuseSource, StageFailure, StageWant } from "./plan.ts";

/**
 * A complete file below staging: content verified, metadata set, bytes durable (but not its name
 * yet).
 */
export interface StagedFile {
  /**
   * The journal entry and the quarantined file that may follow get the same id. It is also the name
   * of a file that replaces another one, since that one gets its place in staging.
   */
  readonly id: string;
  readonly path: string;
  readonly stat: Stat;
}

export interface StageReport {
  readonly staged: ReadonlyMap<NodeId, StagedFile>;
  /** Files that cannot be had now. The others were staged all the same. */
  readonly failed: readonly StageFailure[];
  /**
   * The error that ended the work early (the server, the signal); undefined if every file was
   * tried.
   */
  readonly stop: unknown;
}

export interface StageOptions {
  readonly signal: AbortSignal;
  /** Contents that came beside their events, by whole-file SHA-256. They are verified here. */
  readonly known?: ReadonlyMap<Digest, Uint8Array>;
}

type StagePorts = Pick<ClientPorts, "fs" | "store" | "api" | "observer" | "clock" | "random">;

/**
 * Stages these files. It never throws because of the network or one file's trouble; the report
 * tells of those. A large file that was not finished is kept as a partial download, and a later
 * call continues it.
 */
export async function stageContents(
  ports: StagePorts,
  wants: readonly StageWant[],
  options: StageOptions,
): Promise<StageReport> {
  const stage = new Stage(ports, options);
  // Of large files with equal content one is downloaded. The others are then copied from it, one
  // after the other.
  const copies = new Map<Digest, ReuseSource>();
  let rest = wants;
  while (rest.length > 0 && stage.stop === undefined) {
    const now = new Map<string, StageWant>();
    const later: StageWant[] = [];
    for (const want of rest) {
      const { depth, sha256: digest } = want.content;
      const key = depth === 0 ? want.id : digest;
      const copy = copies.get(digest);
      if (now.has(key)) later.push(want);
      else if (copy === undefined) now.set(key, want);
      else now.set(key, { ...want, reuse: [copy] });
    }
    await stage.run([...now.values()]);
    for (const { id, content } of now.values()) {
      const path = stage.staged.get(id)?.path;
      if (path !== undefined && content.depth > 0) copies.set(content.sha256, { path, content });
    }
    rest = later;
  }
  return { staged: stage.staged, failed: stage.failed, stop: stage.stop };
}

/** The file that is being written. */
interface OpenFile {
  readonly want: StageWant;
  readonly id: string;
  readonly path: string;
  readonly writer: FileWriter;
  readonly hash: Sha256;
}

/** A whole file, verified, with its metadata, whose bytes may still be in memory only. */
interface WrittenFile {
  readonly want: StageWant;
  readonly id: string;
  readonly path: string;
  readonly stat: Stat;
}

/**
 * Files become durable in groups, because a disk makes many durable at the price of a few. The next
 * group is written meanwhile.
 */
const GROUP_FILES_MAX = 1_024;
const GROUP_BYTES_MAX = 64 * 1024 * 1024;

class Stage {
  readonly staged = new Map<NodeId, StagedFile>();
  readonly failed: StageFailure[] = [];
  stop: unknown;
  readonly #ports: StagePorts;
  readonly #options: StageOptions;
  readonly #known: ReadonlyMap<Digest, Uint8Array>;
  /** Whole files that are not durable yet. */
  #written: WrittenFile[] = [];
  #writtenBytes = 0;
  /** The group before, on its way to the disk. Never rejects. */
  #syncing: Promise<void> = Promise.resolve();
  readonly #readers = new Map<string, FileReader>();
  readonly #pace: Pace;
  readonly #progress: ProgressReport;
  #open: OpenFile | undefined;
  /** Files that have failed. The rest of their steps is skipped. */
  readonly #given = new Set<NodeId>();
  #isFull = false;
  /** The chunk that was written last, so that a run of equal chunks is fetched once. */
  #last: { readonly digest: Digest; readonly bytes: Uint8Array } | undefined;

  constructor(ports: StagePorts, options: StageOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#known = options.known ?? new Map();
    this.#pace = new Pace(ports.clock);
    this.#progress = new ProgressReport(ports, "download");
  }

  async run(wants: readonly StageWant[]): Promise<void> {
    const { signal } = this.#options;
    for (const { content } of wants) this.#progress.expect(content.size);
    try {
      const fitting = this.#thatFit(wants);
      const { ready, failed } = await completeManifests(this.#ports, fitting, signal);
      for (const failure of failed) {
        this.#given.add(failure.id);
        this.failed.push(failure);
      }
      const loads = planLoads(this.#ports, ready, this.#known);
      for await (const { steps, objects } of fetchAhead(this.#ports.api, loads, signal)) {
        for (const step of steps) {
          signal.throwIfAborted();
          if (this.stop !== undefined) throw this.stop;
          await this.#take(step, objects);
        }
        // The fetched bytes hold until the next load only.
        this.#last = undefined;
      }
    } catch (error) {
      this.stop ??= error;
    }
    this.#closeReaders();
    this.#abandon(true);
    await this.#syncGroup();
    await this.#syncing;
    this.#progress.end();
    if (this.stop instanceof FileSystemError) this.#failRest(wants, this.stop);
  }

  /**
   * A size is only a claim until the bytes are here, and a file of holes claims more than anybody
   * ever sends. So a file that would not leave this disk its reserve is not begun (D21).
   */
  #thatFit(wants: readonly StageWant[]): readonly StageWant[] {
    let roomBytes = this.#ports.fs.roomBytes() ?? Number.POSITIVE_INFINITY;
    return wants.filter((want) => {
      const { size } = want.content;
      if (size <= roomBytes) {
        roomBytes -= size;
        return true;
      }
      this.#given.add(want.id);
      this.failed.push({ id: want.id, code: "storage_full", message: lacksRoom(size, roomBytes) });
      return false;
    });
  }

  async #take(step: StageStep, objects: FetchedObjects): Promise<void> {
    const { want } = step;
    if (this.#given.has(want.id)) return;
    try {
      if (this.#isFull) throw noSpace();
      this.#open ??= this.#begin(want);
      if (step.place === undefined) await this.#end(this.#open);
      else await this.#append(this.#open, step, step.place, objects);
    } catch (error) {
      this.#abandon(false);
      this.#fail(want, error);
    }
  }

  #begin(want: StageWant): OpenFile {
    const { fs, random } = this.#ports;
    const { content } = want;
    const id = random.id<string>();
    const path = content.depth > 0 ? partialPath(content) : unfinishedPath(id);
    return { want, id, path, writer: fs.createFile(path), hash: new Sha256() };
  }

  async #append(
    file: OpenFile,
    step: StageStep,
    place: ManifestPlace,
    objects: FetchedObjects,
  ): Promise<void> {
    const bytes = await this.#bytesOf(step, place, objects);
    if (bytes.length !== place.size) {
      throw new SyncedError("hash_mismatch", `Chunk ${place.digest} has another size`);
    }
    file.writer.write(bytes);
    file.hash.update(bytes);
    this.#last = { digest: place.digest, bytes };
    this.#progress.add(bytes.length);
    if (this.#pace.block(bytes.length)) await this.#pace.rest();
  }

  async #bytesOf(
    { source }: StageStep,
    { digest, size }: ManifestPlace,
    objects: FetchedObjects,
  ): Promise<Uint8Array> {
    if (source !== undefined) {
      const bytes = this.#read(source, size);
      if (bytes !== undefined && sha256(bytes) === digest) return bytes;
    }
    const known = this.#known.get(digest);
    if (known !== undefined && sha256(known) === digest) return known;
    if (this.#last?.digest === digest) return this.#last.bytes;
    const fetched = objects.get(digest);
    if (fetched !== undefined) return fetched;
    // The source has changed meanwhile, or an inlined content was another one than it claimed. That
    // is rare.
    const again = await fetchObjects(this.#ports.api, [digest], this.#options.signal);
    const bytes = again.objects.get(digest);
    if (bytes !== undefined) return bytes;
    const refusal = again.refused.get(digest);
    if (refusal !== undefined) throw refusal;
    const trouble = `the server lost or damaged a piece of it (${digest.slice(0, 12)})`;
    const message = `Cannot receive it: ${trouble}; run synced verify there`;
    throw new SyncedError("chunk_missing", message);
  }

  /** A source only saves work. If it cannot be read, the chunk is fetched. */
  #read({ path, offset }: ChunkSource, size: number): Uint8Array | undefined {
    try {
      let reader = this.#readers.get(path);
      if (reader === undefined) {
        reader = this.#ports.fs.open(path);
        if (reader === undefined) return undefined;
        this.#readers.set(path, reader);
      }
      const bytes = new Uint8Array(size);
      let done = 0;
      while (done < size) {
        const count = reader.read(bytes.subarray(done), offset + done);
        if (count === 0) return undefined;
        done += count;
      }
      return bytes;
    } catch (error) {
      if (error instanceof FileSystemError) return undefined;
      throw error;
    }
  }

  async #end(file: OpenFile): Promise<void> {
    const { want, hash, writer } = file;
    if (hash.digest() !== want.content.sha256) {
      throw new SyncedError("hash_mismatch", `Assembled bytes are not ${want.content.sha256}`);
    }
    const { executable, mtimeNs } = want.content;
    writer.setMetadata({ executable, mtimeNs });
    const { id, path } = file;
    const stat = writer.stat();
    writer.close();
    this.#open = undefined;
    this.#closeReaders();
    this.#written.push({ want, id, path, stat });
    this.#writtenBytes += stat.size;
    const isGroup =
      this.#written.length >= GROUP_FILES_MAX || this.#writtenBytes >= GROUP_BYTES_MAX;
    if (isGroup) await this.#syncGroup();
  }

  /** Sends what was written to the disk, once the group before is there. */
  async #syncGroup(): Promise<void> {
    const group = this.#written;
    this.#written = [];
    this.#writtenBytes = 0;
    await this.#syncing;
    if (group.length === 0) return;
    // Nobody may be waiting when it fails, as when the work was ended.
    this.#syncing = this.#makeDurable(group).catch((error: unknown) => {
      this.stop ??= error;
    });
  }

  /** An error that is not about one file ends the work. */
  async #makeDurable(group: readonly WrittenFile[]): Promise<void> {
    const { fs } = this.#ports;
    let failures: ReadonlyMap<string, FileSystemError>;
    try {
      const errors = await fs.sync(group.map(({ path }) => path));
      failures = new Map(errors.map((error) => [error.path, error]));
    } catch (error) {
      this.stop ??= error;
      for (const { path } of group) this.#remove(path);
      return;
    }
    for (const file of group) {
      try {
        const failure = failures.get(file.path);
        if (failure !== undefined) throw failure;
        this.#finish(file);
      } catch (error) {
        this.#remove(file.path);
        if (troubleOf(error) === undefined) this.stop ??= error;
        else this.#fail(file.want, error);
      }
    }
  }

  #finish({ want, id, path, stat }: WrittenFile): void {
    const { fs } = this.#ports;
    const isNamed = want.content.depth > 0 || want.replaces;
    this.staged.set(want.id, { id, path: isNamed ? this.#named(path, id) : path, stat });
    if (want.content.depth > 0) fs.removeFile(formerPartialPath(want.content));
    this.#progress.done();
  }

  /**
   * Only a whole and durable file gets an id as its name, as displaced files have (D14). Most new
   * files do without, because each rename costs a twentieth of receiving a small file.
   */
  #named(path: string, id: string): string {
    const target = joinPath(STAGING_DIRECTORY, id);
    const moved = this.#ports.fs.moveNoReplace(path, target);
    if (moved === "moved") return target;
    throw new FileSystemError("io", path, `Cannot name the staged file "${path}": ${moved}`);
  }

  /** Closes the open file. A large one may stay as a partial download. */
  #abandon(keepPartial: boolean): void {
    const file = this.#open;
    if (file === undefined) return;
    this.#open = undefined;
    file.writer.close();
    if (!keepPartial || file.want.content.depth === 0) this.#remove(file.path);
  }

  #remove(path: string): void {
    try {
      this.#ports.fs.removeFile(path);
    } catch (error) {
      // Recovery removes it at the next start.
      if (!(error instanceof FileSystemError)) throw error;
    }
  }

  #fail(want: StageWant, error: unknown): void {
    const code = troubleOf(error);
    if (code === undefined) throw error;
    if (code === "storage_full") this.#isFull = true;
    this.#given.add(want.id);
    this.failed.push({ id: want.id, code, message: receiptTrouble(error) });
  }

  /** Staging itself is in trouble, so every file that was not staged has failed. */
  #failRest(wants: readonly StageWant[], error: FileSystemError): void {
    this.stop = undefined;
    for (const want of wants) {
      if (!this.staged.has(want.id) && !this.#given.has(want.id)) this.#fail(want, error);
    }
  }

  #closeReaders(): void {
    for (const reader of this.#readers.values()) reader.close();
    this.#readers.clear();
  }
}

function lacksRoom(size: number, roomBytes: number): string {
  const has = `it has ${size} bytes, and this device's disk has room for ${roomBytes}`;
  return `Cannot receive it: ${has}; free some space, then it goes on by itself`;
}

function noSpace(): FileSystemError {
  return new FileSystemError("full", STAGING_DIRECTORY, "Cannot stage: the disk is full");
}

/** The staged file's own name means nothing to a person, who sees the path beside this message. */
function receiptTrouble(error: unknown): string {
  if (error instanceof FileSystemError) {
    if (error.code === "full") {
      return "Cannot receive it: this device's disk is full; free some space, then it goes on by itself";
    }
    return `Cannot receive it: this device's disk refuses it (${error.code}); synced tries again`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** Troubles of one file. The others go on (D8). */
const FILE_TROUBLES: ReadonlySet<ErrorCode> = new Set([
  "hash_mismatch",
  "chunk_missing",
  "body_refused",
]);

/** @returns undefined if the trouble is not only about this file. */
function troubleOf(error: unknown): ErrorCode | undefined {
  if (error instanceof FileSystemError) return codeOfTrouble(error);
  if (error instanceof SyncedError && FILE_TROUBLES.has(error.code)) return error.code;
  return undefined;
}
