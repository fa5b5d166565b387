/**
 * A client's disk that becomes read-only under it, as ext4 does after an error: nothing is claimed
 * that is not so. Needs root and loop devices.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { ensureBinary, runSynced, Scratch } from "./binary.ts";
import { Lab, waitFor } from "./lab.ts";
import { LoopDisk, whyNoLoopDisk } from "./loop-disk.ts";

const probe = new Scratch();
const whyNot = whyNoLoopDisk("ext4", probe.path);
probe.remove();
if (whyNot !== undefined) console.log(`A read-only disk is not tested here: ${whyNot}`);

let lab: Lab | undefined;
let disk: LoopDisk | undefined;

beforeAll(ensureBinary, 180_000);
afterAll(async () => {
  disk?.remove();
  await lab?.close();
});

test.skipIf(whyNot !== undefined)(
  "a disk that turns read-only is told, and status does not say in sync [F28, I43]",
  async () => {
    const server = new Lab();
    lab = server;
    disk = new LoopDisk("ext4", 0, {
      image: server.scratch.join("image"),
      at: server.scratch.join("beta"),
    });
    disk.mount();
    await server.startServer();
    const [alpha, beta] = await server.pair();
    alpha.write("first", "first");
    await server.settled([alpha, beta]);

    disk.failReadOnly();
    alpha.write("second", "second");
    await waitFor("the trouble is told", () => beta.events("error").length > 0);
    expect(await beta.status()).toMatchObject({
      state: "held",
      held: { id: "root", reason: expect.stringContaining("read-only") },
    });
    expect(existsSync(beta.join("second"))).toBe(false);
    expect(beta.running.hasEnded).toBe(false);
    alpha.write("third", "third");
    await server.settled([alpha]);

    // So does one that is started there: it has nothing to wait for.
    await beta.running.stop();
    const again = await runSynced(["sync", beta.path, "--json"]);
    expect(again.exitCode).toBe(14);
    expect(JSON.parse(again.stdout)).toMatchObject({
      event: "error",
      code: "folder_not_writable",
      message: expect.stringMatching(/beta.*read-only.*mount it writable/),
    });
  },
  120_000,
);
