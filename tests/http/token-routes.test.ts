/** Tokens by HTTP, who may make them, what is told of it, and how much one requester may begin. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Access } from "../../src/core/access.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import {
  ALLOWANCE_WINDOW_MS,
  AUDIT_LINES_MAX,
  AUDIT_WINDOW_MS,
  DEVICES_REPORTED_MAX,
  FOLDERS_MADE_MAX,
  STREAMS_PER_TOKEN_MAX,
} from "../../src/core/limits.ts";
import type { AdminUse } from "../../src/http/endpoint.ts";
import { createRouter, type Router } from "../../src/http/router.ts";
import { BASE, expectProblem, type Fixture, FOLDER, id, openFixture } from "./fixture.ts";

const OTHER = parseFolderName("other");

let fixture: Fixture;
let router: Router;
let uses: AdminUse[];
let admin: string;

beforeEach(async () => {
  fixture = await openFixture();
  uses = [];
  const onAdminUse = (use: AdminUse) => uses.push(use);
  router = createRouter({ ...fixture.options, loopbackOnly: false, onAdminUse });
  admin = await made("admin");
});

afterEach(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

async function made(access: Access, folders: "all" | (typeof FOLDER)[] = "all"): Promise<string> {
  return (await fixture.tokens.make({ label: "", access, folders })).text;
}

interface Asked {
  readonly token?: string;
  readonly json?: unknown;
  readonly peer?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function ask(method: string, path: string, asked: Asked = {}): Promise<Response> {
  const { token = admin, json, peer, headers } = asked;
  const init = {
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(json === undefined ? undefined : { "content-type": "application/json" }),
      ...headers,
    },
    ...(json === undefined ? undefined : { body: JSON.stringify(json) }),
  };
  return await router.fetch(new Request(`http://localhost${path}`, init), { peer });
}

interface Shown {
  readonly id: string;
  readonly label: string;
  readonly revoked?: string;
}

async function list(query = ""): Promise<{ readonly tokens: Shown[]; readonly next?: string }> {
  return (await ask("GET", `/v1/tokens${query}`)).json() as never;
}

describe("an admin of all folders [K14]", () => {
  test("makes a token, sees it listed without its secret, and revokes it", async () => {
    const json = { label: "TABLET", access: "read", folders: ["default"], lifeMs: 60_000 };
    const response = await ask("POST", "/v1/tokens", { json });
    expect(response.status).toBe(201);
    const { token, id: tokenId } = (await response.json()) as { token: string; id: string };
    expect((await ask("GET", BASE, { token })).status).toBe(200);
    await expectProblem(await ask("GET", `${BASE}x`, { token }), 404, "folder_not_found");
    await expectProblem(await ask("PUT", BASE, { token, json: {} }), 403, "forbidden");

    const text = JSON.stringify(await list());
    expect(text).toContain(tokenId);
    expect(text).not.toContain(token.slice(-64));
    expect(text).not.toContain("digest");
    for (let time = 0; time < 2; time++) {
      expect((await ask("DELETE", `/v1/tokens/${tokenId}`)).status).toBe(204);
      await expectProblem(await ask("GET", BASE, { token }), 401, "token_revoked");
    }
    expect((await list()).tokens.find((one) => one.id === tokenId)?.revoked).toBeString();
  });

  test("reads the list by pages", async () => {
    for (let count = 0; count < 5; count++) await made("read");
    const seen: string[] = [];
    let query = "?limit=2";
    for (;;) {
      const { tokens, next } = await list(query);
      seen.push(...tokens.map((token) => token.id));
      if (next === undefined) break;
      query = `?limit=2&after=${next}`;
    }
    expect(seen).toEqual(fixture.tokens.list().map((token) => token.id));
    expect(seen).toHaveLength(6);
  });

  test("is told what is wrong with a request, and nothing is made [H8]", async () => {
    const before = fixture.tokens.list().length;
    const wrong: [json: unknown, code: string][] = [
      [{}, "malformed_json"],
      [{ access: "all" }, "invalid_parameter"],
      [{ access: "read", folders: [] }, "invalid_parameter"],
      [{ access: "read", folders: ["A/.."] }, "invalid_folder_name"],
      [{ access: "read", lifeMs: -1 }, "invalid_parameter"],
      [{ access: "read", lifeMs: 1e15 }, "invalid_parameter"],
      [{ access: "read", label: "x".repeat(65) }, "invalid_parameter"],
      [{ access: "read", secret: "mine" }, "unknown_field"],
    ];
    wrong.push([{ access: "read", folders: "all" }, "malformed_json"]);
    for (const [json, code] of wrong) {
      await expectProblem(await ask("POST", "/v1/tokens", { json }), 400, code);
    }
    await expectProblem(await ask("DELETE", "/v1/tokens/x"), 400, "invalid_id");
    const absent = `/v1/tokens/${"0".repeat(16)}`;
    await expectProblem(await ask("DELETE", absent), 404, "not_found");
    await expectProblem(await ask("GET", "/v1/tokens?after=x"), 400, "invalid_id");
    expect(fixture.tokens.list()).toHaveLength(before);
  });
});

test("nobody else comes near tokens, and what they tried is told [K1, K14]", async () => {
  const others = [
    await made("write"),
    await made("read"),
    await made("admin", [FOLDER]),
    await made("write", [OTHER]),
  ];
  const before = JSON.stringify(fixture.tokens.list().map(({ usedMs: _, ...rest }) => rest));
  for (const token of others) {
    const json = { access: "admin" };
    await expectProblem(await ask("GET", "/v1/tokens", { token }), 403, "forbidden");
    await expectProblem(await ask("POST", "/v1/tokens", { token, json }), 403, "forbidden");
    const path = `/v1/tokens/${admin.slice(3, 19)}`;
    await expectProblem(await ask("DELETE", path, { token }), 403, "forbidden");
  }
  expect(JSON.stringify(fixture.tokens.list().map(({ usedMs: _, ...rest }) => rest))).toBe(before);
  expect(uses).toHaveLength(3 * others.length);
  expect(uses[0]).toEqual({
    method: "GET",
    path: "/v1/tokens",
    status: 403,
    token: others[0]?.slice(3, 19) as never,
    address: undefined,
    untold: 0,
  });
});

test("each use by an admin is told with who and whence, and a flood is counted [K14]", async () => {
  const peer = "10.0.0.7";
  await ask("GET", "/v1/folders", { peer });
  expect(uses).toEqual([]);
  for (let count = 0; count < AUDIT_LINES_MAX + 5; count++)
    await ask("GET", "/v1/tokens", { peer });
  expect(uses).toHaveLength(AUDIT_LINES_MAX);
  expect(uses[0]).toMatchObject({ token: admin.slice(3, 19), address: peer, status: 200 });
  expect(JSON.stringify(uses)).not.toContain(admin);
  await fixture.clock.advance(AUDIT_WINDOW_MS);
  await ask("GET", `/v1/tokens/${"x".repeat(5_000)}`, { peer });
  await ask("DELETE", `/v1/tokens/${"x".repeat(5_000)}`, { peer });
  expect(uses.at(-1)).toMatchObject({ untold: 5, status: 400 });
  expect(uses.at(-1)?.path.length).toBeLessThan(300);
});

describe("one requester begins only so much [H23]", () => {
  test("event streams of one token, while others still get theirs", async () => {
    const token = await made("read");
    const open = async (shown: string) => {
      const headers = { accept: "text/event-stream" };
      return await ask("GET", `${BASE}/events?after=0`, { token: shown, headers });
    };
    const streams = await Promise.all(
      Array.from({ length: STREAMS_PER_TOKEN_MAX }, () => open(token)),
    );
    expect(streams.every(({ status }) => status === 200)).toBe(true);
    await expectProblem(await open(token), 429, "too_many_streams");
    streams.push(await open(await made("read")));
    expect(streams.at(-1)?.status).toBe(200);
    await streams[0]?.body?.cancel();
    streams.push(await open(token));
    expect(streams.at(-1)?.status).toBe(200);
    fixture.stopping.abort();
    await Promise.all(streams.slice(1).map((stream) => stream.text()));
  });

  test("new folders, and none that are there already", async () => {
    const token = await made("write");
    const put = (name: string, shown = token, peer?: string) =>
      ask("PUT", `/v1/folders/${name}`, { token: shown, ...(peer === undefined ? {} : { peer }) });
    for (let count = 0; count < FOLDERS_MADE_MAX; count++) await put(`f${count}`);
    const refused = await put("more");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(3_600);
    await expectProblem(refused, 429, "rate_limited");
    expect((await put("f1")).status).toBe(200);
    expect((await put("more", admin)).status).toBe(201);
    await fixture.clock.advance(ALLOWANCE_WINDOW_MS);
    expect((await put("later")).status).toBe(201);
  });

  test("devices that report, and none that are known", async () => {
    const token = await made("read");
    const { epoch, hash } = await fixture.sequencer.folder(FOLDER);
    const json = { name: "D", applied: { epoch, seq: 0, hash } };
    const report = async (name: string, shown: string = token) =>
      await ask("PUT", `${BASE}/devices/${id(name)}`, { token: shown, json });
    for (let count = 0; count < DEVICES_REPORTED_MAX; count++) await report(`d${count}`);
    await expectProblem(await report("more"), 429, "rate_limited");
    expect((await report("d7")).status).toBe(204);
    expect((await report("more", await made("read"))).status).toBe(204);
    expect(await fixture.sequencer.devices(FOLDER, { limit: 5_000 })).toHaveLength(
      DEVICES_REPORTED_MAX + 1,
    );
  });
});
