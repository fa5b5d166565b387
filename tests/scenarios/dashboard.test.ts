/**
 * The dashboard's queries on the real thing: server, client, PostgreSQL and Prometheus run,
 * something happens, and every panel's expression and statement is asked as Grafana would.
 * Rules: V4.
 *
 * Needs Debian's package `prometheus`; without it these tests report themselves as skipped.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import postgres from "postgres";
import { type PostgresServer, startPostgres } from "../adapters/postgres-server.ts";
import { ensureBinary, RunningSynced, Scratch } from "./binary.ts";

const GRAFANA = join(import.meta.dir, "..", "..", "grafana");
const DASHBOARD = join(GRAFANA, "dashboards", "sync-folder-activity.json");
const isInstalled = ["prometheus", "promtool"].every((name) => Bun.which(name) !== null);
if (!isInstalled) console.log("Prometheus is not installed: the dashboard's tests are skipped");

interface Target {
  readonly expr?: string;
  readonly rawSql?: string;
}

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly targets: readonly Target[];
  readonly fieldConfig: { readonly defaults: { readonly unit?: string } };
}

const dashboard = JSON.parse(readFileSync(DASHBOARD, "utf8")) as {
  readonly title: string;
  readonly panels: readonly Panel[];
};
const targets = dashboard.panels.flatMap((panel) =>
  panel.targets.map((target) => ({ title: panel.title, ...target })),
);

describe("the dashboard", () => {
  test("is the one that people look for, with a unit on each graph [V4]", () => {
    expect(dashboard.title).toBe("Sync Folder Activity");
    const drawn = dashboard.panels.filter(({ type }) => type !== "table");
    const withoutUnit = drawn.filter((panel) => panel.fieldConfig.defaults.unit === undefined);
    expect(withoutUnit).toEqual([]);
    expect(targets.filter(({ expr, rawSql }) => (expr ?? rawSql) === undefined)).toEqual([]);
  });
});

async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (performance.now() < deadlineMs) {
    if (await holds().catch(() => false)) return;
    await Bun.sleep(100);
  }
  throw new Error(`Not within 30 s: ${what}`);
}

describe.skipIf(!isInstalled)("the dashboard's queries", () => {
  const scratch = new Scratch();
  let database: PostgresServer;
  let server: RunningSynced;
  let client: RunningSynced;
  let prometheus: Bun.Subprocess;
  let prometheusUrl: string;
  let sql: postgres.Sql;

  beforeAll(async () => {
    await ensureBinary();
    // PostgreSQL runs as "nobody", who must get in.
    spawnSync("chmod", ["755", scratch.path]);
    database = await startPostgres({ dataDir: scratch.join("postgres") });
    sql = postgres(database.url, { onnotice: () => undefined });
    const { url } = database;
    const data = scratch.join("data");
    const flags = ["--data", data, "--port", "0", "--metrics-port", "0", "--database-url", url];
    server = new RunningSynced(["serve", ...flags]);
    const listening = await server.event("listening");
    mkdirSync(scratch.join("folder"));
    const place = [scratch.join("folder"), "--server", String(listening["url"])];
    client = new RunningSynced(["sync", ...place, "--device", "client1", "--metrics-port", "0"]);
    const clientUrl = String((await client.event("metrics"))["url"]);
    await client.event("in_sync");
    const port = await freePort();
    prometheusUrl = `http://127.0.0.1:${port}`;
    const config = scratch.join("prometheus.yml");
    writeFileSync(config, configFor(String(listening["metricsUrl"]), clientUrl, port));
    const storage = `--storage.tsdb.path=${scratch.join("prometheus")}`;
    const listen = `--web.listen-address=127.0.0.1:${port}`;
    prometheus = Bun.spawn(["prometheus", `--config.file=${config}`, storage, listen], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    await until("Prometheus has scraped", async () => (await latest("up == 1")).length === 3);
    await until("files_log is there", async () => (await sql`SELECT FROM files_log`).count === 0);
  }, 60_000);

  afterAll(async () => {
    prometheus?.kill();
    await prometheus?.exited;
    await client?.stop();
    await server?.stop();
    await sql?.end();
    await database?.stop();
    rmSync(scratch.path, { recursive: true, force: true });
  });

  /** The demo's own configuration, with the addresses and the pace of this test. */
  function configFor(serverUrl: string, clientUrl: string, port: number): string {
    const host = (url: string) => new URL(url).host;
    const known = readFileSync(join(GRAFANA, "prometheus.yml"), "utf8");
    const config = known
      .replace("server:9100", host(serverUrl))
      .replace("client1:9101", host(clientUrl))
      .replace(/ {6}- targets: \["client2:9101"\]\n.*\n/, "")
      .replace("127.0.0.1:9090", `127.0.0.1:${port}`)
      .replace("scrape_interval: 5s", "scrape_interval: 500ms")
      .replace("scrape_timeout: 4s", "scrape_timeout: 500ms");
    expect(config).not.toContain("client2");
    return config;
  }

  interface Series {
    readonly metric: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [number, string])[];
  }

  async function latest(expression: string): Promise<readonly unknown[]> {
    const url = `${prometheusUrl}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const answer = (await (await fetch(url)).json()) as { data: { result: unknown[] } };
    return answer.data.result;
  }

  /** As Grafana asks for a graph of the last minute. */
  async function graph(expression: string): Promise<readonly Series[]> {
    const query = expression.replaceAll("$__rate_interval", "20s");
    const end = Date.now() / 1000;
    const range = { query, start: String(end - 60), end: String(end), step: "1" };
    const response = await fetch(`${prometheusUrl}/api/v1/query_range`, {
      method: "POST",
      body: new URLSearchParams(range),
    });
    const answer = (await response.json()) as { status: string; data: { result: Series[] } };
    if (answer.status !== "success") throw new Error(`${query}: ${JSON.stringify(answer)}`);
    return answer.data.result;
  }

  async function rows(statement: string): Promise<readonly Record<string, unknown>[]> {
    const bin = (column: string) => `date_bin('1 s', ${column}, TIMESTAMPTZ '2000-01-01')`;
    const plain = statement
      .replace(/\$__timeGroupAlias\((\w+), \$__interval\)/g, `${bin("$1")} AS "time"`)
      .replace(/\$__timeGroup\(([\w()]+), \$__interval\)/g, bin("$1"))
      .replace(/\$__timeFilter\((\w+)\)/g, "$1 > now() - interval '1 minute'");
    expect(plain).not.toContain("$__");
    return await sql.unsafe(plain);
  }

  /** Panels without a number to show. */
  async function emptyPanels(): Promise<readonly string[]> {
    const empty: string[] = [];
    for (const { title, expr, rawSql } of targets) {
      const isShown =
        expr === undefined
          ? (await rows(rawSql ?? "")).length > 0
          : (await graph(expr)).some(({ values }) =>
              values.some(([, value]) => Number.isFinite(Number(value))),
            );
      if (!isShown) empty.push(`${title}: ${expr ?? rawSql}`);
    }
    return empty;
  }

  test("show something before anything has happened [V4]", async () => {
    expect(await emptyPanels()).toEqual([]);
  });

  test("show what happened [V4]", async () => {
    for (const name of ["a", "b", "c"]) writeFileSync(scratch.join("folder", name), `text ${name}`);
    await until("all are sent", async () => (await sql`SELECT FROM files_log`).count === 3);
    writeFileSync(scratch.join("folder", "a"), "another text");
    rmSync(scratch.join("folder", "b"));
    await until("all is sent", async () => (await sql`SELECT FROM files_log`).count === 5);
    await until("Prometheus knows", async () => {
      const found = await latest('synced_events_total{action="delete"} == 1');
      return found.length === 1;
    });
    expect(await emptyPanels()).toEqual([]);
    const panel = (title: string) => targets.filter((target) => target.title === title);
    const [activity] = panel("Uploads, updates and deletions");
    const actions = (await graph(activity?.expr ?? "")).filter(({ values }) =>
      values.some(([, value]) => Number(value) > 0),
    );
    expect(actions.map(({ metric }) => metric["action"]).sort()).toEqual([
      "delete",
      "update",
      "upload",
    ]);
    const [events] = panel("Latest events");
    const latestEvents = await rows(events?.rawSql ?? "");
    expect(latestEvents.map(({ action, path }) => `${action} ${path}`).toSorted()).toEqual([
      "delete b",
      "update a",
      "upload a",
      "upload b",
      "upload c",
    ]);
    expect(latestEvents.every(({ device }) => device === "client1")).toBe(true);
    const well = await graph(panel("All well")[0]?.expr ?? "");
    expect(well.at(-1)?.values.at(-1)?.[1]).toBe("1");
    const lag = await graph(panel("Devices: events behind")[0]?.expr ?? "");
    expect(lag.map(({ metric }) => metric["device"])).toContain("client1");
  }, 60_000);

  test("promtool accepts the demo's configuration [V4]", () => {
    const checked = spawnSync("promtool", ["check", "config", join(GRAFANA, "prometheus.yml")]);
    expect(checked.status).toBe(0);
  });
});
