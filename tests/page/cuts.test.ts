/**
 * The page while the server is killed, the network cut, or the tab hidden: uploads go on, nothing
 * is lost, nothing is shown wrong. `SYNCED_TEST_FILES` and `SYNCED_TEST_MEGABYTES` make it longer.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  closeSync,
  createReadStream,
  mkdirSync,
  openSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { ensureBinary, RunningSynced, Scratch, startServer } from "../scenarios/binary.ts";
import { waitFor } from "../scenarios/lab.ts";
import { names, rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";

const FILES = Number(process.env["SYNCED_TEST_FILES"] ?? 1000);
const MEGABYTES = Number(process.env["SYNCED_TEST_MEGABYTES"] ?? 24);
const PATIENCE = { timeout: 170_000 + MEGABYTES * 500 };

describe.skipIf(whyNoBrowser !== undefined)("the page when it is cut off", () => {
  const scratch = new Scratch();
  let url = "";
  let server: RunningSynced;
  let browser: TestBrowser;
  let visit: Visit;

  beforeAll(async () => {
    await ensureBinary();
    ({ url, server } = await startServer(scratch.join("data")));
    await fetch(`${url}/v1/folders/n`, { method: "PUT" });
    await put("first.txt");
    browser = await TestBrowser.start();
    visit = await browser.visit(`${url}/#/f/n`);
    await rowOf(visit.page, "first.txt").waitFor();
  });

  afterAll(async () => {
    await browser.close();
    await server.stop();
    scratch.remove();
  });

  async function put(path: string, text = path): Promise<void> {
    const address = `${url}/v1/folders/n/files?path=${path}`;
    await fetch(address, { method: "PUT", body: text, signal: AbortSignal.timeout(30_000) });
  }

  async function kill(): Promise<void> {
    await server.stop("SIGKILL");
    const { port } = new URL(url);
    server = new RunningSynced(["serve", "--data", scratch.join("data"), "--port", port]);
    await server.event("listening");
  }

  test("many files go on where the server was killed, each of them once [H33]", async () => {
    const { page } = visit;
    mkdirSync(scratch.join("many"));
    const files = Array.from({ length: FILES }, (_, index) => scratch.join(`many/${index}.txt`));
    for (const [index, file] of files.entries()) writeFileSync(file, `text ${index}`);
    await page.setInputFiles("#upload-files", files);
    await waitFor("some to be there", async () => {
      const { total } = await (await fetch(`${url}/v1/folders/n/list?limit=1`)).json();
      return total > 100;
    });
    await kill();
    const count = FILES.toLocaleString("en-GB");
    await page.waitForSelector(`text=Uploaded ${count} of ${count} files`, PATIENCE);
    const { total } = await (await fetch(`${url}/v1/folders/n/list?limit=1`)).json();
    expect(total).toBe(FILES + 1);
    for (const index of [0, 199, 200, FILES - 1]) {
      const file = await fetch(`${url}/v1/folders/n/files?path=${index}.txt`);
      expect(await file.text()).toBe(`text ${index}`);
    }
    await page.click(".uploads >> text=Close");
    await page.waitForSelector(`text=${(FILES + 1).toLocaleString("en-GB")} entries`);
  });

  test("a large file goes on where the server was killed [H33]", async () => {
    const { page } = visit;
    const big = scratch.join("big.bin");
    const file = openSync(big, "w");
    for (let index = 0; index < MEGABYTES; index++) {
      writeSync(file, crypto.getRandomValues(new Uint8Array(65_536)));
      writeSync(file, Buffer.alloc(934_464, `${index} `));
    }
    closeSync(file);
    await page.setInputFiles("#upload-files", [big]);
    await page.waitForSelector("text=/ MB of /", PATIENCE);
    await kill();
    await page.waitForSelector("text=Uploaded 1 of 1 file", PATIENCE);
    await page.click(".uploads >> text=Close");
    const wanted = createHash("sha256");
    for await (const bytes of createReadStream(big)) wanted.update(bytes);
    const got = createHash("sha256");
    const { body } = await fetch(`${url}/v1/folders/n/files?path=big.bin`);
    for await (const bytes of body ?? []) got.update(bytes);
    expect(got.digest("hex")).toBe(wanted.digest("hex"));
  });

  test("what happened while the network was cut is shown as soon as it is back [H32]", async () => {
    const { page } = await browser.visit(`${url}/#/f/n`);
    await page.fill("#filter", "i");
    await rowOf(page, "first.txt").waitFor();
    await page.context().setOffline(true);
    await put("meanwhile.txt");
    await fetch(`${url}/v1/folders/n/files?path=first.txt`, { method: "DELETE" });
    await page.context().setOffline(false);
    await rowOf(page, "meanwhile.txt").waitFor();
    await rowOf(page, "first.txt").waitFor({ state: "detached" });
  });

  test("a tab that was hidden for an hour catches up when it is seen again [H32]", async () => {
    const { page, troubles } = await browser.visit("about:blank");
    await page.clock.install();
    await page.goto(`${url}/#/f/n`);
    await page.fill("#filter", "while");
    await rowOf(page, "meanwhile.txt").waitFor();
    const show = (isHidden: boolean) =>
      page.evaluate((hidden) => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
        document.dispatchEvent(new Event("visibilitychange"));
      }, isHidden);
    await show(true);
    await page.clock.runFor(60_000);
    await page.clock.fastForward(3_600_000);
    await put("while-hidden.txt");
    await Bun.sleep(500);
    expect(await names(page)).toEqual(["meanwhile.txt"]);
    await show(false);
    await rowOf(page, "while-hidden.txt").waitFor();
    expect(await page.locator(".offline").count()).toBe(0);
    expect(troubles).toEqual([]);
  });
});
