/** A folder in which people work without a pause, here and elsewhere. Rules: Y9, D17. */
import { expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { ROOT_ID } from "../../src/core/identifier.ts";
import { LoopWorld } from "./loop-world.ts";

const SECOND_MS = 1_000;
const FILE_URL = "http://server.test/v1/folders/default/files?path=";
const encoder = new TextEncoder();

/**
 * A world that is never at rest: each time the client sends, others change a file, its user changes
 * one that was just sent, and one that was scanned and is not sent yet.
 */
function startBusy(): LoopWorld {
  const world = new LoopWorld();
  const texts = new Map<string, string>();
  let count = 0;
  const write = (path: string): void => {
    count += 1;
    const text = `${path} ${count} ${"x".repeat(9_000)}`;
    texts.set(path, text);
    world.folder.write(path, text);
    world.folder.disk.touched(path);
  };
  world.answer = async ({ url, method }) => {
    if (method !== "POST" || !url.endsWith("/ops")) return undefined;
    const body = `of others ${count}`;
    await world.server.handler?.(new Request(`${FILE_URL}theirs`, { method: "PUT", body }));
    write("sent");
    return undefined;
  };
  for (const path of ["changing", "sent"]) write(path);
  world.start();
  const { onCall } = world.folder;
  world.folder.onCall = (name, path) => {
    const content = world.store.local.child(ROOT_ID, "changing")?.content;
    const text = texts.get("changing") ?? "";
    const isScanned = content?.kind === "file" && content.sha256 === sha256(encoder.encode(text));
    if (name === "open" && path === "changing" && isScanned) write(path);
    return onCall(name, path);
  };
  return world;
}

test("what others do arrives, though each sending brings more news [Y9, D17]", async () => {
  const world = startBusy();
  await world.pass(SECOND_MS);
  await world.remote("wanted", "for a long time");
  await world.pass(SECOND_MS);
  expect(world.status.state).not.toBe("in_sync");
  expect(world.folder.diskPaths()).toContain("wanted");
  await world.stop();
});
