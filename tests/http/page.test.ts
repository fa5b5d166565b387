/** The page's routes: who may load them, under which policy, and how large they are. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { loadPageFiles } from "../../src/adapters/runtime/page-files.ts";
import { createRouter } from "../../src/http/router.ts";
import { type Fixture, openFixture, TOKEN } from "./fixture.ts";

const PAGE = {
  html: '<script src="{{main.js}}"></script>',
  assets: new Map([["main.js", "go()"]]),
};
const MAIL_LINK = {
  host: "127.0.0.1",
  "sec-fetch-site": "cross-site",
  "sec-fetch-mode": "navigate",
  "sec-fetch-dest": "document",
};

describe("the page's routes", () => {
  let fixture: Fixture;
  beforeAll(async () => {
    fixture = await openFixture({ token: TOKEN, page: PAGE });
  });
  afterAll(() => fixture.close());

  test("the document is open, never stale, and lets nothing of others in [H30]", async () => {
    const answer = await fixture.call("GET", "/", { headers: MAIL_LINK });
    expect(answer.status).toBe(200);
    expect(answer.headers.get("cache-control")).toBe("no-cache");
    const policy = answer.headers.get("content-security-policy") ?? "";
    for (const part of [
      "default-src 'none'",
      "script-src 'self'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]) {
      expect(policy).toContain(part);
    }
    expect(policy).not.toContain("unsafe");
    const etag = answer.headers.get("etag") ?? "";
    const again = await fixture.call("GET", "/", { headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
  });

  test("its assets have names that change with them, and come packed [H30]", async () => {
    const html = await (await fixture.call("GET", "/")).text();
    const path = /src="([^"]+)"/.exec(html)?.[1] ?? "";
    expect(path).toMatch(/^\/page\/main-[0-9a-f]{16}\.js$/);
    const plain = await fixture.call("GET", path);
    expect(await plain.text()).toBe("go()");
    expect(plain.headers.get("cache-control")).toContain("immutable");
    const packed = await fixture.call("GET", path, { headers: { "accept-encoding": "br, gzip" } });
    expect(packed.headers.get("content-encoding")).toBe("gzip");
    expect((await fixture.call("GET", "/page/other.js")).status).toBe(401);
  });

  test.each([
    ["a script of another site", "/", { ...MAIL_LINK, "sec-fetch-mode": "cors" }],
    ["a frame of another site", "/", { ...MAIL_LINK, "sec-fetch-dest": "iframe" }],
    ["a link to the API", "/v1/hello", MAIL_LINK],
  ])("refuses %s [H3, H30]", async (_, path, headers) => {
    expect((await fixture.call("GET", path, { headers })).status).toBe(403);
  });

  test("says how to build it where it was not built [H30]", async () => {
    const router = createRouter({ ...fixture.options, page: "not built" });
    const answer = await router.fetch(new Request("http://127.0.0.1/"));
    expect(answer.status).toBe(404);
    expect(await answer.text()).toContain("run page");
  });
});

test("the built page is below 150 kB packed [H30]", async () => {
  const page = await loadPageFiles();
  if (page === undefined) return;
  const texts = [page.html, ...page.assets.values()];
  const bytes = texts.reduce((sum, text) => sum + gzipSync(text).length, 0);
  expect(bytes).toBeLessThan(150_000);
});

test("the built page makes no table of dates or numbers before its first row [H35]", async () => {
  const page = await loadPageFiles();
  if (page === undefined) return;
  expect(page.assets.get("main.js")).not.toMatch(
    /Intl\.(?:DateTime|Number)Format|toLocale\w*String/,
  );
});
