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
  follow(path: string, tree: TreeView): readonly string[] {
    const paths = [path];
    if (this.#former.size === 0) return paths;
    for (let end = path.indexOf("/"); end > 0; end = path.indexOf("/", end + 1)) {
      const moved = this.#former.get(path.slice(0, end));
      const directory = moved === undefined ? undefined : pathOf(tree, moved.id);
      if (directory !== undefined) paths.push(joinPath(directory, path.slice(end + 1)));
    }
    return paths;
  }
}
