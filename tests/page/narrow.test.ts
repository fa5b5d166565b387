/** A small window, 320 pixels wide: nothing is out of reach, and nothing covers anything else. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ensureBinary, Scratch } from "../scenarios/binary.ts";
import { rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";
import { makeScene, type Scene } from "./scene.ts";

const SIZE = { width: 320, height: 640 };
const LONG = `${"a long name that goes on ".repeat(9)}.txt`;

describe.skipIf(whyNoBrowser !== undefined)("the page in 320 by 640", () => {
  const scratch = new Scratch();
  let scene: Scene;
  let browser: TestBrowser;
  let visit: Visit;

  beforeAll(async () => {
    await ensureBinary();
    scene = await makeScene(scratch);
    for (const folder of ["empty", "other"]) {
      const headers = { "content-type": "application/json" };
      await fetch(`${scene.url}/v1/folders/${folder}`, { method: "PUT", headers, body: "{}" });
    }
    for (const text of ["1", "2"]) {
      const target = `${scene.url}/v1/folders/other/files?path=${encodeURIComponent(LONG)}`;
      await fetch(target, { method: "PUT", body: text });
      await fetch(target.replace(".txt", "2.txt"), { method: "PUT", body: text });
    }
    browser = await TestBrowser.start();
    visit = await browser.visit(scene.url, { isPhone: true });
    await visit.page.setViewportSize(SIZE);
  });

  afterAll(async () => {
    expect(visit.troubles).toEqual([]);
    await browser.close();
    await scene.server.stop();
    scratch.remove();
  });

  /** Texts of what ends right of the window. */
  async function beyond(): Promise<readonly string[]> {
    return await visit.page
      .locator("a, button, input:not(.hidden), select, p, h1, h2")
      .evaluateAll((found) =>
        found
          .filter((element) => element.checkVisibility())
          .filter((element) => element.getBoundingClientRect().right > innerWidth - 1)
          .map((element) => `${element.tagName} ${element.textContent} ${element.id}`),
      );
  }

  for (const [view, letter] of [
    ["files", "f"],
    ["activity", "a"],
    ["devices", "d"],
    ["conflicts", "c"],
    ["links", "l"],
  ] as const) {
    test(`everything of ${view} is within the window`, async () => {
      await visit.page.goto(`${scene.url}/#/${letter}/other`);
      await visit.page
        .locator(view === "files" ? ".all-rows .row" : ".view h1")
        .first()
        .waitFor();
      expect(await beyond()).toEqual([]);
    });
  }

  test("the list of a moment can be seen below what is said of it", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/other?at=1`);
    await page.locator(".past").waitFor();
    const row = rowOf(page, LONG);
    await row.scrollIntoViewIfNeeded();
    const box = await row.boundingBox();
    const tabs = await page.locator(".rail").boundingBox();
    const status = await page.locator(".files .status").boundingBox();
    expect(box?.height).toBeGreaterThan(40);
    expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThan((tabs?.y ?? 0) + 1);
    expect((status?.y ?? 0) - (box?.y ?? 0)).toBeGreaterThanOrEqual(box?.height ?? 0);
    await page.keyboard.press("0");
    await rowOf(page, LONG.replace(".txt", "2.txt")).waitFor();
  });

  test("an empty folder's line can be read beside the time", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/empty`);
    const last = page.locator(".welcome > :last-child");
    await last.scrollIntoViewIfNeeded();
    const box = await last.boundingBox();
    const tabs = await page.locator(".rail").boundingBox();
    expect((box?.y ?? 0) + (box?.height ?? 0)).toBeLessThan((tabs?.y ?? 0) + 1);
  });

  test("Escape empties the filter, and all is shown again", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/other`);
    await rowOf(page, LONG).waitFor();
    await page.keyboard.press("/");
    await page.locator("#filter:focus").fill("2.txt");
    await rowOf(page, LONG).waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await rowOf(page, LONG).waitFor();
    expect(await page.locator(".filter input").inputValue()).toBe("");
  });

  test("Escape leaves the search, whatever was typed there", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/other`);
    await rowOf(page, LONG).waitFor();
    await page.keyboard.press("Control+k");
    await page.locator("dialog input[type=search]").fill("long");
    await page.locator(".hits li").first().waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
  });
});
