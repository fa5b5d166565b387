/**
 * MovedDirectories: remembers where directories stood before this device moved them. If a user
 * changed something in one just before, the hint names its former path, which leads nowhere any
 * more. Without this, a file that was moved there would look deleted and stay unseen until the next
 * full scan. Rules: A1, Y14.
 */
import type { NodeId } from "../../core/identifier.ts";
import { joinPath } from "../../core/path.ts";
import { pathOf, type TreeView } from "../../core/tree.ts";

/** Hints come within milliseconds. A busy kernel and a busy client need a little longer. */
const KEPT_MS = 10_000;
/** If more directories move at once, the next full scan finds the changes in the rest. */
const KEPT_MAX = 1_000;

export class MovedDirectories {
  readonly #former = new Map<string, { readonly id: NodeId; readonly untilMs: number }>();

  /**
   * @param path where it stood until now.
   * @param nowMs in milliseconds of Clock.monotonic
   */
  note(path: string, id: NodeId, nowMs: number): void {
    for (const [known, { untilMs }] of this.#former)
      if (untilMs < nowMs || this.#former.size >= KEPT_MAX) this.#former.delete(known);
    this.#former.set(path, { id, untilMs: nowMs + KEPT_MS });
  }

  /** @returns the path, and the paths where the hinted entry may be by now. */
  follow(path: string, tree: TreeView): Iterable<string> {
    const paths = new Set([path]);
    if (this.#former.size === 0) return paths;
    const followed = new Set<NodeId>();
    // It grows meanwhile: a directory may be in another one that was moved before it.
    for (const at of paths) {
      for (let end = at.indexOf("/"); end > 0; end = at.indexOf("/", end + 1)) {
        const moved = this.#former.get(at.slice(0, end));
        if (moved === undefined || followed.has(moved.id)) continue;
        followed.add(moved.id);
        const directory = pathOf(tree, moved.id);
        if (directory !== undefined) paths.add(joinPath(directory, at.slice(end + 1)));
      }
    }
    return paths;
  }
}
