/** Files by path over HTTP: what curl and people rely on. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { BASE, type Fixture, openFixture, problemOf } from "./fixture.ts";

let fixture: Fixture;

beforeAll(async () => {
  fixture = await openFixture();
});

afterAll(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

const url = (path: string) => `${BASE}/files?path=${encodeURIComponent(path)}`;
const put = (path: string, body: string, headers: Record<string, string> = {}) =>
  fixture.call("PUT", url(path), { body, headers });
const get = (path: string, headers: Record<string, string> = {}) =>
  fixture.call("GET", url(path), { headers });
const head = async () => {
  const response = await fixture.call("GET", BASE);
  return ((await response.json()) as { head: number }).head;
};

/** Bytes that cut into several chunks. */
function largeBytes(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}

describe("PUT files", () => {
  test("makes a file and its parents, replaces it, and makes no event for the same bytes [H7]", async () => {
    const created = await put("made/by/put.txt", "one");
    expect(created.status).toBe(201);
    expect(created.headers.get("etag")).toBe(`"${sha256("one")}"`);
    expect(await created.json()).toMatchObject({
      outcome: "created",
      sha256: sha256("one"),
      size: 3,
    });
    const before = await head();
    const same = await put("made/by/put.txt", "one");
    expect(same.status).toBe(200);
    expect(await same.json()).toMatchObject({ outcome: "identical" });
    expect(await head()).toBe(before);
    const replaced = await put("made/by/put.txt", "two");
    expect(replaced.status).toBe(200);
    expect(await replaced.json()).toMatchObject({ outcome: "replaced", seq: before + 1 });
    expect(await (await get("made/by/put.txt")).text()).toBe("two");
  });

  test("keeps an empty file [C2]", async () => {
    expect((await put("empty", "")).status).toBe(201);
    const response = await get("empty");
    expect(response.status).toBe(200);
    expect(response.headers.get("etag")).toBe(`"${sha256("")}"`);
    expect(await response.text()).toBe("");
  });

  test("keeps a large file's bytes, streamed in pieces [H7]", async () => {
    const bytes = largeBytes(3_000_000);
    let offset = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (offset >= bytes.length) return controller.close();
        controller.enqueue(bytes.slice(offset, offset + 70_001));
        offset += 70_001;
      },
    });
    expect((await fixture.call("PUT", url("large"), { body })).status).toBe(201);
    const whole = await (await get("large")).arrayBuffer();
    expect(Buffer.from(whole).equals(Buffer.from(bytes))).toBe(true);
    const part = await get("large", { range: "bytes=1234567-2345678" });
    expect(part.status).toBe(206);
    const expected = Buffer.from(bytes.slice(1_234_567, 2_345_679));
    expect(Buffer.from(await part.arrayBuffer()).equals(expected)).toBe(true);
  });

  test.each([
    "a b+c&d=e?f#g%20.txt",
    "ümläut 😀.txt",
    "line\nfeed\x1b[31m.txt",
    "-rf",
    "quote\"'.txt",
  ])("keeps the name %j [N3]", async (name) => {
    expect((await put(name, name)).status).toBe(201);
    const response = await get(name);
    expect(await response.text()).toBe(name);
    const disposition = response.headers.get("content-disposition") ?? "";
    expect(disposition).toMatch(/^attachment; filename\*=UTF-8''[A-Za-z0-9%._~!-]+$/);
    expect(decodeURIComponent(disposition.slice("attachment; filename*=UTF-8''".length))).toBe(
      name,
    );
  });

  test("reads a plus in the query as a space, as forms write it [H7]", async () => {
    await put("with space", "x");
    expect((await fixture.call("GET", `${BASE}/files?path=with+space`)).status).toBe(200);
  });

  const conditions: [name: string, headers: Record<string, string>, status: number][] = [
    ["If-Match of the current bytes", { "if-match": `"${sha256("base")}"` }, 200],
    ["If-Match of a list", { "if-match": `"x", "${sha256("base")}"` }, 200],
    ["If-Match: *", { "if-match": "*" }, 200],
    ["If-Match of other bytes", { "if-match": `"${sha256("old")}"` }, 412],
    ["If-Match of a weak tag", { "if-match": `W/"${sha256("base")}"` }, 412],
    ["If-Match of a foreign tag", { "if-match": '"abc"' }, 412],
    ["If-Match without quotes", { "if-match": sha256("base") }, 400],
    ["If-None-Match: *", { "if-none-match": "*" }, 412],
    ["If-None-Match with a tag", { "if-none-match": `"${sha256("base")}"` }, 400],
    ["Content-Range", { "content-range": "bytes 0-1/4" }, 400],
    ["Content-Encoding", { "content-encoding": "gzip" }, 415],
    ["a form", { "content-type": "multipart/form-data; boundary=x" }, 415],
  ];
  test.each(conditions)("with %s [H7]", async (_name, headers, status) => {
    await put("conditional", "base");
    const response = await put("conditional", "next", headers);
    expect(response.status).toBe(status);
    expect(await (await get("conditional")).text()).toBe(status === 200 ? "next" : "base");
  });

  test("If-Match: * wants a file, If-None-Match: * wants none [H7]", async () => {
    expect((await put("absent", "x", { "if-match": "*" })).status).toBe(412);
    expect((await put("absent", "x", { "if-none-match": "*" })).status).toBe(201);
  });

  test("refuses a parent that is a file and a target that is a directory [O3]", async () => {
    await put("file", "x");
    await put("dir/inner", "x");
    const below = await problemOf(await put("file/below", "x"));
    expect(below).toMatchObject({ status: 409, code: "parent_not_directory" });
    const onto = await problemOf(await put("dir", "x"));
    expect(onto).toMatchObject({ status: 409, code: "kind_change" });
  });
});

