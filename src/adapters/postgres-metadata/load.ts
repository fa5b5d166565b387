/** Reads the row of JSON with all that a commit needs. Rules: O1-O6. */
import type { Digest } from "../../core/digest.ts";
import type { Sequence } from "../../core/node.ts";
import type { FolderRecord, Loaded, LoadRequest } from "../../ports/metadata-store.ts";
import { hex, integer, text, toKnownObject, toNode } from "../metadata/rows.ts";
import type { SqlRow } from "../sqlite/database.ts";
import { bytea } from "./writes.ts";

/** The parameters of LOAD, without the folder's. */
export function loadParameters(request: LoadRequest): readonly [string, number] {
  const { nodes, places, ops, deleted, objects, cursors } = request;
  const wanted = {
    nodes: nodes.map(bytea),
    places: places.map(({ parent, name }) => ({ parent: bytea(parent), name })),
    ops: ops.map(({ device, opId }) => ({ device: bytea(device), op: bytea(opId) })),
    deleted: deleted.map(bytea),
    objects: objects.map(bytea),
    cursors,
  };
  return [JSON.stringify(wanted), nodes.length + 1];
}

export function toLoaded(folder: FolderRecord, request: LoadRequest, row: SqlRow): Loaded {
  const { epoch, genesis } = folder;
  const isEmpty = row["seq"] === null;
  const seq = isEmpty ? 0 : integer(row, "seq");
  const head = { epoch, seq, hash: isEmpty ? genesis : hex<Digest>(row, "hash") };
  const hashes = new Map<Sequence, Digest>();
  if (request.cursors.includes(0)) hashes.set(0, genesis);
  for (const one of rowsOf(row, "hashes")) hashes.set(integer(one, "seq"), hex(one, "hash"));
  return {
    folder,
    head,
    ...(isEmpty ? undefined : { headTime: text(row, "time") }),
    nodes: rowsOf(row, "nodes").map(toNode),
    childCounts: new Map(
      rowsOf(row, "counts").map((one) => [hex(one, "id"), integer(one, "count")]),
    ),
    ops: rowsOf(row, "ops").map((one) => ({
      device: hex(one, "device"),
      opId: hex(one, "op"),
      seq: integer(one, "seq"),
      body: hex(one, "body"),
    })),
    objects: rowsOf(row, "objects").map(toKnownObject),
    hashes,
  };
}

/** JSON has them as text that begins with "\x". Names may begin so too, so they are told apart. */
const BYTEA_COLUMNS: ReadonlySet<string> = new Set([
  "id",
  "parent",
  "manifest",
  "sha256",
  "device",
  "op",
  "body",
  "digest",
  "hash",
]);

/** A column of JSON, as the rows that it was made of. Null stands for none. */
function rowsOf(row: SqlRow, column: string): readonly SqlRow[] {
  const found: unknown = row[column];
  const rows: readonly SqlRow[] = Array.isArray(found) ? found : [];
  return rows.map((one) =>
    Object.fromEntries(
      Object.entries(one).map(([name, value]) => {
        const isBytes = typeof value === "string" && BYTEA_COLUMNS.has(name);
        return [name, isBytes ? Uint8Array.fromHex(value.slice(2)) : value];
      }),
    ),
  );
}
