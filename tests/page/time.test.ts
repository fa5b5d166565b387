/** Time on the page: the slider, versions, comparisons, search and the log. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { ensureBinary, Scratch } from "../scenarios/binary.ts";
import { names, rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";
import { makeScene, type Scene } from "./scene.ts";

describe.skipIf(whyNoBrowser !== undefined)("the page's time", () => {
  const scratch = new Scratch();
  let scene: Scene;
  let browser: TestBrowser;
  let visit: Visit;

  beforeAll(async () => {
    await ensureBinary();
    scene = await makeScene(scratch);
    browser = await TestBrowser.start();
    visit = await browser.visit(scene.url);
    await rowOf(visit.page, "done.txt").waitFor();
  });

  afterAll(async () => {
    await browser.close();
    await scene.server.stop();
    scratch.remove();
  });

  test("steps back by change, shows that moment's list, and returns to now [E3, E6]", async () => {
    const { page } = visit;
    await page.keyboard.press("t");
    await page.waitForSelector(".plot canvas");
    await page.keyboard.press("[");
    await page.waitForSelector("text=You look at the past");
    for (let steps = 0; steps < 60; steps++) {
      if ((await names(page)).includes("todo.txt")) break;
      await page.keyboard.press("[");
      await page.waitForTimeout(30);
    }
    await rowOf(page, "todo.txt").waitFor();
    expect(await names(page)).not.toContain("done.txt");
    await page.waitForFunction(() => location.hash.includes("at="));
    expect(await page.locator("#upload").isDisabled()).toBe(true);
    await page.keyboard.press("0");
    await rowOf(page, "done.txt").waitFor();
    expect(page.url()).not.toContain("at=");
  });

  test("the slider moves by what is in hand, and says where it stands [E3, E7]", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/notes/photos`);
    await rowOf(page, "dot.png").waitFor();
    const slider = page.locator("#moment");
    await slider.waitFor();
    for (let steps = 0; steps < 60 && !(await names(page)).includes("2019"); steps++) {
      await slider.press("ArrowLeft");
      await page.waitForTimeout(30);
    }
    await rowOf(page, "2019").waitFor();
    await rowOf(page, "2019").locator(".mark", { hasText: "−" }).waitFor();
    await page.waitForFunction(() =>
      document.querySelector("#moment")?.getAttribute("aria-valuetext")?.includes("NAS deleted"),
    );
    await page.focus(".grid");
    await page.keyboard.press("t");
    await rowOf(page, "2019").waitFor({ state: "detached" });
  });

  test("compares a moment with now, line by line [E4]", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/notes?from=27`);
    await page.locator(".change", { hasText: "plan.md" }).click();
    await page.locator(".diff li.plus", { hasText: "- bread" }).waitFor();
    const said = await page.locator(".compare").textContent();
    expect(said).toContain("Moved 1");
    expect(said).toContain("done.txt was todo.txt");
    await page.click(".compare >> text=Close");
  });

  test("lists a file's versions by whoever made them, with what each changed [H14]", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/notes/work/2026`);
    await rowOf(page, "plan.md").locator("button.open").click();
    await page.click("role=tab[name=History]");
    await page.locator(".version", { hasText: "changed by NAS" }).locator("button").first().click();
    await page.click("text=What changed");
    await page.locator(".diff li.plus", { hasText: "- bread" }).waitFor();
    await page.locator(".version", { hasText: "made by LAPTOP" }).waitFor();
    await page.keyboard.press("Escape");
  });

  test("finds a name that is gone, and goes to its ghost [E8]", async () => {
    const { page } = visit;
    await page.keyboard.press("Control+k");
    await page.locator("dialog input").first().fill("img_7");
    await page.waitForSelector("text=No name holds that text");
    await page.check("dialog >> input[type=checkbox]");
    await page.click(".hits >> text=photos/2019/IMG_7.jpg");
    await page.waitForSelector("dialog", { state: "detached" });
    await page.waitForFunction(() => location.hash.includes("photos"));
  });

  test("tells who deleted what, by device and action, and shows that moment [E5]", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/a/notes`);
    await page.selectOption("select[aria-label=Device]", { label: "NAS" });
    await page.selectOption("select[aria-label=Action]", { label: "deleted" });
    const row = page.locator(".log-row", { hasText: "NAS deleted 20 files in photos/2019" });
    await row.waitFor();
    await page.locator(".log-row", { hasText: "made" }).first().waitFor({ state: "detached" });
    await row.locator("text=Show then").click();
    await rowOf(page, "IMG_7.jpg").waitFor();
    await page.waitForSelector("text=You look at the past");
  });

  test("shows how far each device is", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/d/notes`);
    const laptop = page.locator(".devices li", { hasText: "LAPTOP" });
    await laptop.locator("text=in sync").waitFor();
    await fetch(`${scene.url}/v1/folders/notes/files?path=new.txt`, { method: "PUT", body: "new" });
    await laptop.locator("text=1 behind").waitFor();
    expect(visit.troubles).toEqual([]);
  });

  test("never runs a script that lies in a file [H31]", async () => {
    const { page } = visit;
    await page.goto(`${scene.url}/#/f/notes/photos`);
    await rowOf(page, "drawing.svg").locator("button.open").click();
    await page.locator("img.media").waitFor();
    expect(visit.troubles).toEqual([]);
  });
});
