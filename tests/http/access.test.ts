/** What each endpoint needs, and what a grant allows: by a table, and by asking each endpoint. */
import { describe, expect, test } from "bun:test";
import { ACCESSES, type Access, EVERYTHING, type Grant, NOTHING } from "../../src/core/access.ts";
import { SyncedError } from "../../src/core/error.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import { authorise, createAdmission } from "../../src/http/admission.ts";
import type { Need, Route } from "../../src/http/endpoint.ts";
import { allRoutes } from "../../src/http/router.ts";
import { HandClock, openFixture, TOKEN } from "./fixture.ts";

const F = "/v1/folders/:folder";

/** A new endpoint is written down here, too, so that nobody opens one by the way. */
const NEEDS: Readonly<Record<string, Need>> = {
  "GET /healthz": "nothing",
  "GET /readyz": "nothing",
  "GET /v1/hello": "nothing",
  "POST /v1/invites/redeem": "nothing",
  "GET /v1/tokens": "admin",
  "POST /v1/tokens": "admin",
  "DELETE /v1/tokens/:token": "admin",
  "GET /v1/folders": "token",
  [`GET ${F}`]: "read",
  [`PUT ${F}`]: "write",
  [`GET ${F}/events`]: "read",
  [`GET ${F}/usage`]: "read",
  [`POST ${F}/ops`]: "write",
  [`POST ${F}/chunks`]: "write",
  [`POST ${F}/chunks/missing`]: "write",
  [`GET ${F}/chunks/wanted`]: "write",
  [`POST ${F}/chunks/fetch`]: "read",
  [`GET ${F}/tree`]: "read",
  [`GET ${F}/devices`]: "read",
  [`PUT ${F}/devices/:device`]: "read",
  [`GET ${F}/files`]: "read",
  [`PUT ${F}/files`]: "write",
  [`DELETE ${F}/files`]: "write",
  [`GET ${F}/contents/:sha256`]: "read",
  [`GET ${F}/index`]: "read",
  [`GET ${F}/history`]: "read",
  [`GET ${F}/list`]: "read",
  [`GET ${F}/spans`]: "read",
  [`GET ${F}/moment`]: "read",
  [`GET ${F}/diff`]: "read",
  [`GET ${F}/log`]: "read",
  [`GET ${F}/activity`]: "read",
  [`GET ${F}/search`]: "read",
  [`GET ${F}/archive`]: "read",
  [`GET ${F}/devices/:device/orders`]: "read",
  [`PUT ${F}/devices/:device/orders/:order`]: "write",
  [`DELETE ${F}/devices/:device/orders/:order`]: "read",
  [`GET ${F}/conflicts`]: "read",
  [`GET ${F}/wait`]: "read",
  [`POST ${F}/tickets`]: "read",
  [`POST ${F}/plans`]: "read",
  [`PUT ${F}/plans/:plan`]: "write",
  [`GET ${F}/links`]: "write",
  [`POST ${F}/links`]: "write",
  [`DELETE ${F}/links/:link`]: "write",
  "GET /s/:link/*": "link",
  "GET /metrics": "read",
};

const page = { expose: async () => ({ contentType: "text/plain", text: "" }) };

test("each endpoint says what it needs [H2, K1]", async () => {
  const fixture = await openFixture();
  const routes = allRoutes({ ...fixture.options, metrics: page });
  const needs = routes.flatMap(({ pattern, methods }) =>
    Object.entries(methods).map(([method, { needs: need }]) => [`${method} ${pattern}`, need]),
  );
  expect(Object.fromEntries(needs)).toEqual(NEEDS);
  await fixture.close();
});

function routeOf(pattern: string, ...needs: Need[]): Route {
  const [get = "nothing", put] = needs;
  const handle = () => new Response();
  const methods = { GET: { needs: get, handle } };
  return {
    pattern,
    methods: put === undefined ? methods : { ...methods, PUT: { needs: put, handle } },
  };
}

describe("a route is open only if it says so [H2]", () => {
  const admitTo = (route: Route) => () =>
    createAdmission({ token: TOKEN, loopbackOnly: true, clock: new HandClock() }, [route])(
      new Request("http://localhost/a"),
      "/a",
      undefined,
    );

  test("if all its endpoints need nothing", () => {
    expect(admitTo(routeOf("/a", "nothing"))()).toEqual({ grant: NOTHING });
    expect(admitTo(routeOf("/a", "read"))).toThrow("the bearer token is missing");
    expect(admitTo(routeOf("/b", "nothing"))).toThrow("the bearer token is missing");
  });

  test("and never half, nor for paths that nobody knows yet", () => {
    expect(admitTo(routeOf("/a", "nothing", "write"))).toThrow("with all its methods");
    expect(admitTo(routeOf("/:folder", "nothing"))).toThrow("is a plain path");
    expect(admitTo(routeOf("/*", "nothing"))).toThrow("is a plain path");
  });
});

describe("what a grant allows [K1]", () => {
  const HERE = parseFolderName("here");
  const outcome = (grant: Grant, need: Need, folder?: string): string => {
    try {
      authorise(grant, need, folder);
      return "allowed";
    } catch (error) {
      if (!(error instanceof SyncedError)) throw error;
      return error.code;
    }
  };
  const scoped = (access: Access): Grant => ({ access, folders: new Set([HERE]) });

  test("an access includes those before it", () => {
    for (const [level, access] of ACCESSES.entries()) {
      for (const [wanted, need] of ACCESSES.entries()) {
        const expected = wanted <= level ? "allowed" : "forbidden";
        expect(outcome({ access, folders: "all" }, need)).toBe(expected);
        expect(outcome({ access, folders: "all" }, need, "there")).toBe(expected);
        expect(outcome(scoped(access), need, "here")).toBe(expected);
      }
    }
  });

  test("a folder out of reach is not there, whatever the access", () => {
    for (const access of ACCESSES) {
      for (const need of ["token", ...ACCESSES] as const) {
        expect(outcome(scoped(access), need, "there")).toBe("folder_not_found");
        expect(outcome(NOTHING, need, "here")).toBe("folder_not_found");
      }
    }
  });

  test("what is about no folder wants a grant of all", () => {
    for (const need of ACCESSES) expect(outcome(scoped("admin"), need)).toBe("forbidden");
    expect(outcome(scoped("read"), "token")).toBe("allowed");
    for (const need of ["nothing", "token", ...ACCESSES] as const) {
      expect(outcome(EVERYTHING, need)).toBe("allowed");
    }
  });
});
