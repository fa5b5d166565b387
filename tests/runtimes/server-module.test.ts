/** `bun server.ts`: the server as a module, set up by the environment alone. */
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../adapters/postgres-server.ts";

const SERVER = new URL("../../server.ts", import.meta.url).pathname;
const scratch = mkdtempSync(join(tmpdir(), "synced-test-module-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** The status of its first answer, and what it said. */
async function hello(name: string, env: Readonly<Record<string, string>>) {
  const port = await freePort();
  const data = join(scratch, name);
  const child = Bun.spawn([process.execPath, SERVER], {
    env: { ...process.env, SYNCED_DATA: data, SYNCED_PORT: String(port), ...env },
    stdout: "ignore",
    stderr: "pipe",
  });
  const end = performance.now() + 60_000;
  let status: number | undefined;
  while (status === undefined && performance.now() < end) {
    await Bun.sleep(50);
    const answer = await fetch(`http://127.0.0.1:${port}/v1/hello`).catch(() => undefined);
    status = answer?.status;
  }
  child.kill();
  const said = await new Response(child.stderr).text();
  return { status, said, ownMetadata: existsSync(join(data, "metadata.db")) };
}

test("it serves, and an empty variable is none", async () => {
  const found = await hello("plain", { SYNCED_METADATA_URL: "", SYNCED_BUCKET_URL: "" });
  expect(found).toMatchObject({ status: 200, ownMetadata: true });
});

test("it never keeps metadata elsewhere than it was told [P1, P7]", async () => {
  const wrong = await hello("metadata", { SYNCED_METADATA_URL: "mysql://u:p@h/d" });
  expect(wrong).toMatchObject({ status: 500, ownMetadata: false });
  expect(wrong.said).toContain("expected postgres://");
  const alone = await hello("bucket", { SYNCED_BUCKET_URL: "s3://127.0.0.1/bucket" });
  expect(alone).toMatchObject({ status: 500, ownMetadata: false });
  expect(alone.said).toContain("--metadata-url");
});
