/**
 * The abuse catalogue against the router: each row says what a stranger sends and what comes back.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { allRoutes, createRouter } from "../../src/http/router.ts";
import { inAscii } from "../generate/names.ts";
import {
  BASE,
  type CallOptions,
  expectProblem,
  type Fixture,
  id,
  openFixture,
  stateOf,
  TOKEN,
} from "./fixture.ts";

let open: Fixture;
let guarded: Fixture;
let before: string[];

beforeAll(async () => {
  open = await openFixture();
  guarded = await openFixture({ token: TOKEN });
  before = [await stateOf(open), await stateOf(guarded)];
});

/** None of it may change anything. */
afterEach(async () => {
  expect([await stateOf(open), await stateOf(guarded)]).toEqual(before);
});

afterAll(async () => {
  expect(open.errors).toEqual([]);
  expect(guarded.errors).toEqual([]);
  await open.close();
  await guarded.close();
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

/** Nobody made it. */
const LINK = `/s/${"0".repeat(16)}-${"0".repeat(64)}/a`;

/** Each route once, with what fills its pattern. */
const ROUTES = [
  { path: "/healthz", methods: ["GET"] },
  { path: "/readyz", methods: ["GET"] },
  { path: "/v1/hello", methods: ["GET"] },
  { path: "/v1/invites/redeem", methods: ["POST"] },
  { path: "/v1/tokens", methods: ["GET", "POST"] },
  { path: `/v1/tokens/${"0".repeat(16)}`, methods: ["DELETE"] },
  { path: "/v1/folders", methods: ["GET"] },
  { path: BASE, methods: ["GET", "PUT"] },
  { path: `${BASE}/events`, methods: ["GET"] },
  { path: `${BASE}/usage`, methods: ["GET"] },
  { path: `${BASE}/ops`, methods: ["POST"] },
  { path: `${BASE}/chunks`, methods: ["POST"] },
  { path: `${BASE}/chunks/missing`, methods: ["POST"] },
  { path: `${BASE}/chunks/wanted`, methods: ["GET"] },
  { path: `${BASE}/chunks/fetch`, methods: ["POST"] },
  { path: `${BASE}/tree`, methods: ["GET"] },
  { path: `${BASE}/devices`, methods: ["GET"] },
  { path: `${BASE}/devices/${id("device")}`, methods: ["PUT"] },
  { path: `${BASE}/devices/${id("device")}/orders`, methods: ["GET"] },
  { path: `${BASE}/devices/${id("device")}/orders/${id("order")}`, methods: ["PUT", "DELETE"] },
  { path: `${BASE}/files`, methods: ["GET", "PUT", "DELETE"] },
  { path: `${BASE}/contents/${sha256("x")}`, methods: ["GET"] },
  { path: `${BASE}/index`, methods: ["GET"] },
  { path: `${BASE}/history`, methods: ["GET"] },
  { path: `${BASE}/list`, methods: ["GET"] },
  { path: `${BASE}/spans`, methods: ["GET"] },
  { path: `${BASE}/moment`, methods: ["GET"] },
  { path: `${BASE}/diff`, methods: ["GET"] },
  { path: `${BASE}/log`, methods: ["GET"] },
  { path: `${BASE}/activity`, methods: ["GET"] },
  { path: `${BASE}/search`, methods: ["GET"] },
  { path: `${BASE}/archive`, methods: ["GET"] },
  { path: `${BASE}/conflicts`, methods: ["GET"] },
  { path: `${BASE}/wait`, methods: ["GET"] },
  { path: `${BASE}/tickets`, methods: ["POST"] },
  { path: `${BASE}/plans`, methods: ["POST"] },
  { path: `${BASE}/plans/${id("plan")}`, methods: ["PUT"] },
  { path: `${BASE}/links`, methods: ["GET", "POST"] },
  { path: `${BASE}/links/${id("link")}`, methods: ["DELETE"] },
  { path: LINK, methods: ["GET"] },
];
const OPEN_PATHS = ["/healthz", "/readyz", "/v1/hello"];

const ENDPOINTS = ROUTES.flatMap(({ path, methods }) =>
  methods.map((method): [string, string] => [method, path]),
);

test("the table of routes in this test is whole [H2]", () => {
  const patterns = allRoutes(open.options).map(({ pattern, methods }) => [
    pattern.split("/").length,
    Object.keys(methods).sort(),
  ]);
  const listed = ROUTES.map(({ path, methods }) => [path.split("/").length, [...methods].sort()]);
  expect(patterns.map((pattern) => JSON.stringify(pattern)).sort()).toEqual(
    listed.map((route) => JSON.stringify(route)).sort(),
  );
});

describe("Authorization (B41, B46, B47, B53)", () => {
  const wrong: [string, Record<string, string>][] = [
    ["no token", {}],
    ["a wrong token", { authorization: "Bearer 0123456789abcdef-wrong" }],
    ["a prefix of the token", { authorization: `Bearer ${TOKEN.slice(0, -1)}` }],
    ["Basic", { authorization: `Basic ${btoa(`user:${TOKEN}`)}` }],
    ["a cookie", { cookie: `token=${TOKEN}` }],
    ["the bare token", { authorization: TOKEN }],
    ["two joined headers", { authorization: `Bearer ${TOKEN}, Bearer ${TOKEN}` }],
    ["a tab", { authorization: `Bearer\t${TOKEN}` }],
    ["two spaces", { authorization: `Bearer  ${TOKEN}` }],
    ["64 KB", { authorization: `Bearer ${"a".repeat(65_536)}` }],
    ["nothing after Bearer", { authorization: "Bearer" }],
  ];
  // An invitation and a link admit by themselves.
  const unguarded = [...OPEN_PATHS, "/v1/invites/redeem", LINK];
  const guardedEndpoints = ENDPOINTS.filter(([, path]) => !unguarded.includes(path));
  test.each(guardedEndpoints)("%s %s wants the token [H2]", async (method, path) => {
    for (const [, headers] of wrong) {
      const response = await guarded.call(method, path, { headers });
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
      await expectProblem(response, 401, "unauthenticated");
    }
    const right = { authorization: `bearer ${TOKEN}` };
    expect((await guarded.call(method, path, { headers: right })).status).not.toBe(401);
  });

  test.each(OPEN_PATHS)("%s is open [H2]", async (path) => {
    expect((await guarded.call("GET", path)).status).toBe(200);
  });

  test("a token in the query opens nothing [H2]", async () => {
    const response = await guarded.call("GET", `${BASE}/tree?access_token=${TOKEN}`);
    await expectProblem(response, 401, "unauthenticated");
  });

  test.each(["/v1/admin", "/", "/admin", "/v2/folders", "/healthz/", "/v1/hello/x", "//healthz"])(
    "what is not there wants the token as well: %s [H2]",
    async (path) => {
      await expectProblem(await guarded.call("GET", path), 401, "unauthenticated");
    },
  );

  test("the token is checked before the body is read [H2]", async () => {
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          pulled++;
          controller.enqueue(new Uint8Array(1024));
        },
      },
      { highWaterMark: 0 },
    );
    const response = await guarded.call("POST", `${BASE}/chunks`, { body });
    expect(response.headers.get("connection")).toBe("close");
    await expectProblem(response, 401, "unauthenticated");
    expect(pulled).toBe(0);
  });

  test.each([
    "",
    "short",
    "0123456789abcde",
    "with a space in it",
    "a".repeat(257),
    "ümläut-ümläut-x",
  ])("a router with the token %j is refused [H2]", (token) => {
    expect(() => createRouter({ ...open.options, token })).toThrow("Cannot use the token");
  });
});

