/**
 * A port of its own for a scraper: `/metrics`, and `/healthz` for containers. Rules: V1. Everybody
 * who reaches it may read it, so it shows only numbers and the names of folders and devices.
 */
import { Hono } from "hono";
import { SyncedError } from "../../core/error.ts";
import type { MetricsPage } from "../../ports/instruments.ts";
import { type Listener, listen } from "../network/listen.ts";

export interface MetricsListenerOptions {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
  readonly page: MetricsPage;
}

/** @throws {SyncedError} `port_in_use`; `usage` if the host cannot be bound */
export async function listenForScraper(options: MetricsListenerOptions): Promise<Listener> {
  const app = new Hono();
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
