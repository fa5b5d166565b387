/** A client that reaches its server through a proxy, as the environment says, in both runtimes. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { denoPath } from "../adapters/processes/spawn.ts";
import {
  BINARY,
  ensureBinary,
  RunningSynced,
  runSynced,
  Scratch,
  startServer,
} from "../scenarios/binary.ts";
import { waitFor } from "../scenarios/lab.ts";

const CLI = join(import.meta.dir, "..", "..", "cli.ts");
const COMMANDS = {
  binary: [BINARY],
  Deno: [denoPath(), "run", "--quiet", "--allow-all", CLI],
} as const;
const NAMES = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
/** Nobody listens there. */
const DEAD_PROXY = "http://127.0.0.1:9";
const ELSEWHERE = "http://sync.test";

const scratch = new Scratch();
beforeAll(ensureBinary, 180_000);
afterAll(() => scratch.remove());

function folder(...names: string[]): string {
  const path = scratch.join(...names);
  mkdirSync(path, { recursive: true });
  return path;
}

/** Forwards what is for ELSEWHERE to the server, and wants a password. */
function openForwardProxy(serverUrl: string) {
  const { hostname, port } = new URL(serverUrl);
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 60,
    async fetch(request) {
      const expected = `Basic ${btoa("someone:secret-word")}`;
      if (request.headers.get("proxy-authorization") !== expected) {
        return new Response("who are you?", { status: 407 });
      }
      const url = new URL(request.url);
      if (url.origin !== ELSEWHERE) return new Response("not there", { status: 502 });
      const headers = new Headers(request.headers);
      headers.set("host", `${hostname}:${port}`);
      headers.delete("proxy-authorization");
      const { method, signal } = request;
      const body = method === "POST" || method === "PUT" ? await request.bytes() : undefined;
      const target = `${serverUrl}${url.pathname}${url.search}`;
      const answer = await fetch(target, {
        method,
        headers,
        signal,
        ...(body === undefined ? undefined : { body }),
      });
      return new Response(answer.body, answer);
    },
  });
}

for (const [runtime, command] of Object.entries(COMMANDS)) {
  test(`${runtime}: loopback is reached in spite of a proxy in the environment [H10]`, async () => {
    const env = Object.fromEntries(NAMES.map((name) => [name, DEAD_PROXY]));
    const { url, server } = await startServer(scratch.join(`${runtime}-loopback-data`), {
      command,
      env,
    });
    try {
      const path = folder(`${runtime}-loopback`);
      writeFileSync(join(path, "file"), "content");
      const synced = await runSynced(["sync", path, "--once", "--server", url], { command, env });
      expect({ exitCode: synced.exitCode, stderr: synced.stderr }).toMatchObject({ exitCode: 0 });
      const health = await runSynced(["healthcheck", "--url", url], { command, env });
      expect(health.exitCode).toBe(0);
      const elsewhere = await runSynced(["healthcheck", "--url", ELSEWHERE], { command, env });
      expect(elsewhere.stderr).toContain(`through the proxy ${DEAD_PROXY} (http_proxy)`);
    } finally {
      await server.stop();
    }
  }, 180_000);

  test(`${runtime}: a server elsewhere is reached through the proxy [H10]`, async () => {
    const { url, server } = await startServer(scratch.join(`${runtime}-data`));
    const proxy = openForwardProxy(url);
    const address = `127.0.0.1:${proxy.port}`;
    const running: RunningSynced[] = [];
    try {
      const env = { http_proxy: `http://someone:secret-word@${address}` };
      const [one = "", two = ""] = ["one", "two"].map((name) => folder(`${runtime}-${name}`));
      for (const [path, server] of [
        [one, ELSEWHERE],
        [two, url],
      ] as const) {
        const args = ["sync", path, "--server", server];
        running.push(new RunningSynced(args, { command, env }));
      }
      for (const client of running) await client.event("in_sync");
      // Larger than what is inlined, so that it is uploaded and fetched.
      const bytes = new Uint8Array(300_000).map((_, at) => at >> 2);
      writeFileSync(join(one, "up"), bytes);
      await waitFor("the file from behind the proxy", () => existsSync(join(two, "up")));
      writeFileSync(join(two, "down"), bytes);
      await waitFor("the file to come through it", () => existsSync(join(one, "down")));

      const wrong = { http_proxy: `http://someone:wrong-word@${address}` };
      const refused = await runSynced(["healthcheck", "--url", ELSEWHERE], { command, env: wrong });
      expect(refused.stderr).toContain(`${ELSEWHERE} through the proxy http://${address}`);
      expect(refused.stderr).toContain("wants a user and a password");
      const ended = await Promise.all(running.map((client) => client.stop()));
      const said = [...ended, refused].map(({ stdout, stderr }) => stdout + stderr).join("");
      expect(said).not.toContain("-word");
    } finally {
      for (const client of running) await client.stop("SIGKILL");
      await server.stop();
      proxy.stop(true);
    }
  }, 180_000);
}