describe("Host and origin (B72, B73, B75)", () => {
  const rows: [string, Record<string, string>, number, string][] = [
    ["another name", { host: "evil.com" }, 421, "misdirected_request"],
    [
      "a name that begins with localhost",
      { host: "localhost.evil.com" },
      421,
      "misdirected_request",
    ],
    ["a private address", { host: "192.168.1.1" }, 421, "misdirected_request"],
    ["two joined hosts", { host: "localhost, evil.com" }, 400, "invalid_host"],
    ["a user and a path", { host: "a@b/c?d" }, 400, "invalid_host"],
    ["an empty host", { host: "" }, 400, "invalid_host"],
    ["a port of letters", { host: "localhost:http" }, 400, "invalid_host"],
    ["another origin", { origin: "http://evil.com" }, 403, "csrf"],
    ["the origin null", { origin: "null" }, 403, "csrf"],
    [
      "another port's origin",
      { host: "localhost:8080", origin: "http://localhost:9090" },
      403,
      "csrf",
    ],
    ["Sec-Fetch-Site: cross-site", { "sec-fetch-site": "cross-site" }, 403, "csrf"],
    ["Sec-Fetch-Site: same-site", { "sec-fetch-site": "same-site" }, 403, "csrf"],
    ["protocol 99", { "synced-protocol": "99" }, 426, "upgrade_required"],
  ];
  test.each(rows)("refuses %s [H3]", async (_name, headers, status, code) => {
    for (const [method, path] of ENDPOINTS) {
      await expectProblem(await open.call(method, path, { headers }), status, code);
    }
  });

  test.each([
    { host: "localhost" },
    { host: "LOCALHOST:8080" },
    { host: "127.0.0.1:1" },
    { host: "127.8.9.10" },
    { host: "[::1]:8080" },
    { host: "localhost:8080", origin: "http://localhost:8080" },
    { origin: "http://localhost", "sec-fetch-site": "same-origin" },
    { "sec-fetch-site": "none" },
    { "x-forwarded-host": "evil.com", forwarded: "host=evil.com" },
    { "synced-protocol": "1" },
  ])("accepts %j [H3]", async (headers) => {
    expect((await open.call("GET", `${BASE}/tree`, { headers })).status).toBe(200);
  });

  test("answers to any host where it is not bound to loopback [H3]", async () => {
    const fixture = await openFixture({ loopbackOnly: false });
    const headers = { host: "files.example.org" };
    expect((await fixture.call("GET", "/v1/hello", { headers })).status).toBe(200);
    await fixture.close();
  });
});

