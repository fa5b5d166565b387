/**
 * Webhooks between the real binary and a real receiver that goes away and comes back, and a server
 * that is killed after the receiver has taken a message.
 */
import { afterEach, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { ensureBinary, runSynced, Scratch, startServer } from "./binary.ts";
import { waitFor } from "./lab.ts";

interface Delivery {
  readonly id: string;
  readonly seqs: readonly number[];
  readonly isSigned: boolean;
}

const KEY = Buffer.from("0123456789abcdef0123456789abcdef");
const SECRET = `whsec_${KEY.toString("base64")}`;
const PUTS = 12;

let ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.reverse()) await end();
  ends = [];
});

/** A program that takes messages on a port, and can be away. */
class Receiver {
  readonly deliveries: Delivery[] = [];
  onDelivery: () => void = () => undefined;
  #server: ReturnType<typeof Bun.serve> | undefined;
  #port = 0;

  open(): void {
    const server = Bun.serve({
      port: this.#port,
      hostname: "127.0.0.1",
      fetch: (request) => this.#take(request),
    });
    this.#server = server;
    this.#port = server.port ?? 0;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/hook`;
  }

  get seqs(): readonly number[] {
    return this.deliveries.flatMap(({ seqs }) => seqs);
  }

  async close(): Promise<void> {
    await this.#server?.stop(true);
  }

  async #take(request: Request): Promise<Response> {
    const body = await request.text();
    const id = request.headers.get("webhook-id") ?? "";
    const time = request.headers.get("webhook-timestamp") ?? "";
    const signature = createHmac("sha256", KEY).update(`${id}.${time}.${body}`).digest("base64");
    const { data } = JSON.parse(body) as { data: { events?: readonly { seq: number }[] } };
    this.deliveries.push({
      id,
      seqs: (data.events ?? []).map(({ seq }) => seq),
      isSigned: request.headers.get("webhook-signature") === `v1,${signature}`,
    });
    this.onDelivery();
    return new Response("");
  }
}

function upTo(last: number): readonly number[] {
  return Array.from({ length: last }, (_, index) => index + 1);
}

test("a receiver that was away gets every event, in order, from a killed server too [W2, W3]", async () => {
  await ensureBinary();
  const scratch = new Scratch();
  ends.push(() => scratch.remove());
  const receiver = new Receiver();
  receiver.open();
  ends.push(() => receiver.close());
  const data = scratch.join("data");
  let running = await startServer(data);
  ends.push(() => running.server.stop());
  const put = async (name: string) => {
    const path = `${running.url}/v1/folders/default/files?path=${name}`;
    expect((await fetch(path, { method: "PUT", body: name })).ok).toBe(true);
  };
  await fetch(`${running.url}/v1/folders/default`, { method: "PUT" });
  await put("before");
  writeFileSync(scratch.join("secret"), SECRET);
  const webhook = (...args: string[]) => runSynced(["webhook", ...args, "--data", data, "--json"]);
  const added = await webhook("add", receiver.url, "--secret-file", scratch.join("secret"));
  expect(added.exitCode).toBe(0);
  const { id } = JSON.parse(added.stdout) as { id: string };

  await put("live");
  await waitFor("the first event", () => receiver.seqs.length === 1);
  await receiver.close();
  for (let count = 0; count < PUTS; count++) await put(`away-${count}`);
  await waitFor("trouble", async () => (await webhook("list")).stdout.includes('"failing":"'));
  const listed = await webhook("list");
  expect(listed.stdout).not.toContain(SECRET);
  // It takes the next message, but the server dies before it knows.
  receiver.onDelivery = () => running.server.signal("SIGKILL");
  receiver.open();
  await running.server.ended();
  receiver.onDelivery = () => undefined;
  running = await startServer(data);
  await put("after");
  const last = PUTS + 3;
  await waitFor("everything", () => receiver.seqs.includes(last));

  expect([...new Set(receiver.seqs)]).toEqual(upTo(last).slice(1));
  const again = receiver.deliveries.filter(({ id: one }, index, all) => all[index - 1]?.id === one);
  expect(again.length).toBeGreaterThan(0);
  const once = new Map(receiver.deliveries.map(({ id: one, seqs }) => [one, seqs]));
  expect([...once.values()].flat()).toEqual(upTo(last).slice(1));
  expect(receiver.deliveries.every(({ isSigned }) => isSigned)).toBe(true);

  expect((await webhook("test", id)).exitCode).toBe(0);
  expect((await webhook("remove", id)).exitCode).toBe(0);
  expect((await webhook("test", id)).exitCode).toBe(5);
  await receiver.close();
});
