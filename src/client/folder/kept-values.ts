/**
 * KeptValues: the small values that the state keeps by name, each with its type and its parser.
 * Rules: S1. A value of another form, as another version may have written it, counts as absent.
 */
import type { ChunkerProfile } from "../../core/chunker.ts";
import type { Cursor } from "../../core/event.ts";
import type { BaseNode } from "../../core/node.ts";
import type { HeldChange, StateStore } from "../../ports/state-store.ts";

export interface KeptValue<Value> {
  readonly key: string;
  /** @returns undefined if the value has another form. */
  readonly parse: (value: unknown) => Value | undefined;
}

export type FolderState = "in_sync" | "syncing" | "held" | "paused" | "offline" | "stopped";

/** The record that `synced status` reads. */
export interface StatusValue {
  readonly state: FolderState;
  /** The log's head as last heard of. */
  readonly head: number;
  /** Clock.now() of the last time when everything was in sync. */
  readonly lastSyncMs: number | null;
  /** The reason why it is offline or halted, how long it is paused, or what waits for room on the server; else null. */
  readonly reason: string | null;
}

/** The held change that a person let through, and the nodes of it that are still to be done. */
export interface ApprovalValue {
  readonly id: string;
  readonly nodes: readonly string[];
}

/** Strays that the proof of "in sync" found, for whoever mends them. */
export interface StrayValue {
  readonly atMs: number;
  readonly count: number;
  readonly rows: readonly unknown[];
}

/** The note of a batch, for the case that the process ends before it is recorded (D23). */
export interface PlacingValue {
  /** Tells one run of the machine, and one directory for staging, from others; "" if unknown. */
  readonly seal: string;
  /** Nodes with the identities of their files that leave staging. */
  readonly files: readonly TextPair[];
  /** Nodes that are renamed. */
  readonly moved: readonly string[];
}

const STATES: readonly string[] = ["in_sync", "syncing", "held", "paused", "offline", "stopped"];

/** All of them. Only the state database's own binding is kept beside these. */
export const KEPT = {
  /** This run's id, which the marker names too (S4). */
  run: { key: "run", parse: text } satisfies KeptValue<string>,
  /** The first recovery with this database is through. */
  recovered: { key: "recovered", parse: flag } satisfies KeptValue<boolean>,
  /** The log's head when the first full scan was through (G6). */
  scannedAt: { key: "scannedAt", parse: number } satisfies KeptValue<number>,
  /** How the folder's files are cut (C1). */
  chunker: { key: "chunker", parse: profile } satisfies KeptValue<ChunkerProfile>,
  /** Ids of ops that were posted and have not come back (Y17). */
  posted: { key: "posted", parse: texts } satisfies KeptValue<readonly string[]>,
  /** The part of a plan that is being done on the disk (D23). */
  placing: { key: "placing", parse: placing } satisfies KeptValue<PlacingValue>,
  /** The common point of a re-join that is under way (S10). */
  restoredSince: { key: "restoredSince", parse: number } satisfies KeptValue<number>,
  /** It and older cursors that lay on the log with it, newest first (S10). */
  restoredFrom: { key: "restoredFrom", parse: cursors } satisfies KeptValue<readonly Cursor[]>,
  /** Bases that are set aside until the re-join is through (S10). */
  restoredBases: { key: "restoredBases", parse: bases } satisfies KeptValue<readonly BaseNode[]>,
  /** Nodes that merge by union, also after the re-join (S10). */
  restoredApart: { key: "restoredApart", parse: texts } satisfies KeptValue<readonly string[]>,
  /** The change that waits for a person (G3). */
  held: { key: "held", parse: heldChange } satisfies KeptValue<HeldChange>,
  /** The change that a person let through (G4). */
  approval: { key: "approval", parse: approval } satisfies KeptValue<ApprovalValue>,
  /** Ids of the last orders from afar that were obeyed (V9). */
  obeyed: { key: "obeyed", parse: texts } satisfies KeptValue<readonly string[]>,
  /** The texts of the ignore rules in force, by directory (A10). */
  ignoreRules: { key: "ignoreRules", parse: pairs } satisfies KeptValue<readonly TextPair[]>,
  /** The texts of former rules that still count, by moment and directory (A21). */
  formerRules: { key: "formerRules", parse: formerRules } satisfies KeptValue<
    readonly FormerTexts[]
  >,
  /** Directories' paths before and after others renamed them, as far as rules care (A22). */
  formerPaths: { key: "formerPaths", parse: pairs } satisfies KeptValue<readonly TextPair[]>,
  /** The record that `synced status` reads (Y5). */
  status: { key: "status", parse: status } satisfies KeptValue<StatusValue>,
  /** Nodes that the last proof found astray (Y8). Only people read them. */
  stray: { key: "stray", parse: stray } satisfies KeptValue<StrayValue>,
} as const;

