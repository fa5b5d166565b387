/**
 * The writes of PostgresMetadataStore. Rules: L1, O1, P2. Each is one statement, and so a
 * transaction; rows are written in the order of their keys.
 */
import type { Append, EventRecord, PruneRequest } from "../../ports/metadata-store.ts";
import { eventValues, nodeValues } from "../metadata/rows.ts";
import { EVENT_COLUMNS, NODE_COLUMNS } from "./schema.ts";

/**
 * The key (folder, seq) is the compare-and-set: of all who saw event $2 with hash $3 as the last,
 * one inserts the next. The others wait for it, and insert nothing. The lock on `server` is what a
 * change of the objects' version waits for; after that change nothing is inserted.
 *
 * All else hangs on the first event. If each row looked after itself, the longer one of two would
 * leave a gap.
 *
 * $4: the objects' version; $5, $6, $7: the first event, the others and the nodes, as JSON.
 */
export const APPEND = `
WITH follows AS (
  SELECT f.id FROM synced.folders AS f, synced.server AS s
  WHERE f.id = $1 AND s.objects_version = $4 AND (
    ($2::bigint = 0 AND f.genesis = $3)
    OR EXISTS (SELECT FROM synced.events WHERE folder = $1 AND seq = $2::bigint AND hash = $3)
  ) FOR SHARE OF s
), first AS (
  INSERT INTO synced.events SELECT e.* FROM follows,
    json_populate_recordset(NULL::synced.events, $5::text::json) AS e
  ON CONFLICT DO NOTHING RETURNING folder
), rest AS (
  INSERT INTO synced.events SELECT e.* FROM first,
    json_populate_recordset(NULL::synced.events, $6::text::json) AS e
), nodes AS (
  INSERT INTO synced.nodes (${NODE_COLUMNS.join(", ")})
  SELECT ${NODE_COLUMNS.map((column) => `n.${column}`).join(", ")}
  FROM first, json_populate_recordset(NULL::synced.nodes, $7::text::json) AS n
  ON CONFLICT (folder, id) DO UPDATE SET
  ${NODE_COLUMNS.slice(2)
    .map((column) => `${column} = excluded.${column}`)
    .join(", ")}
)
SELECT count(*) AS count FROM first`;

/** Of a folder, before an append that did nothing is judged. $2: digests and depths as JSON. */
export const STATE = `
SELECT s.objects_version AS version, coalesce(head.seq, 0) AS seq, head.hash, (NOT EXISTS (
  SELECT FROM json_to_recordset($2::text::json) AS w (digest bytea, depth smallint)
  WHERE NOT EXISTS (
    SELECT FROM synced.folder_objects AS o
    WHERE o.folder = $1 AND o.digest = w.digest AND o.depth = w.depth
  )
))::integer AS knows_all
FROM synced.server AS s LEFT JOIN LATERAL (
  SELECT seq, hash FROM synced.events WHERE folder = $1 ORDER BY seq DESC LIMIT 1
) AS head ON true`;

export const INSERT_FOLDER = `
INSERT INTO synced.folders
  (name, epoch, genesis, chunk_min, chunk_average, chunk_max, name_bytes_max)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING RETURNING id`;

export const PUT_DEVICE = `
INSERT INTO synced.devices VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (folder, device) DO UPDATE SET name = excluded.name, epoch = excluded.epoch,
  seq = excluded.seq, hash = excluded.hash, seen_time = excluded.seen_time, state = excluded.state`;

/**
 * An event that brings or deletes a content ends the version before it: of the event that brought
 * that, and of all moves since. A tombstone carries the content that it ended.
 *
 * $2: before which time; $3: how many events are looked at.
 */
export const PRUNE = `
WITH next AS (
  SELECT seq, time, kind, node, base_content FROM synced.events
  WHERE folder = $1 AND seq > (SELECT pruned FROM synced.folders WHERE id = $1)
  ORDER BY seq LIMIT $3
), old AS (
  SELECT * FROM next WHERE NOT EXISTS (
    SELECT FROM next AS young WHERE young.time >= $2 AND young.seq <= next.seq
  )
), ended AS (
  SELECT seq, node, base_content AS since,
    CASE kind WHEN 'delete' THEN seq ELSE seq - 1 END AS until
  FROM old WHERE kind <> 'move' AND base_content > 0
), hits AS (
  SELECT e.seq, min(ended.seq) AS by FROM ended, LATERAL (
    SELECT seq FROM synced.events WHERE node = ended.node AND folder = $1
      AND seq BETWEEN ended.since AND ended.until AND size > 0 AND gone = 0 OFFSET 0
  ) AS e GROUP BY e.seq
), marked AS (
  UPDATE synced.events AS e SET gone = 1 FROM hits WHERE e.folder = $1 AND e.seq = hits.seq
), judged AS (
  UPDATE synced.folders SET pruned = (SELECT max(seq) FROM old)
  WHERE id = $1 AND EXISTS (SELECT FROM old)
)
SELECT (SELECT count(DISTINCT by) FROM hits) AS versions, (SELECT count(*) FROM old) AS looked`;

/** The parameters of APPEND, without the folder's and the version's. */
export function appendRows(folder: number, { events, nodes }: Append): readonly [...string[]] {
  const [first, ...rest] = events.map((record) => eventRow(folder, record));
  const sorted = nodes.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const rows = sorted.map((node) => jsonRow(NODE_COLUMNS, nodeValues(folder, node)));
  return [[first], rest, rows].map((part) => JSON.stringify(part));
}

/** The parameters of PRUNE, without the folder's. */
export function pruneValues({ before, limit }: PruneRequest): readonly [string, number] {
  return [before, limit];
}

/** Hex as PostgreSQL reads a bytea from text. */
export function bytea(hex: string): string {
  return `\\x${hex}`;
}

function eventRow(folder: number, record: EventRecord): Readonly<Record<string, unknown>> {
  return { ...jsonRow(EVENT_COLUMNS, eventValues(folder, record)), gone: 0 };
}

function jsonRow(
  columns: readonly string[],
  values: readonly unknown[],
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    columns.map((column, index) => {
      const value = values[index];
      return [column, value instanceof Uint8Array ? bytea(value.toHex()) : value];
    }),
  );
}
