/**
 * The command line of the real binary: what it refuses, what it says and where, and its exit codes.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import packageJson from "../../package.json" with { type: "json" };
import { bestOf, timeOf } from "../timing.ts";
import { BINARY, ensureBinary, RunningSynced, runSynced, Scratch, startServer } from "./binary.ts";
import { waitFor } from "./lab.ts";

const COMMANDS = ["serve", "sync", "status", "approve", "verify", "healthcheck", "demo"];
const TOKEN = "0123456789abcdefghijklmnop";
/** A person must not notice it; measured 10 ms where nothing else runs. */
const VERSION_WITHIN_MS = 60;
/** Processor time, of which other programs take nothing away: measured 4 times an empty script's. */
const VERSION_RATIO = 10;

const scratch = new Scratch();

beforeAll(ensureBinary);
afterAll(() => scratch.remove());

/** @returns the least processor time of some runs, in microseconds. */
function leastWork(command: string[]): number {
  const runs = Array.from({ length: 9 }, () => Bun.spawnSync(command).resourceUsage.cpuTime.total);
  return Math.min(...runs.map(Number));
}

function folder(name: string): string {
  const path = scratch.join(name);
  mkdirSync(path, { recursive: true });
  return path;
}

describe("usage", () => {
  test("--version prints the version, at once", async () => {
    const withinMs = await bestOf(20, VERSION_WITHIN_MS, async () => {
      return await timeOf(async () => {
        const { exitCode, stdout } = await runSynced(["--version"]);
        expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: `${packageJson.version}\n` });
      });
    });
    if (withinMs < VERSION_WITHIN_MS) return;
    // A slow or busy machine: then it works little, and waits for nothing.
    const [version, empty] = [
      [BINARY, "--version"],
      [process.execPath, "-e", "0"],
    ].map(leastWork);
    expect(version).toBeLessThan(VERSION_RATIO * (empty ?? 0));
    expect(withinMs).toBeLessThan(2_000);
  });

  test("--help goes to stdout and names every command", async () => {
    const { exitCode, stdout, stderr } = await runSynced(["--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    for (const command of COMMANDS) expect(stdout).toContain(command);
  });

  for (const command of COMMANDS) {
    test(`${command} --help names the environment twin of each flag`, async () => {
      const { exitCode, stdout } = await runSynced([command, "--help"]);
      expect(exitCode).toBe(0);
      const flags = [...stdout.matchAll(/^\s+--([a-z-]+)/gm)].map((match) => match[1] ?? "");
      expect(flags).toContain("json");
      const twins = flags.map((flag) => `[SYNCED_${flag.replaceAll("-", "_").toUpperCase()}]`);
      expect(twins.filter((twin) => !stdout.includes(twin))).toEqual([]);
      const examples = stdout.slice(stdout.indexOf("EXAMPLES")).split("\n").slice(2, -1);
      expect(examples.some((line) => line.startsWith(`  synced ${command}`))).toBe(true);
    });
  }

  const refused: readonly (readonly [string, readonly string[], string])[] = [
    ["no command", [], "No command given"],
    ["an unknown command", ["snyc"], 'Unknown command "snyc"'],
    ["an unknown flag", ["sync", ".", "--onec"], "Unknown option '--onec'"],
    ["an unknown short flag", ["sync", ".", "-x"], "Unknown option '-x'"],
    ["a negated switch", ["sync", ".", "--no-once"], "Unknown option '--no-once'"],
    ["a flag without its value", ["sync", ".", "--server"], "--server"],
    ["a switch with a value", ["sync", ".", "--once=yes"], "does not take an argument"],
    ["a missing argument", ["sync"], "Missing argument"],
    ["too many arguments", ["status", "a", "b"], 'Unexpected argument "b"'],
    ["an empty argument", ["status", ""], "empty"],
    ...[
      ["sync", ".", "--server"],
      ["sync", ".", "--folder"],
      ["sync", ".", "--device"],
      ["sync", ".", "--token-file"],
      ["sync", ".", "--metrics-port"],
      ["serve", "--data"],
      ["serve", "--host"],
      ["serve", "--mirror"],
      ["serve", "--database-url"],
      ["verify", "--data"],
      ["healthcheck", "--url"],
    ].map((args) => {
      const flag = args.at(-1) ?? "";
      return [`an empty ${args[0]} ${flag}`, [...args, ""], `Cannot use ${flag} ""`] as const;
    }),
  ];
  for (const [what, args, said] of refused) {
    test(`${what} is refused with the usage on stderr and exit code 2`, async () => {
      const { exitCode, stdout, stderr } = await runSynced(args);
      expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
      expect(stderr).toContain("USAGE");
      expect(stderr).toContain(said);
    });
  }

  test("certificates that would go unchecked are refused before anything is sent [G15]", async () => {
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    const args = ["sync", ".", "--server", "https://127.0.0.1:9", "--once"];
    const { exitCode, stderr } = await runSynced(args, { env });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("anybody could pass for the server");
  });

  const illegal: readonly (readonly [string, readonly string[], string])[] = [
    ["no server at the first run", [], "--server"],
    ["a server without a scheme", ["--server", "example.org:8080"], "http://"],
    ["a server of another scheme", ["--server", "ftp://127.0.0.1"], "http://"],
    ["a server with a path", ["--server", "http://127.0.0.1/x"], "path"],
    ["a server with a password", ["--server", "http://a:b@127.0.0.1"], "password"],
    ["an illegal folder name", ["--server", "http://127.0.0.1:1", "--folder", "A/b"], "A/b"],
    ["an illegal device name", ["--server", "http://127.0.0.1:1", "--device", "a/b"], "a/b"],
    ["an interval of 0", ["--server", "http://127.0.0.1:1", "--interval", "0"], "--interval"],
    ["an interval in words", ["--server", "http://127.0.0.1:1", "--interval", "1m"], "--interval"],
    [
      "a token file that is not there",
      ["--server", "http://127.0.0.1:1", "--token-file", "/nonexistent/token"],
      "/nonexistent/token",
    ],
  ];
  for (const [what, args, said] of illegal) {
    test(`sync refuses ${what} with exit code 2 before it touches the folder`, async () => {
      const path = folder("untouched");
      const { exitCode, stderr } = await runSynced(["sync", path, "--once", ...args]);
      expect(stderr).toContain(said);
      expect(exitCode).toBe(2);
      expect(existsSync(`${path}/.synced`)).toBe(false);
    });
  }

  test("the URL of a database may come from a file, which is the only place then [M4]", async () => {
    const file = scratch.join("database-url");
    writeFileSync(file, "postgres://me:hunter2@127.0.0.1\n");
    const args = ["serve", "--data", scratch.join("data-of-url"), "--port", "0"];
    const both = ["--database-url-file", file, "--database-url", "postgres://127.0.0.1/x"];
    for (const [more, said] of [
      [both, "name one"],
      [["--database-url-file", scratch.join("nowhere")], "Cannot read the URL's file"],
      [["--database-url-file", "/dev/null"], "expected postgres://"],
    ] as const) {
      const { exitCode, stderr } = await runSynced([...args, ...more]);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 2 });
      expect(stderr).toContain(said);
    }
    const running = new RunningSynced([...args, "--database-url-file", file]);
    await running.event("listening");
    const { exitCode, stderr } = await running.stop();
    expect(exitCode).toBe(143);
    expect(stderr).not.toContain("hunter2");
  }, 30_000);

  test("a password in a server's address is not repeated on the terminal", async () => {
    const args = ["sync", folder("untouched"), "--server", "http://me:hunter2@127.0.0.1/"];
    const { stderr } = await runSynced(args);
    expect(stderr).not.toContain("hunter2");
  });
});

