/** Webhooks beside a real log, with a receiver in this process and a clock that tests move. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { openSqliteTokenStore } from "../../src/adapters/tokens/store.ts";
import type { NodeId } from "../../src/core/identifier.ts";
import { WEBHOOK_ANSWER_MS_MAX, WEBHOOK_RETRY_MS_MAX } from "../../src/core/limits.ts";
import {
  parseWebhookFilter,
  parseWebhookSecret,
  webhookHeaders,
  webhookSecretOf,
} from "../../src/core/webhook.ts";
import type { WebhookId } from "../../src/ports/webhook-store.ts";
import { startWebhooks, type Webhooks } from "../../src/server/webhooks.ts";
import { HandClock } from "../http/fixture.ts";
import {
  create,
  DIRECTORY,
  FOLDER,
  hexId,
  move,
  remove,
  type ServerWorld,
  serverWorld,
} from "./server-world.ts";

const HOUR_MS = 3_600_000;
const ID = "0123456789abcdef" as WebhookId;
const SECRET = webhookSecretOf("ab".repeat(32));

interface Taken {
  readonly id: string;
  readonly body: string;
  readonly seqs: readonly number[];
  readonly actions: readonly string[];
}

let world: ServerWorld;
let clock: HandClock;
let store: ReturnType<typeof openSqliteTokenStore>;
let webhooks: Webhooks | undefined;
let taken: Taken[];
let attempts: string[];
let notices: string[];
/** A status, or undefined: it does not answer. */
let answer: number | undefined;
let others: string[] = [];

beforeEach(async () => {
  world = await serverWorld();
  clock = new HandClock();
  store = openSqliteTokenStore(":memory:");
  [taken, attempts, notices, answer] = [[], [], [], 200];
});

afterEach(async () => {
  await webhooks?.stop();
  webhooks = undefined;
  store.close();
  await world.close();
});

async function add(filter = "any"): Promise<void> {
  const common = { id: ID, url: "http://receiver.test/hook", secret: SECRET, isStopped: false };
  await store.addWebhook({ ...common, filter, folders: "all", createdMs: 1 }, []);
}

function start(): void {
  const { metadata, sequencer, random } = world;
  const transport = async (request: Request) => {
    const id = request.headers.get("webhook-id") ?? "";
    const body = await request.text();
    if (request.url.includes("other")) {
      others.push(body);
      return new Response(null);
    }
    attempts.push(id);
    if (answer === undefined) {
      return await new Promise<Response>((_, reject) => {
        request.signal.addEventListener("abort", () => reject(new Error("aborted")));
      });
    }
    if (answer !== 200) return new Response(null, { status: answer });
    const { data } = JSON.parse(body);
    const seqs = data.events.map((event: { seq: number }) => event.seq);
    taken.push({
      id,
      body,
      seqs,
      actions: data.events.map((event: { action: string }) => event.action),
    });
    return new Response(null);
  };
  const onNotice = ({ code }: { readonly code: string }) => notices.push(code);
  webhooks = startWebhooks({ store, metadata, sequencer, transport, clock, random, onNotice });
}

/** Lets all that is ready run. */
async function settle(ms = 2000): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await clock.advance(turn === 0 ? ms : 0);
}

let nodes = 0;
async function make(name: string, parent?: NodeId): Promise<NodeId> {
  nodes += 1;
  const node = hexId<NodeId>("a", nodes);
  await world.outcome(create(node, name, DIRECTORY, parent));
  return node;
}

