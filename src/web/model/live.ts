/**
 * Follows the open folder's log over one stream: never two, because a browser has six connections
 * to an origin. A cut stream resumes from its cursor, so no event is missed. Rules: H30.
 */
import { signal } from "@preact/signals";
import { EventStreamDecoder } from "../../protocol/event-stream.ts";
import { eventSchema, type Folder, type FolderEvent, folderSchema } from "./answers.ts";
import { ask, folderRoute, problemOf, query, request } from "./api.ts";

const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;
/** A server sends a heartbeat every 15 s. */
const SILENCE_MS_MAX = 45_000;
/** A hidden tab keeps its stream for this long. */
const HIDDEN_MS_MAX = 30_000;

export type Connection =
  | { readonly kind: "connecting" }
  | { readonly kind: "connected" }
  | { readonly kind: "cut"; readonly since: number };

export const connection = signal<Connection>({ kind: "connecting" });
/** The place in the log up to which the page has heard. */
export const head = signal(0);
/** The open folder; a new object when its log begins anew. */
export const folder = signal<Folder | undefined>(undefined);

export interface Cursor {
  readonly epoch: string;
  readonly seq: number;
  readonly hash: string;
}

/** Called with each event of the open folder, in order, once. */
export type Listener = (event: FolderEvent) => void;

const listeners = new Set<Listener>();
let cursor: Cursor | undefined;
let following = new AbortController();

export function onEvent(listener: Listener): void {
  listeners.add(listener);
}

/** The last event that was heard. Ops name it as the cursor that they were made at. */
export function currentCursor(): Cursor | undefined {
  return cursor;
}

/** Opens a folder and follows it until another one is opened. */
export async function open(name: string): Promise<void> {
  following.abort();
  const mine = new AbortController();
  following = mine;
  connection.value = { kind: "connecting" };
  const found = await look(name, mine.signal);
  if (mine.signal.aborted) return;
  enter(found);
  void follow(name, mine.signal);
}

/** Asks until the server says what the folder is, or that it is none for us. */
async function look(name: string, signal: AbortSignal): Promise<Folder> {
  for (let delayMs = RETRY_MS_MIN; ; delayMs = Math.min(delayMs * 2, RETRY_MS_MAX)) {
    try {
      return await ask(folderSchema, folderRoute(name), { signal });
    } catch (error) {
      const { status } = problemOf(error);
      const isFinal = status >= 400 && status < 500 && status !== 429;
      if (isFinal || signal.aborted) throw error;
      await pause(delayMs, signal);
    }
  }
}

function enter(found: Folder): void {
  cursor = { epoch: found.epoch, seq: found.head, hash: found.hash };
  head.value = found.head;
  folder.value = found;
}

async function follow(name: string, signal: AbortSignal): Promise<void> {
  let delayMs = RETRY_MS_MIN;
  while (!signal.aborted) {
    await visible(signal);
    try {
      await readStream(name, signal, () => {
        delayMs = RETRY_MS_MIN;
      });
    } catch (error) {
      if (signal.aborted) return;
      const { code, status } = problemOf(error);
      if (status === 401) return;
      // The log was restored: all that is shown belongs to another one.
      if (code === "log_diverged" || code === "cursor_ahead") {
        await ask(folderSchema, folderRoute(name), { signal }).then(enter, () => undefined);
      }
    }
    if (signal.aborted) return;
    if (document.hidden) continue;
    if (connection.value.kind !== "cut") connection.value = { kind: "cut", since: Date.now() };
    await pause(delayMs, signal);
    delayMs = Math.min(delayMs * 2, RETRY_MS_MAX);
  }
}

/** Reads until the stream ends, the tab has been hidden for long, or nothing comes any more. */
async function readStream(name: string, signal: AbortSignal, onOpen: () => void): Promise<void> {
  if (cursor === undefined) return;
  const ended = new AbortController();
  const end = () => ended.abort();
  signal.addEventListener("abort", end, { once: true });
  let lastMs = Date.now();
  let hiddenMs = 0;
  const watch = setInterval(() => {
    hiddenMs = document.hidden ? hiddenMs + 1_000 : 0;
    if (hiddenMs > HIDDEN_MS_MAX || Date.now() - lastMs > SILENCE_MS_MAX) end();
  }, 1_000);
  try {
    const { epoch, seq, hash } = cursor;
    const route = folderRoute(name, `/events?${query({ after: seq, epoch, hash })}`);
    const response = await request(route, {
      headers: { accept: "text/event-stream" },
      signal: ended.signal,
    });
    if (response.body === null) return;
    const decoder = new EventStreamDecoder();
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      if (connection.value.kind !== "connected") connection.value = { kind: "connected" };
      onOpen();
      lastMs = Date.now();
      for (const message of decoder.push(value)) if (message !== undefined) hear(message);
    }
  } finally {
    clearInterval(watch);
    signal.removeEventListener("abort", end);
    end();
  }
}

function hear(message: string): void {
  const event = eventSchema.parse(JSON.parse(message));
  if (cursor === undefined || event.seq <= cursor.seq) return;
  cursor = { epoch: cursor.epoch, seq: event.seq, hash: event.hash };
  head.value = event.seq;
  for (const listener of listeners) listener(event);
}

function visible(signal: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look, { once: true });
  });
}

function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    const now = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", now, { once: true });
    addEventListener("online", now, { once: true, signal });
  });
}
