/** The content that each modify replaced, which decides what it was to a person. Rules: M2, E5. */
import type { ServedEvent } from "../core/event.ts";
import type { FolderName } from "../core/identifier.ts";
import type { Content, Sequence } from "../core/node.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";

/**
 * The event names its predecessor: `baseContent` is the seq of the event that last changed the
 * node's content. Those that are not among the events are read at once.
 *
 * @returns by the modify's seq
 */
export async function previousContents(
  metadata: Pick<MetadataStore, "eventsAt">,
  folder: FolderName,
  events: readonly ServedEvent[],
): Promise<ReadonlyMap<Sequence, Content>> {
  const modifies = events.filter(({ kind }) => kind === "modify");
  const known = new Map(events.map(({ seq, content }) => [seq, content]));
  const missing = modifies.map(({ baseContent }) => baseContent).filter((seq) => !known.has(seq));
  for (const { seq, content } of await metadata.eventsAt(folder, missing)) known.set(seq, content);
  const previous = new Map<Sequence, Content>();
  for (const { seq, baseContent } of modifies) {
    const content = known.get(baseContent);
    if (content !== undefined) previous.set(seq, content);
  }
  return previous;
}
