/** Files on the page: a person at a browser and another device at work in the same folder. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary, RunningSynced, Scratch, startServer } from "../scenarios/binary.ts";
import { names, rowOf, TestBrowser, type Visit, whyNoBrowser } from "./browser.ts";

const TOKEN = "a-token-for-the-page-0123456789";
const HOSTILE = [
  "<img src=x onerror=alert(1)>.html",
  "invoice\u202egpj.exe",
  "line\nbreak.txt",
  `${"a".repeat(250)}.txt`,
];

async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 30_000;
  while (!(await isTrue())) {
    if (performance.now() > deadlineMs) throw new Error(`It never came about that ${what}`);
    await Bun.sleep(50);
  }
}

describe.skipIf(whyNoBrowser !== undefined)("the page's files", () => {
  const scratch = new Scratch();
  const tokenFile = scratch.join("token");
  const laptop = scratch.join("laptop");
  const env = { SYNCED_TOKEN_FILE: tokenFile };
  let url = "";
  let server: RunningSynced;
  let client: RunningSynced;
  let browser: TestBrowser;
  let visit: Visit;

  beforeAll(async () => {
    await ensureBinary();
    writeFileSync(tokenFile, TOKEN);
    mkdirSync(scratch.join("laptop", "work", "2026"), { recursive: true });
    writeFileSync(`${laptop}/work/2026/plan.md`, "# Plan\n\n- milk\n");
    writeFileSync(`${laptop}/todo.txt`, "todo\n");
    for (const name of HOSTILE) writeFileSync(`${laptop}/${name}`, "<script>alert(1)</script>");
    ({ url, server } = await startServer(scratch.join("data"), { env }));
    const args = ["sync", laptop, "--server", url, "--folder", "notes", "--device", "LAPTOP"];
    client = new RunningSynced(args, { env });
    await client.event("in_sync");
    browser = await TestBrowser.start();
    visit = await browser.visit(url);
  });

  afterAll(async () => {
    await browser.close();
    await client.stop();
    await server.stop();
    scratch.remove();
  });

  test("asks for the token, refuses a wrong one, and keeps the right one in the tab [H31]", async () => {
    const { page } = visit;
    await page.fill("#token", "wrong-token-wrong-token");
    await page.click("text=Sign in");
    await page.waitForSelector("text=The server does not know this token.");
    await page.fill("#token", TOKEN);
    await page.click("text=Sign in");
    await rowOf(page, "todo.txt").waitFor();
    const kept = await page.evaluate(() => ({
      cookie: document.cookie,
      local: JSON.stringify(localStorage),
      address: location.href,
    }));
    expect(JSON.stringify(kept)).not.toContain(TOKEN);
    await page.reload();
    await rowOf(page, "todo.txt").waitFor();
    const other = await page.context().newPage();
    await other.goto(url);
    await other.waitForSelector("#token");
    await other.close();
  });

  test("shows hostile names as text, and their bytes as text [H31]", async () => {
    const { page } = visit;
    const shown = await names(page);
    expect(shown).toContain("<img src=x onerror=alert(1)>.html");
    expect(shown).toContain("invoice\\u{202e}gpj.exe");
    expect(shown).toContain("line\\nbreak.txt");
    expect(await page.locator("text=U+202E").count()).toBe(1);
    expect(await page.locator(".rows img").count()).toBe(0);
    await rowOf(page, "<img src=x onerror=alert(1)>.html").locator("button.open").click();
    await page.waitForSelector("text=<script>alert(1)</script>");
    await page.keyboard.press("Escape");
    expect(visit.troubles).toEqual([]);
  });

  test("opens folders and previews a file by keyboard alone", async () => {
    const { page } = visit;
    await page.focus(".grid");
    for (const key of ["w", "Enter"]) await page.keyboard.press(key);
    await rowOf(page, "2026").waitFor();
    for (const key of ["ArrowDown", "Enter"]) await page.keyboard.press(key);
    await rowOf(page, "plan.md").waitFor();
    for (const key of ["Home", "Enter"]) await page.keyboard.press(key);
    await page.waitForSelector(".text >> text=- milk");
    await page.keyboard.press("Escape");
    for (const key of ["Backspace", "Backspace"]) {
      await page.keyboard.press(key);
      await page.waitForTimeout(50);
    }
    await rowOf(page, "todo.txt").waitFor();
  });

  test("uploads small and large files, which the device gets whole [H33]", async () => {
    const { page } = visit;
    // More than a pack holds.
    const big = Buffer.alloc(6_000_000, crypto.getRandomValues(new Uint8Array(65_537)));
    writeFileSync(scratch.join("big.bin"), big);
    writeFileSync(scratch.join("small.txt"), "small");
    writeFileSync(scratch.join("empty.txt"), "");
    const files = ["big.bin", "small.txt", "empty.txt"].map((name) => scratch.join(name));
    await page.setInputFiles("#upload-files", files);
    await page.waitForSelector("text=Uploaded 3 of 3 files");
    await page.click(".uploads >> text=Close");
    await until(
      "the device has it",
      () => existsSync(`${laptop}/big.bin`) && existsSync(`${laptop}/empty.txt`),
    );
    expect(readFileSync(`${laptop}/big.bin`).equals(big)).toBe(true);
    expect(readFileSync(`${laptop}/small.txt`, "utf8")).toBe("small");
    expect(await rowOf(page, "big.bin").locator(".by").textContent()).toBe("this browser");
  });

  test("asks what to do when a name is taken [H33]", async () => {
    const { page } = visit;
    const file = (text: string) => ({
      name: "small.txt",
      mimeType: "text/plain",
      buffer: Buffer.from(text),
    });
    await page.setInputFiles("#upload-files", [file("replaced")]);
    await page.click("text=Replace it");
    await until("it is replaced", () => readFileSync(`${laptop}/small.txt`, "utf8") === "replaced");
    await page.setInputFiles("#upload-files", [file("another")]);
    await page.click("text=Keep both");
    await until("both are there", () => existsSync(`${laptop}/small (2).txt`));
    expect(readFileSync(`${laptop}/small.txt`, "utf8")).toBe("replaced");
    await page.click(".uploads >> text=Close");
  });

  test("makes, renames, moves and deletes, and the device follows", async () => {
    const { page } = visit;
    await page.focus(".grid");
    await page.keyboard.press("Shift+N");
    await page.fill("#directory-name", "archive");
    await page.keyboard.press("Enter");
    await rowOf(page, "archive").waitFor();
    await rowOf(page, "todo.txt").locator(".size").click();
    await page.focus(".grid");
    await page.keyboard.press("F2");
    await page.fill("input.rename", "done.txt");
    await page.keyboard.press("Enter");
    await until("it is renamed", () => existsSync(`${laptop}/done.txt`));
    await rowOf(page, "done.txt").waitFor();
    await page.focus(".grid");
    await page.keyboard.press("m");
    await page.click(".picker >> text=archive");
    await page.waitForSelector("dialog p >> text=notes/archive");
    await page.click("dialog >> role=button[name='Here']");
    await until("it is moved", () => existsSync(`${laptop}/archive/done.txt`));
    await rowOf(page, "small (2).txt").locator("input[type=checkbox]").click();
    await rowOf(page, "archive").locator("input[type=checkbox]").click();
    await page.keyboard.press("Delete");
    await page.waitForSelector("text=Delete 2 entries?");
    await page.click("text=Do exactly this");
    await until(
      "they are gone",
      () => !existsSync(`${laptop}/archive`) && !existsSync(`${laptop}/small (2).txt`),
    );
    await page.click("text=Deleted");
    await rowOf(page, "archive").locator("text=deleted by this browser").waitFor();
    await page.click("text=Deleted");
    expect(visit.troubles).toEqual([]);
  });

  test("shows what another device does, also after the server was gone [H32]", async () => {
    const { page } = visit;
    writeFileSync(`${laptop}/live.txt`, "1");
    await rowOf(page, "live.txt").waitFor();
    renameSync(`${laptop}/live.txt`, `${laptop}/renamed.txt`);
    await rowOf(page, "renamed.txt").waitFor();
    await rowOf(page, "live.txt").waitFor({ state: "detached" });
    const { port } = new URL(url);
    await server.stop("SIGKILL");
    await page.waitForSelector("text=No connection since");
    writeFileSync(`${laptop}/meanwhile.txt`, "2");
    rmSync(`${laptop}/renamed.txt`);
    server = new RunningSynced(["serve", "--data", scratch.join("data"), "--port", port], { env });
    await rowOf(page, "meanwhile.txt").waitFor();
    await rowOf(page, "renamed.txt").waitFor({ state: "detached" });
    await page.waitForSelector("text=No connection since", { state: "detached" });
    expect(visit.troubles.filter((text) => !text.includes("ERR_"))).toEqual([]);
  });

  test("a second browser sees the first one's work at once", async () => {
    const { page } = visit;
    const other = await browser.visit(url, { isPhone: true, isDark: true });
    await other.page.fill("#token", TOKEN);
    await other.page.click("text=Sign in");
    await rowOf(other.page, "meanwhile.txt").waitFor();
    await page.setInputFiles("#upload-files", [
      { name: "shared.txt", mimeType: "text/plain", buffer: Buffer.from("shared") },
    ]);
    await rowOf(other.page, "shared.txt").waitFor();
    await rowOf(other.page, "shared.txt").locator("button.open").click();
    await other.page.waitForSelector(".text >> text=shared");
    expect(other.troubles).toEqual([]);
  });

  test("shows an empty folder's first step, and the list as soon as something comes", async () => {
    const auth = { authorization: `Bearer ${TOKEN}` };
    await fetch(`${url}/v1/folders/fresh`, { method: "PUT", headers: auth });
    const { page } = visit;
    await page.goto(`${url}/#/f/fresh`);
    await page.reload();
    await page.waitForSelector(
      `text=synced sync ~/fresh --server ${url} --folder fresh --token-file token`,
    );
    await fetch(`${url}/v1/folders/fresh/files?path=first.txt`, {
      method: "PUT",
      headers: auth,
      body: "1",
    });
    await rowOf(page, "first.txt").waitFor();
    expect(visit.troubles.filter((text) => !text.includes("ERR_"))).toEqual([]);
  });
});
