/**
 * The reads of PostgresMetadataStore. Each is one statement, and so sees one moment. $1 is the
 * folder's row.
 *
 * Look-ups by key are `LATERAL` with `LIMIT` or `OFFSET 0`: joined otherwise, a planner without
 * statistics may read whole tables. Where a recursion begins there is an `unnest`, which counts as
 * 10 rows, and JSON as 100: with that, each plan would seem worth compiling, which takes 30 ms.
 */

export const FOLDER_BY_NAME = "SELECT * FROM synced.folders WHERE name = $1";
export const HEAD = `
SELECT seq, hash FROM synced.events WHERE folder = $1 ORDER BY seq DESC LIMIT 1`;
export const FOLDERS_AFTER = `
SELECT f.*, head.seq, head.hash FROM synced.folders AS f LEFT JOIN LATERAL (
  SELECT seq, hash FROM synced.events WHERE folder = f.id ORDER BY seq DESC LIMIT 1
) AS head ON true
WHERE f.name > $1 ORDER BY f.name LIMIT $2`;

/**
 * Everything that a commit needs, as JSON, in one row. $2 is a `LoadRequest` as JSON, $3 one more
 * than the number of its nodes.
 */
export const LOAD = `
WITH RECURSIVE head AS (
  SELECT seq, hash, time FROM synced.events WHERE folder = $1 ORDER BY seq DESC LIMIT 1
), wanted AS (SELECT $2::text::json AS j),
asked AS (
  SELECT n.* FROM unnest(ARRAY(
    SELECT json_array_elements_text(j->'nodes') FROM wanted
  )) AS w (id), LATERAL (
    SELECT * FROM synced.nodes WHERE folder = $1 AND id = w.id::bytea LIMIT 1
  ) AS n
  UNION
  SELECT n.* FROM unnest(ARRAY(SELECT json_array_elements(j->'places') FROM wanted)) AS w (place),
  LATERAL (
    SELECT * FROM synced.nodes WHERE parent = (w.place->>'parent')::bytea AND folder = $1
      AND live_name = w.place->>'name' LIMIT 1
  ) AS n
), upwards AS (
  SELECT * FROM asked
  UNION
  SELECT n.* FROM upwards AS u, LATERAL (
    SELECT * FROM synced.nodes WHERE folder = $1 AND id = u.parent LIMIT 1
  ) AS n
)
SELECT (SELECT seq FROM head) AS seq, (SELECT hash FROM head) AS hash,
  (SELECT time FROM head) AS time,
  (SELECT json_agg(u) FROM upwards AS u) AS nodes,
  (SELECT json_agg(json_build_object('id', d.id, 'count', (
    SELECT count(*) FROM (SELECT 1 FROM synced.nodes
      WHERE parent = d.id::bytea AND folder = $1 AND live_name IS NOT NULL LIMIT $3::bigint) AS c
  ))) FROM wanted, json_array_elements_text(j->'deleted') AS d (id)) AS counts,
  (SELECT json_agg(o) FROM wanted, json_to_recordset(j->'ops') AS w (device bytea, op bytea),
    LATERAL (
      SELECT seq, body, w.device, w.op FROM synced.events
      WHERE op = w.op AND device = w.device AND folder = $1 LIMIT 1
    ) AS o) AS ops,
  (SELECT json_agg(o) FROM wanted, json_array_elements_text(j->'objects') AS w (digest), LATERAL (
    SELECT digest, depth, size FROM synced.folder_objects
    WHERE folder = $1 AND digest = w.digest::bytea OFFSET 0
  ) AS o) AS objects,
  (SELECT json_agg(e) FROM wanted, json_array_elements_text(j->'cursors') AS w (seq), LATERAL (
    SELECT seq, hash FROM synced.events WHERE folder = $1 AND seq = w.seq::bigint LIMIT 1
  ) AS e) AS hashes`;

