/**
 * Every view, light and dark, on a phone and wide: axe finds nothing serious, nothing is wider than
 * the screen, and every key does something somewhere. `SYNCED_TEST_PICTURES` names a directory for
 * screenshots, for people to look at.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { ensureBinary, Scratch } from "../scenarios/binary.ts";
import { type Look, rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";
import { makeScene, type Scene } from "./scene.ts";

const AXE = readFileSync(join(import.meta.dir, "../../node_modules/axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"];
const PICTURES = process.env["SYNCED_TEST_PICTURES"];

/** Each of both sizes and both schemes is in one of the first two; all four are for pictures. */
const LOOKS: readonly (readonly [string, Look])[] = [
  ["wide light", {}],
  ["phone dark", { isPhone: true, isDark: true }],
  ...(PICTURES === undefined
    ? []
    : ([
        ["wide dark", { isDark: true }],
        ["phone light", { isPhone: true }],
      ] as const)),
];

/** Its name, its address, and what brings it about. */
const VIEWS: readonly (readonly [string, string, (page: Page) => Promise<void>])[] = [
  ["files", "#/f/notes", async (page) => rowOf(page, "done.txt").waitFor()],
  [
    "selected",
    "#/f/notes",
    async (page) => rowOf(page, "done.txt").locator("input[type=checkbox]").click(),
  ],
  [
    "preview",
    "#/f/notes/work/2026",
    async (page) => {
      await rowOf(page, "plan.md").locator("button.open").click();
      await page.waitForSelector(".text >> text=- bread");
    },
  ],
  [
    "history",
    "#/f/notes/work/2026",
    async (page) => {
      await rowOf(page, "plan.md").locator("button.open").click();
      await page.click("role=tab[name=History]");
      await page.waitForSelector("text=changed by NAS");
    },
  ],
  [
    "past",
    "#/f/notes?at=20",
    async (page) => {
      await page.waitForSelector("text=You look at the past");
      await page.waitForSelector(".moment >> text=LAPTOP");
    },
  ],
  [
    "compare",
    "#/f/notes?from=20",
    async (page) => {
      await page.waitForSelector("text=From event 20 to now");
    },
  ],
  [
    "activity",
    "#/a/notes",
    async (page) => {
      await page.waitForSelector(".log-row");
    },
  ],
  [
    "devices",
    "#/d/notes",
    async (page) => {
      await page.waitForSelector(".devices li");
    },
  ],
  [
    "conflicts",
    "#/c/notes",
    async (page) => {
      await page.waitForSelector("text=No conflicts");
    },
  ],
  [
    "links",
    "#/l/notes",
    async (page) => {
      await page.waitForSelector(".links li");
    },
  ],
  [
    "share",
    "#/f/notes",
    async (page) => {
      await rowOf(page, "done.txt").locator("input[type=checkbox]").click();
      await page.keyboard.press("s");
      await page.waitForSelector("text=Make the link");
    },
  ],
  [
    "search",
    "#/f/notes",
    async (page) => {
      await rowOf(page, "done.txt").waitFor();
      await page.keyboard.press("Control+k");
      await page.locator("dialog input").first().fill("plan");
      await page.waitForSelector(".hits button");
    },
  ],
  [
    "delete",
    "#/f/notes",
    async (page) => {
      await rowOf(page, "done.txt").locator("input[type=checkbox]").click();
      await page.keyboard.press("Delete");
      await page.waitForSelector("dialog");
    },
  ],
  [
    "keys",
    "#/f/notes",
    async (page) => {
      await rowOf(page, "done.txt").waitFor();
      await page.keyboard.press("?");
      await page.waitForSelector("dialog");
    },
  ],
  [
    "empty",
    "#/f/fresh",
    async (page) => {
      await page.waitForSelector("text=Nothing here yet");
    },
  ],
  [
    "missing",
    "#/f/missing",
    async (page) => {
      await page.waitForSelector("text=All folders");
    },
  ],
  [
    "folders",
    "",
    async (page) => {
      await page.waitForSelector(".folders");
    },
  ],
];

interface Violation {
  readonly impact: string;
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

async function seriousIn(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const found: readonly Violation[] = await page.evaluate(
    `axe.run(document, {runOnly: ${JSON.stringify(TAGS)}, resultTypes: ["violations"]}).then(
      ({violations}) => violations.map(
      ({impact, id, nodes}) => ({impact, id, nodes: nodes.map(({html}) => ({html}))})))`,
  );
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`);
}

describe.skipIf(whyNoBrowser !== undefined)("how the page looks", () => {
  const scratch = new Scratch();
  let scene: Scene;
  let browser: TestBrowser;

  beforeAll(async () => {
    await ensureBinary();
    if (PICTURES !== undefined) mkdirSync(PICTURES, { recursive: true });
    scene = await makeScene(scratch);
    await fetch(`${scene.url}/v1/folders/fresh`, { method: "PUT" });
    await fetch(`${scene.url}/v1/folders/notes/links`, {
      method: "POST",
      body: JSON.stringify({ path: "work", lifeMs: 86_400_000 }),
      headers: { "content-type": "application/json" },
    });
    browser = await TestBrowser.start();
  });

  afterAll(async () => {
    await browser.close();
    await scene.server.stop();
    scratch.remove();
  });

  describe.each(LOOKS)("%s", (name, look) => {
    let visit: Visit;

    beforeAll(async () => {
      visit = await browser.visit(`${scene.url}/`, look);
    });

    test.each(VIEWS)("%s is neither cut nor hard to read", async (view, address, bringAbout) => {
      const { page, troubles } = visit;
      await page.goto("about:blank");
      await page.goto(`${scene.url}/${address}`);
      await page.waitForSelector(".frame, .folders");
      await bringAbout(page);
      if (PICTURES !== undefined) {
        await page.screenshot({ path: join(PICTURES, `${view} ${name}.png`.replaceAll(" ", "-")) });
      }
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect([beyond, await seriousIn(page)]).toEqual([0, []]);
      expect(troubles).toEqual([]);
    });
  });

  test("each key of the help can be pressed in each view, and breaks nothing", async () => {
    const { page, troubles } = await browser.visit(`${scene.url}/#/f/notes`);
    await rowOf(page, "done.txt").waitFor();
    await page.keyboard.press("?");
    const keys = await page
      .locator(".keys dt")
      .evaluateAll((found) => found.map((element) => element.getAttribute("data-key") ?? ""));
    expect(keys.length).toBeGreaterThan(25);
    await page.keyboard.press("Escape");
    for (const address of ["#/f/notes", "#/f/notes?at=20", "#/a/notes", "#/l/notes"]) {
      for (const key of keys) {
        await page.evaluate((hash) => {
          location.hash = hash;
        }, address);
        for (const part of key.split(" "))
          await page.keyboard.press(part.replace("Ctrl", "Control"));
        await page.waitForTimeout(10);
        for (let open = 0; open < 2; open++) await page.keyboard.press("Escape");
      }
    }
    expect(troubles).toEqual([]);
  });
});
