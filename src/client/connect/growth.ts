/**
 * Growth: which contents of others begin with all bytes of the version before them. That is proven
 * when they arrive, while the new bytes are at hand. Such a version overwrites nothing. Rules: G2.
 */
import { type Digest, sha256 } from "../../core/digest.ts";
import type { ServedEvent } from "../../core/event.ts";
import type { Content } from "../../core/node.ts";

/** Some 10 MB. What is beyond it counts as overwritten. */
const PROVEN_MAX = 50_000;

export class Growth {
  /** The content before, by the one after: always a smaller one, so no walk goes in circles. */
  readonly #before = new Map<Digest, Digest>();

  /** @param before the node's content in the log before the event */
  note(
    before: Content | undefined,
    { content, inline }: Pick<ServedEvent, "content" | "inline">,
  ): void {
    if (before?.kind !== "file" || content.kind !== "file" || inline === undefined) return;
    if (before.size >= content.size || this.#before.size >= PROVEN_MAX) return;
    const bytes = Uint8Array.fromBase64(inline);
    // Nobody has looked yet whether these are the bytes that the event names.
    if (sha256(bytes) !== content.sha256) return;
    if (sha256(bytes.subarray(0, before.size)) !== before.sha256) return;
    this.#before.set(content.sha256, before.sha256);
  }

  /** True if `after` is known to begin with all bytes of `before`, over any number of versions. */
  isKnown(before: Content, after: Content): boolean {
    if (before.kind !== "file" || after.kind !== "file") return false;
    let digest: Digest | undefined = after.sha256;
    while (digest !== undefined && digest !== before.sha256) digest = this.#before.get(digest);
    return digest !== undefined;
  }

  /** Call it when nothing is dirty any more, because no version then waits to be judged. */
  clear(): void {
    this.#before.clear();
  }
}
