/** The server as people use it with curl: files by path, and the folders follow. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { ensureBinary } from "./binary.ts";
import { type Device, Lab, waitFor } from "./lab.ts";
import { digestOf } from "./snapshot.ts";

let lab: Lab;
let alpha: Device;
let beta: Device;

beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
  [alpha, beta] = await lab.pair();
}, 180_000);
afterAll(() => lab.close());

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

async function curl(path: string, ...args: string[]): Promise<Answer> {
  const url = `${lab.folderUrl}/files?path=${encodeURIComponent(path)}`;
  return await curlUrl(url, ...args);
}

async function curlUrl(url: string, ...args: string[]): Promise<Answer> {
  const child = Bun.spawn(["curl", "-sS", "-i", "--max-time", "20", ...args, url], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  // Before the answer to a large upload there is one that says "100 Continue".
  const answer = text.replace(/^HTTP\/1\.1 100 .*?\r\n\r\n/s, "");
  const end = answer.indexOf("\r\n\r\n");
  const [first = "", ...lines] = answer.slice(0, end).split("\r\n");
  const headers = lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  const status = Number(first.split(" ")[1]);
  return { status, headers: Object.fromEntries(headers), body: answer.slice(end + 4) };
}

function codeOf({ body }: Answer): unknown {
  return JSON.parse(body).code;
}

test("an upload makes its directories and arrives in the folders [H7]", async () => {
  const source = lab.scratch.join("source.bin");
  const bytes = new Uint8Array(5_000_000).map((_, at) => (at * 31) >> 5);
  writeFileSync(source, bytes);
  const made = await curl("from curl/deep/large ü.bin", "-T", source);
  expect(made.status).toBe(201);
  expect(made.headers["etag"]).toBe(`"${digestOf(bytes)}"`);
  for (const device of [alpha, beta]) {
    const place = device.join("from curl/deep/large ü.bin");
    await waitFor("the upload", () => existsSync(place) && readFileSync(place).equals(bytes));
  }
  const head = await lab.head();
  expect((await curl("from curl/deep/large ü.bin", "-T", source)).status).toBe(200);
  expect(await lab.head()).toBe(head);
});

test("a download by range, and only if it has changed [H7]", async () => {
  alpha.write("range.txt", "0123456789");
  await waitFor("the file", () => existsSync(beta.join("range.txt")));
  const whole = await curl("range.txt");
  expect(whole).toMatchObject({ status: 200, body: "0123456789" });
  expect(whole.headers["accept-ranges"]).toBe("bytes");
  const etag = whole.headers["etag"] ?? "";
  expect(etag).toBe(`"${digestOf("0123456789")}"`);
  const part = await curl("range.txt", "-r", "2-4");
  expect(part).toMatchObject({ status: 206, body: "234" });
  expect(part.headers["content-range"]).toBe("bytes 2-4/10");
  expect(await curl("range.txt", "-r", "-3")).toMatchObject({ status: 206, body: "789" });
  const outside = await curl("range.txt", "-r", "20-");
  expect([outside.status, codeOf(outside)]).toEqual([416, "range_not_satisfiable"]);
  const same = await curl("range.txt", "-H", `If-None-Match: ${etag}`);
  expect([same.status, same.body]).toEqual([304, ""]);
  const other = await curl("range.txt", "-H", `If-None-Match: "${digestOf("")}"`);
  expect(other.status).toBe(200);
  const absent = await curl("absent.txt");
  expect([absent.status, codeOf(absent)]).toEqual([404, "not_found"]);
});

test("an interrupted download goes on where it was [H7]", async () => {
  const bytes = new Uint8Array(3_000_000).map((_, at) => (at * 17) >> 4);
  alpha.write("resumed.bin", bytes);
  await waitFor("the file", async () => (await curl("resumed.bin", "-I")).status === 200);
  const target = lab.scratch.join("resumed.bin");
  writeFileSync(target, bytes.subarray(0, 1_234_567));
  const url = `${lab.folderUrl}/files?path=resumed.bin`;
  const child = Bun.spawn(["curl", "-sS", "-C", "-", "-o", target, url]);
  expect(await child.exited).toBe(0);
  expect(readFileSync(target).equals(bytes)).toBe(true);
});

test("an edit on a stale version is refused and changes nothing [H7]", async () => {
  alpha.write("stale.txt", "first\n");
  await waitFor("the file", () => existsSync(beta.join("stale.txt")));
  const etag = (await curl("stale.txt")).headers["etag"] ?? "";
  beta.write("stale.txt", "second\n");
  await waitFor("the edit", () => alpha.read("stale.txt") === "second\n");
  const upload = ["-X", "PUT", "--data-binary", "third\n"];
  const type = ["-H", "Content-Type: application/octet-stream"];
  const stale = await curl("stale.txt", ...upload, ...type, "-H", `If-Match: ${etag}`);
  expect([stale.status, codeOf(stale)]).toEqual([412, "precondition_failed"]);
  const exists = await curl("stale.txt", ...upload, ...type, "-H", "If-None-Match: *");
  expect(exists.status).toBe(412);
  expect(alpha.read("stale.txt")).toBe("second\n");
  const now = (await curl("stale.txt")).headers["etag"] ?? "";
  const fresh = await curl("stale.txt", ...upload, ...type, "-H", `If-Match: ${now}`);
  expect(fresh.status).toBe(200);
  for (const device of [alpha, beta]) {
    await waitFor("the upload", () => device.read("stale.txt") === "third\n");
  }
});

test("the list names what is there, now and then, and history knows more [H7, H14]", async () => {
  alpha.write("listed/one.txt", "1\n");
  await waitFor("the file", () => existsSync(beta.join("listed/one.txt")));
  const seq = await lab.head();
  beta.write("listed/one.txt", "one\n");
  await waitFor("the edit", () => alpha.read("listed/one.txt") === "one\n");
  const now = JSON.parse((await curlUrl(`${lab.folderUrl}/index?limit=1000`)).body);
  const entry = now.entries.find(({ path }: { path: string }) => path === "listed/one.txt");
  expect(entry).toMatchObject({ kind: "file", size: 4, sha256: digestOf("one\n") });
  const then = JSON.parse((await curlUrl(`${lab.folderUrl}/index?limit=1000&seq=${seq}`)).body);
  const before = then.entries.find(({ path }: { path: string }) => path === "listed/one.txt");
  expect(before).toMatchObject({ size: 2, sha256: digestOf("1\n") });
  const { versions } = JSON.parse(
    (await curlUrl(`${lab.folderUrl}/history?path=listed%2Fone.txt`)).body,
  );
  expect(versions.map(({ size }: { size: number }) => size)).toEqual([4, 2]);
  const old = await curlUrl(`${lab.folderUrl}/files?path=listed%2Fone.txt&seq=${seq}`);
  expect(old.body).toBe("1\n");
});

test("a deletion arrives in the folders; a full directory is not deleted [H7]", async () => {
  alpha.write("deleted/one.txt", "1\n");
  await waitFor("the file", () => existsSync(beta.join("deleted/one.txt")));
  await lab.settled([alpha, beta]);
  const full = await curl("deleted", "-X", "DELETE");
  expect([full.status, codeOf(full)]).toEqual([409, "directory_not_empty"]);
  expect((await curl("deleted/one.txt", "-X", "DELETE")).status).toBe(204);
  expect((await curl("deleted/one.txt", "-X", "DELETE")).status).toBe(404);
  expect((await curl("deleted", "-X", "DELETE")).status).toBe(204);
  for (const device of [alpha, beta]) {
    await waitFor("the deletion", () => !existsSync(device.join("deleted")));
  }
});

test("a version that was deleted is got back by its hash [H7]", async () => {
  alpha.write("precious.txt", "precious\n");
  await waitFor("the file", () => existsSync(beta.join("precious.txt")));
  rmSync(alpha.join("precious.txt"));
  await waitFor("the deletion", () => !existsSync(beta.join("precious.txt")));
  const answer = await curlUrl(`${lab.folderUrl}/contents/${digestOf("precious\n")}`);
  expect(answer).toMatchObject({ status: 200, body: "precious\n" });
});
