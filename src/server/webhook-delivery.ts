/**
 * One webhook message: which events it is about, its body, and one attempt to deliver it. Rules:
 * W1-W3.
 */
import { SyncedError } from "../core/error.ts";
import type { ServedEvent } from "../core/event.ts";
import type { Epoch, FolderName } from "../core/identifier.ts";
import {
  WEBHOOK_ANSWER_MS_MAX,
  WEBHOOK_EVENTS_MAX,
  WEBHOOK_EVENTS_PER_READ,
} from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { type WebhookFilter, webhookHeaders, webhookMessageId } from "../core/webhook.ts";
import type { Clock } from "../ports/clock.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { Transport } from "../ports/transport.ts";
import type { WebhookCursor } from "../ports/webhook-store.ts";
import { type DeviceNames, readDeviceNames } from "./device-names.ts";
import { type Touched, touchesOf } from "./touches.ts";

export interface FollowedLog {
  readonly folder: FolderName;
  readonly epoch: Epoch;
  readonly head: Sequence;
}

export interface WebhookMessage {
  readonly id: string;
  readonly body: string;
}

/** A look at some events after a cursor. */
export interface Looked {
  /** The last event that was looked at; all up to it is done once the message is delivered. */
  readonly last: Sequence;
  /** Absent if no event matches. */
  readonly message?: WebhookMessage;
}

/**
 * Whole groups, until there are 100 events that match, or 1,000 were looked at. A delivery that was
 * begun before ends where it ended then.
 *
 * @returns undefined if there is nothing after the cursor
 */
export async function lookForMessage(
  metadata: MetadataStore,
  { folder, epoch }: FollowedLog,
  asked: { readonly cursor: WebhookCursor; readonly filter: WebhookFilter },
): Promise<Looked | undefined> {
  const { cursor, filter } = asked;
  const names = await readDeviceNames(metadata, folder);
  const matching: Touched[] = [];
  let last: ServedEvent | undefined;
  for await (const group of groupsAfter(metadata, folder, cursor)) {
    const found = await matchesIn(metadata, folder, { group, filter, names });
    for (const one of found) matching.push(one);
    last = group.at(-1);
    if (last === undefined || last.seq === cursor.sendingTo) break;
    if (cursor.sendingTo !== undefined) continue;
    const isLooked = last.seq - cursor.seq >= WEBHOOK_EVENTS_PER_READ;
    if (isLooked || matching.length >= WEBHOOK_EVENTS_MAX) break;
  }
  const [first] = matching;
  if (last === undefined) return undefined;
  if (first === undefined) return { last: last.seq };
  const id = webhookMessageId(epoch, first.event.seq, last);
  const data = {
    folder,
    epoch,
    first: first.event.seq,
    last: last.seq,
    events: matching.map(rowOf),
  };
  const { time: timestamp } = last;
  const body = JSON.stringify({ type: "folder.changed", timestamp, data });
  return { last: last.seq, message: { id, body } };
}

/** Pages of events never split a group. */
async function* groupsAfter(
  metadata: MetadataStore,
  folder: FolderName,
  { seq }: WebhookCursor,
): AsyncGenerator<readonly ServedEvent[], void> {
  for (let after = seq; ; ) {
    const { events } = await metadata.events(folder, { after, limit: WEBHOOK_EVENTS_PER_READ });
    let group: ServedEvent[] = [];
    for (const event of events) {
      group.push(event);
      if (!event.groupEnd) continue;
      yield group;
      group = [];
    }
    const end = events.at(-1);
    if (end === undefined) return;
    after = end.seq;
  }
}

async function matchesIn(
  metadata: MetadataStore,
  folder: FolderName,
  look: {
    readonly group: readonly ServedEvent[];
    readonly filter: WebhookFilter;
    readonly names: DeviceNames;
  },
): Promise<readonly Touched[]> {
  const { group, filter, names } = look;
  const events = group.filter(({ path, from, content }) => {
    const isDirectory = content.kind === "directory";
    if (filter.matchesPath(path, isDirectory)) return true;
    return from !== undefined && filter.matchesPath(from, isDirectory);
  });
  const touched = await touchesOf(metadata, folder, { events, names });
  return touched.filter(({ touch }) => filter.actions.has(touch.action));
}

function rowOf({ event, touch }: Touched) {
  const { path, from, node, content, approval } = event;
  return {
    ...touch,
    path,
    ...(from === undefined ? undefined : { from }),
    id: node,
    kind: content.kind,
    ...(content.kind === "file" ? { size: content.size, sha256: content.sha256 } : undefined),
    ...(approval === undefined ? undefined : { approval }),
  };
}

export type Outcome =
  | { readonly kind: "delivered" }
  | { readonly kind: "stopped" }
  | { readonly kind: "failed"; readonly why: string };

/** One attempt. Never throws; a redirect is a failure. */
export async function deliver(
  { transport, clock }: { readonly transport: Transport; readonly clock: Clock },
  { url, secret }: { readonly url: string; readonly secret: string },
  message: WebhookMessage,
  signal: AbortSignal,
): Promise<Outcome> {
  const { id, body } = message;
  const headers = webhookHeaders({ id, body, nowMs: clock.now() }, secret);
  const ending = new AbortController();
  const tooLong = new AbortController();
  const timer = clock
    .sleep(WEBHOOK_ANSWER_MS_MAX, AbortSignal.any([ending.signal, signal]))
    .then(() => (ending.signal.aborted ? undefined : tooLong.abort()));
  try {
    const aborted = AbortSignal.any([tooLong.signal, signal]);
    const request = new Request(url, { method: "POST", headers, body, signal: aborted });
    const response = await transport(request);
    // The answer's body says nothing; not reading it costs a connection, not memory.
    await response.body?.cancel();
    if (response.ok) return { kind: "delivered" };
    if (response.status === 410) return { kind: "stopped" };
    return { kind: "failed", why: `it answered ${response.status}` };
  } catch (error) {
    if (tooLong.signal.aborted) {
      const seconds = WEBHOOK_ANSWER_MS_MAX / 1000;
      return { kind: "failed", why: `it did not answer within ${seconds} s` };
    }
    return { kind: "failed", why: reasonOf(error) };
  } finally {
    ending.abort();
    await timer;
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof SyncedError) return error.message;
  return error instanceof Error ? error.message : String(error);
}
