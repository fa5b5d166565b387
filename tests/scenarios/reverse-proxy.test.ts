/** A reverse proxy that refuses single bodies: one file's trouble, and nobody else's. Rules: H11. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureBinary, RunningSynced, runSynced, Scratch, startServer } from "./binary.ts";
import { waitFor } from "./lab.ts";

const scratch = new Scratch();
beforeAll(ensureBinary, 180_000);
afterAll(() => scratch.remove());

/** @param refuses the status to answer a body with, if it is not to pass. */
function openReverseProxy(
  serverUrl: string,
  refuses: (method: string, path: string, body: Uint8Array) => number | undefined,
) {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    async fetch(request) {
      const { method, signal } = request;
      const { pathname, search } = new URL(request.url);
      const body = method === "GET" ? undefined : await request.bytes();
      const status = refuses(method, pathname, body ?? new Uint8Array());
      const headers = new Headers(request.headers);
      if (status !== undefined) {
        return new Response("<html>no</html>", {
          status,
          headers: { "content-type": "text/html" },
        });
      }
      headers.set("host", new URL(serverUrl).host);
      const answer = await fetch(`${serverUrl}${pathname}${search}`, {
        method,
        headers,
        signal,
        ...(body === undefined ? undefined : { body }),
      });
      return new Response(answer.body, answer);
    },
  });
}

const noise = (length: number): Uint8Array => {
  let x = 1;
  return new Uint8Array(length).map(() => {
    // Xorshift (Marsaglia 2003).
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x;
  });
};
const contains = (body: Uint8Array, word: string): boolean => Buffer.from(body).includes(word);

const CASES = [
  {
    name: "a limit of 700 KB (413)",
    // One chunk of zeros has 1 MiB and cannot be had in smaller pieces.
    bad: new Uint8Array(1_048_576),
    refuses: (_method: string, _path: string, body: Uint8Array) =>
      body.length > 700_000 ? 413 : undefined,
    advice: "client_max_body_size",
  },
  {
    name: "a filter of contents (403)",
    bad: Buffer.concat([noise(200_000), Buffer.from("X5O!P%@AP-test-signature")]),
    refuses: (_method: string, path: string, body: Uint8Array) =>
      path.endsWith("/chunks") && contains(body, "test-signature") ? 403 : undefined,
    advice: "filter",
  },
  {
    name: "a filter of names (400)",
    bad: Buffer.from("innocent"),
    refuses: (_method: string, path: string, body: Uint8Array) =>
      path.endsWith("/ops") && contains(body, '"bad"') ? 400 : undefined,
    advice: "filter",
  },
  {
    name: "a time-out for what is large (504)",
    bad: new Uint8Array(1_048_576),
    refuses: (_method: string, path: string, body: Uint8Array) =>
      path.endsWith("/chunks") && body.length > 1_000_000 ? 504 : undefined,
    advice: "time limits",
  },
];

for (const { name, bad, refuses, advice } of CASES) {
  test(`${name} is a problem of one file; the rest flows both ways [H11, H18, D8]`, async () => {
    const place = name.replaceAll(/[^a-z]/g, "");
    const { url, server } = await startServer(scratch.join(`${place}-data`));
    const proxy = openReverseProxy(url, refuses);
    const running = ["one", "two"].map((device) => {
      const path = scratch.join(`${place}-${device}`);
      mkdirSync(path);
      return { path, client: new RunningSynced(["sync", path, "--server", `${proxy.url}`]) };
    });
    const [one, two] = running;
    if (one === undefined || two === undefined) throw new Error("No clients");
    try {
      writeFileSync(join(one.path, "old"), "old");
      await waitFor("the first file", () => existsSync(join(two.path, "old")));
      writeFileSync(join(one.path, "bad"), bad);
      // Cut into chunks that all pass alone.
      writeFileSync(join(one.path, "large"), noise(3_000_000));
      const problem = await one.client.event("problem");
      expect(problem).toMatchObject({ path: "bad", code: "body_refused" });
      expect(String(problem["message"])).toContain(advice);
      writeFileSync(join(one.path, "up"), "up");
      writeFileSync(join(two.path, "down"), "down");
      renameSync(join(one.path, "old"), join(one.path, "new"));
      await waitFor("the rest", () => {
        const came = ["large", "up", "new"].map((file) => existsSync(join(two.path, file)));
        return came.every(Boolean) && existsSync(join(one.path, "down"));
      });
      const status = await runSynced(["status", one.path, "--json"]);
      expect(JSON.parse(status.stdout)).toMatchObject({
        state: "syncing",
        reason: null,
        problems: [{ path: "bad", code: "body_refused" }],
      });
      rmSync(join(one.path, "bad"));
      await waitFor("all to be well", async () => {
        const { exitCode } = await runSynced(["status", one.path]);
        return exitCode === 0;
      });
      const lines = [...one.client.lines, ...two.client.lines];
      expect(lines.filter(({ event }) => event === "offline")).toEqual([]);
    } finally {
      for (const { client } of running) await client.stop();
      await server.stop();
      proxy.stop(true);
    }
  }, 180_000);
}
