/**
 * The server under abuse, with a well-behaved client beside it: requests of a grammar, garbage, and
 * connections that drip, stand still, or never read. Prints what came back, the server's memory and
 * the client's latencies. Ends with 1 if the server answered with a 5xx other than "later", hung,
 * took more than 512 MB or damaged its data: `bun tests/bench/abuse.bench.ts [seconds] [seed]`.
 * Wants `dist/synced` and Linux.
 */
import { connect, type Socket } from "node:net";
import process from "node:process";
import { ensureBinary, runSynced, Scratch, startServer } from "../scenarios/binary.ts";
import { SimRandom } from "../sim/sim-random.ts";

const RSS_MB_MAX = 512;
const HANG_MS = 15_000;
/** While a plain request takes so long, the machine has no time, and a hang proves nothing. */
const STARVED_MS = 3_000;
const LATER: ReadonlySet<number> = new Set([503, 507]);
const GOOD = "--good";

async function good(url: string, token: string, untilMs: number): Promise<void> {
  const headers = { authorization: `Bearer ${token}` };
  const file = `${url}/v1/folders/default/files?path=good.txt`;
  const latenciesMs: number[] = [];
  let wrongCount = 0;
  for (let count = 0; Date.now() < untilMs; count++) {
    const sinceMs = performance.now();
    const put = await fetch(file, { method: "PUT", headers, body: `${count}` });
    await put.text();
    const got = await (await fetch(file, { headers })).text();
    latenciesMs.push((performance.now() - sinceMs) / 2);
    if (!put.ok || got !== `${count}`) wrongCount += 1;
    await Bun.sleep(20);
  }
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number) => latenciesMs[Math.floor(latenciesMs.length * share)] ?? 0;
  console.log(
    JSON.stringify({ count: latenciesMs.length, p50: at(0.5), p99: at(0.99), wrongCount }),
  );
}

interface Good {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly wrongCount: number;
}

async function startGood(url: string, ms: number): Promise<Good> {
  const until = String(Date.now() + ms);
  const command = [process.execPath, import.meta.path, GOOD, url, TOKEN_TEXT.good, until];
  const child = Bun.spawn(command, { stdout: "pipe" });
  return JSON.parse(await new Response(child.stdout).text()) as Good;
}

const METHODS = [
  "GET",
  "GET",
  "GET",
  "POST",
  "POST",
  "POST",
  "PUT",
  "DELETE",
  "HEAD",
  "BREW",
] as const;
const F = "/v1/folders/FOLDER";
/** Each route, some more often, and what is none. */
const ROUTES = [
  F,
  "/v1/folders",
  "/v1/hello",
  "/v1/tokens",
  "/v1/tokens/HEX",
  "/v1/invites/redeem",
  "/metrics",
  "/healthz",
  "/",
  "/s/HEX-HEX/a",
  `${F}/events`,
  `${F}/events`,
  `${F}/ops`,
  `${F}/ops`,
  `${F}/ops`,
  `${F}/tree`,
  `${F}/index`,
  `${F}/history`,
  `${F}/files`,
  `${F}/files`,
  `${F}/devices`,
  `${F}/devices/HEX`,
  `${F}/devices/HEX/orders`,
  `${F}/devices/HEX/orders/HEX`,
  `${F}/chunks`,
  `${F}/chunks/missing`,
  `${F}/chunks/fetch`,
  `${F}/chunks/wanted`,
  `${F}/contents/HEX`,
  `${F}/list`,
  `${F}/spans`,
  `${F}/moment`,
  `${F}/diff`,
  `${F}/log`,
  `${F}/activity`,
  `${F}/search`,
  `${F}/conflicts`,
  `${F}/wait`,
  `${F}/tickets`,
  `${F}/plans`,
  `${F}/plans/HEX`,
  `${F}/links`,
  `${F}/links/HEX`,
  `${F}/archive`,
  `${F}/nothing`,
] as const;
const PARAMETERS = [
  "after",
  "limit",
  "path",
  "seq",
  "inline",
  "epoch",
  "hash",
  "at",
  "from",
  "to",
  "q",
  "device",
  "buckets",
  "ticket",
  "offset",
  "as",
  "x",
] as const;
/** The tokens of this run: one that may write, and one that may read another folder. */
const TOKEN_TEXT = { good: "", pool: [""] };

