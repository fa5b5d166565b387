/** Who did what: puts device and action to events, for people. Rules: E5, M2. */
import type { ServedEvent } from "../core/event.ts";
import type { FolderName } from "../core/identifier.ts";
import type { Content, Sequence } from "../core/node.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { Touch } from "../protocol/time-answers.ts";
import { type DeviceNames, readDeviceNames } from "./device-names.ts";
import { fileAction } from "./files-log.ts";
import { previousContents } from "./previous-contents.ts";

/** An event and what it was to a person. */
export interface Touched {
  readonly event: ServedEvent;
  readonly touch: Touch;
}

/** Reads events by seq, each with its touch. Those that are not there are left out. */
export async function readTouches(
  metadata: MetadataStore,
  folder: FolderName,
  seqs: Iterable<Sequence>,
): Promise<ReadonlyMap<Sequence, Touched>> {
  const events = await metadata.eventsAt(folder, [...new Set(seqs)]);
  const names = await readDeviceNames(metadata, folder);
  const touched = await touchesOf(metadata, folder, { events, names });
  return new Map(touched.map((found) => [found.event.seq, found]));
}

/** In the order of the events. */
export async function touchesOf(
  metadata: MetadataStore,
  folder: FolderName,
  { events, names }: { readonly events: readonly ServedEvent[]; readonly names: DeviceNames },
): Promise<readonly Touched[]> {
  const previous = await previousContents(metadata, folder, events);
  return events.map((event) => {
    const { seq, time, device } = event;
    const action = fileAction(event, previous.get(seq));
    return { event, touch: { seq, time, device, deviceName: names(device), action } };
  });
}

/** The fields of a content that people ask for. */
export function shownContent(content: Content) {
  switch (content.kind) {
    case "file": {
      const { size, sha256, mtimeNs, executable } = content;
      return { size, sha256, mtimeNs, executable };
    }
    case "symlink":
      return { target: content.target };
    case "directory":
      return {};
  }
}
