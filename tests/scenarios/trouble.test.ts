/**
 * A disk or a network that lets a device down: it says so, goes on with the rest, and comes back by
 * itself. The disks are small tmpfs mounts, which need root.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureBinary, RunningSynced, runSynced, startServer } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";

let lab: Lab;
const mounts: string[] = [];

beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
}, 180_000);
afterAll(async () => {
  for (const path of mounts) Bun.spawnSync(["umount", "-l", path]);
  await lab.close();
});

function mountSmall(path: string): void {
  mkdirSync(path, { recursive: true });
  const { exitCode } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path]);
  if (exitCode !== 0) throw new Error(`Cannot mount a tmpfs on ${path}`);
  mounts.push(path);
}

/** Root in a container may not mount either. */
function mayMount(): boolean {
  const probe = "mount -t tmpfs tmpfs /mnt && umount /mnt";
  return Bun.spawnSync(["unshare", "-m", "sh", "-c", probe]).exitCode === 0;
}

test.skipIf(!mayMount())(
  "a full disk stops nothing but what needs space [F21, I43, D8]",
  async () => {
    const small = lab.scratch.join("small");
    mountSmall(small);
    const full = lab.device("small");
    const other = lab.device("other");
    other.write("first", "first");
    for (const device of [full, other]) device.start();
    await lab.settled([full, other]);

    other.write("too-large", new Uint8Array(6_000_000).fill(7));
    await waitFor("the problem is told", () => full.events("problem").length > 0);
    other.write("after", "small");
    await waitFor("other paths go on", () => existsSync(full.join("after")));
    await waitFor("it is not in sync", async () => (await full.status()).state === "syncing");
    expect((await full.status()).problems).toMatchObject([
      {
        path: "too-large",
        code: "storage_full",
        message: expect.stringContaining("this device's disk has room for"),
      },
    ]);
    rmSync(other.join("too-large"));
    await lab.settled([full, other]);
    await waitFor("the problem is over", async () => (await full.status()).problems.length === 0);

    fill(full.join("filler"));
    for (let index = 0; index < 5; index += 1) other.write(`more-${index}`, "x".repeat(20_000));
    await waitFor("the full state is told", () =>
      full.running.lines.some(
        (line) => line["code"] === "storage_full" && line["event"] === "error",
      ),
    );
    expect(full.running.hasEnded).toBe(false);
    if ((await full.status()).state === "in_sync") {
      // Only by now: the log of the state, folded in, may have left room for it.
      for (let index = 0; index < 5; index += 1) {
        expect(existsSync(full.join(`more-${index}`))).toBe(true);
      }
    }
    rmSync(full.join("filler"));
    await lab.settled([full, other], 120_000);

    // One that can write nothing more cannot write that either.
    full.running.signal("SIGSTOP");
    fill(full.join("filler"));
    expect(await full.status()).toMatchObject({
      state: "held",
      held: { id: "root", reason: expect.stringContaining("disk is full") },
    });
    rmSync(full.join("filler"));
    full.running.signal("SIGCONT");
    await lab.settled([full, other], 120_000);

    await full.stop();
    fill(full.join("filler"));
    const { exitCode, stderr } = await full.once();
    expect({ exitCode, stderr }).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("this device's disk is full"),
    });
    rmSync(full.join("filler"));
    expect((await full.once()).exitCode).toBe(0);
  },
  240_000,
);

test.skipIf(!mayMount())(
  "a full server is told once and when it is over, and gives meanwhile [O10, O11, F20, Y3]",
  async () => {
    const small = lab.scratch.join("small-server");
    mountSmall(small);
    const { url, server } = await startServer(join(small, "data"));
    const path = lab.scratch.join("of-small-server");
    const client = new RunningSynced(["sync", path, "--server", url]);
    try {
      await client.event("in_sync");
      writeFileSync(join(path, "too-large"), randomBytes(6_000_000));
      const error = await client.event("error");
      expect(error).toMatchObject({
        code: "storage_full",
        message: expect.stringContaining("the server's disk is full"),
      });
      // Some more tries go by while others' changes arrive.
      for (let count = 0; count < 8; count += 1) {
        const small = `${url}/v1/folders/default/files?path=other-${count}`;
        expect((await fetch(small, { method: "PUT", body: "" })).status).toBe(201);
        await waitFor("it arrives", () => existsSync(join(path, `other-${count}`)));
        await Bun.sleep(500);
      }
      const { stdout } = await runSynced(["status", path, "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({
        state: "syncing",
        reason: expect.stringContaining("the server's disk is full"),
        pending: { up: 1 },
      });
      rmSync(join(path, "too-large"));
      await waitFor("it is told that it is over", () =>
        client.lines.some(({ code }) => code === "server_has_room"),
      );
      const told = client.lines.map(({ event }) => String(event));
      const news = told.filter((event) => ["offline", "online", "error", "notice"].includes(event));
      expect(news).toEqual(["notice", "error", "notice"]);
    } finally {
      await client.stop();
      await server.stop();
    }
  },
  180_000,
);

/** To the last byte, so that the client's database cannot grow either. */
function fill(path: string): void {
  try {
    for (;;) writeFileSync(path, new Uint8Array(4096).fill(1), { flag: "a" });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  }
}

test("what cannot be watched is scanned every few seconds, until it can be [F57, F68, Y2, Y12]", async () => {
  const deep = lab.device("deep");
  const plain = lab.device("plain");
  const name = "n".repeat(200);
  const script = `i=0; while [ $i -lt 40 ]; do mkdir ${name} && cd -P ${name} || exit 1; i=$((i+1)); done`;
  Bun.spawnSync(["sh", "-c", script], { cwd: deep.path });
  for (const device of [deep, plain]) device.start();
  await waitFor("what has a legal path arrives", () => existsSync(plain.join(name)));
  await waitFor("it says so", () =>
    deep.running.lines.some((line) => line["code"] === "watch_failed"),
  );
  deep.write("new", "new");
  await waitFor("a new file is found", () => existsSync(plain.join("new")));
  Bun.spawnSync(["rm", "-rf", name], { cwd: deep.path });
  await waitFor("so is a removal", () => !existsSync(plain.join(name)));
  await waitFor("it says that all is watched", () =>
    deep.running.lines.some((line) => line["code"] === "watch_restored"),
  );
}, 240_000);
