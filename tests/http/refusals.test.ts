/** Wrong tokens are counted by address, slowed and told; and whose address it is. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { REFUSED_TOKENS_MAX, REFUSED_TOKENS_WINDOW_MS } from "../../src/core/limits.ts";
import type { Refusal } from "../../src/http/endpoint.ts";
import { createRouter, type Router, type RouterOptions } from "../../src/http/router.ts";
import { BASE, type Fixture, openFixture, TOKEN } from "./fixture.ts";

let fixture: Fixture;
let told: Refusal[];

beforeEach(async () => {
  fixture = await openFixture();
  told = [];
});

afterEach(() => fixture.close());

function routerWith(options: Partial<RouterOptions>): Router {
  const onRefusal = (refusal: Refusal) => told.push(refusal);
  const all = { ...fixture.options, loopbackOnly: false, token: TOKEN, onRefusal, ...options };
  return createRouter(all);
}

async function statusOf(
  router: Router,
  peer: string | undefined,
  headers: Record<string, string>,
): Promise<number> {
  const request = new Request(`http://localhost${BASE}`, { headers });
  return (await router.fetch(request, { peer })).status;
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const RIGHT = bearer(TOKEN);
const WRONG = bearer(`${TOKEN}-wrong`);

async function guess(router: Router, peer: string, times: number): Promise<number[]> {
  const statuses: number[] = [];
  for (let count = 0; count < times; count++) statuses.push(await statusOf(router, peer, WRONG));
  return statuses;
}

describe("wrong tokens from one address [K8, B45]", () => {
  test("are answered with 429 after some, the right one too, and others are let in", async () => {
    const router = routerWith({});
    expect(await guess(router, "10.0.0.1", REFUSED_TOKENS_MAX)).toEqual(
      Array.from({ length: REFUSED_TOKENS_MAX }, () => 401),
    );
    expect(await statusOf(router, "10.0.0.1", WRONG)).toBe(429);
    const request = new Request(`http://localhost${BASE}`, { headers: RIGHT });
    const blocked = await router.fetch(request, { peer: "10.0.0.1" });
    expect(blocked.status).toBe(429);
    const seconds = Number(blocked.headers.get("retry-after"));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(REFUSED_TOKENS_WINDOW_MS / 1000);
    expect(await statusOf(router, "10.0.0.2", RIGHT)).toBe(200);
    await fixture.clock.advance(REFUSED_TOKENS_WINDOW_MS);
    expect(await statusOf(router, "10.0.0.1", RIGHT)).toBe(200);
  });

  test("do not keep out a token that was made: nobody guesses those", async () => {
    const router = routerWith({});
    const { text } = await fixture.tokens.make({ label: "", access: "read", folders: "all" });
    await guess(router, "10.0.0.1", REFUSED_TOKENS_MAX + 5);
    expect(await statusOf(router, "10.0.0.1", bearer(text))).toBe(200);
    const wrong = bearer(text.replace(/.$/, (last) => (last === "0" ? "1" : "0")));
    expect(await statusOf(router, "10.0.0.1", wrong)).toBe(429);
  });

  test("are not requests without any token, which guess nothing", async () => {
    const router = routerWith({});
    for (let count = 0; count < 2 * REFUSED_TOKENS_MAX; count++) {
      expect(await statusOf(router, "10.0.0.1", {})).toBe(401);
    }
    expect(await statusOf(router, "10.0.0.1", RIGHT)).toBe(200);
    expect(told).toEqual([]);
  });

  test("count for the whole network of an IPv6 address, and for both dresses of an IPv4", async () => {
    const router = routerWith({});
    await guess(router, "2001:db8:1:2::1", REFUSED_TOKENS_MAX);
    expect(await statusOf(router, "2001:db8:1:2:ffff::9", WRONG)).toBe(429);
    expect(await statusOf(router, "2001:db8:1:3::1", WRONG)).toBe(401);
    await guess(router, "::ffff:10.0.0.1", REFUSED_TOKENS_MAX);
    expect(await statusOf(router, "10.0.0.1", WRONG)).toBe(429);
  });

  test("are told, but not each of them, however many addresses they come from", async () => {
    const router = routerWith({});
    await guess(router, "10.0.0.1", REFUSED_TOKENS_MAX);
    expect(told).toEqual([
      { address: "10.0.0.1", count: 1 },
      { address: "10.0.0.1", count: 9 },
    ]);
    for (let last = 2; last < 250; last++) await guess(router, `10.0.0.${last}`, 1);
    expect(told).toHaveLength(REFUSED_TOKENS_MAX);
    await fixture.clock.advance(REFUSED_TOKENS_WINDOW_MS);
    await guess(router, "10.0.1.1", 1);
    expect(told.at(-1)).toEqual({ address: "10.0.1.1", count: 1 });
  });
});

describe("behind a proxy [K11, B78]", () => {
  const PROXY = "10.0.0.9";

  test("nobody but the proxy and this machine is answered", async () => {
    const router = routerWith({ behindProxy: PROXY });
    expect(await statusOf(router, PROXY, RIGHT)).toBe(200);
    expect(await statusOf(router, `::ffff:${PROXY}`, RIGHT)).toBe(200);
    expect(await statusOf(router, "127.0.0.1", RIGHT)).toBe(200);
    expect(await statusOf(router, "10.0.0.1", RIGHT)).toBe(421);
  });

  test("the proxy's last word says whose token was wrong, and nobody else's word", async () => {
    const router = routerWith({ behindProxy: PROXY });
    const from = (address: string) => ({ ...WRONG, "x-forwarded-for": `1.1.1.1, ${address}` });
    for (let count = 0; count <= REFUSED_TOKENS_MAX; count++) {
      await statusOf(router, PROXY, from("192.0.2.7"));
    }
    expect(await statusOf(router, PROXY, from("192.0.2.7"))).toBe(429);
    expect(await statusOf(router, PROXY, from("192.0.2.8"))).toBe(401);
    const open = routerWith({});
    for (let count = 0; count <= REFUSED_TOKENS_MAX; count++) {
      await statusOf(open, "10.0.0.1", from(`192.0.2.${count}`));
    }
    expect(await statusOf(open, "10.0.0.1", from("192.0.2.99"))).toBe(429);
  });
});

test("a server for its own machine answers to nobody else, whatever Host says [H3]", async () => {
  const router = routerWith({ loopbackOnly: true });
  for (const peer of ["10.0.0.1", "2001:db8::1", "unknown"]) {
    expect(await statusOf(router, peer, RIGHT)).toBe(421);
  }
  for (const peer of ["127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", undefined]) {
    expect(await statusOf(router, peer, RIGHT)).toBe(200);
  }
});
