/**
 * Reads and writes whole files by path, for people and curl. A PUT or DELETE becomes an ordinary
 * group of ops in the log.
 * Rules: H7, O8, O9, C1, C2.
 */

import { Chunker } from "../core/chunker.ts";
import { type Digest, Sha256, sha256 } from "../core/digest.ts";
import { assert, SyncedError } from "../core/error.ts";
import { type FolderName, type NodeId, type OpId, ROOT_ID } from "../core/identifier.ts";
import { COMMIT_ATTEMPTS_MAX, UPLOAD_STEP_BYTES } from "../core/limits.ts";
import { ManifestBuilder } from "../core/manifest.ts";
import {
  type Content,
  type FileContent,
  type RemoteNode,
  type Sequence,
  sameBytes,
  sameContent,
} from "../core/node.ts";
import type { Batch, BatchResult, Group, GroupResult, Op } from "../core/op.ts";
import { parsePath } from "../core/path.ts";
import type { FolderHead } from "../ports/metadata-store.ts";
import type { PackObject } from "../protocol/messages.ts";
import type { ObjectSupply } from "./object-supply.ts";
import { nodesAlong, requireFolder } from "./path-reads.ts";
import type { SequencerPorts } from "./ports.ts";
import type { DeleteFileRequest, PutFileRequest, PutFileResult } from "./requests.ts";

/** The digests and size of a body whose bytes are stored. */
type StoredBytes = Pick<FileContent, "manifest" | "depth" | "sha256" | "size">;

/** The present state of a path. */
interface Spot {
  readonly head: FolderHead;
  readonly names: readonly string[];
  /** The live nodes along the path, from the root on, up to the first name that does not exist. */
  readonly nodes: readonly RemoteNode[];
  /** The node at the path itself, if there is one. */
  readonly target: RemoteNode | undefined;
}

export class FileAccess {
  readonly #ports: SequencerPorts;
  readonly #supply: ObjectSupply;
  readonly #commit: (folder: FolderName, batch: Batch) => Promise<BatchResult>;

  constructor(
    ports: SequencerPorts,
    supply: ObjectSupply,
    commit: (folder: FolderName, batch: Batch) => Promise<BatchResult>,
  ) {
    this.#ports = ports;
    this.#supply = supply;
    this.#commit = commit;
  }

  async put(folder: FolderName, request: PutFileRequest): Promise<PutFileResult> {
    // Refuses early, before megabytes are read. The commit checks again later.
    const early = await this.#spot(folder, request.path);
    checkTarget(request, early);
    const bytes = await this.#store(folder, early.head, request.body);
    for (let attempt = 1; attempt <= COMMIT_ATTEMPTS_MAX; attempt += 1) {
      const spot = await this.#spot(folder, request.path);
      const current = checkTarget(request, spot);
      const content = this.#content(request, bytes, current?.content);
      if (current !== undefined && sameContent(current.content, content)) {
        const { content: same, seq } = current;
        return { outcome: "identical", node: current.node.id, content: same, seq };
      }
      const group =
        current === undefined
          ? this.#creation(spot, content)
          : [this.#modification(current.node, content)];
      const seqs = await this.#post(folder, { spot, group, device: request.device });
      const seq = seqs?.at(-1);
      const node = group.at(-1)?.node;
      if (seq === undefined || node === undefined) continue;
      return { outcome: current === undefined ? "created" : "replaced", node, content, seq };
    }
    throw tooManyRaces("put", request.path);
  }

  async delete(
    folder: FolderName,
    request: DeleteFileRequest,
  ): Promise<{ readonly seq: Sequence }> {
    for (let attempt = 1; attempt <= COMMIT_ATTEMPTS_MAX; attempt += 1) {
      const spot = await this.#spot(folder, request.path);
      const { target } = spot;
      if (target === undefined) {
        checkMatch(request.path, request.ifMatch, undefined);
        throw new SyncedError("not_found", `Cannot delete ${shown(request.path)}: it is not there`);
      }
      const { content } = target;
      checkMatch(request.path, request.ifMatch, content.kind === "file" ? content : undefined);
      const { id: node, contentVersion: baseContent, placeVersion: basePlace } = target;
      if (content.kind === "directory") await this.#checkEmpty(folder, node, request.path);
      const opId = this.#ports.random.id<OpId>();
      const group: Group = [{ kind: "delete", opId, node, baseContent, basePlace }];
      const seqs = await this.#post(folder, { spot, group, device: request.device });
      const seq = seqs?.at(-1);
      if (seq !== undefined) return { seq };
    }
    throw tooManyRaces("delete", request.path);
  }

  /** The commit checks this, too, but here the error can name the path. */
  async #checkEmpty(folder: FolderName, parent: NodeId, path: string): Promise<void> {
    const children = await this.#ports.metadata.children(folder, { parent, limit: 1 });
    if (children.length === 0) return;
    throw new SyncedError(
      "directory_not_empty",
      `Cannot delete ${shown(path)}: the directory is not empty; delete its entries first`,
    );
  }

