/**
 * What the commands do to real folders and servers: exit codes, status, approval, dry run, demo,
 * interruption.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { bestOf, timeOf } from "../timing.ts";
import { BINARY, ensureBinary, RunningSynced, runSynced, Scratch, startServer } from "./binary.ts";
import { waitFor } from "./lab.ts";

const scratch = new Scratch();
let url = "";
let server: RunningSynced | undefined;
let names = 0;

beforeAll(async () => {
  await ensureBinary();
  ({ url, server } = await startServer(scratch.join("storage")));
});

afterAll(async () => {
  await server?.stop();
  scratch.remove();
});

/** A folder name that no other test uses. */
function freshName(): string {
  names += 1;
  return `folder-${names}`;
}

function makeFolder(name: string): string {
  const path = scratch.join(name);
  mkdirSync(path, { recursive: true });
  return path;
}

function syncArgs(path: string, name: string): string[] {
  return ["sync", path, "--server", url, "--folder", name];
}

/** Paths and bytes of all that is below, with modification times. */
function snapshot(path: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
    const place = join(entry.parentPath, entry.name);
    const { mtimeMs } = statSync(place);
    found[place] = entry.isFile() ? `${mtimeMs} ${readFileSync(place, "base64")}` : "directory";
  }
  return found;
}

