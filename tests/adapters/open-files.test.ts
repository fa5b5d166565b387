/** Few descriptors: how many are needed, and what a server does when they run out. */
import { expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { openSyncsMax } from "../../src/adapters/disk/open-files.ts";

const SCRIPT = join(import.meta.dir, "processes/few-descriptors.ts");

function withLimit(limit: number): string[] {
  return ["bash", "-c", `ulimit -n ${limit}; exec "$0" "$@"`, process.execPath, SCRIPT];
}

test("a process says how many files it must be able to open [H12]", () => {
  const [shell = "", ...rest] = withLimit(39);
  const run = () => execFileSync(shell, rest, { stdio: "pipe", encoding: "utf8" });
  expect(run).toThrow("Cannot run with at most 39 open files: 40 are needed");
  expect(openSyncsMax()).toBeGreaterThanOrEqual(1);
});

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { keepalive: false, signal: AbortSignal.timeout(500) })).ok;
  } catch {
    // Refused, or not taken.
    return false;
  }
}

async function until(claim: () => Promise<boolean>): Promise<void> {
  while (!(await claim())) await Bun.sleep(50);
}

test("a server out of descriptors takes no connection until some are closed [H12]", async () => {
  const child = Bun.spawn(withLimit(64), { stdout: "pipe", stderr: "inherit" });
  const sockets: Socket[] = [];
  try {
    const first = await child.stdout.getReader().read();
    const [url = "", syncs] = new TextDecoder().decode(first.value).trim().split(" ");
    expect(syncs).toBe("8");
    expect(await answers(url)).toBe(true);
    for (let count = 0; count < 80; count += 1) {
      const socket = connect({ host: "127.0.0.1", port: Number(new URL(url).port) });
      socket.on("error", () => {});
      sockets.push(socket);
    }
    await until(async () => !(await answers(url)));
    for (const socket of sockets) socket.destroy();
    await until(() => answers(url));
  } finally {
    for (const socket of sockets) socket.destroy();
    child.kill();
  }
}, 60_000);
