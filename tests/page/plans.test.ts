/** Plans on the page: shown, done exactly so, and taken back; and what a browser fetches by itself. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary, runSynced, Scratch, startServer } from "../scenarios/binary.ts";
import { rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";
import { makeScene, type Scene } from "./scene.ts";

const FILES = 60;

describe.skipIf(whyNoBrowser !== undefined)("plans on the page", () => {
  const scratch = new Scratch();
  let scene: Scene;
  let browser: TestBrowser;
  let visit: Visit;

  beforeAll(async () => {
    await ensureBinary();
    scene = await makeScene(scratch);
    browser = await TestBrowser.start();
    visit = await browser.visit(`${scene.url}/#/f/notes/photos`);
    await rowOf(visit.page, "dot.png").waitFor();
  });

  afterAll(async () => {
    await browser.close();
    await scene.server.stop();
    scratch.remove();
  });

  test("brings a deleted folder back with all that was in it [E11]", async () => {
    const { page } = visit;
    await page.click("text=Deleted");
    await rowOf(page, "2019").locator("text=Bring back").click();
    await page.waitForSelector("text=21 come back");
    await page.click("text=Do exactly this");
    await page.waitForSelector("text=21 changes, as events");
    await page.click("text=Deleted");
    await scene.sync("laptop");
    expect(readFileSync(`${scene.laptop}/photos/2019/IMG_7.jpg`, "utf8")).toBe("photo 7");
  });

  test("takes back the last action with one key, and the action before it [E10]", async () => {
    const { page } = visit;
    await rowOf(page, "dot.png").locator("input[type=checkbox]").click();
    await page.keyboard.press("Delete");
    await page.click("text=Do exactly this");
    await rowOf(page, "dot.png").waitFor({ state: "detached" });
    await page.keyboard.press("Control+z");
    await rowOf(page, "dot.png").waitFor();
    await page.keyboard.press("Control+z");
    await rowOf(page, "2019").waitFor({ state: "detached" });
  });

  test("restores a folder as it was, from the slider, by keyboard alone [E11]", async () => {
    const { page } = visit;
    const { seq } = await (
      await fetch(`${scene.url}/v1/folders/notes/list?path=work/2026&limit=1`)
    ).json();
    await fetch(`${scene.url}/v1/folders/notes/files?path=work/2026/plan.md`, {
      method: "PUT",
      body: "spoilt",
    });
    await page.goto(`${scene.url}/#/f/notes/work/2026?at=${seq}`);
    await page.waitForSelector("text=You look at the past");
    await page.focus(".grid");
    await page.keyboard.press("r");
    await page.waitForSelector("text=1 gets its bytes back");
    await page.waitForSelector("text=1 change by plain HTTP");
    await page.locator("text=Do exactly this").press("Enter");
    await page.waitForSelector("text=1 change, as events");
    const text = await fetch(`${scene.url}/v1/folders/notes/files?path=work/2026/plan.md`);
    expect(await text.text()).toBe("# Plan\n\n- milk\n- bread\n");
    await page.keyboard.press("0");
  });

  test("takes back all that one device did, and keeps the others' work [E10]", async () => {
    const { page } = visit;
    const docs = `${scene.laptop}/docs`;
    mkdirSync(docs);
    for (let index = 0; index < FILES; index++)
      writeFileSync(`${docs}/${index}.txt`, `text ${index}`);
    await scene.sync("laptop");
    await scene.sync("nas");
    // Each is overwritten and renamed.
    for (const name of readdirSync(`${scene.nas}/docs`)) {
      rmSync(`${scene.nas}/docs/${name}`);
      writeFileSync(`${scene.nas}/docs/${name}.locked`, `encrypted ${name}`);
    }
    const nasArgs = ["sync", scene.nas, "--once", "--guard", "off"];
    expect((await runSynced(nasArgs)).exitCode).toBe(0);
    writeFileSync(`${scene.laptop}/meanwhile.txt`, "work goes on");
    await runSynced(["sync", scene.laptop, "--once", "--guard", "off"]);
    await page.goto(`${scene.url}/#/a/notes`);
    const rows = page.locator(".log-row", { hasText: "NAS" }).filter({ hasText: "in docs" });
    await rows.first().waitFor();
    await rows.last().locator("text=All since").click();
    await page.waitForSelector(`text=${FILES} come back`);
    await page.click("text=Do exactly this");
    await page.waitForSelector("text=changes, as events");
    await runSynced(["sync", scene.laptop, "--once", "--guard", "off"]);
    expect(readdirSync(docs).length).toBe(FILES);
    expect(readFileSync(`${docs}/7.txt`, "utf8")).toBe("text 7");
    expect(existsSync(`${scene.laptop}/meanwhile.txt`)).toBe(true);
  });

  test("shows both sides of a conflict, and ends it as its button says [E11, R13]", async () => {
    const { page } = visit;
    writeFileSync(`${scene.laptop}/done.txt`, "what LAPTOP wrote\n");
    writeFileSync(`${scene.nas}/done.txt`, "what NAS wrote\n");
    for (const folder of [scene.laptop, scene.nas]) {
      await runSynced(["sync", folder, "--once", "--guard", "off"]);
    }
    await page.goto(`${scene.url}/#/c/notes`);
    await page.waitForSelector(".sides >> text=what LAPTOP wrote");
    await page.waitForSelector(".sides >> text=what NAS wrote");
    await page.click("text=Keep what NAS wrote");
    await page.click("text=Do exactly this");
    await page.waitForSelector("text=No conflicts.");
    const text = await fetch(`${scene.url}/v1/folders/notes/files?path=done.txt`);
    expect(await text.text()).toBe("what NAS wrote\n");
  });

  test("downloads a file, and a folder as a zip, without the token in an address [K7]", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/notes`);
    await rowOf(page, "photos").locator(".changed").click();
    await page.keyboard.press("p");
    const [zip] = await Promise.all([
      page.waitForEvent("download"),
      page.click("text=Download as zip"),
    ]);
    expect(zip.suggestedFilename()).toBe("photos.zip");
    const bytes = readFileSync(await zip.path());
    expect(bytes.subarray(0, 2).toString()).toBe("PK");
    await rowOf(page, "done.txt").locator(".size").click();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.click(".pane >> text=Download"),
    ]);
    expect(readFileSync(await file.path(), "utf8")).toBe("what NAS wrote\n");
    expect(visit.troubles).toEqual([]);
  });
});

test.skipIf(whyNoBrowser !== undefined)(
  "an image is shown where a token is wanted, and a PDF by the browser itself [K7, H34]",
  async () => {
    const scratch = new Scratch();
    const token = "a-token-for-pictures-0123456789";
    writeFileSync(scratch.join("token"), token);
    const env = { SYNCED_TOKEN_FILE: scratch.join("token") };
    const { url, server } = await startServer(scratch.join("data"), { env });
    const headers = { authorization: `Bearer ${token}` };
    await fetch(`${url}/v1/folders/notes`, { method: "PUT", headers });
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>';
    for (const [name, body] of [
      ["drawing.svg", svg],
      ["paper.pdf", "%PDF-1.4\n%%EOF\n"],
    ]) {
      const route = `${url}/v1/folders/notes/files?path=${name}`;
      await fetch(route, { method: "PUT", headers, ...(body === undefined ? {} : { body }) });
    }
    const browser = await TestBrowser.start();
    const { page, troubles } = await browser.visit(url);
    await page.fill("#token", token);
    await page.click("text=Sign in");
    await rowOf(page, "drawing.svg").locator("button.open").click();
    await page.waitForFunction(
      () => document.querySelector<HTMLImageElement>("img.media")?.naturalWidth === 10,
    );
    expect(await page.locator("img.media").getAttribute("src")).not.toContain(token);
    await rowOf(page, "paper.pdf").locator(".size").click();
    const shown = page.locator("iframe.document").or(page.locator("text=Download it"));
    await shown.first().waitFor();
    expect(troubles).toEqual([]);
    await browser.close();
    await server.stop();
    scratch.remove();
  },
);