describe("environment twins", () => {
  test("a flag wins over its twin, and a twin is read like its flag", async () => {
    const env = { SYNCED_SERVER: "ftp://twin" };
    const path = folder("untouched");
    const twin = await runSynced(["sync", path, "--once"], { env });
    expect(twin.stderr).toContain("ftp://twin");
    const flag = await runSynced(["sync", path, "--once", "--server", "ftp://flag"], { env });
    expect(flag.stderr).toContain("ftp://flag");
    expect(flag.stderr).not.toContain("twin");
  });

  test("an empty twin counts as not set", async () => {
    const args = ["sync", folder("untouched"), "--once"];
    const { exitCode, stderr } = await runSynced(args, { env: { SYNCED_SERVER: "" } });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("--server URL");
  });

  test("a switch's twin is 1, true, 0 or false", async () => {
    const args = ["status", folder("untouched")];
    const wrong = await runSynced(args, { env: { SYNCED_JSON: "maybe" } });
    expect(wrong.exitCode).toBe(2);
    expect(wrong.stderr).toContain("SYNCED_JSON");
    const right = await runSynced(args, { env: { SYNCED_JSON: "1" } });
    expect(JSON.parse(right.stdout)).toMatchObject({ event: "error", code: "folder_unusable" });
  });

  test("SYNCED_FOLDER is the folder's name, never its path", async () => {
    const { exitCode, stderr } = await runSynced(["status"], { env: { SYNCED_FOLDER: "photos" } });
    expect(exitCode).toBe(2);
    expect(stderr).toContain("Missing argument");
  });
});