  async #spot(folder: FolderName, path: string): Promise<Spot> {
    const { metadata } = this.#ports;
    const head = await requireFolder(metadata, folder);
    const names = parsePath(path);
    const nodes = await nodesAlong(metadata, folder, { names });
    return { head, names, nodes, target: nodes[names.length - 1] };
  }

  #content(
    request: PutFileRequest,
    bytes: StoredBytes,
    current: FileContent | undefined,
  ): FileContent {
    const executable = request.executable ?? current?.executable ?? false;
    const now = `${Math.floor(this.#ports.clock.now())}000000`;
    const content = { kind: "file", ...bytes, executable, mtimeNs: now } as const;
    // Unchanged bytes keep their time, because otherwise a repeated PUT would be a change (O9).
    const kept = current !== undefined && sameBytes(current, content) ? current.mtimeNs : now;
    return { ...content, mtimeNs: request.mtimeNs ?? kept };
  }

  #modification({ id: node, contentVersion }: RemoteNode, content: FileContent): Op {
    const opId = this.#ports.random.id<OpId>();
    return { kind: "modify", opId, node, content, baseContent: contentVersion };
  }

  /** Creates the file and its missing parents, in one group. */
  #creation({ names, nodes }: Spot, content: FileContent): Group {
    let parent: NodeId = nodes.at(-1)?.id ?? ROOT_ID;
    return names.slice(nodes.length).map((name, index) => {
      const isFile = nodes.length + index === names.length - 1;
      const own: Content = isFile ? content : { kind: "directory" };
      const node = this.#ports.random.id<NodeId>();
      const place = { parent, name };
      parent = node;
      const opId = this.#ports.random.id<OpId>();
      return { kind: "create", opId, node, ...place, content: own, base: 0 } as const;
    });
  }

  /** @returns undefined if another change came first, so that the caller must look again */
  async #post(
    folder: FolderName,
    { spot, group, device }: { spot: Spot; group: Group; device: Batch["device"] },
  ): Promise<readonly Sequence[] | undefined> {
    const batch = { device, batch: this.#ports.random.id<Batch["batch"]>(), groups: [group] };
    const { results } = await this.#commit(folder, { ...batch, cursor: spot.head.head });
    const [result] = results;
    assert(result !== undefined, "a batch of one group has one result");
    if (result.status === "accepted") return result.seqs;
    if (isRace(result)) return undefined;
    throw new SyncedError(result.code, result.detail);
  }

  async #store(
    folder: FolderName,
    { folder: { chunker: profile } }: FolderHead,
    body: AsyncIterable<Uint8Array>,
  ): Promise<StoredBytes> {
    const intake = new Intake(new Chunker(profile));
    const { fileBytesMax = Number.POSITIVE_INFINITY } = this.#ports;
    let sizeBytes = 0;
    for await (const piece of body) {
      sizeBytes += piece.length;
      if (sizeBytes > fileBytesMax) {
        const why = `the server takes files of up to ${fileBytesMax} bytes`;
        throw new SyncedError("file_too_large", `Cannot put the file: ${why}`);
      }
      for (let start = 0; start < piece.length; start += profile.maxBytes) {
        intake.push(piece.subarray(start, start + profile.maxBytes));
        if (intake.readyBytes >= UPLOAD_STEP_BYTES) await this.#flush(folder, intake.take());
      }
    }
    const { objects, bytes } = intake.finish();
    await this.#flush(folder, objects);
    return bytes;
  }

  async #flush(folder: FolderName, objects: readonly PackObject[]): Promise<void> {
    await this.#supply.put(folder, objects);
    await this.#ports.clock.yield();
  }
}

