/** The routes about the past, as a page or a command asks them. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { historyAnswerSchema } from "../../src/protocol/time-answers.ts";
import { BASE, expectProblem, type Fixture, openFixture } from "./fixture.ts";

let fixture: Fixture;

beforeAll(async () => {
  fixture = await openFixture();
  for (const [path, body] of [
    ["notes/plan.md", "one"],
    ["notes/plan.md", "two, longer"],
    ["notes/<b>&\u202e", "x"],
  ]) {
    await fixture.call("PUT", `${BASE}/files?path=${encodeURIComponent(path ?? "")}`, {
      body: body ?? "",
    });
  }
  await fixture.call("DELETE", `${BASE}/files?path=notes/plan.md`);
});

afterAll(() => fixture.close());

async function get(route: string): Promise<unknown> {
  const response = await fixture.call("GET", `${BASE}/${route}`);
  expect(response.status).toBe(200);
  return await response.json();
}

describe("the routes about the past", () => {
  test("a directory is listed now, then, and with what was deleted in it [E3]", async () => {
    expect(await get("list?path=notes")).toMatchObject({ seq: 5, total: 1 });
    expect(await get("list?path=notes&at=2")).toMatchObject({
      seq: 2,
      total: 1,
      entries: [{ name: "plan.md", size: 3, last: { action: "upload", deviceName: "http" } }],
    });
    expect(await get("list?path=notes&deleted=1&sort=size&order=desc&limit=1")).toMatchObject({
      total: 2,
      next: 1,
      entries: [{ name: "plan.md", size: 11, deleted: { seq: 5, action: "delete" } }],
    });
    expect(await get("list?path=notes&after=a&deleted=1&limit=1")).toMatchObject({
      total: 2,
      entries: [{ name: "plan.md" }],
    });
    expect(await get("spans?path=notes")).toMatchObject({
      names: ["<b>&\u202e", "plan.md", "plan.md"],
      from: [4, 2, 3],
      deleted: [false, false, true],
    });
  });

  test("history is of a path, of the node that was there then, or of a node [H14]", async () => {
    const ofPath = historyAnswerSchema.parse(await get("history?path=notes/plan.md"));
    expect(ofPath.versions.map(({ seq, action }) => `${seq} ${action}`)).toEqual([
      "5 delete",
      "3 update",
      "2 upload",
    ]);
    const [{ id = "" } = {}] = ofPath.versions;
    expect(await get("history?path=notes/plan.md&at=2")).toEqual(ofPath);
    expect(await get(`history?id=${id}`)).toEqual(ofPath);
    const never = await fixture.call("GET", `${BASE}/history?path=notes/plan.md&at=5`);
    await expectProblem(never, 404, "not_found");
  });

  test("greeting says that they are there [E3]", async () => {
    const hello = await fixture.call("GET", "/v1/hello");
    expect(await hello.json()).toMatchObject({ features: expect.arrayContaining(["time"]) });
  });

  test.each([
    ["list?path=none", 404, "not_found"],
    ["list?path=notes/plan.md&at=3", 404, "not_found"],
    ["list?at=6", 409, "cursor_ahead"],
    ["list?sort=color", 400, "invalid_parameter"],
    ["list?sort=size&after=a", 400, "invalid_parameter"],
    ["list?limit=1001", 400, "invalid_parameter"],
    ["list?path=../x", 422, "invalid_path"],
    ["list?deleted=yes", 400, "invalid_parameter"],
    ["spans?path=notes&limit=2", 422, "too_many_spans"],
    ["moment", 400, "invalid_parameter"],
    ["moment?seq=1&time=2026-01-01T00:00:00Z", 400, "invalid_parameter"],
    ["moment?time=yesterday", 400, "invalid_parameter"],
    ["moment?time=2026-13-01T00:00:00Z", 400, "invalid_parameter"],
    ["diff", 400, "invalid_parameter"],
    ["diff?from=1&to=9", 409, "cursor_ahead"],
    ["log?before=1&after=1", 400, "invalid_parameter"],
    ["log?action=steal", 400, "invalid_parameter"],
    ["log?device=me", 400, "invalid_id"],
    ["activity?buckets=501", 400, "invalid_parameter"],
    ["activity?by=hour", 400, "invalid_parameter"],
    ["search", 400, "invalid_parameter"],
    ["search?q=", 400, "invalid_parameter"],
    ["search?q=x&after=x", 400, "invalid_parameter"],
    ["history?id=00&path=x", 400, "invalid_id"],
  ] as const)("%s is refused [H8]", async (route, status, code) => {
    await expectProblem(await fixture.call("GET", `${BASE}/${route}`), status, code);
  });

  test.each([
    ["2026-11-27T18:00:00Z", 0],
    ["2026-11-27t19:00:00.000+01:00", 0],
    ["2026-11-27T16:30:00.5-01:30", 500],
  ])("%s is a time with a zone [E6]", async (time, laterMs) => {
    const { parseTimeText } = await import("../../src/protocol/parse-request.ts");
    expect(parseTimeText(time, "time")).toBe(Date.parse("2026-11-27T18:00:00Z") + laterMs);
  });
});

describe("plans", () => {
  const device = "e".repeat(32);

  async function plan(request: unknown, query = ""): Promise<Record<string, unknown>> {
    const answer = await fixture.call("POST", `${BASE}/plans${query}`, { json: request });
    expect(answer.status).toBe(200);
    return (await answer.json()) as Record<string, unknown>;
  }

  test("are shown by POST, and done by PUT under their id [E9]", async () => {
    const request = { kind: "restore", path: "notes", at: 2 };
    const shown = await plan(request);
    expect(shown).toMatchObject({ kind: "restore", head: 5, total: 2 });
    const page = await plan(request, "?offset=1&limit=1");
    const nobody = await fixture.call("POST", `${BASE}/plans?device=me`, { json: request });
    await expectProblem(nobody, 400, "invalid_id");
    expect(page).toMatchObject({ id: shown["id"], total: 2, steps: [{}] });
    const { id: name, head } = shown;
    const body = { request, head, device };
    const wrong = await fixture.call("PUT", `${BASE}/plans/${device}`, { json: body });
    await expectProblem(wrong, 422, "plan_mismatch");
    for (const _twice of [1, 2]) {
      const done = await fixture.call("PUT", `${BASE}/plans/${String(name)}`, { json: body });
      expect(await done.json()).toMatchObject({ first: 6, last: 7, done: 2, skipped: [] });
    }
    expect(await get("log?limit=2")).toMatchObject({
      rows: [
        { device, approval: name },
        { device, approval: name },
      ],
    });
  });

  test.each([
    [{}, 400, "malformed_json"],
    [{ kind: "format" }, 400, "malformed_json"],
    [{ kind: "constructor" }, 400, "malformed_json"],
    [{ kind: "restore", path: "" }, 400, "invalid_cursor"],
    [{ kind: "restore", path: "", at: 99 }, 409, "cursor_ahead"],
    [{ kind: "restore", path: "none", at: 1 }, 404, "not_found"],
    [{ kind: "restore", path: "../x", at: 1 }, 422, "invalid_path"],
    [{ kind: "restore", path: "", at: 1, force: true }, 400, "unknown_field"],
    [{ kind: "restore", path: "", at: 1, overlaps: "win" }, 400, "invalid_parameter"],
    [{ kind: "undo", device: "NAS", since: 0 }, 400, "invalid_id"],
    [{ kind: "undo", device, since: 0, until: 99 }, 409, "cursor_ahead"],
    [{ kind: "copy", path: "notes", at: 2, to: "" }, 422, "invalid_path"],
    [{ kind: "resolve", copy: device, keep: "copy" }, 404, "not_found"],
    [{ kind: "resolve", copy: device, keep: "mine" }, 400, "invalid_parameter"],
    [{ kind: "delete", ids: "all" }, 400, "malformed_json"],
  ])("%j is refused [E9, H8]", async (json, status, code) => {
    await expectProblem(await fixture.call("POST", `${BASE}/plans`, { json }), status, code);
  });
});

describe("any reader", () => {
  test("a long answer is gzipped for who asks, a short one never [H24]", async () => {
    const own = await openFixture();
    for (let number = 0; number < 40; number++) {
      await own.call("PUT", `${BASE}/files?path=many/${number}`, { body: "x" });
    }
    const ask = (route: string, encoding: string) =>
      own.call("GET", `${BASE}/${route}`, { headers: { "accept-encoding": encoding } });
    const plain = await (await ask("list?path=many", "identity")).text();
    for (const [encoding, isPacked] of [
      ["gzip, deflate, br", true],
      ["br;q=1, GZIP;q=0.5", true],
      ["gzip;q=0, br", false],
      ["x-gzipped", false],
    ] as const) {
      const answer = await ask("list?path=many", encoding);
      expect(answer.headers.get("vary")).toBe("accept-encoding");
      expect(answer.headers.get("content-encoding")).toBe(isPacked ? "gzip" : null);
      const bytes = await answer.bytes();
      expect(
        isPacked ? new TextDecoder().decode(Bun.gunzipSync(bytes)) : String(bytes.length),
      ).toBe(isPacked ? plain : String(new TextEncoder().encode(plain).length));
    }
    const short = await ask("list?path=", "gzip");
    expect(short.headers.get("content-encoding")).toBeNull();
    await own.close();
  });

  test("a file is put and deleted in the name of a device that is named [H7]", async () => {
    const own = await openFixture();
    const device = "ab".repeat(16);
    const files = `${BASE}/files?path=by-device`;
    await own.call("PUT", `${files}&device=${device}`, { body: "x" });
    await own.call("DELETE", `${files}&device=${device}`);
    const log = await own.call("GET", `${BASE}/log?path=by-device`);
    expect(await log.json()).toMatchObject({
      rows: [
        { action: "delete", device },
        { action: "upload", device },
      ],
    });
    const refused = await own.call("PUT", `${files}&device=me`, { body: "x" });
    await expectProblem(refused, 400, "invalid_id");
    await own.close();
  });
});