describe("folders that are not synced", () => {
  for (const command of ["status", "approve"]) {
    test(`${command} says the next step for a folder that never joined`, async () => {
      const path = folder("plain");
      const { exitCode, stderr } = await runSynced([command, path]);
      expect(exitCode).toBe(2);
      expect(stderr).toContain(`synced sync "${path}" --server URL`);
      expect(existsSync(`${path}/.synced`)).toBe(false);
    });

    test(`${command} says that there is no such directory`, async () => {
      const { exitCode, stderr } = await runSynced([command, scratch.join("absent")]);
      expect(exitCode).toBe(2);
      expect(stderr).toContain("no such directory");
    });
  }

  test("errors are JSON lines on stdout with --json, and sentences on stderr as well", async () => {
    const { stdout, stderr } = await runSynced(["status", folder("plain"), "--json"]);
    const line = JSON.parse(stdout);
    expect(line).toMatchObject({ event: "error", code: "folder_unusable" });
    expect(Date.parse(line.time)).toBeGreaterThan(0);
    expect(stderr).toContain(line.message);
  });

  test("the twin of --json makes an error a JSON line like the flag", async () => {
    const env = { SYNCED_JSON: "true" };
    const { stdout } = await runSynced(["status", folder("plain")], { env });
    expect(JSON.parse(stdout)).toMatchObject({ event: "error", code: "folder_unusable" });
  });

  test("control characters in names are escaped on the terminal [N3]", async () => {
    const { stderr } = await runSynced(["status", scratch.join("a\u001b[31mb\u202ec")]);
    expect(stderr).toContain("a\\x1b[31mb\\u{202e}c");
    expect(stderr).not.toContain("\u001b");
  });
});

describe("tokens", () => {
  const cases: readonly (readonly [string, string])[] = [
    ["empty", ""],
    ["only white space", " \n"],
    ["too short", "short"],
    ["of characters that a header cannot hold", "0123456789abcdef ghijk"],
    ["too long", "a".repeat(257)],
  ];
  for (const [what, token] of cases) {
    test(`a token that is ${what} is refused and not repeated [B43, B47]`, async () => {
      const file = scratch.join("token-illegal");
      writeFileSync(file, token);
      chmodSync(file, 0o600);
      const args = ["serve", "--data", scratch.join("no-data"), "--port", "0"];
      const fromFile = await runSynced([...args, "--token-file", file]);
      expect(fromFile.exitCode).toBe(2);
      const fromTwin = await runSynced(args, { env: { SYNCED_TOKEN: token } });
      expect(fromTwin.exitCode).toBe(2);
      if (token.trim() !== "") expect(fromFile.stderr + fromTwin.stderr).not.toContain(token);
      expect(existsSync(scratch.join("no-data"))).toBe(false);
    });
  }

  test.each<[string[]]>([
    [["--host", "0.0.0.0"]],
    [["--host", "0.0.0.0", "--insecure-http"]],
    [["--behind-proxy", "10.0.0.1"]],
  ])("serve %j refuses a token that others may guess [K15]", async (flags) => {
    const data = scratch.join("guessed-data");
    const env = { SYNCED_TOKEN: "hunter2-hunter22" };
    const args = ["serve", "--data", data, "--port", "0", ...flags];
    const { exitCode, stderr } = await runSynced(args, { env });
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("can be guessed")]);
    expect(stderr).not.toContain(env.SYNCED_TOKEN);
    expect(existsSync(data)).toBe(false);
  });

  test.each<[string[], string]>([
    [["--tls-cert", "cert.pem"], "name both"],
    [["--tls-cert", "none", "--tls-key", "none"], 'Cannot read "none" for TLS'],
    [["--insecure-http", "--behind-proxy", "10.0.0.1"], "Cannot use --insecure-http with"],
    [["--behind-proxy", "proxy.example"], "expected the address that the proxy comes from"],
  ])("serve %j is refused before it serves [K9]", async (flags, words) => {
    const args = ["serve", "--data", scratch.join("tls-data"), "--port", "0", ...flags];
    const { exitCode, stderr } = await runSynced(args);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining(words)]);
  });

  test("a token that is refused while it runs is told once, and status says why [Y3]", async () => {
    const data = scratch.join("retoken-data");
    const env = { SYNCED_TOKEN: TOKEN };
    const first = await startServer(data, { env });
    const path = folder("retoken-folder");
    const client = new RunningSynced(["sync", path, "--server", first.url], { env });
    let { server } = first;
    try {
      await client.event("in_sync");
      await server.stop();
      const port = new URL(first.url).port;
      const env = { SYNCED_TOKEN: `${TOKEN}-other` };
      server = new RunningSynced(["serve", "--data", data, "--port", port], { env });
      await server.event("listening");
      const error = await client.event("error");
      expect(error).toMatchObject({ code: "unauthenticated" });
      await waitFor("its status to say so", async () => {
        const { state, reason } = JSON.parse((await runSynced(["status", path, "--json"])).stdout);
        return state === "offline" && reason === error["message"];
      });
      // Long enough for some more tries.
      await Bun.sleep(4_000);
      expect(client.lines.filter((line) => line["event"] === "error")).toHaveLength(1);
    } finally {
      await client.stop();
      await server.stop();
    }
  }, 180_000);

  test("sync without the token, or with a wrong one, ends with exit code 13 [H2]", async () => {
    const file = scratch.join("token");
    writeFileSync(file, `${TOKEN}\n`);
    const data = scratch.join("token-data");
    const { url, server } = await startServer(data, { args: ["--token-file", file] });
    try {
      const args = ["sync", folder("token-folder"), "--server", url, "--once"];
      const none = await runSynced(args);
      expect(none.exitCode).toBe(13);
      expect(none.stderr).toContain(`Cannot sync with ${url}: it wants a token`);
      const notYet = await runSynced(["status", folder("token-folder")]);
      expect([notYet.exitCode, notYet.stderr]).toEqual([2, expect.stringContaining("not synced")]);
      const wrong = await runSynced(args, { env: { SYNCED_TOKEN: `${TOKEN}x` } });
      expect(wrong.exitCode).toBe(13);
      // What the first try left behind is nothing to be set aside.
      expect(wrong.stderr).toBe(
        `Cannot sync with ${url}: it does not accept the token; check the one you gave it\n`,
      );
      const right = await runSynced(args, { env: { SYNCED_TOKEN: TOKEN } });
      expect(right.stderr).not.toContain(TOKEN);
      expect(right.exitCode).toBe(0);
      const fromFile = await runSynced([...args, "--token-file", file]);
      expect(fromFile.exitCode).toBe(0);
    } finally {
      await server.stop();
    }
  });
});

