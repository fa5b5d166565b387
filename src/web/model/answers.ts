/**
 * The server's answers that no other schema describes, as far as the page reads them. Those about
 * the past are in `protocol/time-answers.ts`.
 */
import { z } from "zod";
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
  from: z.string().optional(),
  content: z.object({
    kind: z.enum(["file", "directory", "symlink"]),
    size: z.number().optional(),
    sha256: z.string().optional(),
    mtimeNs: z.string().optional(),
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
      kind: z.enum(["client", "page"]).optional(),
      applied: z.object({ epoch: z.string(), seq: z.number() }),
      settled: z.boolean().optional(),
      problems: z.number().optional(),
      held: z
        .object({
          id: z.string(),
          direction: z.enum(["up", "down"]),
          reason: z.string(),
          count: z.number(),
          examples: z.array(z.string()).optional(),
          answers: z.array(z.enum(HELD_ANSWERS)).optional(),
        })
        .optional(),
      paused: z.object({ until: z.string().optional() }).optional(),
      /** It was asked for these and has not done them yet. */
      orders: z
        .array(
          z.object({
            id: z.string(),
            order: z.object({ kind: z.enum(ORDER_KINDS), until: z.string().optional() }),
          }),
        )
        .optional(),
      seenTime: z.string(),
    }),
  ),
  next: z.string().optional(),
});
export type Device = z.infer<typeof devicesSchema>["devices"][number];
export type Held = NonNullable<Device["held"]>;

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
  detail: z.string().optional(),
  title: z.string().optional(),
  request_id: z.string().optional(),
  /** How much of the history can be looked at, while it is being made. */
  indexed: z.number().optional(),
  head: z.number().optional(),
});
