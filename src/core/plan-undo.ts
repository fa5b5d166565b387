/**
 * Undoing some events of a node while keeping what others did. Rules: E10.
 *
 * Existence, content and place are taken back separately. Of each, only the last changes can be: if
 * somebody else changed it after an event that is to be undone, that is kept and listed.
 */
import { EVENT_KINDS, type Event, type EventKind } from "./event.ts";
import { setsContent, setsPlace } from "./op.ts";
import type { Overlap, Wanted } from "./wanted-tree.ts";

/** An event of the node, as far as it matters here. */
export type Step = Pick<
  Event,
  "seq" | "device" | "batch" | "approval" | "kind" | "node" | "parent" | "name" | "content"
>;

export type IsUndone = (step: Step) => boolean;

export interface Undone {
  /** undefined if the node stays as it is. */
  readonly wanted?: Wanted;
  readonly overlap?: Overlap;
}

const EXISTENCE: readonly EventKind[] = ["create", "delete"];
const CONTENT = EVENT_KINDS.filter((kind) => setsContent({ kind }));
const PLACE = EVENT_KINDS.filter((kind) => setsPlace({ kind }));

/** True if older events cannot change what `undoneState` says. */
export function isEnough(steps: readonly Step[], isUndone: IsUndone): boolean {
  return [EXISTENCE, CONTENT, PLACE].every((kinds) =>
    steps.some((step) => kinds.includes(step.kind) && !isUndone(step)),
  );
}

/** @param steps of one node, newest first; all of them, or as many as are enough */
export function undoneState(steps: readonly Step[], isUndone: IsUndone): Undone {
  const [last] = steps;
  if (last === undefined) return {};
  const { node } = last;
  const undone = new Set(steps.filter(isUndone).map(({ device }) => device));
  const reason = ({ device }: Step, ofOthers: Overlap["why"]) =>
    undone.has(device) ? "changed_later" : ofOthers;
  const existence = before(steps, EXISTENCE, isUndone);
  const content = before(steps, CONTENT, isUndone);
  const place = before(steps, PLACE, isUndone);
  const kept = [content, place].find(({ builtUpon }) => builtUpon !== undefined)?.builtUpon;
  const isLive = last.kind !== "delete";
  if (!isLive && !isUndone(last)) {
    const made = steps.find(({ kind }) => kind === "create");
    // Deleted later, as it is to be if it was not there before.
    if (made !== undefined && isUndone(made)) return {};
    return { overlap: { node, why: reason(last, "deleted_by_others"), seq: last.seq } };
  }
  if (existence.step === undefined || existence.step.kind === "delete") {
    // It was not there before. What others did to it since keeps it.
    const others = [content, place]
      .flatMap(({ first }) => first ?? [])
      .find((step) => !isUndone(step));
    if (!isLive) return {};
    if (others === undefined) return { wanted: { kind: "gone" } };
    return { overlap: { node, why: reason(others, "built_upon"), seq: others.seq } };
  }
  const from = content.step;
  const at = place.step;
  const overlap =
    kept === undefined ? {} : { overlap: { node, why: reason(kept, "built_upon"), seq: kept.seq } };
  if (from === undefined || at === undefined) return overlap;
  const { parent, name } = at;
  const wanted = { kind: "live", place: { parent, name }, content: from.content } as const;
  return { ...overlap, wanted };
}

interface Aspect {
  /** Its last change of all. */
  readonly first: Step | undefined;
  /** The change that made it what it is to be again; undefined if there was none before. */
  readonly step: Step | undefined;
  /** The later change, mostly by others, because of which an undone one stays. */
  readonly builtUpon?: Step;
}

function before(steps: readonly Step[], kinds: readonly EventKind[], isUndone: IsUndone): Aspect {
  const own = steps.filter(({ kind }) => kinds.includes(kind));
  const [first] = own;
  const step = own.find((one) => !isUndone(one));
  const isCovered = step !== undefined && step === first && own.some(isUndone);
  return { first, step, ...(isCovered ? { builtUpon: step } : {}) };
}
