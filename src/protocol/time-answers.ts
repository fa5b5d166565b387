/**
 * Answers of the routes about the past: what they look like, for the server that makes them, the
 * page and the commands. Rules: E1-E8. The page imports types only; commands parse with the
 * schemas, which pass over what a newer server adds.
 */
import { z } from "zod/mini";
import { EVENT_KINDS } from "../core/event.ts";
import { FILE_ACTIONS } from "../ports/event-sink.ts";

const sequence = z.int().check(z.minimum(0));
const count = z.int().check(z.minimum(0));
const bytes = z.number().check(z.minimum(0));
const kind = z.enum(["file", "directory", "symlink"]);

/** How a person would name a change. */
export const actionSchema = z.enum(FILE_ACTIONS);
export type Action = z.infer<typeof actionSchema>;

/** Who changed something, when, and how. `deviceName` is the id if the name is not known. */
const touchSchema = z.object({
  seq: sequence,
  time: z.string(),
  device: z.string(),
  deviceName: z.string(),
  action: actionSchema,
});
export type Touch = z.infer<typeof touchSchema>;

export const listEntrySchema = z.object({
  name: z.string(),
  kind,
  id: z.string(),
  /** In bytes; files only, as are the next three. */
  size: z.optional(bytes),
  sha256: z.optional(z.string()),
  mtimeNs: z.optional(z.string()),
  executable: z.optional(z.boolean()),
  /** Symlinks only. */
  target: z.optional(z.string()),
  contentVersion: sequence,
  placeVersion: sequence,
  /** The last event of the node up to the moment; of a deleted one, before its deletion. */
  last: touchSchema,
  /** Set if the node was deleted by then. */
  deleted: z.optional(touchSchema),
});
export type ListEntry = z.infer<typeof listEntrySchema>;

/** GET list */
export const listAnswerSchema = z.object({
  seq: sequence,
  /** The directory's node. */
  node: z.string(),
  total: count,
  entries: z.array(listEntrySchema),
  /** The `offset` of the next request. */
  next: z.optional(count),
});
export type ListAnswer = z.infer<typeof listAnswerSchema>;

/**
 * GET spans: columns of equal length, by name and `from`. A state is there at N if from <= N < to;
 * `to` is 2^53 - 1 while it lasts.
 */
export const spansAnswerSchema = z.object({
  seq: sequence,
  node: z.string(),
  names: z.array(z.string()),
  ids: z.array(z.string()),
  from: z.array(sequence),
  to: z.array(sequence),
  kind: z.array(kind),
  size: z.array(bytes),
  /** In milliseconds since 1970; 0 of what is no file. */
  mtime: z.array(z.number()),
  /** True if the event `to` deleted the node. */
  deleted: z.array(z.boolean()),
});
export type SpansAnswer = z.infer<typeof spansAnswerSchema>;

/** GET moment: the last event at or before it. All but `next` are absent before the first event. */
export const momentAnswerSchema = z.object({
  seq: sequence,
  time: z.optional(z.string()),
  device: z.optional(z.string()),
  deviceName: z.optional(z.string()),
  /** Where the group after it ends. */
  next: z.optional(sequence),
  /** Where the group before it ends; 0 before the first one. */
  previous: z.optional(sequence),
});
export type MomentAnswer = z.infer<typeof momentAnswerSchema>;

const sideSchema = z.object({
  size: z.optional(bytes),
  sha256: z.optional(z.string()),
  mtimeNs: z.optional(z.string()),
  executable: z.optional(z.boolean()),
  target: z.optional(z.string()),
});

export const diffEntrySchema = z.object({
  what: z.enum(["added", "removed", "modified", "moved"]),
  /** The later path; of what was removed, the earlier one. */
  path: z.string(),
  /** The earlier path, if it is another one. Something modified may have one, too. */
  from: z.optional(z.string()),
  kind,
  id: z.string(),
  before: z.optional(sideSchema),
  after: z.optional(sideSchema),
  /** For a directory that moved: how many nodes are in it now. They have no entry of their own. */
  inside: z.optional(count),
  last: touchSchema,
});
export type DiffEntry = z.infer<typeof diffEntrySchema>;

/** GET diff */
export const diffAnswerSchema = z.object({
  from: sequence,
  to: sequence,
  summary: z.object({
    added: count,
    removed: count,
    modified: count,
    moved: count,
    /** Of the files that were added or modified, as they are afterwards. */
    bytes,
  }),
  /** By path. */
  entries: z.array(diffEntrySchema),
  /** The `offset` of the next request. */
  next: z.optional(count),
});
export type DiffAnswer = z.infer<typeof diffAnswerSchema>;

