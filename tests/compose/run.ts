/**
 * Runs the real compose.yaml and Dockerfile in containers, on machines that reach no registry: base
 * images are made by stand-ins.sh, Grafana is left out (tests/scenarios/dashboard.test.ts runs its
 * queries). Needs root and Debian's package sources.
 *
 * `bun run test:compose [DIRECTORY]`: the directory keeps the base images for the next run. Exit 77
 * where no container can be run.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const ROOT = join(import.meta.dir, "..", "..");
const LAB = resolve(process.argv[2] ?? join(tmpdir(), "synced-test-compose"));
const PROJECT = join(LAB, "project");
const TOKEN = "synced-demo-token-of-every-clone";
const STAND_IN = "docker.io/library/debian:bookworm-slim";
const SERVICES = [
  "permissions",
  "postgres",
  "server",
  "client1",
  "client2",
  "reader",
  "prometheus",
];
const WITHIN_MS = 120_000;
/** "Skipped", as other test programs say it. */
const EXIT_CANNOT_RUN = 77;
const environment = {
  ...process.env,
  CONTAINERS_STORAGE_CONF: join(LAB, "storage.conf"),
  CONTAINERS_CONF: join(LAB, "containers.conf"),
  // Health checks are not part of OCI's own format.
  BUILDAH_FORMAT: "docker",
  BUILDAH_ISOLATION: "chroot",
};

// Who has no more time for it wants no container left either. `bun run` passes on what all got.
const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => interruption.abort());