export type TextPair = readonly [string, string];

/** Rules of a moment by directory, as far as they are others by now; null if there was no file. */
export type FormerTexts = readonly (readonly [directory: string, text: string | null])[];

/** Parts of one list, each page of events its own (G4). */
export function othersApprovals(part: number): KeptValue<readonly string[]> {
  const key = part === 0 ? "approvedByOthers" : `approvedByOthers.${part}`;
  return { key, parse: texts };
}

export function readKept<Value>(
  store: Pick<StateStore, "value">,
  { key, parse }: KeptValue<Value>,
): Value | undefined {
  const value = store.value(key);
  return value === undefined ? undefined : parse(value);
}

/** @param value undefined removes it. */
export function writeKept<Value>(
  store: Pick<StateStore, "setValue">,
  { key }: KeptValue<Value>,
  value: Value | undefined,
): void {
  store.setValue(key, value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function flag(value: unknown): boolean | undefined {
  return typeof value === "boolean" ? value : undefined;
}

function texts(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : undefined;
}

function pairs(value: unknown): readonly TextPair[] | undefined {
  return Array.isArray(value) ? value.filter(isPair) : undefined;
}

function isPair(value: unknown): value is TextPair {
  return Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "string";
}

function placing(value: unknown): PlacingValue | undefined {
  if (!isObject(value)) return undefined;
  const { seal, files, moved } = value;
  return { seal: text(seal) ?? "", files: pairs(files) ?? [], moved: texts(moved) ?? [] };
}

function formerRules(value: unknown): readonly FormerTexts[] | undefined {
  if (!Array.isArray(value)) return undefined;
  return value.map((texts) => (Array.isArray(texts) ? texts.filter(isFormerPair) : []));
}

function isFormerPair(value: unknown): value is FormerTexts[number] {
  if (!Array.isArray(value) || typeof value[0] !== "string") return false;
  return value[1] === null || typeof value[1] === "string";
}

function profile(value: unknown): ChunkerProfile | undefined {
  return isProfile(value) ? value : undefined;
}

function isProfile(value: unknown): value is ChunkerProfile {
  return isObject(value) && "minBytes" in value && "averageBytes" in value && "maxBytes" in value;
}

/** Trusted, because only a re-join writes them. */
function cursors(value: unknown): readonly Cursor[] | undefined {
  return Array.isArray(value) ? value.filter(isCursor) : undefined;
}

function isCursor(value: unknown): value is Cursor {
  if (!isObject(value)) return false;
  const { epoch, seq, hash } = value;
  return typeof epoch === "string" && typeof seq === "number" && typeof hash === "string";
}

function bases(value: unknown): readonly BaseNode[] | undefined {
  return isBaseList(value) ? value : undefined;
}

function isBaseList(value: unknown): value is readonly BaseNode[] {
  return Array.isArray(value);
}

function heldChange(value: unknown): HeldChange | undefined {
  return isHeldChange(value) ? value : undefined;
}

function isHeldChange(value: unknown): value is HeldChange {
  return isObject(value) && typeof value["id"] === "string" && Array.isArray(value["nodes"]);
}

function approval(value: unknown): ApprovalValue | undefined {
  const id = isObject(value) ? text(value["id"]) : undefined;
  const nodes = isObject(value) ? texts(value["nodes"]) : undefined;
  return id === undefined || nodes === undefined ? undefined : { id, nodes };
}

/** Earlier versions wrote no reason. */
function status(value: unknown): StatusValue | undefined {
  if (!isObject(value)) return undefined;
  const { state, head, lastSyncMs, reason } = value;
  const isSound = isFolderState(state) && typeof head === "number";
  if (!isSound) return undefined;
  return { state, head, lastSyncMs: number(lastSyncMs) ?? null, reason: text(reason) ?? null };
}

function isFolderState(value: unknown): value is FolderState {
  return typeof value === "string" && STATES.includes(value);
}

function stray(value: unknown): StrayValue | undefined {
  return isStray(value) ? value : undefined;
}

function isStray(value: unknown): value is StrayValue {
  return isObject(value) && Array.isArray(value["rows"]);
}
