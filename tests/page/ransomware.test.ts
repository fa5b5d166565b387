/**
 * One device overwrites and renames everything; a person at the page, without a mouse, lets it
 * through by mistake and takes it back. `SYNCED_TEST_FILES` makes it a larger folder.
 */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { ensureBinary, RunningSynced, Scratch, startServer } from "../scenarios/binary.ts";
import { waitFor } from "../scenarios/lab.ts";
import { TestBrowser, whyNoBrowser } from "./browser.ts";

const FILES = Number(process.env["SYNCED_TEST_FILES"] ?? 80);
const STOPS_MAX = 500;

interface Listed {
  readonly entries: readonly { readonly name: string }[];
  readonly next?: number;
}

/** Presses Tab until the focus is on a button of that name, the `nth` time. */
async function tabTo(page: Page, name: string, nth = 1): Promise<void> {
  for (let stop = 0, seen = 0; stop < STOPS_MAX; stop++) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const { activeElement: at } = document;
      // Text of a button lies in all that holds it, too.
      if (!(at instanceof HTMLButtonElement)) return "";
      return `${at.textContent} ${at.getAttribute("title") ?? ""}`;
    });
    if (focused.includes(name) && ++seen === nth) return;
  }
  throw new Error(`Tab never came to "${name}"`);
}

test.skipIf(whyNoBrowser !== undefined)(
  "ransomware is held, let through by mistake, and taken back by keyboard alone [G8, V10, E10]",
  async () => {
    await ensureBinary();
    const scratch = new Scratch();
    const [nas, laptop] = [scratch.join("nas"), scratch.join("laptop")];
    const { url, server } = await startServer(scratch.join("data"));
    const browser = await TestBrowser.start();
    const start = (path: string, device: string) =>
      new RunningSynced(["sync", path, "--server", url, "--folder", "n", "--device", device]);
    mkdirSync(`${nas}/docs`, { recursive: true });
    mkdirSync(laptop);
    for (let index = 0; index < FILES; index++)
      writeFileSync(`${nas}/docs/${index}.txt`, `text ${index}`);
    const clients = [start(nas, "NAS")];
    await clients[0]?.event("in_sync");
    clients.push(start(laptop, "LAPTOP"));
    await clients[1]?.event("in_sync");
    const { page, troubles } = await browser.visit(`${url}/#/f/n`);
    await page.waitForSelector(".all-rows .row");

    const { head } = await (await fetch(`${url}/v1/folders/n`)).json();
    const list = async (path: string): Promise<readonly string[]> => {
      const found: string[] = [];
      let next: number | undefined = 0;
      while (next !== undefined) {
        const route: string = `list?path=${path}&limit=1000&offset=${next}`;
        const page: Listed = await (await fetch(`${url}/v1/folders/n/${route}`)).json();
        for (const { name } of page.entries) found.push(name);
        next = page.next;
      }
      return found;
    };
    for (let index = 0; index < FILES; index++) {
      rmSync(`${nas}/docs/${index}.txt`);
      writeFileSync(`${nas}/docs/${index}.txt.locked`, `encrypted ${index}`);
    }
    await clients[0]?.event("held");
    writeFileSync(`${laptop}/meanwhile.txt`, "work goes on");
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.waitForSelector(".holding");
    await tabTo(page, "Let it through");
    await page.keyboard.press("Enter");
    await page.waitForSelector("section[aria-label='Held by LAPTOP']");
    await waitFor("all of it to go through", async () => {
      const names = await list("docs");
      return names.length === FILES && names.every((name) => name.endsWith(".locked"));
    });

    await page.keyboard.press("g");
    await page.keyboard.press("a");
    const bad = page.locator(".log-row", { hasText: "NAS" });
    await bad.filter({ hasText: "deleted" }).first().waitFor();
    // Rows of many events come some at a time; the one before the attack is the last of them.
    const afterwards = () =>
      bad.evaluateAll((rows, before) => {
        const firstOf = (row: Element) =>
          (row.querySelector(".log-events")?.textContent ?? "").split("–")[0]?.replaceAll(",", "");
        const isLater = rows.map((row) => Number(firstOf(row)) > before);
        return isLater.includes(false) ? isLater.filter(Boolean).length : undefined;
      }, head);
    await waitFor("all rows", async () => (await afterwards()) !== undefined);
    const nth = await afterwards();
    await tabTo(page, "Take back all that NAS did since here", nth);
    await page.keyboard.press("Enter");
    await page.waitForSelector(`text=${FILES.toLocaleString("en-GB")} come back`);
    await tabTo(page, "Do exactly this");
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=changes, as events");
    expect(await list("")).toEqual(["docs", "meanwhile.txt"]);
    expect((await list("docs")).length).toBe(FILES);
    for (let index = 0; index < FILES; index++) {
      const file = await fetch(`${url}/v1/folders/n/files?path=docs/${index}.txt`);
      expect(await file.text()).toBe(`text ${index}`);
    }
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.waitForSelector("text=2 of 2 devices in sync");
    for (const folder of [nas, laptop]) {
      expect(readdirSync(`${folder}/docs`).length).toBe(FILES);
      expect(readFileSync(`${folder}/docs/7.txt`, "utf8")).toBe("text 7");
      expect(readFileSync(`${folder}/meanwhile.txt`, "utf8")).toBe("work goes on");
    }
    expect(troubles).toEqual([]);
    await browser.close();
    for (const client of clients) await client.stop();
    await server.stop();
    scratch.remove();
  },
);
