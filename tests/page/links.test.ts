/** Share links on the page: made for what is chosen, opened by somebody else, and revoked. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Route } from "playwright-core";
import { ensureBinary, Scratch } from "../scenarios/binary.ts";
import { rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";
import { makeScene, type Scene } from "./scene.ts";

describe.skipIf(whyNoBrowser !== undefined)("links on the page", () => {
  const scratch = new Scratch();
  let scene: Scene;
  let browser: TestBrowser;
  let visit: Visit;
  let address = "";

  beforeAll(async () => {
    await ensureBinary();
    scene = await makeScene(scratch);
    browser = await TestBrowser.start();
    visit = await browser.visit(`${scene.url}/#/l/notes`);
  });

  afterAll(async () => {
    await browser.close();
    await scene.server.stop();
    scratch.remove();
  });

  test("without any, say how one is made [H41]", async () => {
    const { page } = visit;
    await page.waitForSelector("text=Nothing is shared");
    await page.click(".empty .buttons >> text=Files");
    await rowOf(page, "work").waitFor();
  });

  test("are made by keyboard for what is chosen, and show it to somebody else [H40]", async () => {
    const { page } = visit;
    await page.focus(".grid");
    for (const key of ["w", "s"]) await page.keyboard.press(key);
    await page.waitForSelector("dialog >> text=Share work");
    await page.keyboard.press("Enter");
    address = (await page.locator("dialog code").textContent()) ?? "";
    expect(address).toStartWith(`${scene.url}/s/`);
    await page.keyboard.press("Escape");
    const other = await browser.visit(address);
    await other.page.click("text=2026");
    await other.page.waitForSelector("text=plan.md");
    expect(await (await fetch(`${address}/2026/plan.md`)).text()).toContain("- bread");
    expect((await fetch(`${address}/../photos/dot.png`)).status).toBe(404);
    expect([...visit.troubles, ...other.troubles]).toEqual([]);
  });

  test("may want a password, and follow changes [H41]", async () => {
    const { page } = visit;
    await rowOf(page, "done.txt").locator("input[type=checkbox]").click();
    await page.click(".status >> text=Share");
    await page.selectOption("#shown", "follows");
    await page.fill("#link-password", "correct horse");
    await page.click("text=Make the link");
    const secret = (await page.locator("dialog code").textContent()) ?? "";
    expect((await fetch(secret)).status).toBe(401);
    const authorization = `Basic ${btoa("anybody:correct horse")}`;
    const opened = await fetch(secret, { headers: { authorization } });
    expect(await opened.text()).toBe("todo\n");
    await page.click("dialog >> text=Close");
  });

  test("stay on the screen while they are asked for again [H41]", async () => {
    const { page } = visit;
    for (const key of ["g", "l"]) await page.keyboard.press(key);
    await page.waitForSelector(".links >> text=with a password");
    for (const key of ["g", "f"]) await page.keyboard.press(key);
    await rowOf(page, "work").waitFor();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    const hold = async (route: Route) => {
      await held;
      await route.continue();
    };
    await page.route("**/links", hold, { times: 1 });
    const asked = page.waitForRequest("**/links");
    for (const key of ["g", "l"]) await page.keyboard.press(key);
    await asked;
    expect(await page.locator(".links li").count()).toBe(2);
    release();
  });

  test("are listed without their secrets, and revoked [H41]", async () => {
    const { page } = visit;
    for (const key of ["g", "l"]) await page.keyboard.press(key);
    await page.waitForSelector(".links >> text=with a password");
    expect(await page.locator(".links li").count()).toBe(2);
    expect(await page.content()).not.toContain(address.slice(-64));
    await page.click("role=button[name='Revoke the link to work']");
    await page.waitForSelector("text=Revoked: it opens nothing any more");
    expect(await page.locator(".links li").count()).toBe(1);
    expect((await fetch(address)).status).toBe(404);
    expect(visit.troubles).toEqual([]);
  });
});
