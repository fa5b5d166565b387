/** Devices on the page: how each of them is, and what it holds for a person. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ensureBinary, type RunningSynced, Scratch, startServer } from "../scenarios/binary.ts";
import { TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";

describe.skipIf(whyNoBrowser !== undefined)("devices on the page", () => {
  const scratch = new Scratch();
  let url = "";
  let server: RunningSynced;
  let browser: TestBrowser;
  let visit: Visit;

  beforeAll(async () => {
    await ensureBinary();
    ({ url, server } = await startServer(scratch.join("data")));
    browser = await TestBrowser.start();
  });

  afterAll(async () => {
    await browser.close();
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
    await page.waitForSelector("text=60 of 60 files go (60 changes from there to the server)");
    expect(visit.troubles).toEqual([]);
  });
});
