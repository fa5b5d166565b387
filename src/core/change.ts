/** Changes as a chart sums them up: what kind of change an event is, and how many bytes it wrote. */
import type { Event, EventKind } from "./event.ts";

export const CHANGES = ["created", "changed", "moved", "deleted"] as const;

export type Change = (typeof CHANGES)[number];

const CHANGE_OF_KIND: Readonly<Record<EventKind, Change>> = {
  create: "created",
  modify: "changed",
  move: "moved",
  delete: "deleted",
};

/** `bytes` is the size of a file that was created or changed, else 0. */
export function changeOf({ kind, content }: Event): {
  readonly change: Change;
  readonly bytes: number;
} {
  const isWritten = kind === "create" || kind === "modify";
  const bytes = isWritten && content.kind === "file" ? content.size : 0;
  return { change: CHANGE_OF_KIND[kind], bytes };
}