/** Cuts a stream of pieces into chunks. */
class Intake {
  /** Bytes of the chunks and objects that `take` would return. */
  readyBytes = 0;
  readonly #chunker: Chunker;
  readonly #hash = new Sha256();
  readonly #builder = new ManifestBuilder();
  #ready: PackObject[] = [];
  /** Holds twice the largest chunk, so that a chunk's bytes are moved once at most. */
  readonly #buffer: Uint8Array;
  #length = 0;

  constructor(chunker: Chunker) {
    this.#chunker = chunker;
    this.#buffer = new Uint8Array(2 * chunker.profile.maxBytes);
  }

  /** @param piece at most as long as the largest chunk; not kept */
  push(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.#buffer.set(piece, this.#length);
    this.#length += piece.length;
    // With less than a largest chunk at hand, the same bytes would be scanned again and again.
    if (this.#length >= this.#chunker.profile.maxBytes) this.#cut(false);
  }

  take(): readonly PackObject[] {
    const taken = this.#ready;
    this.#ready = [];
    this.readyBytes = 0;
    return taken;
  }

  finish(): { readonly objects: readonly PackObject[]; readonly bytes: StoredBytes } {
    this.#cut(true);
    const { manifest, depth, size, objects } = this.#builder.finish();
    const bytes = { manifest, depth, sha256: this.#hash.digest(), size };
    return { objects: [...this.take(), ...objects], bytes };
  }

  #cut(isLast: boolean): void {
    let start = 0;
    for (;;) {
      const end = this.#chunker.cut(this.#buffer, start, this.#length, isLast);
      if (end === 0) break;
      const bytes = this.#buffer.slice(start, end);
      const digest = sha256(bytes);
      this.#builder.push(digest, bytes.length);
      this.#ready.push({ depth: 0, digest, bytes });
      this.readyBytes += bytes.length;
      start = end;
      if (!isLast && this.#length - start < this.#chunker.profile.maxBytes) break;
    }
    this.#buffer.copyWithin(0, start, this.#length);
    this.#length -= start;
  }
}

/** @returns the node at the path, if a file may be put there. */
function checkTarget(
  request: PutFileRequest,
  { names, nodes, target }: Spot,
):
  | { readonly node: RemoteNode; readonly content: FileContent; readonly seq: Sequence }
  | undefined {
  const { path, ifMatch } = request;
  const blocking = nodes.find(
    ({ content }, index) => index < names.length - 1 && content.kind !== "directory",
  );
  if (blocking !== undefined) {
    const claim = `${shown(blocking.name)} in it is a ${blocking.content.kind}`;
    throw new SyncedError("parent_not_directory", `Cannot put ${shown(path)}: ${claim}`);
  }
  if (target !== undefined && request.ifNoneMatch === true) {
    throw new SyncedError("precondition_failed", `Cannot put ${shown(path)}: it is there already`);
  }
  const content = target?.content.kind === "file" ? target.content : undefined;
  checkMatch(path, ifMatch, content);
  if (target === undefined) return undefined;
  if (content !== undefined) return { node: target, content, seq: target.contentVersion };
  const claim = `a ${target.content.kind} is there`;
  throw new SyncedError("kind_change", `Cannot put ${shown(path)}: ${claim}`);
}

function checkMatch(
  path: string,
  ifMatch: readonly Digest[] | "*" | undefined,
  content: FileContent | undefined,
): void {
  if (ifMatch === undefined) return;
  if (content !== undefined && (ifMatch === "*" || ifMatch.includes(content.sha256))) return;
  const claim = content === undefined ? "no file is there" : `its SHA-256 is ${content.sha256}`;
  throw new SyncedError("precondition_failed", `Cannot change ${shown(path)}: ${claim}`);
}

/** True if the refusal only means that the tree has changed since it was read. */
function isRace(result: Extract<GroupResult, { status: "refused" }>): boolean {
  switch (result.code) {
    case "version_conflict":
    case "node_missing":
    case "name_taken":
    case "parent_missing":
    case "parent_not_directory":
      return true;
    default:
      return false;
  }
}

function tooManyRaces(action: string, path: string): SyncedError {
  const claim = `others changed it ${COMMIT_ATTEMPTS_MAX} times meanwhile`;
  return new SyncedError("temporarily_unavailable", `Cannot ${action} ${shown(path)}: ${claim}`);
}

function shown(path: string): string {
  return JSON.stringify(path);
}