describe("Methods (B58, B77)", () => {
  const wrongMethods = ROUTES.flatMap(({ path, methods }) =>
    ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"]
      .filter((method) => !methods.includes(method))
      .map((method): [string, string, string[]] => [method, path, methods]),
  );
  test.each(wrongMethods)("%s %s is not allowed [H1]", async (method, path, methods) => {
    const response = await open.call(method, path);
    const allowed = response.headers.get("allow")?.split(", ") ?? [];
    await expectProblem(response, 405, "method_not_allowed");
    expect(allowed.filter((name) => name !== "HEAD").sort()).toEqual([...methods].sort());
  });

  test.each(ENDPOINTS.filter(([method]) => method === "GET" || method === "DELETE"))(
    "%s %s takes no body [H8]",
    async (method, path) => {
      for (const headers of [{ "content-length": "5" }, { "transfer-encoding": "chunked" }]) {
        const response = await open.call(method, path, { headers });
        expect(response.headers.get("connection")).toBe("close");
        await expectProblem(response, 400, "unexpected_body");
      }
    },
  );

  test.each(["/v1/tree", `${BASE}/events`, "/v1/folders"])(
    "HEAD %s is not allowed [H1]",
    async (path) => {
      expect((await open.call("HEAD", path)).status).toBeGreaterThanOrEqual(404);
    },
  );
});

