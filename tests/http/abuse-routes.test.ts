/**
 * The abuse catalogue, third part: what is wrong with any route, tried on all of them. The table is
 * made of the routes themselves, so a new one is in it (B7, B18-B20, B33, B40, B59, B74, B77, B78).
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import type { Endpoint } from "../../src/http/endpoint.ts";
import { allRoutes } from "../../src/http/router.ts";
import { expectProblem, type Fixture, id, openFixture, problemOf, stateOf } from "./fixture.ts";

let fixture: Fixture;
let before: string;

beforeAll(async () => {
  fixture = await openFixture();
  await fixture.call("PUT", "/v1/folders/default/files?path=kept.txt", { body: "kept" });
  before = await stateOf(fixture);
});

afterEach(async () => {
  expect(await stateOf(fixture)).toBe(before);
});

afterAll(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

interface Case {
  readonly method: string;
  /** With what fills the pattern. */
  readonly path: string;
  readonly pattern: string;
  readonly endpoint: Endpoint;
}

const FILLINGS: Readonly<Record<string, string>> = { ":folder": "default", ":sha256": sha256("x") };

function filled(pattern: string, folder = "default"): string {
  const segments = pattern.split("/").map((segment) => {
    if (segment === ":folder") return folder;
    return segment.startsWith(":") ? (FILLINGS[segment] ?? id(segment.slice(1))) : segment;
  });
  return segments.join("/");
}

/** The routes do not depend on what the options hold, so any will do. */
async function cases(): Promise<readonly Case[]> {
  const some = await openFixture();
  const found = allRoutes(some.options).flatMap(({ pattern, methods }) =>
    Object.entries(methods).map(([method, endpoint]) => {
      return { method, path: filled(pattern), pattern, endpoint };
    }),
  );
  await some.close();
  return found;
}

const ALL = await cases();
const titled = (some: readonly Case[]) =>
  some.map((one) => [`${one.method} ${one.pattern}`, one] as const);
const OF_FOLDERS = ALL.filter(({ pattern }) => pattern.includes(":folder"));
const WITH_BODY = ALL.filter(({ endpoint }) => (endpoint.takes ?? "nothing") !== "nothing");
const WITHOUT_BODY = ALL.filter(({ endpoint }) => (endpoint.takes ?? "nothing") === "nothing");

test("there are routes to try [H1]", () => {
  expect(ALL.length).toBeGreaterThan(25);
});

describe("on every route", () => {
  test.each(titled(ALL))(
    "%s refuses a parameter that it does not know [H8]",
    async (_name, one) => {
      const response = await fixture.call(one.method, `${one.path}?nobody-knows=1`);
      await expectProblem(response, 400, "invalid_parameter");
    },
  );

  test.each(titled(ALL))("%s inflates nothing (B20) [H8]", async (_name, { method, path }) => {
    for (const encoding of ["gzip", "br", "deflate", "gzip, identity", "x".repeat(100)]) {
      const headers = { "content-encoding": encoding, "content-length": "5" };
      const response = await fixture.call(method, path, { headers });
      expect(response.headers.get("connection")).toBe("close");
      await expectProblem(response, 415, "unsupported_encoding");
    }
  });

  test.each(titled(ALL))("%s gives browsers nothing to run (B74) [H1]", async (_name, one) => {
    const response = await fixture.call(one.method, `${one.path}?nobody-knows=<script>`);
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(response.headers.get("access-control-allow-origin")).toBeNull();
    expect(await response.text()).not.toContain("<script>");
  });

  test.each(titled(ALL))("%s believes no header about the way (B78) [H3]", async (_name, one) => {
    const headers = { "x-forwarded-for": "127.0.0.1", "x-forwarded-host": "localhost" };
    const response = await fixture.call(one.method, one.path, {
      headers: { ...headers, host: "evil.com", forwarded: "host=localhost" },
    });
    await expectProblem(response, 421, "misdirected_request");
  });
});

describe("on every route without a body", () => {
  test.each(titled(WITHOUT_BODY))("%s takes none (B77) [H8]", async (_name, { method, path }) => {
    for (const framing of [{ "content-length": "1" }, { "transfer-encoding": "chunked" }]) {
      const response = await fixture.call(method, path, { headers: { ...framing } });
      await expectProblem(response, 400, "unexpected_body");
    }
  });
});

describe("on every route with a body", () => {
  test.each(titled(WITH_BODY))("%s takes no form (B18) [H8]", async (_name, { method, path }) => {
    const headers = { "content-type": "multipart/form-data; boundary=x", "content-length": "2" };
    const response = await fixture.call(method, path, { headers, body: "{}" });
    await expectProblem(response, 415, "unsupported_media_type");
  });

  test.each(titled(WITH_BODY))(
    "%s has a bound (B21) [H4]",
    async (_name, { method, path, endpoint }) => {
      if (endpoint.takes === "bytes") return;
      const type = endpoint.takes === "pack" ? "application/vnd.synced.pack" : "application/json";
      const headers = { "content-type": type, "content-length": String(2 ** 40) };
      const response = await fixture.call(method, path, { headers, body: "{}" });
      await expectProblem(response, 413, "body_too_large");
    },
  );
});

describe("on every route that answers one type", () => {
  const some = ALL.filter(({ endpoint }) => (endpoint.answers ?? "json") !== "bytes");
  test.each(titled(some))("%s answers no other (B19) [H8]", async (_name, { method, path }) => {
    for (const accept of ["text/html", "image/png, audio/*", "application/json;q=0, text/html"]) {
      const response = await fixture.call(method, path, { headers: { accept } });
      await expectProblem(response, 406, "not_acceptable");
    }
  });
});

describe("on every route of a folder", () => {
  const names = ["a%2fb", "..%2f..", "%00", "%c0%ae", "Default", "-x", ".synced", "a".repeat(65)];
  test.each(titled(OF_FOLDERS))("%s takes legal names only (B7) [N2]", async (_name, one) => {
    for (const name of names) {
      const response = await fixture.call(one.method, filled(one.pattern, name));
      const { status, code } = await problemOf(response);
      const isUsual = code === "invalid_folder_name" || code === "folder_not_found";
      expect([name, status < 500, isUsual || status === 400]).toEqual([name, true, true]);
    }
  });

  const unmade = OF_FOLDERS.filter(({ method, pattern }) => {
    return !(method === "PUT" && pattern === "/v1/folders/:folder");
  });
  test.each(titled(unmade))("%s makes no folder by being asked (B40) [I39]", async (_name, one) => {
    const response = await fixture.call(one.method, filled(one.pattern, "nobody"));
    expect(response.status).toBeLessThan(500);
    const after = await fixture.call("GET", "/v1/folders/nobody");
    await expectProblem(after, 404, "folder_not_found");
  });
});