/** Makes requests: mostly nearly right, sometimes garbage. */
class Grammar {
  readonly #random: SimRandom;

  constructor(seed: number) {
    this.#random = new SimRandom(seed, "abuse");
  }

  #text(): string {
    const length = this.#random.pick([0, 1, 1, 8, 8, 300, 5000]);
    return this.#random
      .pick(["a", "é", "%00", "../", "\\", "\u202e", "𝕏", '"', "'"])
      .repeat(length);
  }

  #number(): string {
    return this.#random.pick([
      "0",
      "1",
      "-1",
      "1.5",
      "1e9",
      "9007199254740993",
      "99",
      "NaN",
      "0x1",
      "",
    ]);
  }

  #value(depth = 0): unknown {
    const leaf = [this.#text(), Number(this.#number()), null, true, "0".repeat(32)] as const;
    if (depth > 4 || this.#random.chance(0.5)) return this.#random.pick(leaf);
    if (this.#random.chance(0.5))
      return Array.from({ length: this.#random.pick([0, 1, 3, 20]) }, () => this.#value(depth + 1));
    const keys = [
      "device",
      "batch",
      "cursor",
      "groups",
      "digests",
      "name",
      "kind",
      "access",
      "path",
      "secret",
      "label",
      "applied",
      "request",
      "__proto__",
    ] as const;
    return Object.fromEntries(
      [0, 1, 2].map(() => [this.#random.pick(keys), this.#value(depth + 1)]),
    );
  }

  #target(): string {
    const folder = this.#random.pick(["default", "default", "default", "none", "%2e%2e", ""]);
    const route = this.#random.pick(ROUTES).replaceAll("HEX", () => this.#hex());
    const place = route.replace("FOLDER", folder === "" ? this.#text() : folder);
    const one = () => {
      const value = this.#random.pick([this.#number(), this.#text(), "default", "good.txt", "all"]);
      return `${this.#random.pick(PARAMETERS)}=${encodeURIComponent(value)}`;
    };
    const query = this.#random.pick([
      "",
      "",
      "?after=0",
      "?path=good.txt",
      `?${one()}`,
      `?${one()}&${one()}`,
    ]);
    return `${place}${query}`.replaceAll(/[ \r\n]/g, "");
  }

  #hex(): string {
    const digit = this.#random.pick(["0", "a", "A"]);
    return digit.repeat(this.#random.pick([16, 31, 32, 64]));
  }

  #authorization(): readonly string[] {
    if (this.#random.chance(0.3)) return [];
    const wrong = [`Basic ${TOKEN_TEXT.pool.length}`, "Bearer", `Bearer sy-${this.#hex()}`];
    const shown = this.#random.chance(0.05)
      ? this.#random.pick(wrong)
      : `Bearer ${this.#random.pick(TOKEN_TEXT.pool)}`;
    return [`Authorization: ${shown}`];
  }

  request(): string {
    if (this.#random.chance(0.05)) return this.#text() + "\r\n\r\n";
    const method = this.#random.pick(METHODS);
    const body = this.#random.chance(0.7) ? JSON.stringify(this.#value()) : this.#text();
    const lines = [
      `${method} ${this.#target()} HTTP/1.1`,
      ...(this.#random.chance(0.98) ? ["Host: 127.0.0.1"] : []),
      ...this.#authorization(),
      ...(this.#random.chance(0.2) ? ["Accept: text/event-stream"] : []),
      ...(this.#random.chance(0.6) ? ["Content-Type: application/json"] : []),
      ...(this.#random.chance(0.1) ? ["Content-Type: application/vnd.synced.pack"] : []),
      ...(this.#random.chance(0.1) ? [`Range: bytes=${this.#number()}-${this.#number()}`] : []),
      ...(this.#random.chance(0.05) ? [`If-Match: ${this.#text()}`] : []),
      ...(this.#random.chance(0.05) ? [`Last-Event-ID: ${this.#number()}`] : []),
      ...(this.#random.chance(0.02) ? ["Content-Encoding: gzip"] : []),
      ...(this.#random.chance(0.02) ? ["X-A: 1", " folded", "X-B : 2"] : []),
    ];
    if (method === "GET" && this.#random.chance(0.9)) return `${lines.join("\r\n")}\r\n\r\n`;
    return `${lines.join("\r\n")}\r\n${this.#framed(body)}`;
  }

  /** Mostly well, and in each of the ways in which a body can be framed badly. */
  #framed(body: string): string {
    const bytes = Buffer.byteLength(body);
    const chunk = `${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    const plain = `Content-Length: ${bytes}\r\n\r\n${body}`;
    if (this.#random.chance(0.8)) return plain;
    return this.#random.pick([
      `Transfer-Encoding: chunked\r\n\r\n${chunk}`,
      `Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n${body}`,
      `Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}`,
      `Transfer-Encoding: chunked\r\nContent-Length: ${bytes}\r\n\r\n${chunk}`,
      `Content-Length: ${bytes + 5}\r\n\r\n${body}`,
      `Content-Length: ${bytes}\r\nContent-Length: 1\r\n\r\n${body}`,
      `Content-Length: -1\r\n\r\n${body}`,
      `${plain}${plain}`,
      `${plain}GET /v1/hello HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`,
    ]);
  }
}

/** Connections that are kept open, each in its own way. */
function tormentors(port: number): readonly Socket[] {
  const token = TOKEN_TEXT.good;
  const head = `HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n`;
  const base = "/v1/folders/default";
  const pack = "Content-Type: application/vnd.synced.pack";
  const begin: readonly (readonly [count: number, text: string, drips: boolean])[] = [
    [200, `GET ${base} HTTP/1.1\r\nX-A: `, true],
    [
      100,
      `POST ${base}/ops ${head}Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n{`,
      true,
    ],
    [40, `POST ${base}/chunks ${head}${pack}\r\nContent-Length: 33554432\r\n\r\n`, true],
    [200, `GET ${base}/events?after=0&inline=1 ${head}Accept: text/event-stream\r\n\r\n`, false],
    [50, `GET ${base}/tree?limit=5000 ${head}\r\n`, false],
    [300, "", false],
  ];
  return begin.flatMap(([count, text, drips]) =>
    Array.from({ length: count }, () => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => undefined);
      socket.on("connect", () => {
        socket.write(text);
        socket.pause();
      });
      if (drips) {
        const timer = setInterval(() => socket.write("1"), 1_000);
        socket.on("close", () => clearInterval(timer));
      }
      return socket;
    }),
  );
}

/** @returns the status, 0 if the connection ended without one, -1 after a hang */
function exchange(port: number, request: string): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (status: number) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(status);
    };
    const timer = setTimeout(() => end(-1), HANG_MS);
    socket.on("connect", () => socket.end(request));
    socket.on("data", (bytes) =>
      end(Number(/^HTTP\/1.1 (\d{3})/.exec(bytes.toString("latin1"))?.[1] ?? 0)),
    );
    socket.on("error", () => end(0));
    socket.on("close", () => end(0));
  });
}

/** How long plain requests took lately, on connections of their own. */
class Pulse {
  readonly #recentMs: number[] = [];
  longestMs = 0;

  async beat(port: number, untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      const sinceMs = performance.now();
      await exchange(port, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
      const tookMs = performance.now() - sinceMs;
      this.#recentMs.push(tookMs);
      if (this.#recentMs.length > 20) this.#recentMs.shift();
      this.longestMs = Math.max(this.longestMs, tookMs);
      await Bun.sleep(500);
    }
  }

  get isStarved(): boolean {
    return this.#recentMs.some((ms) => ms > STARVED_MS);
  }
}

async function makeToken(data: string, ...args: string[]): Promise<string> {
  return (await runSynced(["token", "create", "--data", data, ...args])).stdout.trim();
}

async function abuse(seconds: number, seed: number): Promise<boolean> {
  await ensureBinary();
  const scratch = new Scratch();
  const data = scratch.join("data");
  const { url, server } = await startServer(data);
  TOKEN_TEXT.good = await makeToken(data);
  TOKEN_TEXT.pool = [
    TOKEN_TEXT.good,
    TOKEN_TEXT.good,
    await makeToken(data, "--access", "read", "--folder", "elsewhere"),
  ];
  const headers = { authorization: `Bearer ${TOKEN_TEXT.good}` };
  await fetch(`${url}/v1/folders/default`, { method: "PUT", headers });
  const idle = await startGood(url, 5_000);

  const port = Number(new URL(url).port);
  const beside = startGood(url, seconds * 1000);
  const untilMs = performance.now() + seconds * 1000;
  const counts = new Map<number, number>();
  let rssMbMax = 0;
  let starvedCount = 0;
  const pulse = new Pulse();
  const fuzz = async (worker: number) => {
    const grammar = new Grammar(seed * 1000 + worker);
    while (performance.now() < untilMs) {
      const request = grammar.request();
      const status = await exchange(port, request);
      if (status === -1 && pulse.isStarved) {
        starvedCount += 1;
        continue;
      }
      counts.set(status, (counts.get(status) ?? 0) + 1);
      if (status === -1 || (status >= 500 && !LATER.has(status))) {
        console.log(`${status} for ${JSON.stringify(request.slice(0, 500))}`);
      }
    }
  };
  const torment = async () => {
    while (performance.now() < untilMs) {
      const sockets = tormentors(port);
      for (let second = 0; second < 20 && performance.now() < untilMs; second++) {
        await Bun.sleep(1_000);
        rssMbMax = Math.max(rssMbMax, server.residentMb);
      }
      for (const socket of sockets) socket.destroy();
    }
  };
  await Promise.all([torment(), pulse.beat(port, untilMs), ...[1, 2, 3, 4, 5, 6, 7, 8].map(fuzz)]);

  const under = await beside;
  const { exitCode } = await server.stop();
  const verified = await runSynced(["verify", "--data", data]);
  scratch.remove();
  const bad = [...counts].filter(
    ([status]) => status === -1 || (status >= 500 && !LATER.has(status)),
  );
  console.log(
    `answers    ${[...counts]
      .sort(([a], [b]) => a - b)
      .map((one) => one.join(":"))
      .join(" ")}`,
  );
  const longest = `${(pulse.longestMs / 1000).toFixed(1)} s`;
  console.log(`pulse      ${longest} at most; ${starvedCount} requests fell into such times`);
  console.log(`memory     ${rssMbMax} MB at most`);
  for (const [name, { count, p50, p99, wrongCount }] of Object.entries({ idle, under })) {
    const numbers = `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
    console.log(`${name.padEnd(11)}${numbers}, ${count} requests, ${wrongCount} wrong`);
  }
  console.log(`server     ended with ${exitCode}; verify ended with ${verified.exitCode}`);
  const isSound = verified.exitCode === 0 && under.wrongCount === 0;
  return bad.length === 0 && rssMbMax <= RSS_MB_MAX && isSound;
}

const [, , first, second, third, fourth] = process.argv;
if (first === GOOD) await good(String(second), String(third), Number(fourth));
else process.exitCode = (await abuse(Number(first ?? 60), Number(second ?? 1))) ? 0 : 1;
