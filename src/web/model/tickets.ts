/**
 * Addresses for what the browser fetches by itself: downloads, images, films. A ticket stands in
 * them instead of the token, reads one folder, and expires in minutes. Rules: K7.
 */
import { z } from "zod/mini";
import { ask, folderRoute, query } from "./api.ts";

/** Renewed before it expires, so that what is begun with it can go on. */
const KEPT_MS = 5 * 60_000;

const ticketSchema = z.object({ ticket: z.string() });

let kept: { readonly folder: string; readonly ticket: string; readonly madeMs: number } | undefined;

/** @throws {Problem} */
export async function addressOf(
  folder: string,
  path: string,
  values: Readonly<Record<string, string | number | undefined>>,
): Promise<string> {
  if (kept?.folder !== folder || Date.now() - kept.madeMs > KEPT_MS) {
    const route = folderRoute(folder, "/tickets");
    const { ticket } = await ask(ticketSchema, route, { method: "POST" });
    kept = { folder, ticket, madeMs: Date.now() };
  }
  return folderRoute(folder, `${path}?${query({ ...values, ticket: kept.ticket })}`);
}