describe("sync", () => {
  test("--once carries files from one folder to another and exits 0 [Y1]", async () => {
    const name = freshName();
    const [a, b] = [makeFolder(`${name}-a`), makeFolder(`${name}-b`)];
    writeFileSync(join(a, "note.txt"), "hello\n");
    const first = await runSynced([...syncArgs(a, name), "--once", "--json"]);
    expect(first.exitCode).toBe(0);
    const events = first.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(events.map(({ event }) => event)).toContain("joined");
    expect(events.every(({ time }) => Date.parse(time) > 0)).toBe(true);
    const second = await runSynced([...syncArgs(b, name), "--once"]);
    expect(second.exitCode).toBe(0);
    expect(second.stdout).toBe("");
    expect(readFileSync(join(b, "note.txt"), "utf8")).toBe("hello\n");
  });

  test("the server and the folder's name are remembered, another name is refused [S4]", async () => {
    const name = freshName();
    const path = makeFolder(name);
    expect((await runSynced([...syncArgs(path, name), "--once"])).exitCode).toBe(0);
    expect((await runSynced(["sync", path, "--once"])).exitCode).toBe(0);
    const other = await runSynced(["sync", path, "--once", "--folder", "other-name"]);
    expect(other.exitCode).toBe(2);
    expect(other.stderr).toContain(name);
  });

  test("another server behind the address ends with exit code 12 [G5]", async () => {
    const name = freshName();
    const path = makeFolder(name);
    await runSynced([...syncArgs(path, name), "--once"]);
    const other = await startServer(scratch.join("other-storage"));
    try {
      const { exitCode } = await runSynced(["sync", path, "--server", other.url, "--once"]);
      expect(exitCode).toBe(12);
    } finally {
      await other.server.stop();
    }
  });

  test("a page that is not synced's ends the first contact with exit code 12 [F35]", async () => {
    const page = Bun.serve({
      port: 0,
      fetch: () => new Response("<h1>Log in</h1>", { headers: { "Content-Type": "text/html" } }),
    });
    try {
      const path = makeFolder(freshName());
      const args = ["sync", path, "--server", `http://127.0.0.1:${page.port}`, "--once"];
      const { exitCode } = await runSynced(args);
      expect(exitCode).toBe(12);
    } finally {
      await page.stop(true);
    }
  });

  test("a page that leads elsewhere, or speaks another protocol, is not followed [F35, B64]", async () => {
    const serverId = "0".repeat(32);
    const hello = { serverId, protocol: 2, features: [], limits: {} };
    const asked: string[] = [];
    const page = Bun.serve({
      port: 0,
      fetch(request) {
        asked.push(`${request.method} ${new URL(request.url).pathname}`);
        return asked.length === 1 ? Response.redirect(`${url}/v1/hello`) : Response.json(hello);
      },
    });
    try {
      const path = makeFolder(freshName());
      const args = ["sync", path, "--server", `http://127.0.0.1:${page.port}`, "--once"];
      const led = await runSynced(args);
      expect(led.exitCode).toBe(12);
      expect(led.stderr).toContain(`it redirects to ${url}/v1/hello`);
      const newer = await runSynced(args);
      expect(newer.exitCode).toBe(12);
      expect(newer.stderr).toContain("it speaks protocol 2, this synced speaks 1");
      // Neither was told anything.
      expect(asked).toEqual(["GET /v1/hello", "GET /v1/hello"]);
    } finally {
      await page.stop(true);
    }
  });

  test("https to a server that speaks http ends with exit code 12", async () => {
    const args = ["sync", makeFolder(freshName()), "--once"];
    const { exitCode, stderr } = await runSynced([
      ...args,
      "--server",
      url.replace("http", "https"),
    ]);
    expect(exitCode).toBe(12);
    expect(stderr).toContain("it does not speak https there");
  });

  test("where the server is outlives the loss of state.db, and the folder's name too [S4]", async () => {
    const name = freshName();
    const path = makeFolder(name);
    writeFileSync(join(path, "kept.txt"), "kept\n");
    const named = [...syncArgs(path, name), "--device", "Laptop", "--once"];
    expect((await runSynced(named)).exitCode).toBe(0);
    unlinkSync(join(path, ".synced/state.db"));
    const { exitCode, stderr } = await runSynced(["sync", path, "--once"]);
    expect(exitCode).toBe(0);
    expect(stderr).toContain(`Joined "${name}" on ${url} as "Laptop"`);
    expect(readFileSync(join(path, "kept.txt"), "utf8")).toBe("kept\n");
  });

  test("--once gives up on a server that is not there with exit code 11", async () => {
    const path = makeFolder(freshName());
    const { exitCode, stderr } = await runSynced([
      "sync",
      path,
      "--server",
      "http://127.0.0.1:1",
      "--once",
    ]);
    expect(exitCode).toBe(11);
    expect(stderr).toContain("Offline");
    expect(stderr).toContain("Ended without the server");
  });

  test("a second process on one folder ends with exit code 75 [S3]", async () => {
    const name = freshName();
    const path = makeFolder(name);
    const running = new RunningSynced(syncArgs(path, name));
    try {
      await running.event("in_sync");
      const second = await runSynced([...syncArgs(path, name), "--once"]);
      expect(second.exitCode).toBe(75);
    } finally {
      await running.stop();
    }
  });

  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    test(`${signal} ends it with exit code ${code}`, async () => {
      const name = freshName();
      const path = makeFolder(name);
      const endsWithinMs = await bestOf(5, 2_500, async () => {
        const running = new RunningSynced(syncArgs(path, name));
        await running.event("in_sync");
        return await timeOf(async () => {
          const { exitCode } = await running.stop(signal);
          expect(exitCode).toBe(code);
        });
      });
      expect(endsWithinMs).toBeLessThan(2_500);
    });
  }

  test("conflicts of this run end it with exit code 3, the next one with 0 [R4]", async () => {
    const name = freshName();
    const [a, b] = [makeFolder(`${name}-a`), makeFolder(`${name}-b`)];
    writeFileSync(join(a, "plan.txt"), "common\n");
    for (const path of [a, b]) await runSynced([...syncArgs(path, name), "--once"]);
    writeFileSync(join(a, "plan.txt"), "one side\n");
    writeFileSync(join(b, "plan.txt"), "the other side\n");
    expect((await runSynced(["sync", a, "--once"])).exitCode).toBe(0);
    const loser = await runSynced(["sync", b, "--once", "--json"]);
    expect(loser.exitCode).toBe(3);
    expect(loser.stdout).toContain('"event":"conflict"');
    expect(readFileSync(join(b, "plan.txt"), "utf8")).toBe("one side\n");
    const copy = readdirSync(b).find((entry) => entry.includes("(conflict "));
    expect(readFileSync(join(b, copy ?? ""), "utf8")).toBe("the other side\n");
    expect((await runSynced(["sync", b, "--once"])).exitCode).toBe(0);
    const status = JSON.parse((await runSynced(["status", b, "--json"])).stdout);
    expect(status.conflicts).toEqual([{ path: copy, of: "plan.txt" }]);
  });

  test("what cannot be synced is a listed problem and exit code 3, the rest goes on [D8]", async () => {
    const name = freshName();
    const path = makeFolder(name);
    Bun.spawnSync(["mkfifo", join(path, "pipe")]);
    writeFileSync(join(path, "file.txt"), "x");
    const { exitCode, stderr } = await runSynced([...syncArgs(path, name), "--once"]);
    expect(exitCode).toBe(3);
    expect(stderr).toContain("pipe");
    const status = JSON.parse((await runSynced(["status", path, "--json"])).stdout);
    expect(status.problems).toHaveLength(1);
    expect(status.problems[0]).toMatchObject({ path: "pipe", code: "unsupported_kind" });
    expect(status.cursor.seq).toBe(1);
  });

  test("it goes on when nobody reads its output any more [F93]", async () => {
    const name = freshName();
    const path = makeFolder(name);
    const args = syncArgs(path, name)
      .map((arg) => `'${arg}'`)
      .join(" ");
    const child = Bun.spawn(["bash", "-c", `'${BINARY}' ${args} --json 2>&1 | head -n 1`], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { PATH: process.env["PATH"] ?? "" },
      detached: true,
    });
    try {
      const reader = child.stdout.getReader();
      await reader.read();
      // Each one makes it say something more, to nobody.
      for (let index = 0; index < 3; index++) {
        writeFileSync(join(path, `late-${index}.txt`), "late\n");
        const late = `${url}/v1/folders/${name}/files?path=late-${index}.txt`;
        await waitFor("the file to be sent", async () => (await fetch(late)).ok);
      }
    } finally {
      process.kill(-child.pid, "SIGKILL");
    }
  });
});

