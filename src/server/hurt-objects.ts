/**
 * HurtObjects: which objects of a folder are damaged or lost, and which manifests hold such.
 * Rules: U11, I37. Whoever has their bytes may send them again: to devices they are missing.
 */
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { COLLECT_BATCH_MAX, MANIFEST_DEPTH_MAX } from "../core/limits.ts";
import { parseManifestObject } from "../core/manifest.ts";
import type { RecordedManifest } from "../ports/object-records.ts";
import type { SequencerPorts } from "./ports.ts";

type Ports = Pick<SequencerPorts, "metadata" | "objects">;

export class HurtObjects {
  readonly #ports: Ports;
  /**
   * The hurt objects of each folder, cached, because looking at all manifests takes a while; `key`
   * is the list of damaged digests that they were computed from.
   */
  readonly #known = new Map<FolderName, { readonly key: string; hurt: Promise<Set<Digest>> }>();

  constructor(ports: Ports) {
    this.#ports = ports;
  }

  /** Costs next to nothing while nothing is damaged. */
  async of(folder: FolderName): Promise<ReadonlySet<Digest>> {
    const damaged = await this.#ports.objects.damaged();
    if (damaged.length === 0) return NONE;
    const key = damaged.join();
    const known = this.#known.get(folder);
    if (known?.key === key) return await known.hurt;
    const hurt = hurtIn(this.#ports, folder, damaged);
    this.#known.set(folder, { key, hurt });
    hurt.catch(() => this.#known.delete(folder));
    return await hurt;
  }
}

const NONE: ReadonlySet<Digest> = new Set();

/** @returns those of the damaged objects that the folder knows, and manifests above them */
export async function hurtIn(
  ports: Ports,
  folder: FolderName,
  damaged: readonly Digest[],
): Promise<Set<Digest>> {
  const known = await ports.metadata.knownObjects(folder, damaged);
  const hurt = new Set(known.map(({ digest }) => digest));
  if (hurt.size === 0) return hurt;
  for (let depth = 1; depth <= MANIFEST_DEPTH_MAX; depth += 1) {
    let after: RecordedManifest | undefined;
    for (;;) {
      const page = { depth, limit: COLLECT_BATCH_MAX, ...(after === undefined ? {} : { after }) };
      const manifests = await ports.metadata.objectRecords.manifests(folder, page);
      for (const { digest } of manifests) {
        if (!hurt.has(digest) && (await holdsAny(ports, digest, hurt))) hurt.add(digest);
      }
      after = manifests.at(-1);
      if (after === undefined) break;
    }
  }
  return hurt;
}

/** True also if the manifest itself cannot be read. */
async function holdsAny(
  { objects }: Ports,
  digest: Digest,
  hurt: ReadonlySet<Digest>,
): Promise<boolean> {
  try {
    const bytes = await objects.get(digest);
    if (bytes === undefined) return true;
    return parseManifestObject(bytes).children.some((child) => hurt.has(child.digest));
  } catch (error) {
    if (error instanceof SyncedError && error.code === "chunk_corrupt") return true;
    throw error;
  }
}
