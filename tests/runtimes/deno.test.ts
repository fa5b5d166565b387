/** The same sources without a build, under Deno: a server, a client, and the compiled one beside it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { denoPath } from "../adapters/processes/spawn.ts";
import { BINARY, ensureBinary, RunningSynced, runSynced, Scratch } from "../scenarios/binary.ts";
import { waitFor } from "../scenarios/lab.ts";
import { differences, snapshotOf } from "../scenarios/snapshot.ts";

const ROOT = join(import.meta.dir, "..", "..");
const DENO = [denoPath(), "run", "--quiet", "--allow-all", join(ROOT, "cli.ts")];

const scratch = new Scratch();
beforeAll(ensureBinary, 180_000);
afterAll(() => scratch.remove());

function folder(name: string): string {
  const path = scratch.join(name);
  mkdirSync(path, { recursive: true });
  return path;
}

function fill(path: string): void {
  mkdirSync(join(path, "deep/er"), { recursive: true });
  for (let index = 0; index < 60; index += 1) {
    writeFileSync(join(path, "deep", index % 2 === 0 ? "" : "er", `file-${index}`), `${index}`);
  }
  writeFileSync(
    join(path, "cafe\u0301 😀"),
    new Uint8Array(1_500_000).map((_, at) => at >> 3),
  );
}

for (const [server, first, second] of [
  ["Deno", "Deno", "the binary"],
  ["the binary", "the binary", "Deno"],
] as const) {
  test(`a server in ${server}, a client in ${first} and one in ${second} keep in step [I1]`, async () => {
    const commandOf = (runtime: string) => (runtime === "Deno" ? DENO : [BINARY]);
    const place = `${server}-${first}`.replaceAll(" ", "-");
    const data = scratch.join(`${place}-data`);
    const serve = new RunningSynced(["serve", "--data", data, "--port", "0"], {
      command: commandOf(server),
    });
    const running: RunningSynced[] = [serve];
    try {
      const { url } = await serve.event("listening");
      const paths = [folder(`${place}-one`), folder(`${place}-two`)] as const;
      fill(paths[0]);
      for (const [index, runtime] of [first, second].entries()) {
        const args = ["sync", paths[index] ?? "", "--server", String(url), "--device", runtime];
        const client = new RunningSynced(args, { command: commandOf(runtime) });
        running.push(client);
        await client.event("in_sync");
      }
      expect(differences(snapshotOf(paths[0]), snapshotOf(paths[1]))).toEqual([]);

      for (const [from, to] of [paths, [paths[1], paths[0]] as const]) {
        writeFileSync(join(from, "edited"), `from ${from}\n`);
        await waitFor("the edit", () => {
          const place = join(to, "edited");
          return existsSync(place) && readFileSync(place, "utf8") === `from ${from}\n`;
        });
        renameSync(join(from, "deep"), join(from, "moved"));
        await waitFor("the rename", () => existsSync(join(to, "moved/er/file-1")));
        renameSync(join(to, "moved"), join(to, "deep"));
        await waitFor("the rename back", () => existsSync(join(from, "deep/er/file-1")));
      }
      rmSync(join(paths[0], "edited"));
      await waitFor("the deletion", () => !existsSync(join(paths[1], "edited")));
      await waitFor("both to look the same", () => {
        return differences(snapshotOf(paths[0]), snapshotOf(paths[1])).length === 0;
      });
      const codes = await Promise.all(running.slice(1).map((client) => client.stop()));
      expect(codes.map(({ exitCode }) => exitCode)).toEqual([143, 143]);
      await serve.stop();
      // What one runtime wrote the other can read, and finds in order.
      const other = commandOf(server === "Deno" ? "the binary" : "Deno");
      const verified = await runSynced(["verify", "--data", data], { command: other });
      expect(verified.exitCode).toBe(0);
    } finally {
      for (const process of running) await process.stop("SIGKILL");
    }
  }, 180_000);
}
