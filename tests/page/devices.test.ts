/** Devices on the page: how each of them is, and what it holds for a person. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import {
  ensureBinary,
  RunningSynced,
  runSynced,
  Scratch,
  startServer,
} from "../scenarios/binary.ts";
import { TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";

const FILES = 60;

describe.skipIf(whyNoBrowser !== undefined)("devices on the page", () => {
  const scratch = new Scratch();
  let url = "";
  let server: RunningSynced;
  let client: RunningSynced | undefined;
  let browser: TestBrowser;
  let visit: Visit;

  beforeAll(async () => {
    await ensureBinary();
    ({ url, server } = await startServer(scratch.join("data"), {
      args: ["--quota", "states=10MiB"],
    }));
    browser = await TestBrowser.start();
  });

  afterAll(async () => {
    await browser.close();
    await client?.stop();
    await server.stop();
    scratch.remove();
  });

  test("are in sync only if they say that nothing waits there [V8, X7]", async () => {
    const folder = `${url}/v1/folders/states`;
    await fetch(folder, { method: "PUT" });
    await fetch(`${folder}/files?path=a.txt`, { method: "PUT", body: "a" });
    const { epoch, head, hash } = await (await fetch(folder)).json();
    const applied = { epoch, seq: head, hash };
    const held = { id: "0".repeat(32), direction: "up", reason: "60 of 60 files go", count: 60 };
    const states: readonly object[] = [{ settled: true }, { settled: false }, {}, { held }];
    for (const [index, state] of states.entries()) {
      await fetch(`${folder}/devices/${String(index + 1).repeat(32)}`, {
        method: "PUT",
        body: JSON.stringify({ name: `D${index + 1}`, applied, ...state }),
        headers: { "content-type": "application/json" },
      });
    }
    visit = await browser.visit(`${url}/#/d/states`);
    const { page } = visit;
    await page.waitForSelector("text=1 of 4 devices in sync");
    const words = await page.locator(".devices .state").allTextContents();
    expect(words.toSorted()).toEqual(["does not say", "holds 60 changes", "in sync", "syncing"]);
    await page.waitForSelector("text=60 of 60 files go");
    expect(await page.locator(".storage").innerText()).toMatch(
      /^1 file, 1 B of 10 MB · every version .* has room for /,
    );
    expect(await page.locator(".storage meter").getAttribute("value")).toBe("1");
    expect(visit.troubles).toEqual([]);
  });

  test("pause and go on by a button [V9, Y21]", async () => {
    const nas = scratch.join("nas");
    mkdirSync(nas);
    for (let index = 0; index < FILES; index++) writeFileSync(`${nas}/${index}.txt`, `${index}`);
    client = new RunningSynced(["sync", nas, "--server", url, "--folder", "n", "--device", "NAS"]);
    await client.event("in_sync");
    visit = await browser.visit(`${url}/#/d/n`);
    const { page } = visit;
    await page.click("role=button[name='Pause NAS for an hour']");
    await client.event("paused");
    await page.waitForSelector("text=What changes here or there waits until");
    await page.click("role=button[name='Let NAS go on']");
    await client.event("resumed");
    await page.waitForSelector("text=1 of 1 device in sync");
    expect(visit.troubles).toEqual([]);
  });

  test("show what they hold, and bring it back at a button [V9, G16]", async () => {
    const nas = scratch.join("nas");
    const { page } = visit;
    for (let index = 0; index < FILES; index++) rmSync(`${nas}/${index}.txt`);
    await page.waitForSelector(".rail .badge >> text=1");
    await page.waitForSelector(`text=NAS would delete all ${FILES} files`);
    expect(await page.locator(".examples li").count()).toBe(11);
    await page.waitForSelector(`text=and ${FILES - 10} more`);
    await page.click("text=No: bring them back");
    await page.waitForSelector("text=1 of 1 device in sync");
    expect(readFileSync(`${nas}/7.txt`, "utf8")).toBe("7");
    expect(await page.locator(".holding, .rail .badge").count()).toBe(0);
    expect(visit.troubles).toEqual([]);
  });

  test("hold what another one did until it is taken back for everybody [V10, E10]", async () => {
    const nas = scratch.join("nas");
    const phone = scratch.join("phone");
    const { page } = visit;
    const flags = ["--server", url, "--folder", "n", "--device", "PHONE", "--guard", "off"];
    await runSynced(["sync", phone, ...flags, "--once"]);
    for (let index = 0; index < FILES; index++) rmSync(`${phone}/${index}.txt`);
    await runSynced(["sync", phone, "--once"]);
    await page.waitForSelector("text=synced approve ~/n");
    expect(await page.locator("role=button[name='Let it through']").count()).toBe(0);
    await page.click("text=Take it back for everybody");
    await page.waitForSelector(`text=${FILES} come back`);
    await page.click("text=Do exactly this");
    await page.waitForSelector(".holding", { state: "detached" });
    expect(readdirSync(nas).length).toBe(FILES + 1);
    expect(visit.troubles).toEqual([]);
  });
});
