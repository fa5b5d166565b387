/**
 * The page's files, as `.ci/build.ts` made them. They are part of the binary; a clone has them once
 * they were built.
 */
import type { PageFiles } from "../../ports/page-files.ts";

/** @returns undefined where the page was not built. */
export async function loadPageFiles(): Promise<PageFiles | undefined> {
  try {
    const [html, script, chart, style, worker, icon] = await Promise.all([
      import("../../../dist/page/index.html.txt", { with: { type: "text" } }),
      import("../../../dist/page/main.js.txt", { with: { type: "text" } }),
      import("../../../dist/page/chart.js.txt", { with: { type: "text" } }),
      import("../../../dist/page/app.css.txt", { with: { type: "text" } }),
      import("../../../dist/page/upload-worker.js.txt", { with: { type: "text" } }),
      import("../../../dist/page/icon.svg.txt", { with: { type: "text" } }),
    ]);
    return {
      html: html.default,
      assets: new Map([
        ["main.js", script.default],
        ["chart.js", chart.default],
        ["app.css", style.default],
        ["upload-worker.js", worker.default],
        ["icon.svg", icon.default],
      ]),
    };
  } catch {
    return undefined;
  }
}
