/**
 * A server whose disk is full: it takes no bytes, and everything else goes on. The disk is a small
 * tmpfs mount, which needs root.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary, runSynced, Scratch } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";

const MIB = 1024 * 1024;

let lab: Lab | undefined;

beforeAll(ensureBinary, 180_000);
afterAll(async () => {
  if (lab === undefined) return;
  Bun.spawnSync(["umount", "-l", lab.data]);
  await lab.close();
});

function mountTmpfs(path: string, size: string, ...more: string[]): boolean {
  mkdirSync(path, { recursive: true });
  const options = ["-o", [`size=${size}`, ...more].join(",")];
  return Bun.spawnSync(["mount", "-t", "tmpfs", ...options, "tmpfs", path]).exitCode === 0;
}

/** Root in a container may not mount either. */
function mayMount(): boolean {
  const probe = "mount -t tmpfs tmpfs /mnt && umount /mnt";
  return Bun.spawnSync(["unshare", "-m", "sh", "-c", probe]).exitCode === 0;
}

/** Bytes that nothing else has in common with. */
function noise(bytes: number): Uint8Array<ArrayBuffer> {
  const noise = new Uint8Array(bytes);
  for (let start = 0; start < bytes; start += 65_536) {
    crypto.getRandomValues(noise.subarray(start, start + 65_536));
  }
  return noise;
}

test.skipIf(!mayMount())(
  "a full server gives, deletes and moves, and takes again once there is room [O10, B54, F20, H7]",
  async () => {
    const server = new Lab();
    lab = server;
    expect(mountTmpfs(server.data, "32m")).toBe(true);
    await server.startServer();
    const [alpha, beta] = await server.pair();
    alpha.write("kept", "kept");
    alpha.write("doomed", "doomed");
    alpha.write("moved", "moved");
    await server.settled([alpha, beta]);

    let refusal: Response | undefined;
    for (let count = 0; refusal === undefined && count < 100; count += 1) {
      const url = `${server.folderUrl}/files?path=filler-${count}`;
      const answer = await fetch(url, { method: "PUT", body: noise(MIB) });
      if (!answer.ok) refusal = answer;
    }
    expect(refusal?.status).toBe(507);
    expect(await refusal?.json()).toMatchObject({ code: "storage_full" });

    // A person goes on: what is new waits, the rest arrives.
    alpha.write("new", noise(3 * MIB));
    rmSync(alpha.join("doomed"));
    renameSync(alpha.join("moved"), alpha.join("elsewhere"));
    await waitFor("the deletion arrives", () => !existsSync(beta.join("doomed")));
    await waitFor("the move arrives", () => existsSync(beta.join("elsewhere")));
    await waitFor("it is said whose disk is full", () =>
      alpha.running.lines.some(({ code }) => code === "storage_full"),
    );
    expect((await alpha.status()).state).not.toBe("in_sync");
    const answer = await fetch(`${server.folderUrl}/files?path=kept`);
    expect(await answer.text()).toBe("kept");
    for (let count = 0; count < 8; count += 1) {
      const url = `${server.folderUrl}/files?path=filler-${count}`;
      expect((await fetch(url, { method: "DELETE" })).status).toBe(204);
    }

    expect(mountTmpfs(server.data, "128m", "remount")).toBe(true);
    await server.settled([alpha, beta], 60_000);
    expect(existsSync(beta.join("new"))).toBe(true);
    await server.verify();
  },
  180_000,
);

test.skipIf(!mayMount())(
  "one that is started on a full disk says so, and what to do [F20, H7]",
  async () => {
    const scratch = new Scratch();
    const data = scratch.join("data");
    expect(mountTmpfs(data, "1m")).toBe(true);
    try {
      expect(() => writeFileSync(`${data}/filler`, noise(2 * MIB))).toThrow("ENOSPC");
      const { exitCode, stderr } = await runSynced(["serve", "--data", data, "--port", "0"]);
      expect({ exitCode, stderr }).toEqual({
        exitCode: 1,
        stderr: expect.stringContaining(`Cannot use "${data}": its disk is full; free some space`),
      });
    } finally {
      Bun.spawnSync(["umount", "-l", data]);
      scratch.remove();
    }
  },
  30_000,
);
