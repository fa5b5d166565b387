/** A router over real SQLite stores in a scratch directory, and a clock that tests move by hand. */
import { expect } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDataDirectory } from "../../src/adapters/data-directory.ts";
import { systemPasswordHashes } from "../../src/adapters/runtime/password-hashes.ts";
import { systemRandom, systemSecret } from "../../src/adapters/runtime/random.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import { createRouter, type Router, type RouterOptions } from "../../src/http/router.ts";
import type { Clock } from "../../src/ports/clock.ts";
import { createHistory } from "../../src/server/history.ts";
import { Links } from "../../src/server/links.ts";
import { Orders } from "../../src/server/orders.ts";
import { createSequencer, type Sequencer } from "../../src/server/sequencer.ts";
import { Tickets } from "../../src/server/tickets.ts";
import { Tokens } from "../../src/server/tokens.ts";

export const TOKEN = "0123456789abcdef-token";
export const FOLDER = parseFolderName("default");
export const BASE = "/v1/folders/default";

/** Sleeps end when `advance` passes their time. */
export class HandClock implements Clock {
  #now = 0;
  readonly #sleeps = new Set<{ readonly at: number; readonly wake: () => void }>();

  now(): number {
    return 1_767_225_600_000 + this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return resolve();
      const sleep = {
        at: this.#now + delayMs,
        wake: () => {
          this.#sleeps.delete(sleep);
          resolve();
        },
      };
      this.#sleeps.add(sleep);
      signal?.addEventListener("abort", sleep.wake, { once: true });
    });
  }

  yield(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  get sleepCount(): number {
    return this.#sleeps.size;
  }

  /** Lets what is ready run first and after it. */
  async advance(delayMs: number): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await this.yield();
    this.#now += delayMs;
    for (const sleep of [...this.#sleeps]) if (sleep.at <= this.#now) sleep.wake();
    for (let turn = 0; turn < 5; turn++) await this.yield();
  }
}

export interface CallOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>;
  readonly json?: unknown;
}

export interface Fixture {
  readonly router: Router;
  readonly sequencer: Sequencer;
  /** While none is made, the router goes by its options alone. */
  readonly tokens: Tokens;
  readonly clock: HandClock;
  readonly options: RouterOptions;
  /** What `onError` was told. */
  readonly errors: unknown[];
  readonly stopping: AbortController;
  call(method: string, path: string, options?: CallOptions): Promise<Response>;
  close(): Promise<void>;
}

/** With a folder "default" in it. */
export async function openFixture(
  overrides: Partial<Pick<RouterOptions, "token" | "loopbackOnly" | "page">> = {},
): Promise<Fixture> {
  const path = mkdtempSync(join(tmpdir(), "synced-test-http-"));
  const directory = openDataDirectory(path);
  const { metadata, objects } = directory;
  const clock = new HandClock();
  const sequencer = createSequencer({ metadata, objects, clock, random: systemRandom });
  const tokens = new Tokens({ store: directory.tokens, clock, secret: systemSecret });
  const tickets = new Tickets(clock, systemSecret());
  const links = new Links({
    store: directory.tokens,
    tokens,
    passwords: systemPasswordHashes,
    clock,
    secret: systemSecret,
  });
  const errors: unknown[] = [];
  const history = createHistory({
    sequencer,
    metadata,
    history: directory.history,
    // Its own, so that its rest counts for no test that counts sleeps. Questions do not wait.
    clock: new HandClock(),
    onError: (error) => errors.push(error),
  });
  const stopping = new AbortController();
  const options: RouterOptions = {
    sequencer,
    tokens,
    tickets,
    links,
    orders: new Orders({ store: directory.orders, clock }),
    history,
    clock,
    random: systemRandom,
    loopbackOnly: true,
    signal: stopping.signal,
    onError: (error) => errors.push(error),
    ...overrides,
  };
  const router = createRouter(options);
  await sequencer.createFolder(FOLDER);
  return {
    router,
    sequencer,
    tokens,
    clock,
    options,
    errors,
    stopping,
    async call(method, path, { headers = {}, body, json } = {}) {
      const sent = json === undefined ? body : JSON.stringify(json);
      const request = new Request(`http://localhost${path}`, {
        method,
        headers: {
          ...(json === undefined ? undefined : { "content-type": "application/json" }),
          ...headers,
        },
        ...(sent === undefined ? undefined : { body: sent }),
      });
      return await router.fetch(request);
    },
    async close() {
      stopping.abort();
      await history.stop();
      await sequencer.close();
      await directory.close();
      rmSync(path, { recursive: true });
    },
  };
}

/** Head and tree of the folder: equal where nothing was done. */
export async function stateOf({ sequencer }: Fixture): Promise<string> {
  const { head, hash } = await sequencer.folder(FOLDER);
  const { nodes } = await sequencer.tree(FOLDER, { limit: 5000 });
  return JSON.stringify({ head, hash, nodes });
}

export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly request_id: string;
}

/** The problem of an answer, after checking that it is a whole one. */
export async function problemOf(response: Response): Promise<Problem> {
  if (response.headers.get("content-type") !== "application/problem+json") {
    throw new Error(`No problem: ${response.status} ${await response.text()}`);
  }
  const problem = (await response.json()) as Problem & { type: string; title: string };
  if (problem.status !== response.status || problem.title === "" || problem.detail === "") {
    throw new Error(`An incomplete problem: ${JSON.stringify(problem)}`);
  }
  if (!/^[0-9a-f]{32}$/.test(problem.request_id)) throw new Error("No request id");
  return problem;
}

/** Expects a whole problem, with the headers that every answer has. */
export async function expectProblem(
  response: Response,
  status: number,
  code: string,
): Promise<void> {
  const problem = await problemOf(response);
  expect({ status: problem.status, code: problem.code }).toEqual({ status, code });
  expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  expect(response.headers.get("cache-control")).toBe("no-store");
}

/** Any id whose first digits say what it is for. */
export function id(name: string): string {
  return Buffer.from(name).toString("hex").padEnd(32, "0").slice(0, 32);
}
