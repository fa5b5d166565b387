/** The statements of a bucket's index. Rules: P3, P7. */

/** Milliseconds by PostgreSQL's clock, so that it does not matter whose process asks. */
const NOW = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

const GIVEN = "json_array_elements_text($1::text::json) AS w (d)";
const IS_DAMAGED = "SELECT FROM synced.damage AS x WHERE x.healed IS NULL AND x.digest =";

/** $1: digests as JSON. @returns those whose bytes are wanted */
export const WANTED = `
SELECT w.d::bytea AS digest FROM ${GIVEN}
WHERE NOT EXISTS (SELECT FROM synced.objects AS o WHERE o.digest = w.d::bytea)
  OR EXISTS (${IS_DAMAGED} w.d::bytea)`;

/** $1: digests and bytes as JSON. */
export const PUT_WAITING = `
WITH given AS (
  SELECT digest, bytes FROM json_to_recordset($1::text::json) AS g (digest bytea, bytes bytea)
), stored AS (
  INSERT INTO synced.objects (digest, size, bytes)
  SELECT digest, octet_length(bytes), bytes FROM given ORDER BY digest
  ON CONFLICT (digest) DO UPDATE SET segment = NULL, at = NULL, bytes = excluded.bytes
  WHERE EXISTS (${IS_DAMAGED} excluded.digest)
)
UPDATE synced.damage AS x SET healed = ${NOW} FROM given
WHERE x.digest = given.digest AND x.healed IS NULL`;

/** $1: the id; $2: the bytes of its objects. */
export const BEGIN_SEGMENT = `
INSERT INTO synced.segments (id, bytes, state, since) VALUES ($1, $2, 0, ${NOW})`;

const READY = `
ready AS (
  UPDATE synced.segments SET state = 1, since = ${NOW} WHERE id = $1 AND state = 0 RETURNING id
), given AS (
  SELECT digest, at, size
  FROM json_to_recordset($2::text::json) AS g (digest bytea, at integer, size integer)
)`;

/** $1: the id; $2: digests, places and sizes as JSON. @returns 0 if it was swept meanwhile */
export const END_SEGMENT = `
WITH ${READY}, stored AS (
  INSERT INTO synced.objects (digest, size, segment, at)
  SELECT given.digest, given.size, ready.id, given.at FROM given, ready ORDER BY given.digest
  ON CONFLICT (digest) DO UPDATE SET segment = excluded.segment, at = excluded.at, bytes = NULL
  WHERE EXISTS (${IS_DAMAGED} excluded.digest)
), healed AS (
  UPDATE synced.damage AS x SET healed = ${NOW} FROM given, ready
  WHERE x.digest = given.digest AND x.healed IS NULL
)
SELECT count(*) AS count FROM ready`;

/** As END_SEGMENT, for objects that are there; $3: the segment that they leave, or null. */
export const END_MOVE = `
WITH ${READY}, moved AS (
  UPDATE synced.objects AS o SET segment = ready.id, at = given.at, bytes = NULL
  FROM given, ready
  WHERE o.digest = given.digest AND o.segment IS NOT DISTINCT FROM $3::bytea
)
SELECT count(*) AS count FROM ready`;

export const LOCATE = `
SELECT o.size, o.segment, o.at, o.bytes, EXISTS (${IS_DAMAGED} o.digest)::integer AS damaged
FROM synced.objects AS o WHERE o.digest = $1`;

export const LIST = `
SELECT digest FROM synced.objects WHERE digest > $1 ORDER BY digest LIMIT $2`;

/**
 * $1: digests as JSON. Another server may have deleted one, and a device sent it again since: it is
 * not condemned any more then.
 */
export const DELETE = `
WITH old AS (
  SELECT o.digest FROM synced.objects AS o WHERE o.digest IN (SELECT w.d::bytea FROM ${GIVEN})
    AND EXISTS (
      SELECT FROM synced.condemned AS c WHERE c.digest = o.digest AND c.deleted_at IS NULL
    )
  ORDER BY o.digest FOR UPDATE OF o
), gone AS (
  DELETE FROM synced.objects AS o USING old WHERE o.digest = old.digest RETURNING o.size
), forgotten AS (
  DELETE FROM synced.damage WHERE digest IN (SELECT w.d::bytea FROM ${GIVEN})
)
SELECT coalesce(sum(size), 0)::bigint AS bytes FROM gone`;

export const USAGE = `
SELECT (
  (SELECT coalesce(sum(bytes), 0) FROM synced.segments WHERE state = 1)
  + (SELECT coalesce(sum(size), 0) FROM synced.objects WHERE segment IS NULL)
)::bigint AS bytes`;

export const NOTE_DAMAGE = `
INSERT INTO synced.damage AS x (digest, found) VALUES ($1, ${NOW})
ON CONFLICT (digest) DO UPDATE SET found = excluded.found, healed = NULL
WHERE x.healed IS NOT NULL`;

export const HEAL = `
UPDATE synced.damage SET healed = ${NOW} WHERE digest = $1 AND healed IS NULL`;

export const DAMAGE = "SELECT digest, found, healed FROM synced.damage ORDER BY digest";

/** $1: how long what was healed is known. */
export const FORGET_HEALED = `DELETE FROM synced.damage WHERE healed < ${NOW} - $1::bigint`;

/** $1: how many. */
export const WAITING = `
SELECT digest, size, bytes FROM synced.objects WHERE segment IS NULL ORDER BY digest LIMIT $1`;

export const WAITING_BYTES = `
SELECT coalesce(sum(size), 0)::bigint AS bytes FROM synced.objects WHERE segment IS NULL`;

/** Segments of which less than half is in use, and how much. */
export const SPARSE = `
SELECT s.id, coalesce(sum(o.size), 0)::bigint AS used
FROM synced.segments AS s LEFT JOIN synced.objects AS o ON o.segment = s.id
WHERE s.state = 1 GROUP BY s.id, s.bytes HAVING coalesce(sum(o.size), 0)::bigint * 2 < s.bytes`;

export const IN_SEGMENT = `
SELECT digest, size, at FROM synced.objects WHERE segment = $1 ORDER BY at`;

export const CONDEMN = `
UPDATE synced.segments AS s SET state = 2, since = ${NOW}
WHERE s.id = $1 AND s.state = 1
  AND NOT EXISTS (SELECT FROM synced.objects AS o WHERE o.segment = s.id)`;

/** $1: how long an upload may take. One that ends afterwards finds no segment that waits for it. */
export const ABANDON = `
UPDATE synced.segments SET state = 2, since = ${NOW}
WHERE state = 0 AND since < ${NOW} - $1::bigint`;

/** $1: how long a condemned segment is kept. */
export const DUE = `
SELECT id FROM synced.segments WHERE state = 2 AND since < ${NOW} - $1::bigint`;

export const FORGET_SEGMENT = "DELETE FROM synced.segments WHERE id = $1 AND state = 2";

export const HAS_OBJECTS = `
SELECT (EXISTS (SELECT FROM synced.objects) OR EXISTS (SELECT FROM synced.segments))::integer
  AS found`;