describe("sync --dry-run", () => {
  test("a folder that never joined: says what would be done and writes nothing anywhere", async () => {
    const name = freshName();
    const path = makeFolder(name);
    writeFileSync(join(path, "new.txt"), "new\n");
    const before = snapshot(path);
    const { exitCode, stdout } = await runSynced([...syncArgs(path, name), "--dry-run", "--json"]);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout.split("\n")[0] ?? "")).toMatchObject({
      event: "would",
      direction: "up",
      kind: "create",
      path: "new.txt",
    });
    expect(snapshot(path)).toEqual(before);
    const folders = await (await fetch(`${url}/v1/folders`)).text();
    expect(folders).not.toContain(`"${name}"`);
  });

  test("names what would be there in the end, and what would be held [Y7, G2]", async () => {
    const name = freshName();
    const [a, b] = [makeFolder(`${name}-a`), makeFolder(`${name}-b`)];
    for (let index = 0; index < 80; index++) writeFileSync(join(a, `file-${index}`), `${index}`);
    mkdirSync(join(a, "old"));
    writeFileSync(join(a, "old/deep.txt"), "deep\n");
    writeFileSync(join(a, "both.txt"), "both\n");
    for (const path of [a, b]) await runSynced([...syncArgs(path, name), "--once"]);
    renameSync(join(a, "old"), join(a, "new"));
    writeFileSync(join(a, "new/deep.txt"), "deeper\n");
    writeFileSync(join(a, "both.txt"), "by a\n");
    await runSynced(["sync", a, "--once"]);
    writeFileSync(join(b, "both.txt"), "by b\n");
    writeFileSync(join(b, "old/here.txt"), "here\n");
    for (let index = 0; index < 60; index++) unlinkSync(join(b, `file-${index}`));
    const before = snapshot(b);
    const { exitCode, stdout } = await runSynced(["sync", b, "--dry-run", "--json"]);
    expect(exitCode).toBe(0);
    expect(snapshot(b)).toEqual(before);
    const lines = stdout.trim().split("\n");
    const told = lines.map((line) => JSON.parse(line)).map(({ time: _, ...step }) => step);
    const would = { event: "would" };
    for (const step of [
      { direction: "up", kind: "create", path: "new/here.txt" },
      { direction: "down", kind: "move", path: "new", from: "old" },
      { direction: "down", kind: "replace", path: "new/deep.txt" },
      { direction: "down", kind: "replace", path: "both.txt" },
      { direction: "up", kind: "delete", path: "file-0", held: true },
    ]) {
      expect(told).toContainEqual({ ...would, ...step });
    }
    const copy = told.find(({ kind }) => kind === "conflict");
    expect(copy).toMatchObject({ from: "both.txt" });
    expect(copy.path).toMatch(/^both \(conflict /);
    const reason = expect.stringContaining("delete 60 of 82 files");
    expect(told).toContainEqual({ event: "would_hold", reason, count: 60 });
  });

  test("a joined folder: names both directions and changes neither side", async () => {
    const name = freshName();
    const [a, b] = [makeFolder(`${name}-a`), makeFolder(`${name}-b`)];
    writeFileSync(join(a, "one.txt"), "1\n");
    for (const path of [a, b]) await runSynced([...syncArgs(path, name), "--once"]);
    writeFileSync(join(a, "two.txt"), "2\n");
    await runSynced(["sync", a, "--once"]);
    renameSync(join(b, "one.txt"), join(b, "uno.txt"));
    const before = snapshot(b);
    const { exitCode, stdout } = await runSynced(["sync", b, "--dry-run", "--json"]);
    expect(exitCode).toBe(0);
    const steps = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(steps).toContainEqual(
      expect.objectContaining({ direction: "up", kind: "move", path: "uno.txt", from: "one.txt" }),
    );
    expect(steps).toContainEqual(expect.objectContaining({ direction: "down", path: "two.txt" }));
    expect(snapshot(b)).toEqual(before);
  });
});