describe("a webhook", () => {
  test("is told of all that matches, once, in order, and signed [W1, W2]", async () => {
    await add("create,rename:src/**");
    const src = await make("src");
    const other = await make("other");
    const a = await make("a", src);
    await world.outcome(move(other, "b", 2, src));
    await world.outcome(move(a, "gone", 3, other));
    await world.outcome(remove(a, 3, 5));
    start();
    await settle();
    expect(taken.flatMap(({ seqs }) => seqs)).toEqual([3, 4, 5]);
    expect(taken.flatMap(({ actions }) => actions)).toEqual(["mkdir", "rename", "rename"]);
    const [first] = taken;
    if (first === undefined) throw new Error("none");
    const { epoch } = await world.sequencer.folder(FOLDER);
    expect(first.id).toStartWith(`${epoch.slice(0, 8)}-3-`);
    expect(JSON.parse(first.body)).toMatchObject({
      type: "folder.changed",
      data: { folder: FOLDER },
    });
    await settle();
    expect(taken.flatMap(({ seqs }) => seqs)).toEqual([3, 4, 5]);
    expect((await store.cursor(ID, epoch))?.seq).toBe(6);
  });

  test("that was away for an hour gets everything, and was asked seldom [W3]", async () => {
    await add();
    answer = 503;
    start();
    for (let index = 0; index < 30; index++) await make(`early ${index}`);
    for (let minute = 0; minute < 60; minute++) {
      await clock.advance(HOUR_MS / 60);
      if (minute % 2 === 0) await make(`late ${minute}`);
    }
    expect(taken).toEqual([]);
    expect(attempts.length).toBeLessThan(40);
    expect(new Set(attempts).size).toBe(1);
    expect(notices).toEqual(["webhook_trouble"]);
    expect(store.webhooks()[0]?.trouble).toBe("it answered 503");
    answer = 200;
    for (let turn = 0; turn < 12; turn++) await settle(WEBHOOK_RETRY_MS_MAX);
    expect(taken[0]?.id).toBe(attempts[0] ?? "");
    expect(taken.flatMap(({ seqs }) => seqs)).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(notices).toEqual(["webhook_trouble", "webhook_delivered"]);
    expect(store.webhooks()[0]?.failingSinceMs).toBeUndefined();
  });

  test("gets the same message again from the next server, if its answer was lost [W2]", async () => {
    await add();
    await make("one");
    answer = undefined;
    start();
    await settle(0);
    await webhooks?.stop();
    await make("two");
    answer = 200;
    start();
    await settle();
    expect(taken.map(({ seqs }) => seqs)).toEqual([[1], [2]]);
    expect(taken[0]?.id).toBe(attempts[0] ?? "");
  });

  test("that never answers is given up for a while after 15 s [W3]", async () => {
    await add();
    answer = undefined;
    await make("one");
    start();
    await settle(0);
    expect(attempts).toHaveLength(1);
    await settle(WEBHOOK_ANSWER_MS_MAX + 1);
    expect(notices).toEqual(["webhook_trouble"]);
    expect(store.webhooks()[0]?.trouble).toContain("within 15 s");
  });

  test("that says it is gone hears no more [W3]", async () => {
    await add();
    answer = 410;
    await make("one");
    start();
    await settle();
    await settle(WEBHOOK_RETRY_MS_MAX);
    expect(attempts).toHaveLength(1);
    expect(store.webhooks()[0]?.isStopped).toBe(true);
    expect(notices).toEqual(["webhook_stopped"]);
  });

  test("holds up neither commits nor another receiver [W4]", async () => {
    await add();
    const told: string[] = [];
    others = told;
    const other = {
      id: "fedcba9876543210" as WebhookId,
      url: "http://other.test/",
      secret: SECRET,
    };
    await store.addWebhook(
      { ...other, filter: "any", folders: "all", createdMs: 2, isStopped: false },
      [],
    );
    answer = undefined;
    start();
    const node = await make("one");
    await settle(0);
    expect(await world.outcome(move(node, "two", 1))).toEqual([2]);
    await settle();
    expect(told.map((body) => JSON.parse(body).data.last)).toEqual([1, 2]);
    expect(taken).toEqual([]);
  });

  test("is told nothing more once it was removed, however much waits [W1]", async () => {
    await add();
    for (let count = 0; count < 250; count += 1) await make(`made-${count}`);
    const { setCursor, removeWebhook } = store;
    store = {
      ...store,
      setCursor: async (cursor, barrier) => {
        const isKept = await setCursor(cursor, barrier);
        await removeWebhook(ID);
        return isKept;
      },
    };
    start();
    await settle();
    expect(taken.map(({ seqs }) => seqs.length)).toEqual([100]);
  });

  test("begins again at the end of a log that was restored [W3]", async () => {
    await add();
    await make("one");
    const { epoch } = await world.sequencer.folder(FOLDER);
    await store.setCursor({ webhook: ID, epoch, seq: 10 }, "full");
    start();
    await settle();
    await make("two");
    await settle();
    expect(taken.map(({ seqs }) => seqs)).toEqual([[2]]);
  });
});

describe("a message's parts", () => {
  test("are signed as Standard Webhooks says [W2]", () => {
    const body = '{"a":"é"}';
    const headers = webhookHeaders({ id: "msg", body, nowMs: 1_700_000_000_999 }, SECRET);
    const key = Buffer.from(SECRET.slice(6), "base64");
    const signed = createHmac("sha256", key).update(`msg.1700000000.${body}`).digest("base64");
    expect(headers).toEqual({
      "content-type": "application/json",
      "webhook-id": "msg",
      "webhook-timestamp": "1700000000",
      "webhook-signature": `v1,${signed}`,
    });
  });

  test.each([
    ["any", "a/b", true],
    ["delete:photos/**", "photos/2019/a.jpg", true],
    ["delete:photos/", "photos/2019/a.jpg", true],
    ["update:*.md", "notes/plan.md", true],
    ["update:*.md", "notes/plan.txt", false],
    ["update:/a", "b/a", false],
  ])("%s and %s: %p [W1]", (filter, path, expected) => {
    expect(parseWebhookFilter(filter).matchesPath(path, false)).toBe(expected);
  });

  test.each(["", "sometimes", "any:!a", "any,sometimes:a"])("%p is no filter [W1]", (filter) => {
    expect(() => parseWebhookFilter(filter)).toThrow("Cannot");
  });

  test.each(["", "whsec_", "whsec_abc", `wrong_${"a".repeat(44)}`, "whsec_%%%"])(
    "%p is no secret [W2]",
    (secret) => {
      expect(() => parseWebhookSecret(secret)).toThrow("Cannot use the secret");
    },
  );
});