describe("Paths in the URL (B6, B7, B59)", () => {
  expectRows([
    ["no route [H1]", "GET", "/", 404, "not_found"],
    ["a trailing slash [H1]", "GET", "/v1/folders/", 404, "not_found"],
    ["another version [H1]", "GET", "/v2/hello", 404, "not_found"],
    ["the root of a disk [H1]", "GET", "/etc/passwd", 404, "not_found"],
    ["a path climbing up [H1]", "GET", "/v1/../../etc/passwd", 404, "not_found"],
    ["an unknown folder [H1]", "GET", "/v1/folders/nobody/tree", 404, "folder_not_found"],
    ["a folder's encoded slash [N2]", "GET", "/v1/folders/a%2fb/tree", 400, "invalid_folder_name"],
    [
      "a folder's encoded backslash [N2]",
      "GET",
      "/v1/folders/a%5cb/tree",
      400,
      "invalid_folder_name",
    ],
    ["a folder encoded twice [N2]", "GET", "/v1/folders/%252e/tree", 400, "invalid_folder_name"],
    ["a folder's NUL [N2]", "GET", "/v1/folders/a%00/tree", 400, "invalid_folder_name"],
    [
      "a folder's overlong slash [N2]",
      "GET",
      "/v1/folders/%c0%af/tree",
      400,
      "invalid_folder_name",
    ],
    ["a folder's stray byte [N2]", "GET", "/v1/folders/%ff/tree", 400, "invalid_folder_name"],
    ["an encoded letter [N2]", "GET", "/v1/folders/%64efault/tree", 400, "invalid_folder_name"],
    ["a folder in upper case [N2]", "GET", "/v1/folders/Default/tree", 400, "invalid_folder_name"],
    [
      "a folder of 65 letters [N2]",
      "PUT",
      `/v1/folders/${"a".repeat(65)}`,
      400,
      "invalid_folder_name",
    ],
    ["a short device id [N1]", "PUT", `${BASE}/devices/abc`, 400, "invalid_id", { json: {} }],
    [
      "a device id with %00 [N1]",
      "PUT",
      `${BASE}/devices/${"a".repeat(31)}%00`,
      400,
      "invalid_id",
      { json: {} },
    ],
    [
      "a digest in upper case (B23) [H8]",
      "GET",
      `${BASE}/contents/${"A".repeat(64)}`,
      400,
      "invalid_hash",
    ],
    ["a short digest (B23) [H8]", "GET", `${BASE}/contents/abc`, 400, "invalid_hash"],
    [
      "a digest with a prefix (B23) [H8]",
      "GET",
      `${BASE}/contents/sha256:${"a".repeat(57)}`,
      400,
      "invalid_hash",
    ],
    [
      "a digest that was never there [H7]",
      "GET",
      `${BASE}/contents/${"a".repeat(64)}`,
      404,
      "not_found",
    ],
  ]);
});