/** $2: the directories' ids as JSON. Below one of these, the others are not entered. */
export const SUBTREES = `
WITH RECURSIVE tops AS (
  SELECT DISTINCT id::bytea AS id
  FROM unnest(ARRAY(SELECT json_array_elements_text($2::text::json))) AS w (id)
), walk AS (
  SELECT id AS top, id, 0 AS depth, 0 AS bytes, 1 AS content_kind FROM tops
  UNION ALL
  SELECT w.top, n.id, w.depth + 1, w.bytes + 1 + octet_length(n.name), n.content_kind
  FROM walk AS w, LATERAL (
    SELECT id, name, content_kind FROM synced.nodes
    WHERE parent = w.id AND folder = $1 AND live_name IS NOT NULL OFFSET 0
  ) AS n
  WHERE w.content_kind = 1 AND n.id NOT IN (SELECT id FROM tops)
)
SELECT top, max(depth) AS depth, max(bytes) AS bytes FROM walk GROUP BY top`;

/** $2: after which seq; $3: how many; $4: 1 if a group may be split. */
export const EVENTS_AFTER = `
WITH head AS (
  SELECT seq, hash FROM synced.events WHERE folder = $1 ORDER BY seq DESC LIMIT 1
), last AS (
  SELECT CASE WHEN $4::integer = 1 THEN $2::bigint + $3::bigint ELSE coalesce((
    SELECT seq FROM synced.events WHERE folder = $1 AND seq >= $2::bigint + $3::bigint
      AND group_end = 1 ORDER BY seq LIMIT 1
  ), (SELECT seq FROM head)) END AS seq
)
SELECT head.seq AS head_seq, head.hash AS head_hash, before.hash AS hash_before, e.*
FROM (VALUES (1)) AS one (n) LEFT JOIN head ON true
LEFT JOIN LATERAL (
  SELECT hash FROM synced.events WHERE folder = $1 AND seq = $2::bigint LIMIT 1
) AS before ON true
LEFT JOIN LATERAL (
  SELECT * FROM synced.events WHERE folder = $1 AND seq > $2::bigint
    AND seq <= (SELECT seq FROM last) ORDER BY seq OFFSET 0
) AS e ON true
ORDER BY e.seq`;

const AFTER_ITS_PREVIOUS = `
SELECT e.*, (SELECT hash FROM synced.events AS p WHERE p.folder = e.folder AND p.seq = e.seq - 1)
AS previous_hash FROM synced.events AS e`;
/** $2: seqs as JSON. */
export const EVENTS_AT = `
SELECT e.* FROM json_array_elements_text($2::text::json) WITH ORDINALITY AS w (seq, turn), LATERAL (
  ${AFTER_ITS_PREVIOUS} WHERE folder = $1 AND seq = w.seq::bigint LIMIT 1
) AS e ORDER BY w.turn`;
export const EVENTS_BEFORE = `
${AFTER_ITS_PREVIOUS} WHERE folder = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3`;
export const CONFLICT_EVENTS = `
${AFTER_ITS_PREVIOUS} WHERE folder = $1 AND conflict_node IS NOT NULL AND seq > $2
ORDER BY seq LIMIT $3`;
export const HASH_AT = "SELECT hash FROM synced.events WHERE folder = $1 AND seq = $2";
export const NODE_HISTORY = `
${AFTER_ITS_PREVIOUS} WHERE node = $2 AND folder = $1 AND seq < $3 ORDER BY seq DESC LIMIT $4`;
/**
 * $2, $3: the place; $4: before which seq; $5: how many. The second half are the moves by which
 * nodes left; within a group one may arrive before its predecessor leaves, so the first half reads
 * one event more.
 */
export const PLACE_HISTORY = `
WITH here AS (
  ${AFTER_ITS_PREVIOUS} WHERE parent = $2 AND folder = $1 AND name = $3 AND seq < $4
  ORDER BY seq DESC LIMIT $5::bigint + 1
)
SELECT * FROM (
  SELECT * FROM here
  UNION ALL
  SELECT next.* FROM here AS h, LATERAL (
    ${AFTER_ITS_PREVIOUS} WHERE node = h.node AND folder = $1 AND seq > h.seq ORDER BY seq LIMIT 1
  ) AS next
  WHERE next.kind = 'move' AND NOT (next.parent = $2 AND next.name = $3) AND next.seq < $4
) AS found
ORDER BY seq DESC LIMIT $5::bigint`;

