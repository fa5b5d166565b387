/** What a browser fetches by itself: zips, files that it shows, and the tickets for both. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFolderName } from "../../src/core/identifier.ts";
import { viewTypeOf } from "../../src/http/view-type.ts";
import { BASE, expectProblem, type Fixture, FOLDER, openFixture, TOKEN } from "./fixture.ts";

let fixture: Fixture;
const ADMIN = { authorization: `Bearer ${TOKEN}` };

beforeEach(async () => {
  fixture = await openFixture({ token: TOKEN });
});

afterEach(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

async function put(path: string, body: string | Uint8Array<ArrayBuffer>): Promise<void> {
  const where = `${BASE}/files?path=${encodeURIComponent(path)}`;
  expect((await fixture.call("PUT", where, { body, headers: ADMIN })).status).toBe(201);
}

async function ticketFor(headers: Readonly<Record<string, string>> = ADMIN): Promise<string> {
  const answer = await fixture.call("POST", `${BASE}/tickets`, { headers });
  return ((await answer.json()) as { ticket: string }).ticket;
}

test("a zip has a directory as it was, its length known before [E12]", async () => {
  await put("photos/a.txt", "one");
  await put("photos/sub/\\..\\b é.txt", "two");
  await put("photos/later", "x");
  const where = `${BASE}/archive?path=photos&at=4`;
  const head = await fixture.call("HEAD", where, { headers: ADMIN });
  const answer = await fixture.call("GET", where, { headers: ADMIN });
  expect(answer.headers.get("content-disposition")).toContain("photos.zip");
  const bytes = await answer.bytes();
  expect(head.headers.get("content-length")).toBe(String(bytes.length));
  const directory = mkdtempSync(join(tmpdir(), "synced-test-zip-"));
  try {
    writeFileSync(join(directory, "x.zip"), bytes);
    const script = [
      "import sys, zipfile, json",
      "z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None",
      "print(json.dumps([[i.filename, i.external_attr >> 16 & 0o777, z.read(i).decode()] for i in z.infolist()]))",
    ].join("\n");
    const run = Bun.spawnSync(["python3", "-c", script, join(directory, "x.zip")]);
    expect(JSON.parse(run.stdout.toString())).toEqual([
      ["a.txt", 0o644, "one"],
      ["sub/", 0o775, ""],
      ["sub/\uff3c..\uff3cb é.txt", 0o644, "two"],
    ]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("symlinks are told in a text, and a file is no directory [E12]", async () => {
  await put("a", "one");
  const { epoch, head: seq, hash } = await fixture.sequencer.folder(FOLDER);
  const node = "c".repeat(32);
  const op = { kind: "create", opId: "d".repeat(32), node, parent: "0".repeat(32), name: "link" };
  const link = { ...op, base: 0, content: { kind: "symlink", target: "../x" } };
  const batch = { device: node, batch: node, cursor: { epoch, seq, hash }, groups: [[link]] };
  await fixture.call("POST", `${BASE}/ops`, { json: batch, headers: ADMIN });
  const zip = await (await fixture.call("GET", `${BASE}/archive`, { headers: ADMIN })).bytes();
  expect(Buffer.from(zip).includes("link -> ../x\n")).toBe(true);
  expect(Buffer.from(zip).includes("SYMLINKS.txt")).toBe(true);
  const file = await fixture.call("GET", `${BASE}/archive?path=a`, { headers: ADMIN });
  await expectProblem(file, 404, "not_found");
});

describe("a ticket", () => {
  test("reads the bytes of its folder, and nothing else [K7]", async () => {
    await put("a", "one");
    await fixture.sequencer.createFolder(parseFolderName("other"));
    const ticket = await ticketFor();
    const get = (route: string, method = "GET") => fixture.call(method, `/v1/folders/${route}`);
    const file = await get(`default/files?path=a&ticket=${ticket}`);
    expect(await file.text()).toBe("one");
    expect((await get(`default/archive?ticket=${ticket}`)).status).toBe(200);
    await expectProblem(await get(`other/archive?ticket=${ticket}`), 404, "folder_not_found");
    await expectProblem(
      await get(`default/files?path=a&ticket=${ticket}`, "DELETE"),
      401,
      "unauthenticated",
    );
    for (const route of ["list", "tree", "events?after=0", "log"]) {
      const query = route.includes("?") ? "&" : "?";
      const refused = await get(`default/${route}${query}ticket=${ticket}`);
      await expectProblem(refused, 401, "unauthenticated");
    }
  });

  test("is made for no folder that is not there [K7, H8]", async () => {
    const answer = await fixture.call("POST", "/v1/folders/other/tickets", { headers: ADMIN });
    await expectProblem(answer, 404, "folder_not_found");
  });

  test("expires, cannot be changed, and dies with its token [K7]", async () => {
    await put("a", "one");
    const get = (ticket: string) => fixture.call("GET", `${BASE}/files?path=a&ticket=${ticket}`);
    const { text, record } = await fixture.tokens.make({
      label: "",
      access: "read",
      folders: "all",
    });
    const ticket = await ticketFor({ authorization: `Bearer ${text}` });
    expect((await get(ticket)).status).toBe(200);
    const later = ticket.replace(/^\d+/, (ms) => String(Number(ms) + 1));
    for (const wrong of [later, ticket.slice(0, -1), "", "%00"]) {
      await expectProblem(await get(wrong), 401, "ticket_expired");
    }
    await fixture.tokens.revoke(record.id);
    await expectProblem(await get(ticket), 401, "token_revoked");
    const own = await ticketFor();
    await fixture.clock.advance(600_000);
    await expectProblem(await get(own), 401, "ticket_expired");
  });
});

describe("a file that a browser shows", () => {
  test.each([
    ["\x89PNG\r\n\x1a\n", "image/png"],
    ["\xff\xd8\xff\xe0", "image/jpeg"],
    ["RIFF\0\0\0\0WEBPVP8 ", "image/webp"],
    ["\0\0\0 ftypisom", "video/mp4"],
    ["\0\0\0 ftypavif", "image/avif"],
    ["\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01webm", "video/webm"],
    ["ID3\x04", "audio/mpeg"],
    ['<?xml version="1.0"?>\n<!-- x --><svg onload="x()">', "image/svg+xml"],
    ["%PDF-1.7", "application/pdf"],
    ["<!DOCTYPE html><script>", "text/plain; charset=utf-8"],
    ["GIF8", "text/plain; charset=utf-8"],
    ["", "text/plain; charset=utf-8"],
  ])("%j is %s, and nothing runs in it [H34]", async (beginning, type) => {
    const bytes = Uint8Array.from(beginning, (character) => character.charCodeAt(0));
    await put("a", bytes);
    const answer = await fixture.call("GET", `${BASE}/files?path=a&as=view`, { headers: ADMIN });
    expect(answer.headers.get("content-type")).toBe(type);
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("content-disposition")).toStartWith("inline");
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy.includes("sandbox")).toBe(type !== "application/pdf");
    expect(await answer.bytes()).toEqual(bytes);
  });

  test("a kilobyte of anything takes no time to be told [H34]", () => {
    const hostile = new TextEncoder().encode("<!---->".repeat(80));
    expect(viewTypeOf(hostile.subarray(0, 512)).type).toBe("text/plain; charset=utf-8");
  });

  test("without as=view it is saved, as ever [H34, H7]", async () => {
    await put("a", "<svg>");
    const answer = await fixture.call("GET", `${BASE}/files?path=a`, { headers: ADMIN });
    expect(answer.headers.get("content-type")).toBe("application/octet-stream");
    const wrong = await fixture.call("GET", `${BASE}/files?path=a&as=html`, { headers: ADMIN });
    await expectProblem(wrong, 400, "invalid_parameter");
  });
});
