/**
 * `/metrics`: that numbers move with what happens, that labels stay few, who may read it, and that
 * Prometheus' own checker is content. Over a whole server, asked without its socket.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type Server, type ServerOptions } from "../../server.ts";
import { createClientMetrics } from "../../src/adapters/metrics/client.ts";
import type { ClientReadings } from "../../src/ports/instruments.ts";
import { id, problemOf } from "./fixture.ts";

const TOKEN = "0123456789abcdef-token";
const BASE = "/v1/folders/default";

let directory: string;
let server: Server;

async function open(options: Partial<ServerOptions> = {}): Promise<void> {
  server = await createServer({ data: join(directory, "data"), ...options });
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "synced-test-metrics-"));
});

afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

async function call(method: string, path: string, init: RequestInit = {}): Promise<Response> {
  return await server.handle(new Request(`http://localhost${path}`, { method, ...init }));
}

async function put(path: string, body: string): Promise<void> {
  const response = await call("PUT", `${BASE}/files?path=${encodeURIComponent(path)}`, { body });
  if (!response.ok) throw new Error(await response.text());
}

async function page(): Promise<string> {
  return await (await call("GET", "/metrics")).text();
}

/** Name and labels, and the value. */
function series(text: string): ReadonlyMap<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

async function createFolder(): Promise<void> {
  const headers = { "content-type": "application/json" };
  await call("PUT", BASE, { body: "{}", headers });
}

const promtool = spawnSync("promtool", ["--version"]).status === 0;

function findingsOf(text: string): string {
  const checked = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
  return `${checked.stdout}${checked.stderr}`;
}

describe("/metrics of the server", () => {
  test("counts what happened to files, and what is there now [V2, V3]", async () => {
    await open();
    await createFolder();
    await put("notes/a.txt", "one");
    await put("notes/a.txt", "three");
    await put("b.txt", "two");
    await call("DELETE", `${BASE}/files?path=b.txt`);
    const found = series(await page());
    const value = (name: string) => found.get(name);
    expect(value('synced_events_total{action="upload"}')).toBe(2);
    expect(value('synced_events_total{action="update"}')).toBe(1);
    expect(value('synced_events_total{action="delete"}')).toBe(1);
    expect(value('synced_events_total{action="mkdir"}')).toBe(1);
    expect(value('synced_events_total{action="restore"}')).toBe(0);
    expect(value('synced_folder_nodes{folder="default",kind="file"}')).toBe(1);
    expect(value('synced_folder_nodes{folder="default",kind="directory"}')).toBe(1);
    expect(value('synced_folder_bytes{folder="default"}')).toBe(5);
    expect(value('synced_folder_head{folder="default"}')).toBe(5);
    expect(value("synced_received_bytes_total")).toBe(11);
    expect(value("synced_chunks_stored_total")).toBe(3);
    expect(value("synced_commit_duration_seconds_count")).toBe(4);
    expect(value("synced_store_bytes")).toBeGreaterThan(11);
  });

  test("what is there now is kept up between two looks, and right after a restart [V3]", async () => {
    await open();
    await createFolder();
    await page();
    for (const name of ["a", "b", "c"]) await put(`dir/${name}`, "12345");
    await put("dir/a", "1");
    await call("DELETE", `${BASE}/files?path=dir/b`);
    const names = ["synced_folder_nodes", "synced_folder_bytes"];
    const relevant = (text: string) =>
      [...series(text)].filter(([name]) => names.some((start) => name.startsWith(start)));
    const keptUp = relevant(await page());
    expect(keptUp).toContainEqual(['synced_folder_nodes{folder="default",kind="file"}', 2]);
    expect(keptUp).toContainEqual(['synced_folder_bytes{folder="default"}', 6]);
    await server.close();
    await open();
    expect(relevant(await page())).toEqual(keptUp);
  });

  test("says how far each device is behind [V2]", async () => {
    await open();
    await createFolder();
    const { epoch, hash } = (await (await call("GET", BASE)).json()) as Record<string, string>;
    const report = { name: "laptop", applied: { epoch, seq: 0, hash } };
    const response = await call("PUT", `${BASE}/devices/${id("laptop")}`, {
      body: JSON.stringify(report),
      headers: { "content-type": "application/json" },
    });
    expect(response.status).toBe(204);
    const labels = '{folder="default",device="laptop"}';
    expect(series(await page()).get(`synced_device_lag_events${labels}`)).toBe(0);
    await put("a.txt", "one");
    const found = series(await page());
    expect(found.get(`synced_device_lag_events${labels}`)).toBe(1);
    expect(found.get(`synced_device_lag_seconds${labels}`)).toBeGreaterThanOrEqual(0);
    expect(found.get(`synced_device_lag_seconds${labels}`)).toBeLessThan(60);
  });

  test("refusals and problems are counted by code, streams while they are open [V2]", async () => {
    await open();
    await createFolder();
    expect((await call("GET", "/v1/folders/none")).status).toBe(404);
    const { epoch, hash } = (await (await call("GET", BASE)).json()) as Record<string, string>;
    const op = { kind: "delete", opId: id("op"), node: id("node"), baseContent: 1, basePlace: 1 };
    const cursor = { epoch, seq: 0, hash };
    const batch = { device: id("device"), batch: id("batch"), cursor, groups: [[op]] };
    const answer = await call("POST", `${BASE}/ops`, {
      body: JSON.stringify(batch),
      headers: { "content-type": "application/json" },
    });
    expect(answer.status).toBe(200);
    const headers = { accept: "text/event-stream" };
    const stream = await call("GET", `${BASE}/events?after=0`, { headers });
    const found = series(await page());
    expect(found.get('synced_http_problems_total{code="folder_not_found"}')).toBe(1);
    expect(found.get('synced_ops_refused_total{code="node_missing"}')).toBe(1);
    expect(found.get("synced_event_streams")).toBe(1);
    await stream.body?.cancel();
    expect(series(await page()).get("synced_event_streams")).toBe(0);
  });

  test("labels do not grow with files, paths or methods [V2]", async () => {
    await open();
    await createFolder();
    const visit = async (n: number) => {
      await put(`file-${n}.txt`, `text ${n}`);
      await call("GET", `${BASE}/files?path=file-${n}.txt`);
      await call("GET", `/nothing/at/${n}`);
      await call(`METHOD${n}`, BASE);
    };
    await visit(0);
    await page();
    const before = [...series(await page()).keys()].sort();
    for (let n = 1; n <= 30; n++) await visit(n);
    expect([...series(await page()).keys()].sort()).toEqual(before);
    expect(before.filter((name) => name.includes("file-0"))).toEqual([]);
    const route = 'route="/v1/folders/:folder/files",method="GET",code="2xx"';
    const count = `synced_http_request_duration_seconds_count{${route}}`;
    expect(series(await page()).get(count)).toBe(31);
  });

  test("wants the token where one is set, but not on a port of its own [V1]", async () => {
    await open({ token: TOKEN, metricsPort: 0 });
    expect((await problemOf(await call("GET", "/metrics"))).code).toBe("unauthenticated");
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await call("GET", "/metrics", { headers })).status).toBe(200);
    const { metricsUrl = "" } = server;
    const scraped = await fetch(metricsUrl);
    expect(scraped.status).toBe(200);
    expect(scraped.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    expect((await fetch(metricsUrl.replace("/metrics", "/v1/folders"))).status).toBe(404);
    expect(await (await fetch(metricsUrl.replace("/metrics", "/healthz"))).json()).toEqual({
      ok: true,
    });
  });

  test("its own port answers to loopback names only, on loopback (B72) [V1]", async () => {
    await open({ metricsPort: 0 });
    const { metricsUrl = "" } = server;
    const statusOf = async (host: string) =>
      (await fetch(metricsUrl, { headers: { host } })).status;
    for (const host of ["evil.com", "localhost.evil.com", "192.168.1.1:9100", "a@b/c?d", "[::2]"]) {
      expect([host, await statusOf(host)]).toEqual([host, 421]);
    }
    for (const host of ["localhost", "127.0.0.1:9100", "[::1]:9100"]) {
      expect([host, await statusOf(host)]).toEqual([host, 200]);
    }
  });

  test.skipIf(!promtool)("promtool finds nothing wrong with it [V1]", async () => {
    await open();
    await createFolder();
    await put("a.txt", "one");
    expect(findingsOf(await page())).toBe("");
  });
});

