/**
 * Commits beside open pages and beside a person who looks at the past: what 50 pages that follow a
 * folder, and what questions about it, cost whoever writes to it. It alternates, and prints
 * milliseconds of a commit and the server's processor time: `bun tests/bench/pages.bench.ts [data
 * directory with a folder "default"] [pages]`. Rules: E2, H22, H32. Linux.
 */
import { cpSync } from "node:fs";
import { type RunningSynced, Scratch, startServer } from "../scenarios/binary.ts";

const COMMITS = 400;
const ROUNDS = 3;
const WARM_MS = 5_000;
const [, , data, pages = "50"] = process.argv;

/** A page as the server sees it: one stream, and what it asks for after changes have come. */
async function openPage(url: string, signal: AbortSignal): Promise<void> {
  const { epoch, head, hash } = await (await fetch(url, { signal })).json();
  const after = `after=${head}&epoch=${epoch}&hash=${hash}`;
  const headers = { accept: "text/event-stream" };
  const stream = await fetch(`${url}/events?${after}`, { headers, signal });
  let resting: ReturnType<typeof setTimeout> | undefined;
  const rest = () => {
    clearTimeout(resting);
    resting = setTimeout(() => void ask(`${url}/conflicts?limit=500`, signal), 1_000);
  };
  const follow = async () => {
    for await (const _ of stream.body ?? []) rest();
  };
  void follow().catch(() => undefined);
}

async function ask(url: string, signal: AbortSignal): Promise<void> {
  await fetch(url, { signal }).then(
    (answer) => answer.arrayBuffer(),
    () => undefined,
  );
}

/** One question after the other, with the pause that a person's slider makes. */
async function lookAtPast(url: string, signal: AbortSignal): Promise<void> {
  const { head } = await (await fetch(url, { signal })).json();
  for (let turn = 1; !signal.aborted; turn++) {
    const at = 1 + ((turn * 7_919) % head);
    for (const route of [`list?path=&at=${at}`, `log?before=${at}`, `diff?from=${at}&limit=100`]) {
      await ask(`${url}/${route}`, signal);
      await Bun.sleep(50);
    }
  }
}

async function measure(url: string, server: RunningSynced): Promise<string> {
  const took: number[] = [];
  const beforeMs = server.processorsMs;
  for (let index = 0; index < COMMITS; index++) {
    const start = performance.now();
    const body = `text ${Math.random()}`;
    await (await fetch(`${url}/files?path=page-${index}`, { method: "PUT", body })).arrayBuffer();
    took.push(performance.now() - start);
  }
  took.sort((one, other) => one - other);
  const at = (share: number) => took[Math.floor(share * (took.length - 1))]?.toFixed(1);
  return `p50 ${at(0.5)} p99 ${at(0.99)} ms, server ${server.processorsMs - beforeMs} ms`;
}

const scratch = new Scratch();
if (data !== undefined) cpSync(data, scratch.join("data"), { recursive: true });
const { url: origin, server } = await startServer(scratch.join("data"));
const url = `${origin}/v1/folders/default`;
await fetch(url, { method: "PUT" });
await measure(url, server);
await Bun.sleep(WARM_MS);
for (let round = 0; round < ROUNDS; round++) {
  console.log(`alone:     ${await measure(url, server)}`);
  const closing = new AbortController();
  for (let page = 0; page < Number(pages); page++) await openPage(url, closing.signal);
  console.log(`${pages} pages:  ${await measure(url, server)}`);
  closing.abort();
  const looking = new AbortController();
  const looked = lookAtPast(url, looking.signal).catch(() => undefined);
  console.log(`past:      ${await measure(url, server)}`);
  looking.abort();
  await looked;
}
await server.stop();
scratch.remove();