describe("GET files", () => {
  beforeAll(async () => {
    await put("ten", "0123456789");
  });

  const ranges: [range: string, status: number, body: string, contentRange?: string][] = [
    ["bytes=0-0", 206, "0", "bytes 0-0/10"],
    ["bytes=2-4", 206, "234", "bytes 2-4/10"],
    ["bytes=7-", 206, "789", "bytes 7-9/10"],
    ["bytes=7-99", 206, "789", "bytes 7-9/10"],
    ["bytes=-3", 206, "789", "bytes 7-9/10"],
    ["bytes=-99", 206, "0123456789", "bytes 0-9/10"],
    ["bytes=10-", 416, "", "bytes */10"],
    ["bytes=-0", 416, "", "bytes */10"],
    ["bytes=99999999999999-", 416, "", "bytes */10"],
    ["bytes=4-2", 200, "0123456789"],
    ["bytes=-", 200, "0123456789"],
    ["bytes=a-b", 200, "0123456789"],
    ["bytes=0-1,3-4", 200, "0123456789"],
    ["lines=0-1", 200, "0123456789"],
  ];
  test.each(ranges)(
    "answers Range: %s with %d [H7]",
    async (range, status, body, contentRange = "") => {
      const response = await get("ten", { range });
      expect(response.status).toBe(status);
      expect(response.headers.get("content-range")).toBe(contentRange === "" ? null : contentRange);
      if (status === 416) expect((await problemOf(response)).code).toBe("range_not_satisfiable");
      else expect(await response.text()).toBe(body);
    },
  );

  test("If-Range serves the part only of the same bytes [H7]", async () => {
    const same = await get("ten", { range: "bytes=0-1", "if-range": `"${sha256("0123456789")}"` });
    expect(same.status).toBe(206);
    const other = await get("ten", { range: "bytes=0-1", "if-range": `"${sha256("x")}"` });
    expect(other.status).toBe(200);
  });

  const tag = `"${sha256("0123456789")}"`;
  const conditions: [name: string, headers: Record<string, string>, status: number][] = [
    ["If-None-Match of these bytes", { "if-none-match": tag }, 304],
    ["a weak If-None-Match", { "if-none-match": `W/${tag}` }, 304],
    ["a list", { "if-none-match": `"x" , ${tag}` }, 304],
    ["If-None-Match: *", { "if-none-match": "*" }, 304],
    ["If-None-Match of other bytes", { "if-none-match": `"${sha256("x")}"` }, 200],
    ["If-Match of these bytes", { "if-match": tag }, 200],
    ["If-Match of other bytes", { "if-match": `"${sha256("x")}"` }, 412],
    ["words", { "if-none-match": "words" }, 400],
    ["a tag that makes a matcher backtrack", { "if-none-match": `${'"x",'.repeat(1000)}!` }, 400],
    ["many spaces", { "if-none-match": `"x"${" ".repeat(8000)}!` }, 400],
  ];
  test.each(conditions)("with %s answers as RFC 9110 says [H7]", async (_name, headers, status) => {
    const response = await get("ten", headers);
    expect(response.status).toBe(status);
    if (status === 304) expect(response.headers.get("etag")).toBe(tag);
  });

  test("HEAD has the headers and no body [H7]", async () => {
    const response = await fixture.call("HEAD", url("ten"));
    expect(response.status).toBe(200);
    expect(response.headers.get("content-length")).toBe("10");
    expect(response.headers.get("etag")).toBe(tag);
    expect(await response.text()).toBe("");
  });

  test("never lets a browser run what it gets (B70) [H7]", async () => {
    await put("page.html", "<script>alert(1)</script>");
    const { headers } = await get("page.html");
    expect(headers.get("content-type")).toBe("application/octet-stream");
    expect(headers.get("content-disposition")).toStartWith("attachment");
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
  });

  test("serves the version that was current at an event, and contents by digest [H7]", async () => {
    await put("versions", "first");
    const first = await head();
    await put("versions", "second");
    await fixture.call("DELETE", url("versions"));
    const second = (await head()) - 1;
    expect((await get("versions")).status).toBe(404);
    expect(await (await fixture.call("GET", `${url("versions")}&seq=${first}`)).text()).toBe(
      "first",
    );
    expect(await (await fixture.call("GET", `${url("versions")}&seq=${second}`)).text()).toBe(
      "second",
    );
    const content = await fixture.call("GET", `${BASE}/contents/${sha256("first")}`);
    expect(await content.text()).toBe("first");
    const history = await fixture.call("GET", `${BASE}/history?path=versions`);
    const { versions } = (await history.json()) as { versions: { kind: string; seq: number }[] };
    expect(versions.map(({ kind }) => kind)).toEqual(["delete", "modify", "create"]);
  });

  test("a directory is not a file [H7]", async () => {
    await put("directory/inner", "x");
    expect(await problemOf(await get("directory"))).toMatchObject({
      status: 404,
      code: "not_found",
    });
  });
});

