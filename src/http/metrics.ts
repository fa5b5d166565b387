/** `/metrics` for a scraper, and the duration of every request. Rules: V1, V2. */
import type { MetricsPage } from "../ports/instruments.ts";
import { bytesAnswer } from "./answer.ts";
import type { Route, RouterOptions } from "./endpoint.ts";

const METRICS_PATH = "/metrics";

const encoder = new TextEncoder();

export function metricsRoutes(page: MetricsPage | undefined): readonly Route[] {
  if (page === undefined) return [];
  return [
    {
      pattern: METRICS_PATH,
      methods: {
        GET: {
          needs: "read",
          // Scrapers name the formats that they prefer, and all of them take this one too.
          answers: "bytes",
          async handle() {
            const { contentType, text } = await page.expose();
            return bytesAnswer(encoder.encode(text), { "content-type": contentType });
          },
        },
      },
    },
  ];
}

/**
 * Counts how one request was answered.
 *
 * @param route undefined if none fits. The path is never a label, because anybody can choose it.
 */
export function countRequest(
  { instruments, clock }: Pick<RouterOptions, "instruments" | "clock">,
  request: { readonly method: string; readonly route: string | undefined },
  { status, startMs }: { readonly status: number; readonly startMs: number },
): void {
  if (instruments === undefined) return;
  const route = request.route ?? "other";
  const method = METHODS.has(request.method) ? request.method : "other";
  const seconds = (clock.monotonic() - startMs) / 1000;
  instruments.requestAnswered({ route, method, status, seconds });
}

/** Other tokens are not labels, because a stranger can send any as the method. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "POST", "DELETE"]);
