/**
 * Uploads: files and directories that were dropped or chosen, one line each until they are at the
 * server. A worker stores their bytes; this makes the ops. Rules: O2, O8.
 */
import { signal } from "@preact/signals";
import type { ListEntry as Entry } from "../../protocol/time-answers.ts";
import { authorization, folderRoute, problemOf } from "./api.ts";
import { createDirectoryOp, type PageOp, postGroups, reasonOf } from "./changes.ts";
import { directoryAt, readDirectory } from "./entries.ts";
import { folder } from "./live.ts";
import { newId } from "./session.ts";
import type { StoredContent, UploadNews, UploadRequest } from "./upload-messages.ts";

export type UploadState =
  | { readonly kind: "waiting" }
  | { readonly kind: "sending"; readonly bytes: number }
  | { readonly kind: "done" }
  /** Another file has that name. */
  | { readonly kind: "taken"; readonly content: StoredContent }
  | { readonly kind: "failed"; readonly reason: string };

export interface Upload {
  readonly id: number;
  readonly folder: string;
  /** Of the directory in which the person dropped it. */
  readonly target: string;
  /** Below the target, names separated by "/". */
  readonly path: string;
  readonly file: File;
  readonly state: UploadState;
}

/** A file with its path below the directory into which it goes. */
export interface Dropped {
  readonly path: string;
  readonly file: File;
}

/** Missing where the browser does not enforce the page's policy on scripts. */
declare const trustedTypes:
  | undefined
  | {
      createPolicy(
        name: string,
        rules: { readonly createScriptURL: (text: string) => string },
      ): { createScriptURL(text: string): string };
    };

const JOBS_PER_REQUEST = 200;
const BYTES_PER_REQUEST = 64 * 1024 * 1024;
const RETRY_MS = 2_000;
/** About as long as the worker waits. */
const ATTEMPTS_MAX = 180;

export const uploads = signal<readonly Upload[]>([]);

let nextId = 1;
let worker: Worker | undefined;
let isRunning = false;

export function enqueue(target: string, dropped: readonly Dropped[]): void {
  const name = folder.value?.name;
  if (name === undefined || dropped.length === 0) return;
  const added = dropped.map(({ path, file }) => ({
    id: nextId++,
    folder: name,
    target,
    path,
    file,
    state: { kind: "waiting" } as const,
  }));
  uploads.value = [...uploads.value, ...added];
  void run();
}

export function retry(id: number): void {
  setState(id, { kind: "waiting" });
  void run();
}

export function forgetUploads(): void {
  uploads.value = uploads.value.filter(({ state }) => !isOver(state));
}

export function isOver({ kind }: UploadState): boolean {
  return kind === "done" || kind === "failed" || kind === "taken";
}

function setState(id: number, state: UploadState): void {
  uploads.value = uploads.value.map((upload) => (upload.id === id ? { ...upload, state } : upload));
}

function setStates(states: ReadonlyMap<number, UploadState>): void {
  uploads.value = uploads.value.map((upload) => {
    const state = states.get(upload.id);
    return state === undefined ? upload : { ...upload, state };
  });
}

/** One request after the other: the worker and the connection are busy with each. */
async function run(): Promise<void> {
  if (isRunning) return;
  isRunning = true;
  try {
    for (;;) {
      const batch = nextBatch();
      if (batch.length === 0) return;
      await store(batch);
    }
  } finally {
    isRunning = false;
  }
}

function nextBatch(): readonly Upload[] {
  const waiting = uploads.value.filter(({ state }) => state.kind === "waiting");
  const [first] = waiting;
  const batch: Upload[] = [];
  let bytes = 0;
  for (const upload of waiting) {
    if (upload.folder !== first?.folder || upload.target !== first.target) continue;
    bytes += upload.file.size;
    if (batch.length > 0 && bytes > BYTES_PER_REQUEST) break;
    batch.push(upload);
    if (batch.length === JOBS_PER_REQUEST) break;
  }
  return batch;
}

