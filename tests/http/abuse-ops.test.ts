/**
 * The abuse catalogue, second part: ops and objects that are well-formed JSON or packs, and wrong.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import {
  BASE,
  type CallOptions,
  expectProblem,
  type Fixture,
  FOLDER,
  id,
  openFixture,
  stateOf,
} from "./fixture.ts";

let open: Fixture;
let before: string;
let cursor: { epoch: string; seq: number; hash: string };

beforeAll(async () => {
  open = await openFixture();
  const { epoch, head, hash } = await open.sequencer.folder(FOLDER);
  cursor = { epoch, seq: head, hash };
  before = await stateOf(open);
});

/** None of it may change anything. */
afterEach(async () => {
  expect(await stateOf(open)).toBe(before);
});

afterAll(async () => {
  expect(open.errors).toEqual([]);
  await open.close();
});

type Row = [
  name: string,
  method: string,
  path: string,
  status: number,
  code: string,
  options?: CallOptions,
];

function expectRows(rows: readonly Row[]): void {
  test.each([...rows])("%s", async (_name, method, path, status, code, options = {}) => {
    await expectProblem(await open.call(method, path, options), status, code);
  });
}

describe("Ops (B10, B17, B23, B27, B29-B31, B52)", () => {
  const file = {
    kind: "file",
    manifest: sha256("x"),
    depth: 0,
    sha256: sha256("x"),
    size: 1,
    executable: false,
    mtimeNs: "0",
  };
  const create = {
    kind: "create",
    opId: id("op"),
    node: id("node"),
    parent: "0".repeat(32),
    name: "a",
    content: { kind: "directory" },
    base: 0,
  };
  const batchOf = (...groups: unknown[][]) => ({ device: id("d"), batch: id("b"), cursor, groups });

  const ops: [string, unknown, number, string][] = [
    ["an unknown field", { ...create, owner: 0 }, 400, "unknown_field"],
    ["an unknown kind", { ...create, kind: "chown" }, 400, "malformed_json"],
    ["no kind", { ...create, kind: undefined }, 400, "malformed_json"],
    ["no content", { ...create, content: undefined }, 400, "malformed_json"],
    ["a short id", { ...create, opId: "1" }, 400, "invalid_id"],
    ["an id in upper case", { ...create, node: "A".repeat(32) }, 400, "invalid_id"],
    ["a number for an id", { ...create, node: 7 }, 400, "invalid_id"],
    ["a negative base", { ...create, base: -1 }, 400, "invalid_parameter"],
    ["a base of 1.5", { ...create, base: 1.5 }, 400, "invalid_parameter"],
    ["a base of 2^53", { ...create, base: 2 ** 53 }, 400, "invalid_parameter"],
    ["a base as text", { ...create, base: "0" }, 400, "invalid_parameter"],
    ["no name", { ...create, name: undefined }, 400, "malformed_json"],
    ["a name with a slash", { ...create, name: "a/b" }, 422, "invalid_path"],
    ["the name ..", { ...create, name: ".." }, 422, "invalid_path"],
    ["a lone surrogate", { ...create, name: "\ud800" }, 422, "invalid_path"],
    ["a name of 256 bytes", { ...create, name: "x".repeat(256) }, 422, "path_too_long"],
    ["a reserved name", { ...create, name: ".Synced" }, 422, "reserved_name"],
    ["an unknown content", { ...create, content: { kind: "fifo" } }, 400, "malformed_json"],
    [
      "a directory with a size",
      { ...create, content: { kind: "directory", size: 1 } },
      400,
      "unknown_field",
    ],
    ["a set-uid bit", { ...create, content: { ...file, mode: 0o4755 } }, 400, "unknown_field"],
    [
      "an executable of 1",
      { ...create, content: { ...file, executable: 1 } },
      422,
      "invalid_metadata",
    ],
    [
      "an mtime beyond i64",
      { ...create, content: { ...file, mtimeNs: "9223372036854775808000000000" } },
      422,
      "invalid_metadata",
    ],
    [
      "an mtime below i64",
      { ...create, content: { ...file, mtimeNs: "-9223372036854775808000000001" } },
      422,
      "invalid_metadata",
    ],
    [
      "an mtime as a number",
      { ...create, content: { ...file, mtimeNs: 0 } },
      422,
      "invalid_metadata",
    ],
    ["an mtime of -0", { ...create, content: { ...file, mtimeNs: "-0" } }, 422, "invalid_metadata"],
    ["a size of -1", { ...create, content: { ...file, size: -1 } }, 422, "invalid_metadata"],
    [
      "a size beyond 2^53",
      { ...create, content: { ...file, size: 2 ** 60 } },
      422,
      "invalid_metadata",
    ],
    ["a depth of 4", { ...create, content: { ...file, depth: 4 } }, 422, "invalid_manifest"],
    [
      "two digests at depth 0",
      { ...create, content: { ...file, sha256: sha256("y") } },
      422,
      "invalid_manifest",
    ],
    [
      "no bytes with a size",
      { ...create, content: { ...file, manifest: sha256(""), sha256: sha256("") } },
      422,
      "invalid_manifest",
    ],
    ["bytes without a size", { ...create, content: { ...file, size: 0 } }, 422, "invalid_manifest"],
    [
      "a digest in upper case",
      { ...create, content: { ...file, manifest: "A".repeat(64) } },
      400,
      "invalid_hash",
    ],
    [
      "an empty target",
      { ...create, content: { kind: "symlink", target: "" } },
      422,
      "invalid_path",
    ],
    [
      "a target with NUL",
      { ...create, content: { kind: "symlink", target: "a\0" } },
      422,
      "invalid_path",
    ],
    [
      "a target of 4,097 bytes",
      { ...create, content: { kind: "symlink", target: "x".repeat(4097) } },
      422,
      "path_too_long",
    ],
    [
      "a conflict with a field too many",
      { ...create, conflictOf: { node: id("n"), version: 1, x: 1 } },
      400,
      "unknown_field",
    ],
    [
      "a delete without versions",
      { kind: "delete", opId: id("op"), node: id("n") },
      400,
      "invalid_parameter",
    ],
    [
      "a move with content",
      {
        kind: "move",
        opId: id("op"),
        node: id("n"),
        parent: id("p"),
        name: "a",
        basePlace: 1,
        content: file,
      },
      400,
      "unknown_field",
    ],
    [
      "a modify without content",
      { kind: "modify", opId: id("op"), node: id("n"), baseContent: 1 },
      400,
      "malformed_json",
    ],
  ];
  test.each(ops)("refuses %s [O3]", async (_name, op, status, code) => {
    const response = await open.call("POST", `${BASE}/ops`, { json: batchOf([op]) });
    await expectProblem(response, status, code);
    expect((await open.sequencer.folder(FOLDER)).head).toBe(cursor.seq);
  });

  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => ({
      ...create,
      opId: index.toString(16).padStart(32, "0"),
    }));
  const batches: [string, () => unknown, number, string][] = [
    ["no body's fields", () => ({}), 400, "malformed_json"],
    ["a group that is empty", () => batchOf([]), 400, "malformed_json"],
    ["an op id twice", () => batchOf([create], [create]), 422, "batch_conflict"],
    ["1,001 ops in a group", () => batchOf(many(1001)), 413, "batch_too_large"],
    ["1,001 ops in two groups", () => batchOf(many(501), many(500)), 413, "batch_too_large"],
    [
      "a cursor of -1",
      () => ({ ...batchOf([create]), cursor: { ...cursor, seq: -1 } }),
      400,
      "invalid_cursor",
    ],
    [
      "a cursor with a field too many",
      () => ({ ...batchOf([create]), cursor: { ...cursor, x: 1 } }),
      400,
      "unknown_field",
    ],
    [
      "a cursor ahead",
      () => ({ ...batchOf([create]), cursor: { ...cursor, seq: 99 } }),
      409,
      "cursor_ahead",
    ],
    [
      "a cursor of another epoch",
      () => ({ ...batchOf([create]), cursor: { ...cursor, epoch: id("e") } }),
      409,
      "log_diverged",
    ],
    [
      "a cursor of another hash",
      () => ({ ...batchOf([create]), cursor: { ...cursor, hash: sha256("e") } }),
      409,
      "log_diverged",
    ],
    [
      "an approval of another kind",
      () => ({ ...batchOf([create]), approval: "a b" }),
      400,
      "invalid_id",
    ],
  ];
  test.each(batches)("refuses a batch with %s [O4]", async (_name, batch, status, code) => {
    const response = await open.call("POST", `${BASE}/ops`, { json: batch() });
    await expectProblem(response, status, code);
    expect((await open.sequencer.folder(FOLDER)).head).toBe(cursor.seq);
  });

  test("names a chunk that is not in this folder [O6]", async () => {
    const json = batchOf([{ ...create, content: file }]);
    const response = await open.call("POST", `${BASE}/ops`, { json });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      results: [{ status: "refused", code: "chunk_missing", op: 0 }],
      head: cursor.seq,
    });
  });
});

