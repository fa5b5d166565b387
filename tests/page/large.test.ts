/**
 * A directory of many entries: its first rows wait for one answer only, and all of it is there to
 * End, the filter and the scrollbar.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import {
  ensureBinary,
  type RunningSynced,
  runSynced,
  Scratch,
  startServer,
} from "../scenarios/binary.ts";
import { names, rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";

const ENTRIES = 5_000;
const FIRST_ROWS = 100;

describe.skipIf(whyNoBrowser !== undefined)("a large directory", () => {
  const scratch = new Scratch();
  let url = "";
  let server: RunningSynced;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensureBinary();
    ({ url, server } = await startServer(scratch.join("data")));
    const folder = scratch.join("laptop");
    mkdirSync(`${folder}/big`, { recursive: true });
    for (let index = 0; index < ENTRIES; index++)
      writeFileSync(`${folder}/big/${nameOf(index)}`, "");
    await runSynced(["sync", folder, "--server", url, "--folder", "n", "--once"]);
    browser = await TestBrowser.start();
  }, 120_000);

  afterAll(async () => {
    await browser.close();
    await server.stop();
    scratch.remove();
  });

  /** Opens the page at the folder above, and holds back all rows of the directory but the first. */
  async function visitBefore(): Promise<{ readonly visit: Visit; readonly release: () => void }> {
    const visit = await browser.visit(`${url}/#/f/n`);
    await rowOf(visit.page, "big").waitFor();
    const { promise, resolve } = Promise.withResolvers<void>();
    await visit.page.route("**/list?**", async (route) => {
      if (route.request().url().includes("offset=")) await promise;
      await route.continue();
    });
    await rowOf(visit.page, "big").locator("button.open").click();
    await rowOf(visit.page, nameOf(0)).waitFor();
    return { visit, release: resolve };
  }

  test("shows its first rows and its length before it asks for the rest [H35]", async () => {
    const { visit, release } = await visitBefore();
    const { page } = visit;
    const grid = page.getByRole("grid");
    expect(await grid.getAttribute("aria-rowcount")).toBe(String(ENTRIES + 1));
    expect((await page.locator(".status").textContent())?.trim()).toBe("5,000 entries");
    const height = (await page.locator(".all-rows").boundingBox())?.height ?? 0;
    expect(height / ENTRIES).toBeCloseTo(36, 1);
    const shown = await names(page);
    expect(shown).toEqual(shown.map((_, index) => nameOf(index)));
    expect(shown.length).toBeGreaterThan(20);
    // What is pressed now is meant for all of it.
    await page.keyboard.press("End");
    await rowOf(page, nameOf(FIRST_ROWS - 1)).waitFor();
    await page.keyboard.press("Control+a");
    release();
    await page.getByText("5,000 of 5,000 selected").waitFor();
    await rowOf(page, nameOf(ENTRIES - 1)).waitFor();
    expect(await page.locator(".row.focused [title]").first().getAttribute("title")).toBe(
      nameOf(ENTRIES - 1),
    );
    expect(visit.troubles).toEqual([]);
  }, 60_000);

  test("finds a name by the filter, also while rows still come [H35]", async () => {
    const { visit, release } = await visitBefore();
    const { page } = visit;
    await page.locator("#filter").fill("4321");
    await page.getByText("0 of 5,000 entries, still reading").waitFor();
    release();
    await page.getByText("1 of 5,000 entries", { exact: true }).waitFor();
    expect(await names(page)).toEqual([nameOf(4_321)]);
    await page.locator("#filter").fill("");
    await page.locator(".grid").focus();
    await page.keyboard.press("End");
    await rowOf(page, nameOf(ENTRIES - 1)).waitFor();
    await page.keyboard.press("Home");
    await rowOf(page, nameOf(0)).waitFor();
    expect(visit.troubles).toEqual([]);
  }, 60_000);

  test("is deleted by a plan whose steps are shown some at a time [E9, H35]", async () => {
    const { page, troubles } = await browser.visit(`${url}/#/f/n/big`);
    await page.getByText("5,000 entries").waitFor();
    await rowOf(page, nameOf(0)).waitFor();
    await page.locator(".grid").focus();
    await page.keyboard.press("Control+a");
    await page.getByText("5,000 of 5,000 selected").waitFor();
    await page.keyboard.press("Delete");
    await page.getByText("5,000 are deleted").waitFor();
    expect(await page.locator(".steps li").count()).toBe(501);
    await page.click("text=Show more of the other 4,500");
    await page.getByText("Show more of the other 4,000").waitFor();
    expect(await page.locator(".steps li").count()).toBe(1001);
    await page.click("text=Do exactly this");
    await page.getByText("5,000 changes, as events").waitFor();
    await page.getByText("0 entries").waitFor();
    expect(troubles).toEqual([]);
  }, 60_000);
});

function nameOf(index: number): string {
  return `file ${String(index).padStart(4, "0")}.txt`;
}