async function run(
  command: readonly string[],
  signal: AbortSignal = interruption.signal,
): Promise<string> {
  signal.throwIfAborted();
  const child = Bun.spawn([...command], {
    signal,
    cwd: existsSync(PROJECT) ? PROJECT : ROOT,
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  if ((await child.exited) === 0) return stdout.trim();
  throw new Error(`${command.join(" ")} failed:\n${stderr.slice(-3_000)}`);
}

const podman = (...args: string[]) => run(["podman", ...args]);
const compose = (...args: string[]) => run(["podman-compose", ...args]);

let passed = 0;

/** Tries until it holds; trouble on the way counts as "not yet". */
async function check(claim: string, holds: () => unknown): Promise<void> {
  const startMs = performance.now();
  let trouble: unknown;
  while (performance.now() - startMs < WITHIN_MS) {
    interruption.signal.throwIfAborted();
    try {
      const found = await holds();
      if (found !== false && found !== undefined) {
        passed += 1;
        console.log(`ok  ${claim} (${((performance.now() - startMs) / 1000).toFixed(1)} s)`);
        return;
      }
      trouble = undefined;
    } catch (error) {
      trouble = error;
    }
    await Bun.sleep(200);
  }
  throw new Error(`Does not hold: ${claim}${trouble === undefined ? "" : `\n${trouble}`}`);
}

const at = (...names: string[]) => join(PROJECT, ...names);
const reads = (path: string, text: string) =>
  existsSync(path) && readFileSync(path, "utf8") === text;

async function get(url: string): Promise<string> {
  const response = await fetch(url, { headers: { authorization: `Bearer ${TOKEN}` } });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return await response.text();
}

const WRITER = { user: "syncuser", password: "syncpass" };
const READER = { user: "grafana", password: "readpass" };

async function query(sql: string, { user, password } = WRITER): Promise<string> {
  const psql = ["psql", "-h", "127.0.0.1", "-U", user, "-d", "syncdb", "-Atc", sql];
  return await podman("exec", "-e", `PGPASSWORD=${password}`, "sync_postgres", ...psql);
}

/** @returns what went wrong, or undefined if nothing did */
async function refusal(work: Promise<unknown>): Promise<string | undefined> {
  return await work.then(
    () => undefined,
    (error: unknown) => String(error),
  );
}

async function prometheus(expression: string): Promise<number> {
  const url = `http://127.0.0.1:9090/api/v1/query?query=${encodeURIComponent(expression)}`;
  const answer = JSON.parse(await get(url));
  return Number(answer.data.result[0]?.value[1]);
}

async function allHealthy(): Promise<void> {
  const names = ["sync_postgres", "sync_server", "sync_client1", "sync_client2", "sync_prometheus"];
  for (const name of names) {
    // No timer runs health checks here, so each is run by hand.
    await check(`${name} is healthy`, async () => {
      await podman("healthcheck", "run", name);
      return true;
    });
  }
}

async function travels(name: string, from: string, to: readonly string[]): Promise<void> {
  const text = `${name} ${performance.now()}\n`;
  // Whole at once: an empty file that is seen before its bytes would be an event of its own.
  writeFileSync(at("aside"), text);
  renameSync(at("aside"), at(from, name));
  for (const folder of to) {
    await check(`${from}/${name} is in ${folder}/`, () => reads(at(folder, name), text));
  }
}

const MIRROR = "storage/default";

async function firstStory(): Promise<void> {
  await travels("example.txt", "synced1", ["synced2", MIRROR]);
  await check(
    "files_log says so",
    async () =>
      (await query("SELECT action, device FROM files_log WHERE path = 'example.txt'")) ===
      "upload|client1",
  );
  await check("the upload counter moved", async () =>
    /^synced_events_total\{action="upload"\} 1$/m.test(await get("http://127.0.0.1:8080/metrics")),
  );
  await check(
    "Prometheus has it",
    async () => (await prometheus('synced_events_total{action="upload"}')) === 1,
  );
  await check(
    "Prometheus reaches server and clients",
    async () => (await prometheus('sum(up{job=~"synced-.*"})')) === 3,
  );
  await travels("example.txt", "synced2", ["synced1", MIRROR]);
  await travels("example.txt", MIRROR, ["synced1", "synced2"]);
  rmSync(at("synced1", "example.txt"));
  await check("a deletion travels", () =>
    [at("synced2", "example.txt"), at(MIRROR, "example.txt")].every((path) => !existsSync(path)),
  );
  await travels("other.txt", MIRROR, ["synced1", "synced2"]);
  rmSync(at("synced2", "other.txt"));
  await check("and the other way", () =>
    [at("synced1", "other.txt"), at(MIRROR, "other.txt")].every((path) => !existsSync(path)),
  );
}

async function restarts(): Promise<void> {
  for (const name of ["server", "postgres", "client1", "client2", "prometheus"]) {
    await podman("restart", "--time", "5", `sync_${name}`);
    await travels(`after-${name}.txt`, "synced1", ["synced2", MIRROR]);
    await check(
      `files_log goes on after a restart of ${name}`,
      async () =>
        (await query(`SELECT count(*) FROM files_log WHERE path = 'after-${name}.txt'`)) === "1",
    );
  }
  await podman("kill", "sync_server");
  writeFileSync(at("synced1", "meanwhile.txt"), "written while the server is dead\n");
  await podman("start", "sync_server");
  await check("what was written while the server was dead arrives", () =>
    existsSync(at("synced2", "meanwhile.txt")),
  );
}

async function downAndUp(): Promise<void> {
  const settled = "SELECT count(*), max(seq) FROM files_log";
  await check(
    "files_log has all events",
    async () =>
      (await query("SELECT max(seq) FROM files_log")) ===
      String(JSON.parse(await get("http://127.0.0.1:8080/v1/folders/default")).head),
  );
  const before = await query(settled);
  await compose("down");
  await compose("up", "-d", ...SERVICES);
  await allHealthy();
  await check(
    "files_log kept its rows, and has none twice",
    async () => (await query(settled)) === before,
  );
  await check("the history of a deleted file is kept", async () => {
    const url = "http://127.0.0.1:8080/v1/folders/default/history?path=example.txt";
    return JSON.parse(await get(url)).versions.length === 4;
  });
  await travels("again.txt", "synced2", ["synced1", MIRROR]);
}

async function confined(): Promise<void> {
  await check("Grafana's user reads files_log", async () =>
    /^[0-9]+$/.test(await query("SELECT count(*) FROM files_log", READER)),
  );
  for (const sql of [
    "SELECT * FROM files_log_cursors",
    "SELECT * FROM files_log_schema",
    "SELECT rolpassword FROM pg_authid",
    "DELETE FROM files_log",
    "SET default_transaction_read_only = off; DELETE FROM files_log",
    "CREATE TABLE mine (a int)",
    "COPY (SELECT 1) TO PROGRAM 'true'",
  ]) {
    await check(`and may not: ${sql}`, async () =>
      /permission denied|must be superuser|read-only/.test(
        (await refusal(query(sql, READER))) ?? "",
      ),
    );
  }
  const format = "{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Memory}}";
  const lasting = SERVICES.filter((name) => name !== "permissions");
  const names = lasting.map((name) => `sync_${name}`);
  for (const name of names) {
    await check(`${name} has a bound on memory, and a read-only root`, async () => {
      const bounds = await podman("inspect", "--format", format, name);
      return bounds === `true ${1024 ** 3}`;
    });
    await check(`${name} shows no secret to who inspects it`, async () => {
      const shown = await podman("inspect", name);
      return [TOKEN, WRITER.password, READER.password].every((secret) => !shown.includes(secret));
    });
  }
  for (const name of names.filter((one) => one !== "sync_reader")) {
    await check(`${name} may become nobody else`, async () => {
      const pid = await podman("inspect", "--format", "{{.State.Pid}}", name);
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      return /^NoNewPrivs:\t1$/m.test(status) && /^CapBnd:\t0{16}$/m.test(status);
    });
  }
  for (const [name, to] of [
    ["sync_client1", "postgres"],
    ["sync_prometheus", "postgres"],
  ] as const) {
    await check(`${name} does not reach ${to}`, async () => {
      const networks = await podman(
        "inspect",
        "--format",
        "{{json .NetworkSettings.Networks}}",
        name,
      );
      return !networks.includes("database");
    });
  }
}

async function describeImage(): Promise<void> {
  const image = "localhost/synced:0.1.0";
  const [facts] = JSON.parse(await podman("image", "inspect", image));
  console.log(`image: ${(facts.Size / 1e6).toFixed(1)} MB, user ${facts.Config.User}`);
  const container = await podman("create", image);
  console.log(await run(["sh", "-c", `podman export ${container} | tar -tv | grep -v '/$'`]));
  await podman("rm", container);
  await check("the image's user is not root", () => facts.Config.User === "1000:1000");
  await check("the image has a health check", () => facts.Healthcheck !== undefined);
}

async function signals(): Promise<void> {
  const startMs = performance.now();
  await podman("stop", "--time", "10", "sync_server");
  const seconds = (performance.now() - startMs) / 1000;
  const code = await podman("inspect", "--format", "{{.State.ExitCode}}", "sync_server");
  console.log(`SIGTERM: exit code ${code} after ${seconds.toFixed(1)} s`);
  await check("SIGTERM ends the server in time, and says so", () => code === "143");
}

/** Packages, base images and a container of the emptiest kind: what is not synced's own. */
async function prepare(): Promise<void> {
  try {
    console.log(await run(["bash", join(ROOT, "tests/compose/stand-ins.sh"), LAB]));
    await podman("run", "--rm", "--network", "bridge", STAND_IN, "true");
  } catch (error) {
    console.log(`No container can be run here: ${error instanceof Error ? error.message : error}`);
    process.exit(EXIT_CANNOT_RUN);
  }
}

mkdirSync(LAB, { recursive: true });
await prepare();
rmSync(PROJECT, { recursive: true, force: true });
mkdirSync(PROJECT);
for (const file of (await run(["git", "-C", ROOT, "ls-files"])).split("\n")) {
  if (!file.startsWith("tests/")) cpSync(join(ROOT, file), at(file), { recursive: true });
}
// Docker makes missing folders itself; podman-compose does not.
for (const folder of ["storage", "synced1", "synced2"]) mkdirSync(at(folder));
let failure: unknown;
try {
  // `up --build` goes on without the image it could not build.
  await compose("build");
  await compose("up", "-d", ...SERVICES);
  await allHealthy();
  await firstStory();
  await restarts();
  await downAndUp();
  await confined();
  await describeImage();
  await signals();
} catch (error) {
  if (interruption.signal.aborted) console.log("Interrupted: the rest was not tried");
  else {
    failure = error;
    console.log(await podman("ps", "-a"));
    for (const name of ["sync_server", "sync_client1", "sync_client2", "sync_postgres"]) {
      console.log(name, await run(["sh", "-c", `podman logs --tail 20 ${name} 2>&1; true`]));
    }
  }
} finally {
  const down = run(["podman-compose", "down", "-v", "-t", "5"], new AbortController().signal);
  await down.catch((error: unknown) => console.log(String(error)));
}
if (failure !== undefined) console.log(String(failure));
console.log(`${passed} passed, ${failure === undefined ? 0 : 1} failed`);
process.exit(failure === undefined ? 0 : 1);