describe("status and approve", () => {
  test("status follows a running client: in sync, exit 0; stopped, exit 3", async () => {
    const name = freshName();
    const path = makeFolder(name);
    writeFileSync(join(path, "a.txt"), "a");
    const running = new RunningSynced([...syncArgs(path, name), "--device", "desk"]);
    await running.event("in_sync");
    const during = await runSynced(["status", path, "--json"]);
    expect(during.exitCode).toBe(0);
    const status = JSON.parse(during.stdout);
    expect(status).toEqual({
      state: "in_sync",
      running: true,
      server: url,
      folder: name,
      device: "desk",
      direction: "both",
      cursor: { epoch: expect.stringMatching(/^[0-9a-f]{32}$/), seq: 1, hash: expect.any(String) },
      head: 1,
      reason: null,
      pending: { up: 0, down: 0 },
      problems: [],
      conflicts: [],
      held: null,
      guard: "default",
      lastSyncTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    });
    await running.stop();
    const after = await runSynced(["status", path, "--json"]);
    expect(after.exitCode).toBe(3);
    expect(JSON.parse(after.stdout)).toMatchObject({ state: "stopped", running: false });
  });

  test("a mass deletion is held until approved: exit 10, then exactly it goes through [G2, I18]", async () => {
    const name = freshName();
    const [a, b] = [makeFolder(`${name}-a`), makeFolder(`${name}-b`)];
    for (let index = 0; index < 80; index++) {
      writeFileSync(join(a, `file-${index}.txt`), `${index}`);
    }
    for (const path of [a, b]) await runSynced([...syncArgs(path, name), "--once"]);
    for (let index = 0; index < 79; index++) unlinkSync(join(a, `file-${index}.txt`));
    writeFileSync(join(a, "file-79.txt"), "edited");
    const held = await runSynced(["sync", a, "--once"]);
    expect(held.exitCode).toBe(10);
    expect(held.stderr).toContain(`synced approve "${a}"`);
    await runSynced(["sync", b, "--once"]);
    expect(readdirSync(b).filter((entry) => entry !== ".synced")).toHaveLength(80);
    // Everything else flows.
    expect(readFileSync(join(b, "file-79.txt"), "utf8")).toBe("edited");

    const status = JSON.parse((await runSynced(["status", a, "--json"])).stdout);
    expect(status).toMatchObject({ state: "held", held: { count: 79 } });
    const approved = await runSynced(["approve", a, "--json"]);
    expect(approved.exitCode).toBe(0);
    expect(JSON.parse(approved.stdout)).toMatchObject({ event: "approved", id: status.held.id });

    expect((await runSynced(["sync", a, "--once"])).exitCode).toBe(0);
    // Who approved it there cannot prove it here.
    expect((await runSynced(["sync", b, "--once"])).exitCode).toBe(10);
    expect((await runSynced(["approve", b])).exitCode).toBe(0);
    expect((await runSynced(["sync", b, "--once"])).exitCode).toBe(0);
    expect(readdirSync(b).filter((entry) => entry !== ".synced")).toEqual(["file-79.txt"]);
    const nothing = await runSynced(["approve", a]);
    expect(nothing.exitCode).toBe(0);
    expect(nothing.stderr).toContain("Nothing is held");
  });
});

describe("serve", () => {
  test("a second server on the same data, or on the same port, ends with exit code 14", async () => {
    const data = scratch.join("storage");
    const sameData = await runSynced(["serve", "--data", data, "--port", "0"]);
    expect(sameData.exitCode).toBe(14);
    const { port } = new URL(url);
    const samePort = await runSynced(["serve", "--data", scratch.join("more"), "--port", port]);
    expect(samePort.exitCode).toBe(14);
  });
});

describe("demo", () => {
  test("--once copies the first file across, prints in sync, and exits 0", async () => {
    const path = scratch.join("demo");
    const { exitCode, stderr } = await runSynced(["demo", path, "--once"]);
    expect(stderr).toContain("in sync");
    expect(exitCode).toBe(0);
    const first = readFileSync(join(path, "synced1", "hello.txt"));
    expect(readFileSync(join(path, "synced2", "hello.txt"))).toEqual(first);
    const again = await runSynced(["demo", path, "--once"]);
    expect(again.exitCode).toBe(0);
  });

  test("it stays until Ctrl-C and carries what is put into either folder", async () => {
    const path = scratch.join("demo-live");
    const running = new RunningSynced(["demo", path]);
    await running.event("in_sync");
    writeFileSync(join(path, "synced2", "back.txt"), "back\n");
    const target = join(path, "synced1", "back.txt");
    await waitFor(
      "the file",
      () => existsSync(target) && readFileSync(target, "utf8") === "back\n",
    );
    const { exitCode } = await running.stop("SIGINT");
    expect(exitCode).toBe(130);
  });
});
