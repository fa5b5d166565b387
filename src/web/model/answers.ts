/**
 * The server's answers that no other schema describes, as far as the page reads them. Those about
 * the past are in `protocol/time-answers.ts`.
 */
import { z } from "zod/mini";
import { ORDER_KINDS } from "../../core/device-order.ts";
import { HELD_ANSWERS } from "../../core/device-state.ts";
import { EVENT_KINDS } from "../../core/event.ts";

// Compiled schemas need eval, which the page's policy forbids.
z.config({ jitless: true });

export const folderSchema = z.object({
  name: z.string(),
  epoch: z.string(),
  head: z.number(),
  hash: z.string(),
  chunker: z.object({ minBytes: z.number(), averageBytes: z.number(), maxBytes: z.number() }),
});
export type Folder = z.infer<typeof folderSchema>;

export const foldersSchema = z.object({ folders: z.array(folderSchema) });

export const eventSchema = z.object({
  seq: z.number(),
  time: z.string(),
  device: z.string(),
  kind: z.enum(EVENT_KINDS),
  node: z.string(),
  parent: z.string(),
  name: z.string(),
  path: z.string(),
  from: z.optional(z.string()),
  content: z.object({
    kind: z.enum(["file", "directory", "symlink"]),
    size: z.optional(z.number()),
    sha256: z.optional(z.string()),
    mtimeNs: z.optional(z.string()),
  }),
  baseContent: z.number(),
  basePlace: z.number(),
  hash: z.string(),
});
export type FolderEvent = z.infer<typeof eventSchema>;

export const devicesSchema = z.object({
  devices: z.array(
    z.object({
      device: z.string(),
      name: z.string(),
      kind: z.optional(z.enum(["client", "page"])),
      applied: z.object({ epoch: z.string(), seq: z.number() }),
      settled: z.optional(z.boolean()),
      problems: z.optional(z.number()),
      held: z.optional(
        z.object({
          id: z.string(),
          direction: z.enum(["up", "down"]),
          reason: z.string(),
          count: z.number(),
          examples: z.optional(z.array(z.string())),
          answers: z.optional(z.array(z.enum(HELD_ANSWERS))),
        }),
      ),
      paused: z.optional(z.object({ until: z.optional(z.string()) })),
      /** It was asked for these and has not done them yet. */
      orders: z.optional(
        z.array(
          z.object({
            id: z.string(),
            order: z.object({ kind: z.enum(ORDER_KINDS), until: z.optional(z.string()) }),
          }),
        ),
      ),
      seenTime: z.string(),
    }),
  ),
  next: z.optional(z.string()),
});
export type Device = z.infer<typeof devicesSchema>["devices"][number];
export type Held = NonNullable<Device["held"]>;

/** GET usage: what lives in the folder, and what the server's disk holds for all. */
export const usageSchema = z.object({
  files: z.number(),
  bytes: z.number(),
  quotaBytes: z.optional(z.number()),
  storeBytes: z.optional(z.number()),
  roomBytes: z.optional(z.number()),
});
export type Usage = z.infer<typeof usageSchema>;

export const resultsSchema = z.object({
  results: z.array(
    z.discriminatedUnion("status", [
      z.object({ status: z.literal("accepted"), seqs: z.array(z.number()) }),
      z.object({ status: z.literal("refused"), code: z.string(), detail: z.string() }),
    ]),
  ),
});
export type GroupResult = z.infer<typeof resultsSchema>["results"][number];

export const problemSchema = z.object({
  code: z.string(),
  detail: z.optional(z.string()),
  title: z.optional(z.string()),
  request_id: z.optional(z.string()),
  /** How much of the history can be looked at, while it is being made. */
  indexed: z.optional(z.number()),
  head: z.optional(z.number()),
});
