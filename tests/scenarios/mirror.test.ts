/** `synced serve --mirror DIR`: the real binary keeps plain copies of its folders. Rules: V6. */
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "../../server.ts";
import { startMirror } from "../../src/commands/mirror.ts";
import { createOutput } from "../../src/commands/output.ts";
import { bestOf, timeOf } from "../timing.ts";
import { ensureBinary, type RunningSynced, Scratch, startServer } from "./binary.ts";

const TOKEN = "0123456789abcdef-token";

let scratch: Scratch;
let url: string;
let server: RunningSynced;

beforeAll(ensureBinary);

beforeEach(async () => {
  scratch = new Scratch();
  await start();
});

afterEach(async () => {
  await server.stop();
  scratch.remove();
});

async function start(): Promise<void> {
  ({ url, server } = await startServer(scratch.join("data"), {
    args: ["--mirror", scratch.join("mirror")],
    env: { SYNCED_TOKEN: TOKEN },
  }));
}

async function call(method: string, path: string, body?: string): Promise<Response> {
  const headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` };
  if (body === "{}") headers["content-type"] = "application/json";
  return await fetch(`${url}/v1/folders/${path}`, {
    method,
    headers,
    ...(body === undefined ? undefined : { body }),
  });
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error("Not within 60 s");
    await Bun.sleep(20);
  }
}

function mirrored(path: string): string | undefined {
  const file = scratch.join("mirror", path);
  return existsSync(file) ? readFileSync(file, "utf8") : undefined;
}

describe("synced serve --mirror", () => {
  test("keeps a copy of each folder, also of one that comes later [V6]", async () => {
    await call("PUT", "default", "{}");
    await call("PUT", "default/files?path=notes/a.txt", "one");
    await until(() => mirrored("default/notes/a.txt") === "one");
    await call("PUT", "photos", "{}");
    await call("PUT", "photos/files?path=p.txt", "two");
    await until(() => mirrored("photos/p.txt") === "two");
    await call("DELETE", "default/files?path=notes/a.txt");
    await until(() => mirrored("default/notes/a.txt") === undefined);
  });

  test("many new folders at once keep nobody waiting, nor the end [V7]", async () => {
    const names = Array.from({ length: 120 }, (_, index) => `f${index}`);
    await Promise.all(names.map((name) => call("PUT", name, "{}")));
    const copies = () => names.filter((name) => mirrored(`${name}/.synced/marker.json`));
    await until(() => copies().length >= 99);
    const waitedMs = await bestOf(20, 1_000, () => timeOf(() => call("GET", "f1")));
    expect(waitedMs).toBeLessThan(1_000);
    const stoppedMs = await timeOf(() => server.stop());
    expect(stoppedMs).toBeLessThan(15_000);
  });

  test("what is put into the copy is synced, also while the server is down [V6]", async () => {
    await call("PUT", "default", "{}");
    await until(() => existsSync(scratch.join("mirror/default/.synced/marker.json")));
    writeFileSync(scratch.join("mirror/default/dropped.txt"), "dropped");
    const fetched = async (path: string) =>
      await (await call("GET", `default/files?path=${path}`)).text();
    await until(async () => (await fetched("dropped.txt")) === "dropped");
    expect((await server.stop()).exitCode).toBe(143);
    writeFileSync(scratch.join("mirror/default/later.txt"), "later");
    rmSync(scratch.join("mirror/default/dropped.txt"));
    await start();
    await until(async () => (await fetched("later.txt")) === "later");
    await until(async () => (await call("GET", "default/files?path=dropped.txt")).status === 404);
    const index = (await (await call("GET", "default/index")).json()) as { entries: unknown[] };
    expect(index.entries.length).toBe(1);
  });

  test("trouble with a copy is said once and does not stop the server [V6]", async () => {
    mkdirSync(scratch.join("mirror"));
    writeFileSync(scratch.join("mirror", "default"), "not a directory");
    await call("PUT", "default", "{}");
    const trouble = await server.event("error");
    expect(trouble["folder"]).toBe("default");
    expect((await call("PUT", "default/files?path=a.txt", "one")).status).toBe(201);
    // It is tried again after 0.5 s, 1 s and 2 s.
    await Bun.sleep(4_000);
    expect(server.lines.filter(({ event }) => event === "error")).toHaveLength(1);
    rmSync(scratch.join("mirror", "default"));
    await until(() => mirrored("default/a.txt") === "one");
  });
});

test("copies end one after the other, so that others get their turns meanwhile [H25, V7]", async () => {
  const FOLDERS = 20;
  const inside = await createServer({ data: scratch.join("inside"), port: 0, token: TOKEN });
  for (let folder = 0; folder < FOLDERS; folder += 1) {
    await fetch(`${inside.url}/v1/folders/f${folder}`, {
      method: "PUT",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      body: "{}",
    });
  }
  const output = createOutput({ json: false, quiet: true, verbose: false });
  const copies = startMirror({ server: inside, directory: scratch.join("copies"), output });
  const states = Array.from({ length: FOLDERS }, (_, n) =>
    scratch.join(`copies/f${n}/.synced/state.db-wal`),
  );
  await until(() => states.every((path) => existsSync(path)));
  // SQLite removes this file when it closes the database.
  const leftAtTurns = new Set<number>();
  const stopped = copies.stop();
  let isStopped = false;
  void stopped.then(() => {
    isStopped = true;
  });
  while (!isStopped) {
    leftAtTurns.add(states.filter((path) => existsSync(path)).length);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await inside.close();
  expect(leftAtTurns.size).toBeGreaterThan(FOLDERS / 2);
});
