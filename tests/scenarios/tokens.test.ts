/** Tokens as people use them: made, shown once, scoped, revoked and replaced under a running client. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  type Ended,
  ensureBinary,
  RunningSynced,
  runSynced,
  Scratch,
  startServer,
} from "./binary.ts";
import { waitFor } from "./lab.ts";

const scratch = new Scratch();
const data = scratch.join("storage");
let url = "";
let server: RunningSynced | undefined;
const running: RunningSynced[] = [];

beforeAll(async () => {
  await ensureBinary();
  ({ url, server } = await startServer(data));
});

afterAll(async () => {
  await Promise.all(running.map((one) => one.stop("SIGKILL")));
  await server?.stop();
  scratch.remove();
});

interface Made {
  readonly id: string;
  readonly token: string;
  readonly file: string;
}

async function token(...args: string[]): Promise<Ended> {
  return await runSynced(["token", ...args, "--data", data]);
}

async function make(name: string, ...args: string[]): Promise<Made> {
  const { exitCode, stdout } = await token("create", "--label", name, "--json", ...args);
  expect(exitCode).toBe(0);
  const { id, token: text } = JSON.parse(stdout);
  const file = scratch.join(`${name}.token`);
  writeFileSync(file, `${text}\n`, { mode: 0o600 });
  return { id, token: text, file };
}

function folder(name: string): string {
  const path = scratch.join(name);
  mkdirSync(path, { recursive: true });
  return path;
}

function syncArgs(path: string, { file }: Made, ...more: string[]): string[] {
  return ["sync", path, "--server", url, "--token-file", file, ...more];
}

describe("synced token", () => {
  test("shows a token once, on stdout alone, and lists it with its device [K2, K5]", async () => {
    const { exitCode, stdout, stderr } = await token("create", "--label", "LAPTOP");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^sy-[0-9a-f]{16}-[0-9a-f]{64}\n$/);
    expect(stderr).toContain("From now on the server wants a token from everybody");
    expect(stderr).not.toContain(stdout.trim());
    const file = scratch.join("laptop.token");
    writeFileSync(file, stdout);
    const path = folder("listed");
    writeFileSync(`${path}/a.txt`, "a");
    const args = ["sync", path, "--server", url, "--token-file", file, "--device", "LAPTOP"];
    expect((await runSynced([...args, "--once"])).exitCode).toBe(0);
    const list = await token("list", "--json");
    expect(list.stdout + list.stderr).not.toContain(stdout.trim().slice(20));
    const [listed] = list.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(listed).toMatchObject({
      event: "token",
      label: "LAPTOP",
      access: "write",
      folders: "all",
    });
    expect(listed.devices).toMatchObject([{ name: "LAPTOP", folder: "default", behind: 0 }]);
    expect(stdout).toContain(listed.id);
  });

  test("says what is wrong with its command line [K2]", async () => {
    const wrong: [string[], string][] = [
      [["bake"], "use create, list or revoke"],
      [["revoke"], "say which"],
      [["list", "0123456789abcdef"], "one is enough"],
      [["revoke", "0123456789abcdef"], "there is no such token"],
      [["revoke", "LAPTOP"], "as a token's id"],
      [["create", "--access", "all"], "expected read, write or admin"],
      [["create", "--expires", "soon"], "10m, 12h, 30d"],
      [["create", "--folder", "a,B"], "as a folder name"],
    ];
    for (const [args, words] of wrong) {
      const { exitCode, stderr } = await token(...args);
      expect([args, exitCode]).toEqual([args, 2]);
      expect(stderr).toContain(words);
    }
    const elsewhere = await runSynced(["token", "list", "--data", scratch.join("nowhere")]);
    expect(elsewhere.exitCode).toBe(2);
    expect(existsSync(scratch.join("nowhere"))).toBe(false);
  });
});

test("a token that may only read receives, and keeps changes here, listed [K1, K6]", async () => {
  const writer = await make("writer", "--folder", "read");
  const reader = await make("reader", "--folder", "read", "--access", "read");
  const [there, here] = [folder("read-there"), folder("read-here")];
  writeFileSync(`${there}/one`, "one");
  const there1 = await runSynced(syncArgs(there, writer, "--folder", "read", "--once"));
  expect(there1.exitCode).toBe(0);
  writeFileSync(`${here}/mine`, "mine");
  const first = await runSynced(syncArgs(here, reader, "--folder", "read", "--once"));
  expect([first.exitCode, readFileSync(`${here}/one`, "utf8")]).toEqual([3, "one"]);
  writeFileSync(`${there}/two`, "two");
  await runSynced([...syncArgs(there, writer), "--once"]);
  const second = await runSynced([...syncArgs(here, reader), "--once"]);
  expect([second.exitCode, readFileSync(`${here}/two`, "utf8")]).toEqual([3, "two"]);
  const { problems } = JSON.parse((await runSynced(["status", here, "--json"])).stdout);
  expect(problems).toMatchObject([{ path: "mine", code: "forbidden" }]);
  expect(existsSync(`${there}/mine`)).toBe(false);
  await runSynced([...syncArgs(here, writer), "--once"]);
  await runSynced([...syncArgs(there, writer), "--once"]);
  expect(readFileSync(`${there}/mine`, "utf8")).toBe("mine");
  const other = await runSynced(syncArgs(folder("read-other"), reader, "--once"));
  expect(other.exitCode).toBe(13);
  expect(other.stderr).toContain("the token is not for a folder of that name");
});

test("a token file that all users of the machine can read is told once [K2]", async () => {
  const made = await make("loose");
  const path = folder("loose");
  chmodSync(scratch.path, 0o755);
  for (const [mode, lines] of [
    [0o600, 0],
    [0o640, 0],
    [0o644, 1],
  ] as const) {
    chmodSync(made.file, mode);
    const { exitCode, stderr } = await runSynced([...syncArgs(path, made), "--once", "--quiet"]);
    const told = stderr.split("\n").filter((line) => line.includes("Every user of this machine"));
    expect({ exitCode, lines: told.length }).toEqual({ exitCode: 0, lines });
  }
  chmodSync(scratch.path, 0o700);
  const hidden = await runSynced([...syncArgs(path, made), "--once"]);
  expect(hidden.stderr).not.toContain("Every user");
});

test("an admin makes a token by HTTP, and the server says who did [K14]", async () => {
  const admin = await make("admin", "--access", "admin");
  const response = await fetch(`${url}/v1/tokens`, {
    method: "POST",
    headers: { authorization: `Bearer ${admin.token}`, "content-type": "application/json" },
    body: JSON.stringify({ access: "read", label: "by HTTP" }),
  });
  const made = (await response.json()) as { id: string };
  expect(response.status).toBe(201);
  const told = await server?.event("admin_use");
  const use = { method: "POST", path: "/v1/tokens", status: 201, token: admin.id, untold: 0 };
  expect(told).toMatchObject({ ...use, address: "127.0.0.1" });
  expect(JSON.stringify(server?.lines)).not.toContain(admin.token);
  expect((await token("list")).stderr).toContain(`${made.id}  "by HTTP", reads all folders`);
});

test("a client whose token is revoked keeps its changes, and goes on with a new one [K4]", async () => {
  const made = await make("revoked", "--folder", "revoked");
  const path = folder("revoked");
  const client = new RunningSynced(syncArgs(path, made, "--folder", "revoked"));
  running.push(client);
  await client.event("in_sync");
  expect((await token("revoke", made.id)).exitCode).toBe(0);
  const { reason } = await client.event("offline");
  expect(reason).toContain("the token was revoked");
  writeFileSync(`${path}/local`, "local");
  const status = async () => JSON.parse((await runSynced(["status", path, "--json"])).stdout);
  await waitFor("the change to wait", async () => (await status()).pending.up === 1);
  expect(await status()).toMatchObject({ state: "offline", reason });
  const again = await make("renewed", "--folder", "revoked");
  writeFileSync(made.file, again.token);
  await client.event("online");
  await client.event("in_sync");
  expect(await status()).toMatchObject({ state: "in_sync", pending: { up: 0 } });
  expect(JSON.stringify(client.lines)).not.toContain(again.token);
  await client.stop();
});