export const NODE_NOW = "SELECT * FROM synced.nodes WHERE folder = $1 AND id = $2";
export const NODE_AT = `
SELECT * FROM synced.events WHERE node = $2 AND folder = $1 AND seq <= $3
ORDER BY seq DESC LIMIT 1`;
export const CHILD_NOW = `
SELECT * FROM synced.nodes WHERE parent = $2 AND folder = $1 AND live_name = $3`;
export const CHILDREN_NOW = `
SELECT * FROM synced.nodes WHERE parent = $2 AND folder = $1 AND live_name > $3
ORDER BY live_name LIMIT $4`;
/** True if the node has no later event up to the seq, so the event has the node's state of then. */
const STILL_SO = `e.kind <> 'delete' AND NOT EXISTS (SELECT 1 FROM synced.events AS later
WHERE later.node = e.node AND later.folder = e.folder AND later.seq > e.seq AND later.seq <= $4)`;
export const CHILD_AT = `
SELECT * FROM synced.events AS e WHERE parent = $2 AND folder = $1 AND name = $3 AND seq <= $4
AND ${STILL_SO} ORDER BY seq DESC LIMIT 1`;
export const CHILDREN_AT = `
SELECT * FROM synced.events AS e WHERE parent = $2 AND folder = $1 AND name > $3 AND seq <= $4
AND ${STILL_SO} ORDER BY name LIMIT $5`;
/** $2: after which id; $3: 1 with tombstones; $4: how many. */
export const NODES_AFTER = `
SELECT head.seq AS head_seq, head.hash AS head_hash, n.*
FROM (VALUES (1)) AS one (n)
LEFT JOIN LATERAL (
  SELECT seq, hash FROM synced.events WHERE folder = $1 ORDER BY seq DESC LIMIT 1
) AS head ON true
LEFT JOIN LATERAL (
  SELECT * FROM synced.nodes WHERE folder = $1 AND id > $2 AND deleted <= $3 ORDER BY id LIMIT $4
) AS n ON true
ORDER BY n.id`;
/** Kept before gone, then the newest. */
export const CONTENT_BY_SHA256 = `
SELECT * FROM synced.events WHERE sha256 = $2 AND folder = $1
ORDER BY gone, seq DESC LIMIT 1`;

/** $2: digests as JSON. */
export const KNOWN = `
SELECT o.* FROM json_array_elements_text($2::text::json) AS w (digest), LATERAL (
  SELECT digest, depth, size FROM synced.folder_objects
  WHERE folder = $1 AND digest = w.digest::bytea OFFSET 0
) AS o`;
export const OBJECTS_AFTER = `
SELECT digest, depth, size FROM synced.folder_objects
WHERE folder = $1 AND (digest, depth) > ($2, $3)
ORDER BY digest, depth LIMIT $4`;
export const DEVICES_AFTER = `
SELECT * FROM synced.devices WHERE folder = $1 AND device > $2 ORDER BY device LIMIT $3`;
export const USAGE = `
SELECT coalesce(head.seq, 0) AS seq, u.* FROM (VALUES (1)) AS one (n)
LEFT JOIN LATERAL (
  SELECT seq FROM synced.events WHERE folder = $1 ORDER BY seq DESC LIMIT 1
) AS head ON true
LEFT JOIN LATERAL (
  SELECT content_kind, count(*) AS count, coalesce(sum(size), 0)::bigint AS bytes
  FROM synced.nodes WHERE folder = $1 AND deleted = 0 GROUP BY content_kind
) AS u ON true`;

export const FORMER_NAMES = `
SELECT former_names.name AS former, folders.name AS name
FROM synced.former_names LEFT JOIN synced.folders ON folders.id = former_names.folder`;
