/**
 * Supply: sends the objects that a batch of ops needs and the server does not have. Rules: Y1, O6,
 * O7, C5, D8, H11, B68.
 *
 * It searches for missing objects top-down, because a folder that has an object has its children
 * too. So a resumed upload or an edit of a large file sends only new objects. If files share an
 * object, one of them sends it. If that file turns out to have changed, another pass begins without
 * it.
 */
import type { Digest } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import type { NodeId } from "../../core/identifier.ts";
import { OBJECTS_PER_REQUEST_MAX } from "../../core/limits.ts";
import { parseManifestObject } from "../../core/manifest.ts";
import type { FileContent } from "../../core/node.ts";
import { type Group, setsContent } from "../../core/op.ts";
import type { ClientPorts } from "../folder/ports.ts";
import { type FileObject, type FilePiece, type PackSize, Upload } from "./upload.ts";

/**
 * Up to this much is sent without asking whether the server has it, because the question costs
 * more.
 */
const UNASKED_BYTES_MAX = 64 * 1024;

export interface Supply {
  readonly node: NodeId;
  readonly content: FileContent;
}

export interface SupplyReport {
  /** Nodes whose bytes the server does not have. Their ops must not be posted now. */
  readonly unavailable: ReadonlySet<NodeId>;
  /**
   * The nodes of `unavailable` that were refused, each with the reason. The rest of `unavailable`
   * changed after the scan.
   */
  readonly refused: ReadonlyMap<NodeId, SyncedError>;
  /** Paths to be scanned again. */
  readonly rescan: ReadonlySet<string>;
}

/** The files that these ops put on the server. */
export function suppliesOf(groups: readonly Group[]): readonly Supply[] {
  const supplies: Supply[] = [];
  for (const op of groups.flat()) {
    if (!setsContent(op)) continue;
    const { content, node } = op;
    if (content.kind === "file" && content.size > 0) supplies.push({ node, content });
  }
  return supplies;
}

/**
 * Resolves when the server durably has all objects of these contents, except those of unavailable
 * nodes.
 *
 * @param packSize how much one request may hold, as far as this run knows.
 * @throws {SyncedError} as `ServerApi` does
 */
export async function supplyContents(
  ports: ClientPorts,
  supplies: readonly Supply[],
  packSize: PackSize,
  signal: AbortSignal,
): Promise<SupplyReport> {
  const upload = new Upload(ports, packSize, signal);
  const { unavailable, refused, rescan } = upload;
  let wanted = supplies;
  let asks = needsAsking(wanted);
  while (wanted.length > 0) {
    const missing = await findMissing(ports, wanted, asks, signal);
    for (const node of missing.forgotten) upload.giveUp(node);
    await upload.sendChunks(missing.chunks);
    // The server refuses a manifest while one of its chunks is missing. That would happen to files
    // that were given up, and to files that share chunks with them.
    if (!wanted.some(({ node }) => unavailable.has(node))) {
      // Children before parents: manifests were found top-down, so they are sent in reverse order.
      await upload.sendManifests(missing.manifests.reverse());
      break;
    }
    wanted = wanted.filter(({ node }) => !unavailable.has(node));
    asks = true;
  }
  return { unavailable, refused, rescan };
}

interface Missing {
  readonly chunks: readonly FilePiece[];
  /** In top-down order. */
  readonly manifests: FileObject[];
  /** Nodes whose manifest is not in the state any more. They are hashed again. */
  readonly forgotten: readonly NodeId[];
}

interface Candidate {
  readonly node: NodeId;
  readonly digest: Digest;
  readonly depth: number;
  readonly offset: number;
  readonly size: number;
}

async function findMissing(
  ports: ClientPorts,
  supplies: readonly Supply[],
  asksFirst: boolean,
  signal: AbortSignal,
): Promise<Missing> {
  const chunks: FilePiece[] = [];
  const manifests: FileObject[] = [];
  const forgotten: NodeId[] = [];
  const seen = new Set<Digest>();
  let level: Candidate[] = supplies.map(({ node, content }) => ({
    node,
    digest: content.manifest,
    depth: content.depth,
    offset: 0,
    size: content.size,
  }));
  let asks = asksFirst;
  while (level.length > 0) {
    const fresh = level.filter(({ digest }) => !seen.has(digest) && seen.add(digest));
    const absent = asks
      ? await askMissing(ports, fresh, signal)
      : new Set(fresh.map((c) => c.digest));
    asks = true;
    level = [];
    for (const candidate of fresh) {
      if (!absent.has(candidate.digest)) continue;
      if (candidate.depth === 0) {
        chunks.push(candidate);
        continue;
      }
      const bytes = ports.store.manifest(candidate.digest);
      if (bytes === undefined) {
        forgotten.push(candidate.node);
        continue;
      }
      const { node, digest, depth } = candidate;
      manifests.push({ node, object: { depth, digest, bytes } });
      let { offset } = candidate;
      for (const child of parseManifestObject(bytes).children) {
        level.push({ node, digest: child.digest, depth: depth - 1, offset, size: child.size });
        offset += child.size;
      }
    }
  }
  return { chunks, manifests, forgotten };
}

function needsAsking(supplies: readonly Supply[]): boolean {
  let sizeBytes = 0;
  for (const { content } of supplies) {
    if (content.depth > 0) return true;
    sizeBytes += content.size;
  }
  return sizeBytes > UNASKED_BYTES_MAX;
}

async function askMissing(
  { api }: ClientPorts,
  candidates: readonly Candidate[],
  signal: AbortSignal,
): Promise<ReadonlySet<Digest>> {
  const absent = new Set<Digest>();
  for (let i = 0; i < candidates.length; i += OBJECTS_PER_REQUEST_MAX) {
    const digests = candidates.slice(i, i + OBJECTS_PER_REQUEST_MAX).map(({ digest }) => digest);
    for (const digest of await ask(api, digests, signal)) absent.add(digest);
  }
  return absent;
}

/** Objects that the server cannot be asked about are sent. */
async function ask(
  api: ClientPorts["api"],
  digests: readonly Digest[],
  signal: AbortSignal,
): Promise<readonly Digest[]> {
  try {
    return await api.missing(digests, signal);
  } catch (cause) {
    if (!(cause instanceof SyncedError) || cause.code !== "body_refused") throw cause;
    if (digests.length === 1) return digests;
    const middle = digests.length >> 1;
    const first = await ask(api, digests.slice(0, middle), signal);
    return [...first, ...(await ask(api, digests.slice(middle), signal))];
  }
}