describe("/metrics of the client", () => {
  const readings: ClientReadings = {
    files: 3,
    directories: 1,
    symlinks: 0,
    pending: 2,
    conflicts: 1,
    problems: 4,
    state: "offline",
    lagEvents: 5,
    lagSeconds: 6.5,
  };

  beforeEach(() => open());

  test("tells the state and counts what the client says [V5]", async () => {
    let current: ClientReadings | undefined;
    const metrics = createClientMetrics({ version: "1.2.3", read: () => current });
    const { observer, instruments } = metrics;
    expect(series((await metrics.expose()).text).get("synced_client_in_sync")).toBe(0);
    current = readings;
    observer.emit({ event: "change", direction: "up", kind: "create", path: "a" });
    observer.emit({ event: "conflict", path: "a (conflict)", of: "a" });
    observer.emit({ event: "offline", reason: "nothing listens there" });
    instruments.cycleEnded(0.02);
    instruments.bytesMoved("up", 100);
    instruments.bytesMoved("down", 7);
    const { text } = await metrics.expose();
    expect(Object.fromEntries(series(text))).toMatchObject({
      'synced_client_changes_total{direction="up",kind="create"}': 1,
      'synced_client_changes_total{direction="down",kind="delete"}': 0,
      synced_client_conflicts_total: 1,
      synced_client_offline_total: 1,
      synced_client_cycle_duration_seconds_count: 1,
      synced_client_sent_bytes_total: 100,
      synced_client_received_bytes_total: 7,
      synced_client_pending: 2,
      synced_client_problems: 4,
      synced_client_in_sync: 0,
      'synced_client_state{state="offline"}': 1,
      synced_client_lag_events: 5,
      synced_client_lag_seconds: 6.5,
    });
    if (promtool) expect(findingsOf(text)).toBe("");
  });
});
