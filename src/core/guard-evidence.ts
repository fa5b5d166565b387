/**
 * Evidence that tells honest work from an accident when many files go at once. Pure. Rules: G6, G8,
 * G10-G12.
 */
import { type NodeId, ROOT_ID } from "./identifier.ts";
import {
  GUARD_BESIDE_AGE_MS,
  GUARD_EMPTIED_FILES_MIN,
  GUARD_ONE_DIRECTORY_SHARE,
  GUARD_OWN_AGE_MS,
} from "./limits.ts";
import type { NodeState } from "./node.ts";
import type { TreeView } from "./tree.ts";

/** A file or symlink that is deleted, as the base has it. */
export interface Loss {
  readonly name: string;
  /** The directories above it, beginning with the root. */
  readonly above: readonly NodeId[];
}

/** Facts about the side that deletes. */
export interface Witness {
  /** The tree of that side, in which the files are gone. */
  readonly tree: TreeView;
  /**
   * True if the user was seen taking the file away. A lost disk or a missed change never looks so.
   */
  wasSeenGoing(id: NodeId): boolean;
  /** True if the device that deletes or overwrites the node also made it. */
  isOfMaker(id: NodeId): boolean;
  /** How long ago a node was made; undefined if that was long ago or is not known. */
  ageMs(id: NodeId): number | undefined;
}

/**
 * @returns a function that describes the loss when a node is deleted. It gives undefined for a
 * directory and for a node that the base does not have.
 */
export function deletionsOf(base: TreeView): (id: NodeId) => Loss | undefined {
  const chains = new Map<NodeId, readonly NodeId[]>([[ROOT_ID, [ROOT_ID]]]);
  const chainOf = (directory: NodeId, depth: number): readonly NodeId[] => {
    const known = chains.get(directory);
    if (known !== undefined) return known;
    const parent = depth > DEPTH_MAX ? undefined : base.get(directory)?.parent;
    const chain = parent === undefined ? [directory] : [...chainOf(parent, depth + 1), directory];
    chains.set(directory, chain);
    return chain;
  };
  return (id) => {
    const node = base.get(id);
    // Only the base counts: an entry on which the two sides never agreed is nobody's loss.
    if (node === undefined || node.content.kind === "directory") return undefined;
    return { name: node.name, above: chainOf(node.parent, 0) };
  };
}

/** No legal tree is so deep. */
const DEPTH_MAX = 512;

export interface Losses {
  readonly base: TreeView;
  readonly deletes: ReadonlyMap<NodeId, Loss>;
  /** Losses that the guard let through within the window. */
  readonly recent: ReadonlyMap<NodeId, Loss>;
  readonly truncations: ReadonlySet<NodeId>;
  readonly seen: Witness;
  /** So many files may go in any case. */
  readonly max: number;
}

/**
 * G6: tells whether many deletions are plainly meant. They are if the device that deletes the files
 * also made them within a day, or if they were seen to go below one directory while the rest of the
 * folder stays.
 */
export function isSpared({ base, deletes, recent, truncations, seen, max }: Losses): boolean {
  const now = new Map([...deletes].filter(([id]) => !isOwnYoung(id, seen)));
  const before = [...recent].filter(([id]) => !isOwnYoung(id, seen)).map(([, loss]) => loss);
  if (now.size + before.length <= max) return true;
  const live = [...now].filter(([id]) => seen.wasSeenGoing(id)).map(([, loss]) => loss);
  const directory = commonDirectory([...live, ...before], now.size + before.length);
  if (directory === undefined) return false;
  const isLost = (id: NodeId): boolean => deletes.has(id) || truncations.has(id);
  if (!livesBeside(base, directory, isLost)) return false;
  const isBelow = ({ above }: Loss): boolean => above.includes(directory);
  const elsewhere = now.size - live.filter(isBelow).length;
  return elsewhere + before.filter((loss) => !isBelow(loss)).length <= max;
}

/** G6: true if the device that deletes or overwrites the node made it within a day. */
export function isOwnYoung(id: NodeId, seen: Witness): boolean {
  return seen.isOfMaker(id) && (seen.ageMs(id) ?? Number.POSITIVE_INFINITY) < GUARD_OWN_AGE_MS;
}

/** The deepest directory that holds nearly all the losses; undefined if that is the root. */
function commonDirectory(losses: readonly Loss[], total: number): NodeId | undefined {
  const counts = new Map<NodeId, number>();
  const depths = new Map<NodeId, number>();
  for (const { above } of losses) {
    for (const [depth, id] of above.entries()) {
      counts.set(id, (counts.get(id) ?? 0) + 1);
      depths.set(id, depth);
    }
  }
  let deepest: NodeId | undefined;
  for (const [id, count] of counts) {
    if (id === ROOT_ID || count < GUARD_ONE_DIRECTORY_SHARE * total) continue;
    const depth = depths.get(id) ?? 0;
    if (deepest === undefined || depth > (depths.get(deepest) ?? 0)) deepest = id;
  }
  return deepest;
}

/** True if enough files outside the directory stay, so that the folder as a whole is not going. */
function livesBeside(base: TreeView, directory: NodeId, isLost: (id: NodeId) => boolean): boolean {
  const pending: NodeId[] = [ROOT_ID];
  let living = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    for (const { id, content } of base.children(next)) {
      if (id === directory || isLost(id)) continue;
      if (content.kind === "directory") pending.push(id);
      else living += 1;
      if (living > GUARD_EMPTIED_FILES_MIN) return true;
    }
  }
  return false;
}

/** The last part of a name, in lower case; undefined if there is none. */
export function extensionOf(name: string): string | undefined {
  const dot = name.lastIndexOf(".");
  return dot <= 0 || dot === name.length - 1 ? undefined : name.slice(dot + 1).toLowerCase();
}

/**
 * G8: finds deleted files beside each of which a younger file appeared, with the same name and
 * another extension.
 *
 * @returns the new extension of each such file, by node.
 */
export function renamedBesides(
  deletes: ReadonlyMap<NodeId, Loss>,
  seen: Witness,
): ReadonlyMap<NodeId, string> {
  const listed = new Map<NodeId, ReadonlyMap<string, NodeState>>();
  const newIn = (directory: NodeId): ReadonlyMap<string, NodeState> => {
    const known = listed.get(directory);
    if (known !== undefined) return known;
    const found = newcomers(directory, seen);
    listed.set(directory, found);
    return found;
  };
  const renamed = new Map<NodeId, string>();
  for (const [id, { name, above }] of deletes) {
    const directory = above.at(-1);
    if (directory === undefined) continue;
    const heirs = newIn(directory);
    const heir = heirs.get(name) ?? heirs.get(stemOf(name));
    const extension = heir === undefined ? undefined : extensionOf(heir.name);
    if (heir === undefined || extension === undefined || extension === extensionOf(name)) continue;
    const age = seen.ageMs(id);
    if (age === undefined || age > (seen.ageMs(heir.id) ?? 0)) renamed.set(id, extension);
  }
  return renamed;
}

/** Files that appeared in a directory a moment ago, by their names without the extension. */
function newcomers(directory: NodeId, seen: Witness): ReadonlyMap<string, NodeState> {
  const found = new Map<string, NodeState>();
  for (const node of seen.tree.children(directory)) {
    if (node.content.kind !== "file") continue;
    const age = seen.ageMs(node.id);
    if (age !== undefined && age < GUARD_BESIDE_AGE_MS) found.set(stemOf(node.name), node);
  }
  return found;
}

function stemOf(name: string): string {
  const extension = extensionOf(name);
  return extension === undefined ? name : name.slice(0, -extension.length - 1);
}
