/**
 * `bun run demo -- --full [DIR] [--once]`: what compose.yaml starts, without containers:
 * PostgreSQL, a server that writes to it and keeps a plain copy, two clients and, where it is
 * installed, Prometheus; all on free ports of this machine alone. Grafana is the only part left
 * out.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { startPostgres } from "../adapters/postgres-server.ts";
import { RunningSynced } from "../scenarios/binary.ts";

/** Below the plain demo's, whose folders belong to another server. */
const DEFAULT_DIRECTORY = "./synced-demo/full";
const FIRST_FILE = "hello.txt";
const WITHIN_MS = 60_000;
const LOOK_INTERVAL_MS = 50;
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
/** Ctrl-C reaches all processes of a terminal; who ends by itself is not told twice. */
const OWN_END_MS = 1_000;

const LATEST = "SELECT time, action, path, device, size FROM files_log ORDER BY id DESC LIMIT 10";

interface Stopping {
  readonly signal: AbortSignal;
  /** 0 until it is interrupted. */
  exitCode(): number;
}

/** Where all parts are, once they run. */
interface Places {
  readonly first: string;
  readonly second: string;
  readonly copy: string;
  readonly serverUrl: string;
  readonly metricsUrl: string;
  readonly clientMetricsUrls: readonly string[];
  readonly databaseUrl: string;
  readonly prometheusUrl: string | undefined;
}