describe("Paths of files (B1-B4, B9, B12, B14)", () => {
  const illegal: [string, string][] = [
    ["../x", "invalid_path"],
    ["a/../../x", "invalid_path"],
    ["..", "invalid_path"],
    [".", "invalid_path"],
    ["a/./b", "invalid_path"],
    ["a//b", "invalid_path"],
    ["/a", "invalid_path"],
    ["a/", "invalid_path"],
    ["", "invalid_path"],
    ["/etc/passwd", "invalid_path"],
    ["file:///etc/passwd", "invalid_path"],
    ["a\0b", "invalid_path"],
    ["a\ufffe", "invalid_path"],
    ["x".repeat(256), "path_too_long"],
    ["ü".repeat(128), "path_too_long"],
    [`${"a/".repeat(256)}b`, "path_too_long"],
    [`${"x".repeat(200)}/`.repeat(21), "path_too_long"],
    [".synced", "reserved_name"],
    ["a/.SYNCED/b", "reserved_name"],
    [".ſynced", "reserved_name"],
    [".syn\u200bced", "reserved_name"],
    ["SYNCED~1", "reserved_name"],
  ];
  const titled = illegal.map(([path, code]) => [inAscii(path), path, code] as const);
  test.each(titled)("%s is refused [N3]", async (_title, path, code) => {
    const query = `path=${encodeURIComponent(path)}`;
    for (const [method, route, options] of [
      ["GET", "files", {}],
      ["PUT", "files", { body: "x" }],
      ["DELETE", "files", {}],
      ["GET", "history", {}],
    ] as const) {
      await expectProblem(await open.call(method, `${BASE}/${route}?${query}`, options), 422, code);
    }
  });

  expectRows([
    ["no path [H8]", "GET", `${BASE}/files`, 400, "invalid_parameter"],
    ["two paths [H8]", "GET", `${BASE}/files?path=a&path=b`, 400, "invalid_parameter"],
    ["a path that is not UTF-8 [H8]", "GET", `${BASE}/files?path=%ff`, 400, "invalid_parameter"],
    [
      "a lone surrogate in UTF-8 [H8]",
      "GET",
      `${BASE}/files?path=%ed%a0%80`,
      400,
      "invalid_parameter",
    ],
    ["a stray percent sign [H8]", "GET", `${BASE}/files?path=100%`, 400, "invalid_parameter"],
    ["an unknown parameter [H8]", "GET", `${BASE}/files?path=a&mode=7`, 400, "invalid_parameter"],
    ["a file that is not there [H7]", "GET", `${BASE}/files?path=none`, 404, "not_found"],
    ["history of nothing [H14]", "GET", `${BASE}/history?path=none`, 404, "not_found"],
  ]);
});

describe("Numbers in the query (B31-B34)", () => {
  const illegalSequences = [
    "-1",
    "1.5",
    "1e3",
    "0x10",
    "%201",
    "%D9%A3",
    "9007199254740992",
    "9223372036854775808",
    "18446744073709551616",
    "9".repeat(400),
    "",
    "01",
    "+1",
  ];
  test.each(illegalSequences)("the cursor %j is refused [H8]", async (text) => {
    const event = await open.call("GET", `${BASE}/events?after=${text}`);
    await expectProblem(event, 400, "invalid_cursor");
    const index = await open.call("GET", `${BASE}/index?seq=${text}`);
    await expectProblem(index, 400, "invalid_cursor");
    const file = await open.call("GET", `${BASE}/files?path=a&seq=${text}`);
    await expectProblem(file, 400, "invalid_cursor");
  });

  test.each(["0", "-1", "1000000000", "1e1", "", "5001", "1&limit=9"])(
    "the limit %j is refused [H4]",
    async (text) => {
      for (const route of ["events?after=0&", "tree?", "index?", "devices?", "history?path=a&"]) {
        const response = await open.call("GET", `${BASE}/${route}limit=${text}`);
        await expectProblem(response, 400, "invalid_parameter");
      }
    },
  );

  expectRows([
    ["a cursor ahead of the log [H5]", "GET", `${BASE}/events?after=5`, 409, "cursor_ahead"],
    ["an index of the future [H5]", "GET", `${BASE}/index?seq=5`, 409, "cursor_ahead"],
    ["a file of the future [H7]", "GET", `${BASE}/files?path=a&seq=5`, 409, "cursor_ahead"],
    ["another epoch [O5]", "GET", `${BASE}/events?after=0&epoch=${id("x")}`, 409, "log_diverged"],
    ["another hash [O5]", "GET", `${BASE}/events?after=0&hash=${sha256("x")}`, 409, "log_diverged"],
    ["a malformed epoch [N1]", "GET", `${BASE}/events?after=0&epoch=x`, 400, "invalid_id"],
    ["a malformed hash [H8]", "GET", `${BASE}/events?after=0&hash=x`, 400, "invalid_hash"],
    ["a malformed node id [N1]", "GET", `${BASE}/tree?after=x`, 400, "invalid_id"],
    ["no cursor [H8]", "GET", `${BASE}/events`, 400, "invalid_parameter"],
    ["inline=yes [H8]", "GET", `${BASE}/events?after=0&inline=yes`, 400, "invalid_parameter"],
    [
      "a live stream with a bad cursor [H6]",
      "GET",
      `${BASE}/events?after=9`,
      409,
      "cursor_ahead",
      { headers: { accept: "text/event-stream" } },
    ],
  ]);
});

