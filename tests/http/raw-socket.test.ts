/** The real listener, spoken to byte by byte: what no HTTP client would send (B24, B75-B80). */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { createServer as createPlainServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { createServer, type Server } from "../../server.ts";
import { createFetchTransport } from "../../src/adapters/network/fetch-transport.ts";
import { failureOf } from "../failure.ts";
import { bestOf, timeOf } from "../timing.ts";

let server: Server;
let path: string;
const errors: unknown[] = [];
const fetchTransport = createFetchTransport();

beforeAll(async () => {
  path = mkdtempSync(join(tmpdir(), "synced-test-raw-"));
  server = await createServer({ data: path, onError: (error) => errors.push(error) });
  expect((await fetch(`${server.url}/v1/folders/default`, { method: "PUT" })).status).toBe(201);
});

afterAll(async () => {
  await server.close();
  rmSync(path, { recursive: true });
  expect(errors).toEqual([]);
});

/** Sends bytes and its own end, and reads until the server closes. */
function exchange(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(server.port, "127.0.0.1");
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`The server does not close after ${JSON.stringify(text)}`));
    }, 60_000);
    socket.on("connect", () => socket.end(Buffer.from(request, "latin1")));
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
    });
    socket.on("error", () => undefined);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

const isNodeServer = typeof Bun === "undefined";
const HOST = "Host: 127.0.0.1\r\n";
const FILES = "/v1/folders/default/files";
const smuggled = `PUT ${FILES}?path=smuggled HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\nx`;

/** Status codes of the answers, in order. */
function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
}

async function expectNothingSmuggled(): Promise<void> {
  const response = await fetch(`${server.url}${FILES}?path=smuggled`);
  expect(response.status).toBe(404);
  await response.body?.cancel();
}

