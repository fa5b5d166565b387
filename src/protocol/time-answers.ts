/**
 * Answers of the routes about the past: what they look like, for the server that makes them, the
 * page and the commands. Rules: E1-E8. The page imports types only; commands parse with the
 * schemas, which pass over what a newer server adds.
 */
import { z } from "zod";
import { EVENT_KINDS } from "../core/event.ts";
import { FILE_ACTIONS } from "../ports/event-sink.ts";

const sequence = z.int().min(0);
const count = z.int().min(0);
const bytes = z.number().min(0);
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
  size: bytes.optional(),
  sha256: z.string().optional(),
  mtimeNs: z.string().optional(),
  executable: z.boolean().optional(),
  /** Symlinks only. */
  target: z.string().optional(),
  contentVersion: sequence,
  placeVersion: sequence,
  /** The last event of the node up to the moment; of a deleted one, before its deletion. */
  last: touchSchema,
  /** Set if the node was deleted by then. */
  deleted: touchSchema.optional(),
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
  next: count.optional(),
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
  time: z.string().optional(),
  device: z.string().optional(),
  deviceName: z.string().optional(),
  /** Where the group after it ends. */
  next: sequence.optional(),
  /** Where the group before it ends; 0 before the first one. */
  previous: sequence.optional(),
});
export type MomentAnswer = z.infer<typeof momentAnswerSchema>;

const sideSchema = z.object({
  size: bytes.optional(),
  sha256: z.string().optional(),
  mtimeNs: z.string().optional(),
  executable: z.boolean().optional(),
  target: z.string().optional(),
});

export const diffEntrySchema = z.object({
  what: z.enum(["added", "removed", "modified", "moved"]),
  /** The later path; of what was removed, the earlier one. */
  path: z.string(),
  /** The earlier path, if it is another one. Something modified may have one, too. */
  from: z.string().optional(),
  kind,
  id: z.string(),
  before: sideSchema.optional(),
  after: sideSchema.optional(),
  /** For a directory that moved: how many nodes are in it now. They have no entry of their own. */
  inside: count.optional(),
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
  next: count.optional(),
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
  from: z.string().optional(),
  /** Not of runs. */
  id: z.string().optional(),
  kind: kind.optional(),
  /** Of the files together. */
  size: bytes.optional(),
  count,
  /** True if the bytes of none of its versions are kept any more (U7). */
  gone: z.boolean().optional(),
  /** The held change, or the plan, that a person approved. */
  approval: z.string().optional(),
});
export type LogRow = z.infer<typeof logRowSchema>;

/** GET log: newest first; oldest first with `after`. */
export const logAnswerSchema = z.object({
  seq: sequence,
  rows: z.array(logRowSchema),
  /**
   * The `before`, or `after`, of the next request. A page may be short, even empty, and have one.
   */
  next: sequence.optional(),
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
  z.string().optional(),
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
  last: touchSchema.optional(),
});
export type ConflictEntry = z.infer<typeof conflictEntrySchema>;

const conflictSchema = z.object({
  copy: conflictEntrySchema,
  /** null if it is gone. */
  original: conflictEntrySchema.nullable(),
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
  next: sequence.optional(),
});
export type ConflictsAnswer = z.infer<typeof conflictsAnswerSchema>;

export const searchHitSchema = z.object({
  id: z.string(),
  path: z.string(),
  kind,
  size: bytes.optional(),
  state: z.enum(["live", "deleted"]),
  last: touchSchema,
});
export type SearchHit = z.infer<typeof searchHitSchema>;

/** GET search */
export const searchAnswerSchema = z.object({
  seq: sequence,
  hits: z.array(searchHitSchema),
  /** The `after` of the next request. A page may be short, even empty, and have one. */
  next: z.string().optional(),
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
  from: z.string().optional(),
  /** Absent if the event left no file at the path, as are the next three. */
  size: bytes.optional(),
  sha256: z.string().optional(),
  mtimeNs: z.string().optional(),
  executable: z.boolean().optional(),
  /** True if its bytes are not kept any more (U7). */
  gone: z.boolean().optional(),
});
export type Version = z.infer<typeof versionSchema>;

/** GET history: newest first. */
export const historyAnswerSchema = z.object({
  versions: z.array(versionSchema),
  /** The `before` of the next request. */
  next: sequence.optional(),
});
export type HistoryAnswer = z.infer<typeof historyAnswerSchema>;
