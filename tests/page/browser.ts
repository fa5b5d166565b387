/**
 * Real Chromium on the real binary's page. Whatever the page writes to its console, throws, or is
 * refused by its policy is kept, and is a failure.
 */
import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";

const CANDIDATES = [
  process.env["SYNCED_TEST_CHROMIUM"] ?? "",
  Bun.which("chromium") ?? "",
  Bun.which("chromium-browser") ?? "",
  Bun.which("google-chrome") ?? "",
];

const executable = CANDIDATES.find((path) => path !== "" && existsSync(path));

/** undefined if the page can be tested here. */
export const whyNoBrowser = executable === undefined ? "there is no Chromium" : undefined;
if (whyNoBrowser !== undefined) console.error(`The page is not tested: ${whyNoBrowser}`);

/** Nothing that a person waits for takes as long, whatever else the machine does. */
const PATIENCE_MS = 30_000;

export interface Visit {
  readonly page: Page;
  /** What went wrong in the browser so far. */
  readonly troubles: readonly string[];
}

export type Look = {
  readonly isDark?: boolean;
  readonly isPhone?: boolean;
};

export class TestBrowser {
  readonly #browser: Browser;
  readonly #contexts: BrowserContext[] = [];

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async start(): Promise<TestBrowser> {
    const args = ["--no-sandbox", "--disable-dev-shm-usage"];
    return new TestBrowser(
      await chromium.launch({
        ...(executable === undefined ? {} : { executablePath: executable }),
        args,
      }),
    );
  }

  /** A browser of somebody else: own stores, own tab. */
  async visit(url: string, look: Look = {}): Promise<Visit> {
    const context = await this.#browser.newContext({
      colorScheme: look.isDark === true ? "dark" : "light",
      viewport: look.isPhone === true ? { width: 390, height: 844 } : { width: 1440, height: 900 },
      reducedMotion: "reduce",
    });
    context.setDefaultTimeout(PATIENCE_MS);
    this.#contexts.push(context);
    const page = await context.newPage();
    const troubles: string[] = [];
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      // The browser reports each answer that is no success; the page shows those itself.
      if (message.text().startsWith("Failed to load resource")) return;
      troubles.push(message.text());
    });
    page.on("pageerror", (error) => troubles.push(error.message));
    page.on("dialog", (dialog) => {
      troubles.push(`A dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.goto(url);
    return { page, troubles };
  }

  async close(): Promise<void> {
    for (const context of this.#contexts) await context.close();
    await this.#browser.close();
  }
}

/** The row of an entry, by its exact name. */
export function rowOf(page: Page, name: string) {
  return page
    .locator(".all-rows .row")
    .filter({ has: page.locator(`[title=${JSON.stringify(name)}]`) });
}

export async function names(page: Page): Promise<readonly string[]> {
  return await page
    .locator(".all-rows .row .name")
    .evaluateAll((found) => found.map((element) => element.getAttribute("title") ?? ""));
}
