/**
 * kill -9 of a server that collects garbage and prunes without pause, beside uploads that are cut
 * and tried again. `SYNCED_TEST_ROUNDS` sets how often it is killed.
 */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { collectDataDirectory, verifyDataDirectory } from "../../src/storage.ts";
import { Scratch } from "./binary.ts";
import { digestOf } from "./snapshot.ts";

const ROUNDS = Number(process.env["SYNCED_TEST_ROUNDS"] ?? 6);
const FOREVER = { keepMs: undefined, byFolder: new Map() };

async function startServer(data: string) {
  const script = join(import.meta.dir, "collecting-server.ts");
  const child = Bun.spawn(["bun", script, data], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  return { child, url: new TextDecoder().decode(value).trim() };
}

/** Puts files of all sizes until it is stopped; some are cut in the middle. */
class Uploads {
  readonly answered = new Map<string, string>();
  isOver = false;
  #count = 0;

  async run(url: string, who: string): Promise<void> {
    while (!this.isOver) {
      this.#count += 1;
      const path = `${who}${this.#count % 9}`;
      const size = [40, 9_000, 300_000, 1_500_000][this.#count % 4] ?? 0;
      const body = new Uint8Array(size).fill(this.#count % 251);
      crypto.getRandomValues(body.subarray(0, Math.min(size, 60_000)));
      const cut = new AbortController();
      if (this.#count % 5 === 0) setTimeout(() => cut.abort(), 4);
      const target = `${url}/v1/folders/default/files?path=${path}`;
      const request = { method: "PUT", body, signal: cut.signal };
      const answer = await fetch(target, request).catch(() => undefined);
      // While it is not known what came of it, the path may have either.
      if (answer === undefined) this.answered.delete(path);
      else if (answer.ok) this.answered.set(path, digestOf(body));
    }
  }
}

async function findings(data: string): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const { where, message } of verifyDataDirectory(data))
    found.push(`${where} ${message}`);
  return found;
}

test(
  "a server killed while it collects loses nothing that a version needs [U3, U4, U7, I36]",
  async () => {
    const scratch = new Scratch();
    const data = scratch.join("storage");
    const uploads = new Uploads();
    for (let round = 0; round < ROUNDS; round += 1) {
      const { child, url } = await startServer(data);
      await fetch(`${url}/v1/folders/default`, { method: "PUT" });
      for (const [path, digest] of uploads.answered) {
        const answer = await fetch(`${url}/v1/folders/default/files?path=${path}`);
        expect([path, answer.status]).toEqual([path, 200]);
        expect([path, digestOf(await answer.bytes())]).toEqual([path, digest]);
      }
      uploads.isOver = false;
      const working = Promise.all([uploads.run(url, "a"), uploads.run(url, "b")]);
      await Bun.sleep(200 + ((round * 137) % 700));
      child.kill("SIGKILL");
      uploads.isOver = true;
      await child.exited;
      await working;
      expect([round, await findings(data)]).toEqual([round, []]);
    }
    await collectDataDirectory(data, { ageMsMin: 0, retention: FOREVER });
    const again = await collectDataDirectory(data, { ageMsMin: 0, retention: FOREVER });
    expect(again).toMatchObject({ objects: 0, bytes: 0, skipped: [] });
    expect(await findings(data)).toEqual([]);
    rmSync(data, { recursive: true, force: true });
  },
  30_000 + ROUNDS * 20_000,
);