async function store(batch: readonly Upload[]): Promise<void> {
  const contents = await sendBytes(batch);
  const stored = batch.filter(({ id }) => contents.has(id));
  if (stored.length === 0) return;
  try {
    const directories = await persistently(() => ensureDirectories(stored));
    const groups = stored.map((upload) => [createOp(upload, directories, contents)]);
    // Ops keep their ids, so those that the server took before it was cut off are not done twice.
    const results = await persistently(() => postGroups(groups));
    const states = new Map<number, UploadState>();
    for (const [index, { id }] of stored.entries()) {
      const result = results[index];
      const content = contents.get(id);
      if (result?.status === "accepted") states.set(id, { kind: "done" });
      else if (result?.code === "name_taken" && content !== undefined) {
        states.set(id, { kind: "taken", content });
      } else states.set(id, { kind: "failed", reason: result?.detail ?? "No answer" });
    }
    setStates(states);
  } catch (error) {
    const reason = reasonOf(problemOf(error));
    setStates(new Map(stored.map(({ id }) => [id, { kind: "failed", reason }])));
  }
}

/** Goes on over a server that is away, as the worker does. @throws {Problem} */
async function persistently<T>(action: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await action();
    } catch (error) {
      const { status } = problemOf(error);
      const isPassing = status === 0 || status >= 500 || status === 429;
      if (!isPassing || attempt === ATTEMPTS_MAX) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** @returns what the server has now, by upload; files that failed say so themselves */
function sendBytes(batch: readonly Upload[]): Promise<ReadonlyMap<number, StoredContent>> {
  const [first] = batch;
  const chunker = folder.value?.chunker;
  const contents = new Map<number, StoredContent>();
  if (first === undefined || chunker === undefined) return Promise.resolve(contents);
  const runner = startWorker();
  setStates(new Map(batch.map(({ id }) => [id, { kind: "sending", bytes: 0 }])));
  return new Promise((resolve) => {
    runner.onmessage = ({ data: news }: MessageEvent<UploadNews>) => {
      if (news.kind === "progress") setState(news.id, { kind: "sending", bytes: news.bytes });
      else if (news.kind === "stored") contents.set(news.id, news.content);
      else if (news.kind === "failed") setState(news.id, { kind: "failed", reason: news.reason });
      else resolve(contents);
    };
    const jobs = batch.map(({ id, file }) => ({ id, file }));
    const route = folderRoute(first.folder);
    const message: UploadRequest = { route, headers: authorization(), chunker, jobs };
    runner.postMessage(message);
  });
}

/** The one address that the page makes itself; the document names it. */
function startWorker(): Worker {
  if (worker !== undefined) return worker;
  const address = document.body.dataset["worker"] ?? "";
  const rules = { createScriptURL: () => address };
  const trusted =
    typeof trustedTypes === "undefined"
      ? address
      : trustedTypes.createPolicy("synced", rules).createScriptURL(address);
  worker = new Worker(trusted, { type: "module" });
  return worker;
}

function createOp(
  { id, path }: Upload,
  directories: ReadonlyMap<string, string>,
  contents: ReadonlyMap<number, StoredContent>,
): PageOp {
  const [above, name] = split(path);
  const parent = directories.get(above);
  return {
    kind: "create",
    opId: newId(),
    node: newId(),
    parent,
    name,
    content: contents.get(id),
    base: 0,
  };
}

function split(path: string): readonly [string, string] {
  const slash = path.lastIndexOf("/");
  return [slash === -1 ? "" : path.slice(0, slash), path.slice(slash + 1)];
}

/** Makes the directories that are not there. @returns node ids by path below the target */
async function ensureDirectories(batch: readonly Upload[]): Promise<ReadonlyMap<string, string>> {
  const [first] = batch;
  const ids = new Map<string, string>();
  if (first === undefined) return ids;
  ids.set("", await directoryAt(first.folder, first.target));
  const wanted = new Set<string>();
  for (const { path } of batch) {
    for (let [above] = split(path); above !== "" && !wanted.has(above); [above] = split(above)) {
      wanted.add(above);
    }
  }
  const shallowFirst = [...wanted].sort((one, other) => one.length - other.length);
  for (const path of shallowFirst) {
    const [above, name] = split(path);
    const parent = ids.get(above) ?? "";
    const node = newId();
    const [result] = await postGroups([[createDirectoryOp(node, parent, name)]]);
    const place = first.target === "" ? path : `${first.target}/${path}`;
    const isMade = result?.status === "accepted";
    ids.set(path, isMade ? node : await directoryAt(first.folder, place));
  }
  return ids;
}

/** Puts the bytes in the place of those that are there: the old ones stay in the history. */
export async function replace({ id, folder: name, target, path, state }: Upload): Promise<void> {
  if (state.kind !== "taken") return;
  await settleTaken(id, async () => {
    const entry = await findEntry(name, joined(target, path));
    if (entry === undefined) throw new Error("It is gone by now: try again");
    const { content } = state;
    return {
      kind: "modify",
      opId: newId(),
      node: entry.id,
      content,
      baseContent: entry.contentVersion,
    };
  });
}

/** Stores it under the next free name: "plan (2).md". */
export async function keepBoth({ id, folder: name, target, path, state }: Upload): Promise<void> {
  if (state.kind !== "taken") return;
  await settleTaken(id, async () => {
    const [above, last] = split(joined(target, path));
    const { node: parent, entries } = await readDirectory(name, above);
    const names = new Set(entries.map((entry) => entry.name));
    const free = freeName(last, names);
    const { content } = state;
    return { kind: "create", opId: newId(), node: newId(), parent, name: free, content, base: 0 };
  });
}

export function freeName(name: string, taken: ReadonlySet<string>): string {
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  for (let number = 2; ; number++) {
    const candidate = `${stem} (${number})${extension}`;
    if (!taken.has(candidate)) return candidate;
  }
}

async function settleTaken(id: number, makeOp: () => Promise<PageOp>): Promise<void> {
  try {
    const [result] = await postGroups([[await makeOp()]]);
    if (result?.status === "accepted") setState(id, { kind: "done" });
    else setState(id, { kind: "failed", reason: result?.detail ?? "No answer" });
  } catch (error) {
    setState(id, { kind: "failed", reason: reasonOf(problemOf(error)) });
  }
}

function joined(target: string, path: string): string {
  return target === "" ? path : `${target}/${path}`;
}

async function findEntry(name: string, path: string): Promise<Entry | undefined> {
  const [above, last] = split(path);
  return (await readDirectory(name, above)).entries.find((entry) => entry.name === last);
}

/** Files in what was dropped, those in directories too. */
export async function filesIn(items: DataTransferItemList): Promise<readonly Dropped[]> {
  // Taken at once: the list is empty after the first wait.
  const roots = [...items].flatMap((item) => item.webkitGetAsEntry() ?? []);
  const found: Dropped[] = [];
  for (const root of roots) await walk(root, "", found);
  return found;
}

async function walk(entry: FileSystemEntry, prefix: string, found: Dropped[]): Promise<void> {
  const path = prefix + entry.name;
  if (entry instanceof FileSystemFileEntry) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject));
    found.push({ path, file });
  } else if (entry instanceof FileSystemDirectoryEntry) {
    const reader = entry.createReader();
    // It gives at most 100 at a time, and none at the end.
    for (;;) {
      const children = await new Promise<FileSystemEntry[]>((resolve, reject) =>
        reader.readEntries(resolve, reject),
      );
      if (children.length === 0) return;
      for (const child of children) await walk(child, `${path}/`, found);
    }
  }
}
