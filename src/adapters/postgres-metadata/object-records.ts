/**
 * ObjectRecords in PostgreSQL. Rules: U1-U4, O6, I36, P4.
 *
 * Who relies on objects compares the version under a shared lock of the row that has it. Who
 * forgets, condemns or absolves takes that row for itself first, looks in a second statement (which
 * sees all that was committed until then), and changes the version. So if the version is still the
 * same, what was read under it is true.
 */
import type { Digest } from "../../core/digest.ts";
import type { FolderName } from "../../core/identifier.ts";
import { DELETIONS_KEPT_VERSIONS, TOUCH_INTERVAL_MS } from "../../core/limits.ts";
import type {
  Forgetting,
  KnownObject,
  ManifestPageRequest,
  ObjectPlace,
  ObjectRecording,
  ObjectRecords,
  RecordedManifest,
} from "../../ports/object-records.ts";
import { hex, integer, toBlob, toKnownObject } from "../metadata/rows.ts";
import type { PostgresPool } from "./pool.ts";
import { bytea } from "./writes.ts";

const LOCK = "SELECT FROM synced.server FOR UPDATE";

/** $2: the version; $3: digests, depths and sizes as JSON; $4: the time; $5: 1 with manifests. */
const RECORD = `
WITH same AS (
  SELECT s.singleton FROM synced.server AS s WHERE s.objects_version = $2 FOR SHARE
), turn AS (
  UPDATE synced.turns AS t SET turn = t.turn + 1 FROM same WHERE $5::integer = 1 RETURNING t.turn
), made AS (
  INSERT INTO synced.folder_objects
  SELECT $1, o.digest, o.depth, o.size, $4,
    CASE WHEN o.depth > 0 THEN (SELECT turn FROM turn) ELSE 0 END
  FROM same, json_to_recordset($3::text::json) AS o (digest bytea, depth smallint, size bigint)
  ON CONFLICT (folder, digest, depth) DO UPDATE
  SET touched = greatest(synced.folder_objects.touched, excluded.touched)
)
SELECT count(*) AS count FROM same`;

/** $2: the objects, $3: the children, as JSON; $4: the version that the caller relies on. */
const JUDGE = `
SELECT objects_version AS version,
  (objects_version = $4 OR NOT EXISTS (
    SELECT FROM json_to_recordset($3::text::json) AS w (digest bytea, depth smallint)
    WHERE NOT EXISTS (
      SELECT FROM synced.folder_objects AS o
      WHERE o.folder = $1 AND o.digest = w.digest AND o.depth = w.depth
    )
  ))::integer AS knows_all,
  (deletions_from > $4 OR EXISTS (
    SELECT FROM json_to_recordset($2::text::json) AS w (digest bytea), synced.condemned AS c
    WHERE c.digest = w.digest AND (c.deleted_at IS NULL OR c.deleted_at > $4)
  ))::integer AS is_deleted
FROM synced.server`;

const TOUCH = `
WITH old AS (
  SELECT digest, depth FROM synced.folder_objects
  WHERE folder = $1 AND touched < $3
    AND digest IN (SELECT d::bytea FROM json_array_elements_text($2::text::json) AS w (d))
  ORDER BY digest, depth FOR UPDATE
)
UPDATE synced.folder_objects AS o SET touched = $4 FROM old
WHERE o.folder = $1 AND o.digest = old.digest AND o.depth = old.depth`;

const MANIFESTS = `
SELECT digest, depth, size, turn FROM synced.folder_objects
WHERE folder = $1 AND depth = $2 AND depth > 0 AND (turn, digest) > ($3, $4)
ORDER BY turn, digest LIMIT $5`;

const UNKNOWN = `
SELECT w.d::bytea AS digest FROM json_array_elements_text($1::text::json) AS w (d)
WHERE NOT EXISTS (
  SELECT FROM synced.folders AS f, LATERAL (
    SELECT FROM synced.folder_objects WHERE folder = f.id AND digest = w.d::bytea LIMIT 1
  ) AS o
) ORDER BY digest`;