describe("the directory that it is started in", () => {
  test("neither its .env nor its bunfig.toml, tsconfig.json or package.json is read", async () => {
    const cwd = folder("hostile");
    const trace = scratch.join("preloaded");
    writeFileSync(`${cwd}/.env`, "SYNCED_JSON=maybe\n");
    writeFileSync(`${cwd}/.env.local`, "SYNCED_JSON=maybe\n");
    writeFileSync(
      `${cwd}/bunfig.toml`,
      'preload = ["./evil.ts"]\n[run]\npreload = ["./evil.ts"]\n',
    );
    writeFileSync(`${cwd}/evil.ts`, `require("node:fs").writeFileSync("${trace}", "");\n`);
    writeFileSync(`${cwd}/package.json`, '{"imports": {"citty": "./evil.ts"}}');
    writeFileSync(`${cwd}/tsconfig.json`, '{"compilerOptions": {"paths": {"*": ["./evil.ts"]}}}');
    const { stdout } = await runSynced(["status", folder("plain"), "--json"], { cwd });
    expect(JSON.parse(stdout)).toMatchObject({ code: "folder_unusable" });
    expect(existsSync(trace)).toBe(false);
  });
});

describe.if(process.platform === "linux")("memory that a long command frees", () => {
  const settings = (server: RunningSynced) =>
    server.environment.filter((line) => line.startsWith("MIMALLOC_"));

  test("stays with it for a moment; it is one process from start to end", async () => {
    const { server } = await startServer(scratch.join("roomy"));
    expect(settings(server)).toEqual(["MIMALLOC_PURGE_DELAY=1000", "MIMALLOC_PURGE_HOLES=0"]);
    expect((await server.stop()).exitCode).toBe(143);
  });

  test("goes back as the environment says, if it says so", async () => {
    const env = { MIMALLOC_PURGE_DELAY: "10" };
    const { server } = await startServer(scratch.join("tight"), { env });
    expect(settings(server)).toEqual(["MIMALLOC_PURGE_DELAY=10"]);
    await server.stop();
  });
});
