/** Versions whose bytes the server let go: shown as such, and neither opened nor brought back. */
import { expect, test } from "bun:test";
import { openDataDirectory } from "../../src/adapters/data-directory.ts";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { pruneFolders } from "../../src/server/retention.ts";
import { ensureBinary, Scratch, startServer } from "../scenarios/binary.ts";
import { rowOf, TestBrowser, whyNoBrowser } from "./browser.ts";

test.skipIf(whyNoBrowser !== undefined)(
  "versions that were let go are greyed in a file's history and in the log [U7, H14, E5]",
  async () => {
    await ensureBinary();
    const scratch = new Scratch();
    const data = scratch.join("data");
    const before = await startServer(data);
    await fetch(`${before.url}/v1/folders/n`, { method: "PUT" });
    for (const body of ["one", "two, longer", "three"]) {
      await fetch(`${before.url}/v1/folders/n/files?path=plan.txt`, { method: "PUT", body });
    }
    await before.server.stop();
    const directory = openDataDirectory(data);
    const pruned = { keepMs: 0, byFolder: new Map() };
    expect(await pruneFolders({ ...directory, clock: systemClock }, pruned)).toBe(2);
    await directory.close();

    const { url, server } = await startServer(data);
    const browser = await TestBrowser.start();
    const { page, troubles } = await browser.visit(`${url}/#/f/n`);
    await rowOf(page, "plan.txt").locator("button.open").click();
    await page.click("role=tab[name=History]");
    const versions = page.locator(".version");
    await versions.nth(2).waitFor();
    expect(await page.locator(".version.gone").count()).toBe(2);
    const looks = await versions.evaluateAll((all) =>
      all.map((version) => {
        const when = version.querySelector(".when");
        return {
          isOff: version.querySelector("button")?.disabled,
          color: when === null ? "" : getComputedStyle(when).color,
          says: version.textContent.includes("Bytes gone"),
        };
      }),
    );
    expect(looks.map(({ isOff, says }) => [isOff, says])).toEqual([
      [false, false],
      [true, true],
      [true, true],
    ]);
    expect(looks[1]?.color).toBe(looks[2]?.color ?? "");
    expect(looks[0]?.color).not.toBe(looks[1]?.color ?? "");
    await versions.first().locator("button").first().click();
    expect(await page.locator(".opened button", { hasText: "What changed" }).isDisabled()).toBe(
      true,
    );
    await page.keyboard.press("g");
    await page.keyboard.press("a");
    await page.locator(".log-row", { hasText: "bytes gone" }).nth(1).waitFor();
    expect(await page.locator(".log-row", { hasText: "bytes gone" }).count()).toBe(2);
    expect(troubles).toEqual([]);
    await browser.close();
    await server.stop();
    scratch.remove();
  },
  60_000,
);
