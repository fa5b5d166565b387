/**
 * The dashboard's queries on the real thing: server, client, PostgreSQL and Prometheus run,
 * something happens, and every panel's expression and statement is asked as Grafana would.
 * Rules: V4.
 *
 * Needs Debian's package `prometheus`; without it these tests report themselves as skipped.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
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
  const deadlineMs = performance.now() + 60_000;
  while (performance.now() < deadlineMs) {
    if (await holds().catch(() => false)) return;
    await Bun.sleep(100);
  }
  throw new Error(`Not within 60 s: ${what}`);
}

/** A scrape that came too late leaves a gap, so one look is not enough. */
async function untilNone(look: () => Promise<readonly unknown[]>): Promise<void> {
  let found: readonly unknown[] = [];
  await until("nothing is found", async () => {
    found = await look();
    return found.length === 0;
  }).catch(() => expect(found).toEqual([]));
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
  }, 180_000);

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
      .replace("scrape_interval: 5s", "scrape_interval: 1s")
      .replace("scrape_timeout: 4s", "scrape_timeout: 1s");
    expect(config).not.toContain("client2");
    return config;
  }

  interface Series {
    readonly metric: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [number, string])[];
  }

  interface Sample {
    readonly metric: Readonly<Record<string, string>>;
    readonly value: readonly [number, string];
  }

  async function latest(expression: string): Promise<readonly Sample[]> {
    const url = `${prometheusUrl}/api/v1/query?query=${encodeURIComponent(expression)}`;
    const answer = (await (await fetch(url)).json()) as { data: { result: Sample[] } };
    return answer.data.result;
  }

  /** As Grafana asks for a graph of the last ten minutes. */
  async function graph(expression: string): Promise<readonly Series[]> {
    const query = expression.replaceAll("$__rate_interval", "20s");
    const end = Date.now() / 1000;
    const range = { query, start: String(end - 600), end: String(end), step: "1" };
    const response = await fetch(`${prometheusUrl}/api/v1/query_range`, {
      method: "POST",
      body: new URLSearchParams(range),
    });
    const answer = (await response.json()) as { status: string; data: { result: Series[] } };
    if (answer.status !== "success") throw new Error(`${query}: ${JSON.stringify(answer)}`);
    return answer.data.result;
  }

  /** What Grafana's data source makes of a macro; the arguments are all that it knows of it. */
  function expandMacro(name: string, [column = "", interval]: readonly string[]): string {
    const group = `floor(extract(epoch from ${column})/1)*1`;
    if (name === "__timeFilter") return `${column} > now() - interval '10 minutes'`;
    if (name === "__timeGroup" && interval === "1s") return group;
    if (name === "__timeGroupAlias" && interval === "1s") return `${group} AS "time"`;
    throw new Error(`Grafana does not understand $${name}(${column}, ${interval})`);
  }

  async function rows(statement: string): Promise<readonly Record<string, unknown>[]> {
    // As Grafana finds them: an argument ends at the first closing parenthesis.
    const plain = statement
      .replaceAll("$__interval", "1s")
      .replace(/\$([_a-zA-Z0-9]+)\(([^)]*)\)/g, (_, name: string, list: string) =>
        expandMacro(
          name,
          list.split(",").map((argument) => argument.trim()),
        ),
      );
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
    await untilNone(emptyPanels);
  });

  test("show what happened [V4]", async () => {
    // Whole at once: an empty file that is seen before its bytes would be an event of its own.
    const put = (name: string, text: string) => {
      writeFileSync(scratch.join("aside"), text);
      renameSync(scratch.join("aside"), scratch.join("folder", name));
    };
    for (const name of ["a", "b", "c"]) put(name, `text ${name}`);
    await until("all are sent", async () => (await sql`SELECT FROM files_log`).count === 3);
    put("a", "another text");
    rmSync(scratch.join("folder", "b"));
    await until("all is sent", async () => (await sql`SELECT FROM files_log`).count === 5);
    await until("Prometheus knows", async () => {
      const found = await latest('synced_events_total{action="delete"} == 1');
      return found.length === 1;
    });
    await untilNone(emptyPanels);
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
    await until("all is well", async () => {
      const well = await graph(panel("All well")[0]?.expr ?? "");
      return well.at(-1)?.values.at(-1)?.[1] === "1";
    });
    const lag = await graph(panel("Devices: events behind")[0]?.expr ?? "");
    expect(lag.map(({ metric }) => metric["device"])).toContain("client1");
  }, 180_000);

  test("no stand-in is shown beside what there is [V4]", async () => {
    await until("the device is known", async () => {
      return (await latest('synced_device_lag_events{device="client1"}')).length === 1;
    });
    await untilNone(async () => {
      const mixed: unknown[] = [];
      for (const { title, expr } of targets) {
        if (expr === undefined) continue;
        const found = await latest(expr.replaceAll("$__rate_interval", "20s"));
        const labels = found.map(({ metric }) => JSON.stringify(metric));
        const standIns = labels.filter((label) => /^\{\}$|"none( yet)?"/.test(label));
        const others = labels.length - standIns.length;
        if (others > 0 && standIns.length > 0) mixed.push({ title, others, standIns });
      }
      return mixed;
    });
  });

  test("the first error of its kind is drawn, and no other kind [V4]", async () => {
    const url = String(server.lines.find(({ event }) => event === "listening")?.["url"]);
    expect((await fetch(`${url}/v1/folders/none`)).status).toBe(404);
    const [errors] = targets.filter(({ title }) => title === "Errors");
    const rising = async () =>
      (await latest((errors?.expr ?? "").replaceAll("$__rate_interval", "20s"))).map(
        ({ metric, value }) => [metric["code"], Number(value[1]) > 0],
      );
    await until("it is drawn", async () => (await rising()).length === 1);
    await until("it rises", async () => (await rising()).flat()[1] === true);
    expect(await rising()).toEqual([["folder_not_found", true]]);
  }, 180_000);

  test("all is not well without PostgreSQL [V4]", async () => {
    const [well] = targets.filter(({ title }) => title === "All well");
    const isWell = async () => Number((await latest(well?.expr ?? ""))[0]?.value[1]);
    await until("all is well", async () => (await isWell()) === 1);
    await sql.end();
    await database.stop();
    writeFileSync(scratch.join("folder", "d"), "a row that cannot be written");
    await until("the dashboard says so", async () => (await isWell()) === 0);
  }, 180_000);

  test("promtool accepts the demo's configuration [V4]", () => {
    const checked = spawnSync("promtool", ["check", "config", join(GRAFANA, "prometheus.yml")]);
    expect(checked.status).toBe(0);
  });
});