/** @param rowOf finds a folder's row. It throws `folder_not_found` */
export function postgresObjectRecords(
  pool: PostgresPool,
  rowOf: (name: FolderName) => Promise<number>,
): ObjectRecords {
  return new PostgresObjectRecords(pool, rowOf);
}

class PostgresObjectRecords implements ObjectRecords {
  readonly #pool: PostgresPool;
  readonly #rowOf: (name: FolderName) => Promise<number>;

  constructor(pool: PostgresPool, rowOf: (name: FolderName) => Promise<number>) {
    this.#pool = pool;
    this.#rowOf = rowOf;
  }

  async version(): Promise<number> {
    const [row] = await this.#pool.read("SELECT objects_version AS version FROM synced.server");
    return row === undefined ? 0 : integer(row, "version");
  }

  async record(
    name: FolderName,
    { version, objects, children, timeMs }: ObjectRecording,
  ): Promise<"recorded" | "objects_moved"> {
    const folder = await this.#rowOf(name);
    const sorted = jsonOf(objects);
    const hasManifests = objects.some(({ depth }) => depth > 0) ? 1 : 0;
    for (;;) {
      const [state] = await this.#pool.read(JUDGE, folder, sorted, jsonOf(children), version);
      if (state === undefined || integer(state, "is_deleted") === 1) return "objects_moved";
      if (integer(state, "knows_all") !== 1) return "objects_moved";
      const now = integer(state, "version");
      const values = [now, sorted, Math.floor(timeMs), hasManifests] as const;
      const [made] = await this.#pool.write(RECORD, folder, ...values);
      if (made !== undefined && integer(made, "count") === 1) return "recorded";
    }
  }

  async touch(name: FolderName, digests: readonly Digest[], timeMs: number): Promise<void> {
    const folder = await this.#rowOf(name);
    if (digests.length === 0) return;
    const now = Math.floor(timeMs);
    const wanted = JSON.stringify(digests.map(bytea));
    await this.#pool.write(TOUCH, folder, wanted, now - TOUCH_INTERVAL_MS, now);
  }

  async manifests(
    name: FolderName,
    { depth, after, limit }: ManifestPageRequest,
  ): Promise<readonly RecordedManifest[]> {
    const folder = await this.#rowOf(name);
    const from = [after?.turn ?? -1, toBlob(after?.digest ?? "")] as const;
    const rows = await this.#pool.read(MANIFESTS, folder, depth, ...from, limit);
    return rows.map((row) => ({ ...toKnownObject(row), turn: integer(row, "turn") }));
  }

  async unnamed(name: FolderName, forgetting: Forgetting): Promise<readonly KnownObject[]> {
    const folder = await this.#rowOf(name);
    if (forgetting.objects.length === 0) return [];
    const rows = await this.#pool.read(unnamedSql(folder, forgetting));
    return rows.map(toKnownObject);
  }