describe("Bodies (B15-B21)", () => {
  const jsonEndpoints: [string, string][] = [
    ["POST", `${BASE}/ops`],
    ["POST", `${BASE}/chunks/missing`],
    ["POST", `${BASE}/chunks/fetch`],
    ["PUT", `${BASE}/devices/${id("device")}`],
    ["PUT", BASE],
  ];
  const bodies: [string, CallOptions, number, string][] = [
    ["words", { body: "hello" }, 400, "malformed_json"],
    ["a list", { body: "[]" }, 400, "malformed_json"],
    ["null", { body: "null" }, 400, "malformed_json"],
    ["an unknown field", { json: { unknown: 1 } }, 400, "unknown_field"],
    ["a key constructor", { json: { constructor: 1 } }, 400, "unknown_field"],
    ["a key __proto__", { body: '{"__proto__":1}' }, 400, "malformed_json"],
    ["deep nesting", { body: "[".repeat(100) }, 400, "malformed_json"],
    [
      "text/plain",
      { body: "{}", headers: { "content-type": "text/plain" } },
      415,
      "unsupported_media_type",
    ],
    [
      "no type",
      { body: new Uint8Array([0x7b, 0x7d]), headers: { "content-type": "" } },
      415,
      "unsupported_media_type",
    ],
    [
      "latin1",
      { body: "{}", headers: { "content-type": "application/json; charset=latin1" } },
      415,
      "unsupported_media_type",
    ],
    [
      "multipart",
      { body: "{}", headers: { "content-type": "multipart/form-data; boundary=x" } },
      415,
      "unsupported_media_type",
    ],
    [
      "a form",
      { body: "{}", headers: { "content-type": "application/x-www-form-urlencoded" } },
      415,
      "unsupported_media_type",
    ],
    ["gzip", { body: "{}", headers: { "content-encoding": "gzip" } }, 415, "unsupported_encoding"],
    [
      "a declared gigabyte",
      { body: "{}", headers: { "content-length": "1073741824" } },
      413,
      "body_too_large",
    ],
    ["Accept: text/html", { json: {}, headers: { accept: "text/html" } }, 406, "not_acceptable"],
    [
      "Accept: application/json;q=0",
      { json: {}, headers: { accept: "application/json;q=0" } },
      406,
      "not_acceptable",
    ],
  ];
  for (const [method, path] of jsonEndpoints) {
    test.each(bodies)(`${method} ${path} refuses %s [H8]`, async (_name, options, status, code) => {
      const headers = { "content-type": "application/json", ...options.headers };
      if (code === "not_acceptable" && path.endsWith("fetch")) return;
      await expectProblem(await open.call(method, path, { ...options, headers }), status, code);
    });
  }

  test("a body without a length is cut at its bound [H4]", async () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.enqueue(new Uint8Array(64 * 1024));
      },
    });
    const headers = { "content-type": "application/json" };
    const response = await open.call("PUT", BASE, { body, headers });
    await expectProblem(response, 413, "body_too_large");
  });

  test("a body that stands still is given up [H4]", async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(1)),
    });
    const headers = { "content-type": "application/json" };
    const response = open.call("PUT", BASE, { body, headers });
    await open.clock.advance(9_000);
    await open.clock.advance(2_000);
    await expectProblem(await response, 408, "request_timeout");
    expect(open.clock.sleepCount).toBe(0);
  });

  test("a file that stands still is given up and nothing is stored [H4]", async () => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new Uint8Array(9)),
    });
    const response = open.call("PUT", `${BASE}/files?path=slow`, { body });
    await open.clock.advance(60_000);
    await expectProblem(await response, 408, "request_timeout");
    expect((await open.call("GET", `${BASE}/files?path=slow`)).status).toBe(404);
  });
});