/** @returns the exit code. */
export async function runFullDemo(rawArgs: readonly string[]): Promise<number> {
  const stopping = onSignals();
  try {
    const { directory, once } = readArguments(rawArgs);
    // What was started last ends first.
    await using parts = new AsyncDisposableStack();
    const { places, synced } = await start(directory, parts, stopping.signal);
    console.log(table(places));
    const row = await carryFirstFile(places, stopping.signal);
    console.log(`\nThe first file's row in files_log:\n${row}`);
    console.log(
      `in sync: what is in ${places.first} is in ${places.second} and ${places.copy} too`,
    );
    if (once) return 0;
    console.log(lesson(places));
    // Ends by being interrupted; a part that ends before has failed.
    await until("a part to end", () => synced.some(({ hasEnded }) => hasEnded), {
      signal: stopping.signal,
      withinMs: Number.POSITIVE_INFINITY,
    });
    throw new Error("A server or client ended by itself");
  } catch (error) {
    if (stopping.signal.aborted) return stopping.exitCode();
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

function readArguments(args: readonly string[]) {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: { full: { type: "boolean" }, once: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  return { directory: resolve(positionals[0] ?? DEFAULT_DIRECTORY), once: values.once };
}

function onSignals(): Stopping {
  const controller = new AbortController();
  let exitCode = 0;
  for (const [name, code] of Object.entries(EXIT_CODES)) {
    process.on(name, () => {
      if (controller.signal.aborted) return;
      exitCode = code;
      console.log("Stopping");
      controller.abort();
    });
  }
  return { signal: controller.signal, exitCode: () => exitCode };
}

async function start(
  directory: string,
  parts: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<{ readonly places: Places; readonly synced: readonly RunningSynced[] }> {
  const [first = "", second = ""] = ["synced1", "synced2"].map((name) => join(directory, name));
  for (const path of [first, second]) mkdirSync(path, { recursive: true });
  const databaseUrl = await startDatabase(parts, signal);
  const run = (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    signal.throwIfAborted();
    const running = new RunningSynced(args, { env });
    parts.defer(async () => {
      await running.stop();
    });
    return running;
  };
  const data = ["--data", join(directory, "data"), "--mirror", join(directory, "storage")];
  const ports = ["--port", "0", "--metrics-port", "0"];
  const server = run(["serve", ...data, ...ports], { SYNCED_DATABASE_URL: databaseUrl });
  const { url, metricsUrl } = await server.event("listening");
  const clients = [first, second].map((path, index) => {
    const device = ["--device", `client${index + 1}`];
    return run(["sync", path, "--server", String(url), ...device, "--metrics-port", "0"]);
  });
  const clientMetricsUrls: string[] = [];
  for (const client of clients) {
    clientMetricsUrls.push(String((await client.event("metrics"))["url"]));
    await client.event("in_sync");
  }
  const scraped = [String(metricsUrl), ...clientMetricsUrls];
  const places = {
    first,
    second,
    copy: join(directory, "storage", "default"),
    serverUrl: String(url),
    metricsUrl: String(metricsUrl),
    clientMetricsUrls,
    databaseUrl,
    prometheusUrl: await startPrometheus(directory, scraped, parts, signal),
  };
  const synced = [server, ...clients];
  parts.defer(() => ownEnds(synced, signal));
  return { places, synced };
}

/**
 * Its data is in a scratch directory, since by root it is run as another user, who could not enter
 * many a project. The server writes the whole log to a database that has none of it.
 */
async function startDatabase(parts: AsyncDisposableStack, signal: AbortSignal): Promise<string> {
  const dataDir = mkdtempSync(join(tmpdir(), "synced-demo-postgres-"));
  parts.defer(() => rmSync(dataDir, { recursive: true, force: true }));
  const database = await startPostgres({ dataDir });
  parts.defer(() => database.stop());
  signal.throwIfAborted();
  return database.url;
}

/** compose.yaml's own configuration, with the addresses here. @returns undefined without it */
async function startPrometheus(
  directory: string,
  scraped: readonly string[],
  parts: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (Bun.which("prometheus") === null) return undefined;
  const address = `127.0.0.1:${await freePort()}`;
  const places = [...scraped.map((url) => new URL(url).host), address];
  let config = readFileSync(join(import.meta.dir, "../../grafana/prometheus.yml"), "utf8");
  for (const known of ["server:9100", "client1:9101", "client2:9101", "127.0.0.1:9090"]) {
    if (!config.includes(known)) throw new Error(`grafana/prometheus.yml does not name ${known}`);
    config = config.replace(known, places.shift() ?? "");
  }
  const file = join(directory, "prometheus.yml");
  writeFileSync(file, config);
  const storage = `--storage.tsdb.path=${join(directory, "prometheus")}`;
  signal.throwIfAborted();
  const child = Bun.spawn(
    ["prometheus", `--config.file=${file}`, storage, `--web.listen-address=${address}`],
    { stdio: ["ignore", "ignore", "ignore"] },
  );
  parts.defer(async () => {
    child.kill();
    await child.exited;
  });
  const url = `http://${address}`;
  await until("Prometheus is ready", async () => (await fetch(`${url}/-/ready`)).ok, { signal });
  return url;
}

async function ownEnds(synced: readonly RunningSynced[], signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + (signal.aborted ? OWN_END_MS : 0);
  while (synced.some(({ hasEnded }) => !hasEnded) && performance.now() < deadlineMs) {
    await Bun.sleep(LOOK_INTERVAL_MS);
  }
}

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

/** Trouble on the way counts as "not yet". */
async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { signal, withinMs = WITHIN_MS }: { readonly signal: AbortSignal; readonly withinMs?: number },
): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  let trouble: unknown;
  const isTrue = async () => {
    try {
      return await holds();
    } catch (error) {
      trouble = error;
      return false;
    }
  };
  while (!(await isTrue())) {
    signal.throwIfAborted();
    if (performance.now() > deadlineMs) {
      throw new Error(`Not within ${withinMs / 1_000} s: ${what}`, { cause: trouble });
    }
    await Bun.sleep(LOOK_INTERVAL_MS);
  }
}

/**
 * Adds a line to a file in the first folder, and waits until it is wherever it belongs.
 *
 * @returns its row in files_log, and how the server's counter counts it
 */
async function carryFirstFile(places: Places, signal: AbortSignal): Promise<string> {
  const source = join(places.first, FIRST_FILE);
  const before = existsSync(source) ? readFileSync(source, "utf8") : "";
  const text = `${before}The demo was started at ${new Date().toISOString()}\n`;
  // Whole at once: an empty file that is seen before its bytes would be an event of its own.
  writeFileSync(`${places.first}.part`, text);
  renameSync(`${places.first}.part`, source);
  const sha256 = createHash("sha256").update(text).digest("hex");
  for (const folder of [places.second, places.copy]) {
    const target = join(folder, FIRST_FILE);
    const isThere = () => readFileSync(target, "utf8") === text;
    await until(`${source} is in ${folder}`, isThere, { signal });
  }
  const sql = postgres(places.databaseUrl, { max: 1, onnotice: () => undefined });
  try {
    let row: postgres.Row | undefined;
    await until(
      `files_log has a row for ${source}`,
      async () => {
        [row] = await sql`
          SELECT id, time, action, path, device, size FROM files_log
          WHERE path = ${FIRST_FILE} AND sha256 = ${sha256} ORDER BY id DESC LIMIT 1`;
        return row !== undefined;
      },
      { signal },
    );
    const metrics = await (await fetch(places.metricsUrl)).text();
    const counter = `synced_events_total{action="${row?.["action"]}"}`;
    const counted = metrics.split("\n").find((line) => line.startsWith(counter));
    return `${Bun.inspect.table([row])}Counted by the server: ${counted}`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}

function table(places: Places): string {
  const [firstMetrics = "", secondMetrics = ""] = places.clientMetricsUrls;
  const rows = [
    ["Server", places.serverUrl],
    ["  its metrics", places.metricsUrl],
    ["  its plain copy", places.copy],
    ["First client", places.first],
    ["  its metrics", firstMetrics],
    ["Second client", places.second],
    ["  its metrics", secondMetrics],
    ["PostgreSQL", places.databaseUrl],
    ["Prometheus", places.prometheusUrl ?? "not installed (Debian: apt-get install prometheus)"],
    ["Grafana", 'only with Docker: see "See it run" in README.md'],
  ];
  return rows.map(([name = "", where = ""]) => `${name.padEnd(18)}${where}`).join("\n");
}

function lesson(places: Places): string {
  const { databaseUrl } = places;
  const script = `console.table(await Bun.sql\`${LATEST}\`)`;
  const sql =
    Bun.which("psql") === null
      ? `DATABASE_URL="${databaseUrl}" npx -y bun@1.4.5 -e '${script}'`
      : `psql "${databaseUrl}" -c "${LATEST}"`;
  const graph = `${places.prometheusUrl}/graph?g0.expr=synced_events_total&g0.tab=0`;
  return [
    "",
    "Now it is your turn: put, edit, rename and delete files in any of the three folders:",
    ...[places.first, places.second, places.copy].map((path) => `  ${path}`),
    "Each change is a row:",
    `  ${sql}`,
    "and is counted:",
    `  curl ${places.metricsUrl}`,
    ...(places.prometheusUrl === undefined ? [] : [`  ${graph}`]),
    "The server has every version that a file ever had:",
    `  curl "${places.serverUrl}/v1/folders/default/history?path=${FIRST_FILE}"`,
    "Ctrl-C ends all of it; the folders stay.",
  ].join("\n");
}