  async forget(
    name: FolderName,
    forgetting: Forgetting,
  ): Promise<readonly KnownObject[] | "manifests_added"> {
    const folder = await this.#rowOf(name);
    const [first] = forgetting.objects;
    if (first === undefined) return [];
    const later = `
      SELECT FROM synced.folder_objects WHERE folder = ${folder} AND depth = ${first.depth + 1}
        AND depth > 0 AND turn > ${forgetting.turn}`;
    const [, added, gone] = await this.#pool.transaction(
      LOCK,
      later,
      `WITH old AS (
        ${unnamedSql(folder, forgetting)}
      ), gone AS (
        DELETE FROM synced.folder_objects AS o USING old
        WHERE NOT EXISTS (${later}) AND o.folder = ${folder}
          AND o.digest = old.digest AND o.depth = old.depth
        RETURNING o.digest, o.depth, o.size
      ), changed AS (
        UPDATE synced.server SET objects_version = objects_version + 1
        WHERE EXISTS (SELECT FROM gone)
      )
      SELECT * FROM gone`,
    );
    if (added !== undefined && added.length > 0) return "manifests_added";
    return (gone ?? []).map(toKnownObject);
  }

  async unknown(digests: readonly Digest[]): Promise<readonly Digest[]> {
    const rows = await this.#pool.read(UNKNOWN, JSON.stringify(digests.map(bytea)));
    return rows.map((row) => hex(row, "digest"));
  }

  async condemn(digests: readonly Digest[]): Promise<readonly Digest[]> {
    if (digests.length === 0) return [];
    const unknown = UNKNOWN.replace("$1", literal(JSON.stringify(digests.map(bytea))));
    const [, found] = await this.#pool.transaction(
      LOCK,
      `WITH found AS (${unknown}), noted AS (
        INSERT INTO synced.condemned (digest) SELECT digest FROM found
        ON CONFLICT (digest) DO UPDATE SET deleted_at = NULL
      ), changed AS (
        UPDATE synced.server SET objects_version = objects_version + 1
        WHERE EXISTS (SELECT FROM found)
      )
      SELECT digest FROM found`,
    );
    return (found ?? []).map((row) => hex(row, "digest"));
  }

  async condemned(limit: number): Promise<readonly Digest[]> {
    const sql = `
      SELECT digest FROM synced.condemned WHERE deleted_at IS NULL ORDER BY digest LIMIT $1`;
    return (await this.#pool.read(sql, limit)).map((row) => hex(row, "digest"));
  }

  async absolve(digests: readonly Digest[]): Promise<void> {
    if (digests.length === 0) return;
    const wanted = literal(JSON.stringify(digests.map(bytea)));
    await this.#pool.transaction(
      LOCK,
      `UPDATE synced.server SET objects_version = objects_version + 1,
        deletions_from = greatest(deletions_from, objects_version - ${DELETIONS_KEPT_VERSIONS})`,
      `UPDATE synced.condemned SET deleted_at = (SELECT objects_version FROM synced.server)
        WHERE digest IN (SELECT d::bytea FROM json_array_elements_text(${wanted}::json) AS w (d))`,
      `DELETE FROM synced.condemned
        WHERE deleted_at <= (SELECT deletions_from FROM synced.server)`,
    );
  }
}

/** Which of the objects no event names, and are not young. They are the folder's only if it has them. */
function unnamedSql(folder: number, { objects, untilMs }: Forgetting): string {
  return `
    SELECT w.digest, w.depth, w.size
    FROM json_to_recordset(${literal(jsonOf(objects))}::json)
      AS w (digest bytea, depth smallint, size bigint)
    WHERE NOT EXISTS (
      SELECT FROM synced.folder_objects AS o WHERE o.folder = ${folder}
        AND o.digest = w.digest AND o.depth = w.depth AND o.touched >= ${Math.floor(untilMs)}
    ) AND CASE WHEN w.depth = 0 THEN NOT EXISTS (
      SELECT FROM synced.events WHERE sha256 = w.digest AND folder = ${folder} AND gone = 0
    ) ELSE NOT EXISTS (
      SELECT FROM synced.events WHERE manifest = w.digest AND folder = ${folder} AND gone = 0
    ) END
    ORDER BY w.digest, w.depth`;
}

/** In the order of the key, so that two who write the same rows do not wait for each other. */
function jsonOf(objects: readonly (ObjectPlace & { readonly size?: number })[]): string {
  const sorted = objects.toSorted((a, b) =>
    a.digest === b.digest ? a.depth - b.depth : a.digest < b.digest ? -1 : 1,
  );
  return JSON.stringify(sorted.map(({ digest, ...rest }) => ({ digest: bytea(digest), ...rest })));
}

/** A text of hex, numbers and JSON's marks: it has no quote. */
function literal(json: string): string {
  return `E'${json.replaceAll("\\", "\\\\")}'`;
}