describe("Objects (B21, B22, B25, B52)", () => {
  const packType = { "content-type": "application/vnd.synced.pack" };
  const digest = (text: string) => Buffer.from(sha256(text), "hex");
  const packed = (depth: number, name: Buffer, bytes: string, length = bytes.length) => {
    const header = Buffer.alloc(37);
    header[0] = depth;
    name.copy(header, 1);
    header.writeUInt32BE(length, 33);
    return new Uint8Array(Buffer.concat([header, Buffer.from(bytes)]));
  };
  const packs: [string, Uint8Array<ArrayBuffer>, number, string][] = [
    ["bytes of another digest", packed(0, digest("a"), "b"), 422, "hash_mismatch"],
    ["an empty object", packed(0, digest(""), ""), 422, "invalid_chunk"],
    ["a depth of 4", packed(4, digest("a"), "a"), 422, "invalid_chunk"],
    ["an end within an object", packed(0, digest("a"), "a", 2), 422, "invalid_chunk"],
    ["an end within a header", packed(0, digest("a"), "").slice(0, 20), 422, "invalid_chunk"],
    ["an object of 4 GiB", packed(0, digest("a"), "a", 0xffffffff), 413, "body_too_large"],
    ["a manifest of nonsense", packed(1, digest("abc"), "abc"), 422, "invalid_manifest"],
  ];
  test.each(packs)("refuses a pack with %s [C6]", async (_name, body, status, code) => {
    const response = await open.call("POST", `${BASE}/chunks`, { body, headers: packType });
    await expectProblem(response, status, code);
  });

  expectRows([
    ["a pack as JSON [H8]", "POST", `${BASE}/chunks`, 415, "unsupported_media_type", { json: {} }],
    [
      "a pack over 32 MiB [H4]",
      "POST",
      `${BASE}/chunks`,
      413,
      "body_too_large",
      { body: "x", headers: { ...packType, "content-length": "33554433" } },
    ],
    [
      "a pack for an unknown folder [O6]",
      "POST",
      "/v1/folders/nobody/chunks",
      404,
      "folder_not_found",
      { body: packed(0, digest("a"), "a"), headers: packType },
    ],
    [
      "10,001 digests [H4]",
      "POST",
      `${BASE}/chunks/missing`,
      413,
      "body_too_large",
      { json: { digests: Array.from({ length: 12_000 }, () => sha256("a")) } },
    ],
    [
      "a digest of another alphabet [H8]",
      "POST",
      `${BASE}/chunks/missing`,
      400,
      "invalid_hash",
      { json: { digests: ["x".repeat(64)] } },
    ],
    [
      "a digest that is a number [H8]",
      "POST",
      `${BASE}/chunks/missing`,
      400,
      "invalid_hash",
      { json: { digests: [1] } },
    ],
    [
      "no digests [H8]",
      "POST",
      `${BASE}/chunks/fetch`,
      400,
      "invalid_parameter",
      { json: { digests: [] } },
    ],
    [
      "an object that is not there [O6]",
      "POST",
      `${BASE}/chunks/fetch`,
      409,
      "chunk_missing",
      { json: { digests: [sha256("a")] } },
    ],
  ]);

  test("an object of another folder is missing here, with the same answer [O6]", async () => {
    const body = packed(0, digest("other"), "other");
    await open.call("PUT", "/v1/folders/other");
    expect(
      (await open.call("POST", "/v1/folders/other/chunks", { body, headers: packType })).status,
    ).toBe(200);
    const json = { digests: [sha256("other")] };
    const known = await open.call("POST", `${BASE}/chunks/fetch`, { json });
    await expectProblem(known, 409, "chunk_missing");
    const missing = await open.call("POST", `${BASE}/chunks/missing`, { json });
    expect(await missing.json()).toEqual({ missing: json.digests });
  });
});