describe("DELETE files", () => {
  test("deletes once; then it is not there [H7]", async () => {
    await put("gone", "x");
    expect((await fixture.call("DELETE", url("gone"))).status).toBe(204);
    expect((await fixture.call("DELETE", url("gone"))).status).toBe(404);
    expect((await get("gone")).status).toBe(404);
  });

  test("refuses a directory with something in it, and takes an empty one [O3]", async () => {
    await put("full/inner", "x");
    const refused = await problemOf(await fixture.call("DELETE", url("full")));
    expect(refused).toMatchObject({ status: 409, code: "directory_not_empty" });
    await fixture.call("DELETE", url("full/inner"));
    expect((await fixture.call("DELETE", url("full"))).status).toBe(204);
  });

  test("If-Match of other bytes leaves the file [H7]", async () => {
    await put("kept", "x");
    const headers = { "if-match": `"${sha256("y")}"` };
    expect((await fixture.call("DELETE", url("kept"), { headers })).status).toBe(412);
    expect((await get("kept")).status).toBe(200);
  });
});

describe("GET index", () => {
  test("pages through everything, now and as of an event [H4]", async () => {
    const now = await head();
    const whole = await fixture.call("GET", `${BASE}/index?limit=5000`);
    const all = (await whole.json()) as { seq: number; entries: { path: string }[]; next?: string };
    expect(all.seq).toBe(now);
    expect(all.next).toBeUndefined();
    const paths: string[] = [];
    let after = "";
    for (let page = 0; page < 100; page++) {
      const query = after === "" ? "" : `&after=${encodeURIComponent(after)}`;
      const response = await fixture.call("GET", `${BASE}/index?limit=3&seq=${now}${query}`);
      const { entries, next } = (await response.json()) as typeof all;
      expect(entries.length).toBeLessThanOrEqual(3);
      paths.push(...entries.map(({ path }) => path));
      if (next === undefined) break;
      after = next;
    }
    expect(paths).toEqual(all.entries.map(({ path }) => path));
    expect(paths.length).toBeGreaterThan(5);
    const empty = await fixture.call("GET", `${BASE}/index?seq=0`);
    expect(((await empty.json()) as typeof all).entries).toEqual([]);
  });
});