describe("framing that two parsers could read in two ways (B76, B77)", () => {
  const post = `POST /v1/folders/default/ops HTTP/1.1\r\n${HOST}Content-Type: application/json\r\n`;
  const rows: [name: string, request: string][] = [
    [
      "Content-Length and Transfer-Encoding",
      `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    [
      "Transfer-Encoding and Content-Length",
      `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    [
      "two lengths",
      `${post}Content-Length: 0\r\nContent-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    ],
    ["a list of lengths", `${post}Content-Length: 0, 5\r\n\r\n${smuggled}`],
    ["a negative length", `${post}Content-Length: -1\r\n\r\n${smuggled}`],
    ["a length in hex", `${post}Content-Length: 0x0\r\n\r\n${smuggled}`],
    ["a length with a plus", `${post}Content-Length: +0\r\n\r\n${smuggled}`],
    ["a length beyond 2^64", `${post}Content-Length: 99999999999999999999999\r\n\r\n${smuggled}`],
    [
      "a transfer coding list",
      `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    [
      "an unknown transfer coding",
      `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ["a bad chunk size", `${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n${smuggled}`],
    [
      "a huge chunk size",
      `${post}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n\r\n${smuggled}`,
    ],
    ["a folded header", `${post}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n${smuggled}`],
    ["a bare line feed", `${post}X-A: b\nContent-Length: 0\r\n\r\n${smuggled}`],
    ["a space before the colon", `${post}Content-Length : 0\r\n\r\n${smuggled}`],
    ["a space in a header's name", `${post}X A: b\r\n\r\n${smuggled}`],
    ["a NUL in a header", `${post}X-A: a\0b\r\nContent-Length: 0\r\n\r\n${smuggled}`],
    ["a length with spaces inside", `${post}Content-Length: 1 2\r\n\r\n${smuggled}`],
    ["a length of one and a half", `${post}Content-Length: 1.5\r\n\r\n${smuggled}`],
    ["an empty length", `${post}Content-Length: \r\n\r\n${smuggled}`],
    ["a length in Arabic digits", `${post}Content-Length: \u0661\r\n\r\n${smuggled}`],
    ["two equal lengths", `${post}Content-Length: 5\r\nContent-Length: 5\r\n\r\n${smuggled}`],
    ["chunked twice", `${post}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n${smuggled}`],
    [
      "two transfer codings",
      `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ["a coding in quotes", `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n${smuggled}`],
    [
      "a coding after a vertical tab",
      `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n${smuggled}`,
    ],
    ["a negative chunk", `${post}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n${smuggled}`],
    ["a chunk in 0x", `${post}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n${smuggled}`],
    [
      "a chunk with more bytes than it says",
      `${post}Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n${smuggled}`,
    ],
    ["a carriage return alone", `${post}X-A: b\rContent-Length: 0\r\n\r\n${smuggled}`],
    ["a header without a colon", `${post}Content-Length\r\n\r\n${smuggled}`],
    ["a header without a name", `${post}: 0\r\n\r\n${smuggled}`],
    ["a colon in a header's name", `${post}(X): 0\r\n\r\n${smuggled}`],
    [
      "a body after HEAD",
      `HEAD ${FILES}?path=a HTTP/1.1\r\n${HOST}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    ],
    [
      "a body after GET",
      `GET /v1/hello HTTP/1.1\r\n${HOST}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    ],
    [
      "a chunked body after GET",
      `GET /v1/hello HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
    ],
    [
      "a body after DELETE",
      `DELETE ${FILES}?path=a HTTP/1.1\r\n${HOST}Content-Length: ${smuggled.length}\r\n\r\n${smuggled}`,
    ],
  ];
  test.each(rows)(
    "%s: refused, and nothing behind it is carried out [H8]",
    async (_name, request) => {
      const text = await exchange(request);
      const [first = 400] = statusesOf(text);
      expect(first).toBeGreaterThanOrEqual(400);
      expect(first).toBeLessThan(600);
      expect(first).not.toBe(500);
      await expectNothingSmuggled();
    },
  );
});

describe("request lines and hosts (B6, B8, B58, B75, B79)", () => {
  const rows: [name: string, request: string, statuses: number[]][] = [
    ["two hosts", `GET /v1/hello HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.com\r\n\r\n`, [400]],
    ["no host", "GET /v1/hello HTTP/1.1\r\n\r\n", [400]],
    ["an empty host", "GET /v1/hello HTTP/1.1\r\nHost:\r\n\r\n", [400]],
    ["a host that is a URL's part", "GET /v1/hello HTTP/1.1\r\nHost: a@b/c?d\r\n\r\n", [400]],
    [
      "a host with a path to an open route",
      "GET /v1/folders HTTP/1.1\r\nHost: 127.0.0.1/healthz?\r\n\r\n",
      [400],
    ],
    ["another host", "GET /v1/hello HTTP/1.1\r\nHost: evil.com\r\n\r\n", [421]],
    [
      "an absolute target of another host",
      `GET http://evil.com/v1/nope HTTP/1.1\r\n${HOST}\r\n`,
      [400, 404, 421],
    ],
    ["HTTP/1.0 without a host", "GET /v1/hello HTTP/1.0\r\n\r\n", [400]],
    ["TRACE", `TRACE /v1/hello HTTP/1.1\r\n${HOST}\r\n`, [400, 405]],
    ["an encoded climb", `GET /v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n${HOST}\r\n`, [404]],
    ["backslashes", `GET /v1/..\\..\\etc\\passwd HTTP/1.1\r\n${HOST}\r\n`, [400, 404]],
    ["raw 8-bit bytes", `GET /v1/folders/\xff\xfe/tree HTTP/1.1\r\n${HOST}\r\n`, [400]],
    [
      "a WebSocket",
      `GET /v1/hello HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`,
      [200, 400],
    ],
    [
      "h2c",
      `GET /v1/hello HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
      [200, 400],
    ],
    ["nothing but line feeds", "\r\n\r\n\r\n\r\n", [400]],
    ["bytes of TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", [400]],
    ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 505]],
    ["SSH", "SSH-2.0-OpenSSH_9.9\r\n\r\n", [400]],
    ["HTTP/0.9", "GET /v1/hello\r\n\r\n", [400, 505]],
    ["HTTP/9.9", `GET /v1/hello HTTP/9.9\r\n${HOST}\r\n`, [400, 505]],
    ["HTTP in lower case", `GET /v1/hello http/1.1\r\n${HOST}\r\n`, [400, 505]],
    ["a method in lower case", `get /v1/hello HTTP/1.1\r\n${HOST}\r\n`, [400, 405]],
    ["a method nobody knows", `BREW /v1/hello HTTP/1.1\r\n${HOST}\r\n`, [400, 405]],
    ["CONNECT", `CONNECT evil.com:443 HTTP/1.1\r\n${HOST}\r\n`, [400, 404, 405]],
    ["OPTIONS *", `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, [400, 404, 405]],
    ["two spaces after the method", `GET  /v1/hello HTTP/1.1\r\n${HOST}\r\n`, [200, 400]],
    ["a space in the target", `GET /v1/ hello HTTP/1.1\r\n${HOST}\r\n`, [400, 505]],
    ["a tab for a space", `GET\t/v1/hello HTTP/1.1\r\n${HOST}\r\n`, [400, 505]],
    ["a fragment", `GET /v1/nope#/../hello HTTP/1.1\r\n${HOST}\r\n`, [400, 404]],
    ["a target without a slash", `GET v1/hello HTTP/1.1\r\n${HOST}\r\n`, [400, 404]],
    ["a target that is a host", `GET //evil.com/v1/hello HTTP/1.1\r\n${HOST}\r\n`, [400, 404, 421]],
    ["a line break in the target", `GET /v1/x%0d%0aX-A:b HTTP/1.1\r\n${HOST}\r\n`, [404]],
    [
      "a target of 64 KB",
      `GET /v1/${"a".repeat(65_536)} HTTP/1.1\r\n${HOST}\r\n`,
      [400, 404, 414, 431],
    ],
    [
      "a thousand headers",
      `GET /v1/hello HTTP/1.1\r\n${HOST}${"X-A: b\r\n".repeat(1000)}\r\n`,
      [200, 400, 431],
    ],
    [
      "an expectation that nobody meets",
      `GET /v1/hello HTTP/1.1\r\n${HOST}Expect: 200-maybe\r\n\r\n`,
      [200, 400, 417],
    ],
    ["a NUL in the target", `GET /v1/he\0llo HTTP/1.1\r\n${HOST}\r\n`, [400, 404, 505]],
    [
      "a proxy's first line",
      `PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET /v1/hello HTTP/1.1\r\n${HOST}\r\n`,
      [400],
    ],
    [
      "headers of 64 KB",
      `GET /v1/hello HTTP/1.1\r\n${HOST}X-A: ${"a".repeat(65_536)}\r\n\r\n`,
      [431],
    ],
  ];
  test.each(rows)("%s [H3]", async (_name, request, statuses) => {
    const text = await exchange(request);
    // Some parsers close the connection without a word.
    const [first] = statusesOf(text);
    expect([...statuses, undefined]).toContain(first);
    if (first === 200) expect(text).not.toContain("smuggled");
    await expectNothingSmuggled();
  });

  test("a request that is cut stores nothing [H7]", async () => {
    await exchange(`PUT ${FILES}?path=smuggled HTTP/1.1\r\n${HOST}Content-Length: 100\r\n\r\nhalf`);
    await expectNothingSmuggled();
  });

  test("a chunked file that is cut stores nothing [H7]", async () => {
    const head = `PUT ${FILES}?path=smuggled HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`;
    await exchange(`${head}4\r\nhalf\r\n`);
    await expectNothingSmuggled();
  });

  test("two requests at once get two answers in order [H4]", async () => {
    const get = (route: string) => `GET ${route} HTTP/1.1\r\n${HOST}\r\n`;
    const text = await exchange(get("/healthz") + get("/v1/nope") + get("/v1/hello"));
    // Node's server ends with the requester's half of the connection.
    const statuses = statusesOf(text);
    expect(statuses).toEqual([200, 404, 200].slice(0, isNodeServer ? statuses.length : 3));
  });

  test("HEAD has a length and no body [H7]", async () => {
    await fetch(`${server.url}${FILES}?path=ten`, { method: "PUT", body: "0123456789" });
    const text = await exchange(`HEAD ${FILES}?path=ten HTTP/1.1\r\n${HOST}\r\n`);
    expect(text.toLowerCase()).toContain("content-length: 10");
    expect(text).toEndWith("\r\n\r\n");
  });
});

describe("listen()", () => {
  test("says that a port is in use [H2]", async () => {
    const other = mkdtempSync(join(tmpdir(), "synced-test-raw-"));
    const second = createServer({ data: other, port: server.port });
    expect(await failureOf(second)).toMatchObject({ code: "port_in_use" });
    rmSync(other, { recursive: true });
  });

  test("where others reach it, wants a token and speaks https [K8, K9]", async () => {
    const second = await createServer({ data: join(path, "exposed"), host: "0.0.0.0" });
    const { url, wantsToken, fingerprint, newTokenFile = "" } = second;
    expect([new URL(url).protocol, wantsToken]).toEqual(["https:", true]);
    expect(fingerprint).toMatch(/^sha256:/);
    expect(statSync(newTokenFile).mode & 0o777).toBe(0o600);
    const place = `https://127.0.0.1:${second.port}/v1/folders`;
    if (fingerprint === undefined) throw new Error("no key");
    const transport = createFetchTransport({ kind: "key", fingerprint });
    expect((await transport(new Request(place))).status).toBe(401);
    const authorization = `Bearer ${readFileSync(newTokenFile, "utf8").trim()}`;
    const request = new Request(place, { headers: { authorization } });
    expect((await transport(request)).status).toBe(200);
    await second.close();
  });

  test("stops within two seconds, with a live stream and a half request open [H6]", async () => {
    const stopsWithinMs = await bestOf(5, 2_000, async () => {
      const data = mkdtempSync(join(tmpdir(), "synced-test-raw-"));
      const second = await createServer({ data });
      await fetch(`${second.url}/v1/folders/default`, { method: "PUT" });
      const stream = await fetch(`${second.url}/v1/folders/default/events?after=0`, {
        headers: { accept: "text/event-stream" },
      });
      const socket = connect(second.port, "127.0.0.1");
      socket.on("error", () => undefined);
      await new Promise((resolve) => socket.on("connect", resolve));
      socket.write(`PUT ${FILES}?path=a HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\nhalf`);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const elapsedMs = await timeOf(() => second.close());
      await stream.text().catch(() => "");
      socket.destroy();
      rmSync(data, { recursive: true });
      return elapsedMs;
    });
    expect(stopsWithinMs).toBeLessThan(2_000);
  });

  test("keeps a file of 160 MiB, above the runtime's own bound, without holding it [H7]", async () => {
    const piece = new Uint8Array(1024 * 1024).fill(7);
    let left = 160;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (left-- > 0) controller.enqueue(piece);
        else controller.close();
      },
    });
    const response = await fetch(`${server.url}${FILES}?path=big`, { method: "PUT", body });
    expect(await response.json()).toMatchObject({ outcome: "created", size: 160 * 1024 * 1024 });
  }, 180_000);
});

describe("createFetchTransport()", () => {
  test("names why there is no server [H1]", async () => {
    // Port 1 is one of those that Deno asks nobody at.
    const request = new Request("http://127.0.0.1:2/v1/hello");
    expect(await failureOf(fetchTransport(request))).toMatchObject({
      code: "server_unreachable",
      message: "Cannot reach http://127.0.0.1:2: nothing listens there",
    });
  });

  test("follows no redirect and inflates nothing (B63, B64) [H1]", async () => {
    const liar = createPlainServer(({ url }, response) => {
      if (url === "/redirect") {
        response.writeHead(302, { location: `${server.url}/v1/hello` }).end();
      } else {
        const bomb = gzipSync(new Uint8Array(1_000_000));
        response.writeHead(200, { "content-encoding": "gzip" }).end(bomb);
      }
    });
    await new Promise<void>((resolve) => liar.listen(0, "127.0.0.1", resolve));
    const address = liar.address();
    const base = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    const led = await fetchTransport(new Request(`${base}/redirect`));
    expect(led.status).toBe(302);
    const bomb = await fetchTransport(new Request(`${base}/bomb`));
    expect(bomb.headers.get("content-encoding")).toBe("gzip");
    // Deno inflates whatever is read, so nobody reads what has this header.
    if (isNodeServer) await bomb.body?.cancel();
    else expect((await bomb.arrayBuffer()).byteLength).toBeLessThan(10_000);
    liar.close();
  });
});
