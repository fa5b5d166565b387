/** Share links: who may make one, and what whoever has one can see and reach. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { REFUSED_TOKENS_MAX } from "../../src/core/limits.ts";
import { linksSchema, madeLinkSchema } from "../../src/protocol/link-messages.ts";
import { BASE, type CallOptions, expectProblem, type Fixture, openFixture } from "./fixture.ts";

const DAY_MS = 86_400_000;
const EVIL = '<img src=x onerror=alert(1)>".html';
const PAGE = "text/html; charset=utf-8";

let fixture: Fixture;

beforeAll(async () => {
  fixture = await openFixture();
  const put = (path: string, body: string) =>
    fixture.call("PUT", `${BASE}/files?path=${encodeURIComponent(path)}`, { body });
  await put("outside.txt", "secret");
  await put("shared/a.txt", "first");
  await put("shared/sub/b.txt", "below");
  await put(`shared/${EVIL}`, "<script>alert(1)</script>");
  await put("shared/picture.svg", '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>');
});

afterEach(() => expect(fixture.errors).toEqual([]));
afterAll(() => fixture.close());

async function make(fields: Readonly<Record<string, unknown>>, options: CallOptions = {}) {
  const json = { lifeMs: DAY_MS, ...fields };
  const response = await fixture.call("POST", `${BASE}/links`, { ...options, json });
  expect(response.status).toBe(201);
  return madeLinkSchema.parse(await response.json());
}

async function bodyAt(address: string, options: CallOptions = {}): Promise<string> {
  const response = await fixture.call("GET", address, options);
  expect(response.status).toBe(200);
  return await response.text();
}

function basic(password: string) {
  return { headers: { authorization: `Basic ${btoa(`anybody:${password}`)}` } };
}

describe("a link to a directory", () => {
  test("shows what is in it and below, as it was, to somebody without a token [H40]", async () => {
    await fixture.tokens.make({ label: "", access: "admin", folders: "all" });
    const { text } = await fixture.tokens.make({ label: "", access: "write", folders: "all" });
    const headers = { authorization: `Bearer ${text}` };
    const { address, at } = await make({ path: "shared" }, { headers });
    const changed = { headers, body: "second" };
    await fixture.call("PUT", `${BASE}/files?path=shared/a.txt`, changed);
    expect(await bodyAt(`${address}/a.txt`)).toBe("first");
    expect(await bodyAt(`${address}/sub/b.txt`)).toBe("below");
    expect(await bodyAt(address)).toContain("4 entries");
    expect(await bodyAt(`${address}/sub/`)).toContain("b.txt");
    const followed = await make({ path: "shared", follows: true }, { headers });
    expect(followed.at).toBeUndefined();
    expect(await bodyAt(`${followed.address}/a.txt`)).toBe("second");
    const early = await make({ path: "shared", at }, { headers });
    expect(await bodyAt(`${early.address}/a.txt`)).toBe("first");
    const zip = await fixture.call("HEAD", `${address}?as=zip`);
    expect(zip.headers.get("content-type")).toBe("application/zip");
    await expectProblem(await fixture.call("GET", `${BASE}/list`), 401, "unauthenticated");
  });

  test.each([
    ["../outside.txt", 422],
    ["%2e%2e/outside.txt", 422],
    ["..%2foutside.txt", 422],
    ["sub%2fb.txt", 404],
    ["sub//b.txt", 422],
    ["outside.txt", 404],
    ["a.txt/", 404],
    ["%ff", 404],
    ["%00", 422],
  ])("opens nothing at %s [H40]", async (path, status) => {
    const { address } = await owned({ path: "shared" });
    // Not by a Request, which would take dots out of the address.
    const response = await fixture.call("GET", `${address}/${path.replaceAll("../", "%2e./")}`);
    expect([404, 422, status]).toContain(response.status);
    expect(await response.text()).not.toContain("secret");
  });

  test("is read only, and every other route stays shut [H40]", async () => {
    const { address } = await owned({ path: "shared" });
    for (const method of ["PUT", "POST", "DELETE"]) {
      const response = await fixture.call(method, `${address}/a.txt`);
      await expectProblem(response, 405, "method_not_allowed");
    }
    const text = address.slice("/s/".length);
    for (const headers of [{ authorization: `Bearer ${text}` }, basic(text).headers]) {
      const response = await fixture.call("GET", `${BASE}/files?path=outside.txt`, { headers });
      await expectProblem(response, 401, "unauthenticated");
    }
  });

  test("lists names as text, and lets nothing run [H42]", async () => {
    const { address } = await owned({ path: "shared" });
    const response = await fixture.call("GET", address);
    expect(response.headers.get("content-type")).toBe(PAGE);
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
    expect(response.headers.get("cache-control")).toBe("no-store");
    const html = await response.text();
    expect(html).not.toContain("<img");
    const links = [...html.matchAll(/href="([^"?]*)"/g)].map((match) => match[1] ?? "");
    const evil = links.find((link) => link.includes("onerror"));
    const file = await fixture.call("GET", `/s/${evil}`);
    expect(file.headers.get("content-disposition")).toStartWith("attachment;");
    expect(file.headers.get("content-security-policy")).toContain("sandbox");
    for (const [name, type] of [
      [encodeURIComponent(EVIL), "text/plain; charset=utf-8"],
      ["picture.svg", "image/svg+xml"],
    ]) {
      const viewed = await fixture.call("GET", `${address}/${name}?as=view`);
      expect(viewed.headers.get("content-type")).toBe(type ?? "");
      expect(viewed.headers.get("content-security-policy")).toContain("sandbox");
      expect(viewed.headers.get("x-content-type-options")).toBe("nosniff");
    }
  });

  test("opens by a link in a mail, and not inside another page [H42]", async () => {
    const { address } = await owned({ path: "shared" });
    const from = (mode: string, dest: string) => ({
      headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": mode, "sec-fetch-dest": dest },
    });
    await bodyAt(address, from("navigate", "document"));
    await expectProblem(await fixture.call("GET", address, from("no-cors", "image")), 403, "csrf");
    await expectProblem(
      await fixture.call("GET", address, from("navigate", "iframe")),
      403,
      "csrf",
    );
  });
});

/** As a device with a token makes it. */
async function owned(fields: Readonly<Record<string, unknown>>) {
  return await make(fields, { headers: await writer() });
}