/** One change, or a run of changes of one batch, action and directory. */
export const logRowSchema = z.object({
  seq: sequence,
  lastSeq: sequence,
  time: z.string(),
  device: z.string(),
  deviceName: z.string(),
  action: actionSchema,
  /** Of a run, the directory; "" for the root. */
  path: z.string(),
  /** The path before a rename; not of runs. */
  from: z.optional(z.string()),
  /** Not of runs. */
  id: z.optional(z.string()),
  kind: z.optional(kind),
  /** Of the files together. */
  size: z.optional(bytes),
  count,
  /** True if the bytes of none of its versions are kept any more (U7). */
  gone: z.optional(z.boolean()),
  /** The held change, or the plan, that a person approved. */
  approval: z.optional(z.string()),
});
export type LogRow = z.infer<typeof logRowSchema>;

/** GET log: newest first; oldest first with `after`. */
export const logAnswerSchema = z.object({
  seq: sequence,
  rows: z.array(logRowSchema),
  /**
   * The `before`, or `after`, of the next request. A page may be short, even empty, and have one.
   */
  next: z.optional(sequence),
});
export type LogAnswer = z.infer<typeof logAnswerSchema>;

/**
 * Time of the beginning in milliseconds since 1970, first seq, last seq, created, changed, moved,
 * deleted, bytes; and the device, where that was asked for.
 */
const bucketSchema = z.tuple([
  z.number(),
  sequence,
  sequence,
  count,
  count,
  count,
  count,
  bytes,
  z.optional(z.string()),
]);
export type ActivityBucket = z.infer<typeof bucketSchema>;

/** GET activity: ascending, without the buckets in which nothing happened. */
export const activityAnswerSchema = z.object({
  from: sequence,
  to: sequence,
  /** Of a bucket, in milliseconds. */
  width: z.number(),
  buckets: z.array(bucketSchema),
});
export type ActivityAnswer = z.infer<typeof activityAnswerSchema>;

const conflictEntrySchema = z.object({
  id: z.string(),
  path: z.string(),
  kind,
  ...sideSchema.shape,
  /** Who wrote what is in it now. */
  last: z.optional(touchSchema),
});
export type ConflictEntry = z.infer<typeof conflictEntrySchema>;

const conflictSchema = z.object({
  copy: conflictEntrySchema,
  /** null if it is gone. */
  original: z.nullable(conflictEntrySchema),
  /** Whose bytes the copy has, and when they came. */
  device: z.string(),
  deviceName: z.string(),
  time: z.string(),
});
export type Conflict = z.infer<typeof conflictSchema>;

/** GET conflicts: oldest first. */
export const conflictsAnswerSchema = z.object({
  seq: sequence,
  conflicts: z.array(conflictSchema),
  /** The `after` of the next request. A page may be short, even empty, and have one. */
  next: z.optional(sequence),
});
export type ConflictsAnswer = z.infer<typeof conflictsAnswerSchema>;

export const searchHitSchema = z.object({
  id: z.string(),
  path: z.string(),
  kind,
  size: z.optional(bytes),
  state: z.enum(["live", "deleted"]),
  last: touchSchema,
});
export type SearchHit = z.infer<typeof searchHitSchema>;

/** GET search */
export const searchAnswerSchema = z.object({
  seq: sequence,
  hits: z.array(searchHitSchema),
  /** The `after` of the next request. A page may be short, even empty, and have one. */
  next: z.optional(z.string()),
});
export type SearchAnswer = z.infer<typeof searchAnswerSchema>;

export const versionSchema = z.object({
  seq: sequence,
  time: z.string(),
  device: z.string(),
  deviceName: z.string(),
  kind: z.enum(EVENT_KINDS),
  action: actionSchema,
  id: z.string(),
  path: z.string(),
  from: z.optional(z.string()),
  /** Absent if the event left no file at the path, as are the next three. */
  size: z.optional(bytes),
  sha256: z.optional(z.string()),
  mtimeNs: z.optional(z.string()),
  executable: z.optional(z.boolean()),
  /** True if its bytes are not kept any more (U7). */
  gone: z.optional(z.boolean()),
});
export type Version = z.infer<typeof versionSchema>;

/** GET history: newest first. */
export const historyAnswerSchema = z.object({
  versions: z.array(versionSchema),
  /** The `before` of the next request. */
  next: z.optional(sequence),
});
export type HistoryAnswer = z.infer<typeof historyAnswerSchema>;
