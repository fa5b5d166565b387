/**
 * A port of its own for a scraper: `/metrics`, and `/healthz` for containers. Rules: V1. Everybody
 * who reaches it may read it, so it shows only numbers and the names of folders and devices.
 */
import { Hono } from "hono";
import { SyncedError } from "../../core/error.ts";
import type { MetricsPage } from "../../ports/instruments.ts";
import { type Listener, listen } from "../network/listen.ts";
import { isLoopback } from "../network/proxy-environment.ts";

export interface MetricsListenerOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly page: MetricsPage;
}

/** @throws {SyncedError} `port_in_use`; `usage` if the host cannot be bound */
export async function listenForScraper(options: MetricsListenerOptions): Promise<Listener> {
  const { host } = options;
  const isLocal = isLoopback(host.includes(":") ? `[${host}]` : host);
  const app = new Hono();
  app.use(async (context, next) => {
    // A web page whose name leads to 127.0.0.1 by now could read the numbers otherwise (B72).
    const name = URL.parse(`http://${context.req.header("host")}`)?.hostname ?? "";
    if (isLocal && !isLoopback(name)) {
      return context.text("Cannot answer: this port answers to loopback names only\n", 421);
    }
    return await next();
  });
  app.get("/healthz", (context) => context.json({ ok: true }));
  app.get("/metrics", async (context) => {
    const { contentType, text } = await options.page.expose();
    return context.body(text, 200, { "content-type": contentType, "cache-control": "no-store" });
  });
  app.onError((error, context) => {
    const code = error instanceof SyncedError ? error.code : "internal";
    return context.text(`Cannot read the metrics: ${code}\n`, 503);
  });
  return await listen({ host: options.host, port: options.port, handle: (r) => app.fetch(r) });
}