async function writer(lifeMs?: number) {
  const life = lifeMs === undefined ? {} : { lifeMs };
  const { text } = await fixture.tokens.make({
    label: "",
    access: "write",
    folders: "all",
    ...life,
  });
  return { authorization: `Bearer ${text}` };
}

describe("a link", () => {
  test("ends when it is revoked, and only its own folder's writers may do that [H41]", async () => {
    const headers = await writer();
    const { id, address } = await make({ path: "shared/a.txt" }, { headers });
    const { text } = await fixture.tokens.make({ label: "", access: "read", folders: "all" });
    const reader = { headers: { authorization: `Bearer ${text}` } };
    await expectProblem(
      await fixture.call("DELETE", `${BASE}/links/${id}`, reader),
      403,
      "forbidden",
    );
    await expectProblem(await fixture.call("GET", `${BASE}/links`, reader), 403, "forbidden");
    const listed = await fixture.call("GET", `${BASE}/links`, { headers });
    const listing = await listed.text();
    expect(linksSchema.parse(JSON.parse(listing)).links.some((link) => link.id === id)).toBe(true);
    expect(listing).not.toContain(address.slice(-64));
    expect((await fixture.call("DELETE", `${BASE}/links/${id}`, { headers })).status).toBe(204);
    await expectProblem(await fixture.call("GET", address), 404, "not_found");
    const again = await fixture.call("DELETE", `${BASE}/links/${id}`, { headers });
    await expectProblem(again, 404, "not_found");
  });

  test("ends with its time, and with its maker's token [H41]", async () => {
    const short = await owned({ path: "shared", lifeMs: 1000 });
    const headers = await writer(DAY_MS / 2);
    const long = await make({ path: "shared" }, { headers });
    await fixture.clock.advance(1001);
    await expectProblem(await fixture.call("GET", short.address), 410, "link_expired");
    await bodyAt(long.address);
    await fixture.clock.advance(DAY_MS / 2);
    await expectProblem(await fixture.call("GET", long.address), 410, "link_expired");
    const wrong = short.address.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    await expectProblem(await fixture.call("GET", wrong), 404, "not_found");
  });

  test("may want a password [H41]", async () => {
    const { address, hasPassword } = await owned({
      path: "shared/a.txt",
      password: "correct horse",
    });
    expect(hasPassword).toBe(true);
    const bare = await fixture.call("GET", address);
    expect(bare.headers.get("www-authenticate")).toStartWith("Basic ");
    await expectProblem(bare, 401, "link_password");
    await expectProblem(
      await fixture.call("GET", address, basic("wrong horse")),
      401,
      "link_password",
    );
    await bodyAt(address, basic("correct horse"));
  });

  test("and tells an address that tried many passwords to wait [H41, K8]", async () => {
    const open = await openFixture({ loopbackOnly: false });
    try {
      await open.call("PUT", `${BASE}/files?path=a.txt`, { body: "first" });
      const json = { path: "a.txt", lifeMs: DAY_MS, password: "correct horse" };
      const made = await open.call("POST", `${BASE}/links`, { json });
      const { address } = madeLinkSchema.parse(await made.json());
      const attempt = (password: string, peer: string) =>
        open.router.fetch(new Request(`http://localhost${address}`, basic(password)), { peer });
      for (let count = 0; count < REFUSED_TOKENS_MAX; count++) {
        await expectProblem(await attempt(`wrong ${count}`, "203.0.113.7"), 401, "link_password");
      }
      const limited = await attempt("correct horse", "203.0.113.7");
      await expectProblem(limited, 429, "rate_limited");
      expect((await attempt("correct horse", "203.0.113.8")).status).toBe(200);
    } finally {
      await open.close();
    }
  });

  test("that does not open says so to people with a page, to programs with a problem [H42]", async () => {
    const headers = { accept: "text/html,*/*;q=0.8" };
    const response = await fixture.call("GET", "/s/no-link", { headers });
    expect(response.status).toBe(404);
    expect(response.headers.get("content-type")).toBe(PAGE);
    expect(await response.text()).toContain("there is none, or not any more");
    await expectProblem(await fixture.call("GET", "/s/no-link"), 404, "not_found");
  });
});

test.each([
  [{ path: "nowhere" }, 404, "not_found"],
  [{ path: "shared", lifeMs: 1e15 }, 400, "invalid_parameter"],
  [{ path: "shared", password: "short" }, 400, "invalid_parameter"],
  [{ path: "shared", at: 1, follows: true }, 400, "invalid_parameter"],
  [{ path: "shared", at: 1e9 }, 409, "cursor_ahead"],
  [{ path: "shared", secret: "mine" }, 400, "unknown_field"],
])("%o makes no link [H40, H8]", async (fields, status, code) => {
  const json = { lifeMs: DAY_MS, ...fields };
  const response = await fixture.call("POST", `${BASE}/links`, { json, headers: await writer() });
  await expectProblem(response, status, code);
});
