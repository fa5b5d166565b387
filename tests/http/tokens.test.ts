/** Every endpoint with every kind of token that is not good enough for it, and good ones. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Access } from "../../src/core/access.ts";
import { sha256 } from "../../src/core/digest.ts";
import { type FolderName, parseFolderName } from "../../src/core/identifier.ts";
import { TOKEN_CHECK_INTERVAL_MS } from "../../src/core/limits.ts";
import type { Need } from "../../src/http/endpoint.ts";
import { allRoutes, createRouter } from "../../src/http/router.ts";
import type { MadeToken } from "../../src/server/tokens.ts";
import { failureOf } from "../failure.ts";
import {
  BASE,
  type CallOptions,
  expectProblem,
  type Fixture,
  FOLDER,
  id,
  openFixture,
  problemOf,
  TOKEN,
} from "./fixture.ts";

const OTHER = parseFolderName("other");
const DAY_MS = 86_400_000;

let fixture: Fixture;

beforeEach(async () => {
  fixture = await openFixture();
  await fixture.sequencer.createFolder(OTHER);
});

afterEach(async () => {
  expect(fixture.errors).toEqual([]);
  await fixture.close();
});

async function make(access: Access, ...folders: FolderName[]): Promise<MadeToken> {
  return await fixture.tokens.make({
    label: "",
    access,
    folders: folders.length === 0 ? "all" : folders,
  });
}

function bearer({ text }: Pick<MadeToken, "text">): { authorization: string } {
  return { authorization: `Bearer ${text}` };
}

interface Asked {
  readonly method: string;
  readonly pattern: string;
  readonly needs: Need;
}

/** Every endpoint that wants a token. */
function endpoints(): readonly Asked[] {
  const metrics = { expose: async () => ({ contentType: "text/plain", text: "" }) };
  return allRoutes({ ...fixture.options, metrics }).flatMap(({ pattern, methods }) =>
    Object.entries(methods)
      .map(([method, { needs }]) => ({ method, pattern, needs }))
      // A link admits by itself.
      .filter(({ needs }) => needs !== "nothing" && needs !== "link"),
  );
}

function pathOf({ pattern }: Asked, folder: string): string {
  return pattern
    .replace(":folder", folder)
    .replace(":device", id("device"))
    .replace(":sha256", sha256("x"));
}

/** Something that the endpoint would do, if it let this in. */
function requestTo({ method, pattern }: Asked): CallOptions {
  if (pattern.endsWith("/chunks")) return { headers: { "content-type": "text/plain" } };
  return method === "PUT" || method === "POST" ? { json: {} } : {};
}

async function ask(asked: Asked, folder: string, headers: Record<string, string>) {
  const metrics = { expose: async () => ({ contentType: "text/plain", text: "" }) };
  const router = createRouter({ ...fixture.options, metrics });
  const { json, headers: own } = requestTo(asked);
  const body = json === undefined ? undefined : { body: JSON.stringify(json) };
  return await router.fetch(
    new Request(`http://localhost${pathOf(asked, folder)}`, {
      method: asked.method,
      headers: { "content-type": "application/json", ...own, ...headers },
      ...body,
    }),
  );
}

/** Expects the same refusal of each endpoint, and that nothing has changed. */
async function expectRefusals(
  headers: Record<string, string>,
  expected: (asked: Asked) => readonly [status: number, code: string] | undefined,
  folder: string = FOLDER,
): Promise<void> {
  const heads = await fixture.sequencer.folders({ limit: 10 });
  let count = 0;
  for (const asked of endpoints()) {
    const refusal = expected(asked);
    if (refusal === undefined) continue;
    count += 1;
    const response = await ask(asked, folder, headers);
    const { code } = await problemOf(response);
    const { method, pattern } = asked;
    expect([method, pattern, response.status, code]).toEqual([method, pattern, ...refusal]);
  }
  expect(count).toBeGreaterThan(0);
  expect(await fixture.sequencer.folders({ limit: 10 })).toEqual(heads);
}

describe("every endpoint refuses", () => {
  test("no token, an unknown one, a wrong secret, a part of one [K2, K3]", async () => {
    const made = await make("admin");
    const wrong = [
      "",
      TOKEN,
      made.text.replace(/^sy-.{16}/, `sy-${"0".repeat(16)}`),
      made.text.replace(/.$/, (last) => (last === "0" ? "1" : "0")),
      made.text.slice(0, -1),
      made.text.slice(3),
      made.text.toUpperCase(),
      made.record.id,
    ];
    await expectRefusals({}, () => [401, "unauthenticated"]);
    for (const text of wrong) {
      await expectRefusals(bearer({ text }), () => [401, "unauthenticated"]);
    }
  });

  test("a revoked and an expired token, and says so to its holder only [K4]", async () => {
    const revoked = await make("admin");
    await fixture.tokens.revoke(revoked.record.id);
    const expired = await fixture.tokens.make({
      label: "",
      access: "admin",
      folders: "all",
      lifeMs: DAY_MS,
    });
    expect((await fixture.call("GET", BASE, { headers: bearer(expired) })).status).toBe(200);
    await fixture.clock.advance(DAY_MS);
    await expectRefusals(bearer(revoked), () => [401, "token_revoked"]);
    await expectRefusals(bearer(expired), () => [401, "token_expired"]);
    for (const { record } of [revoked, expired]) {
      const text = `sy-${record.id}-${"0".repeat(64)}`;
      await expectRefusals(bearer({ text }), () => [401, "unauthenticated"]);
    }
  });

  test("too little access [K1]", async () => {
    const refused = (allowed: readonly Need[]) => (asked: Asked) =>
      allowed.includes(asked.needs) ? undefined : ([403, "forbidden"] as const);
    await expectRefusals(bearer(await make("read")), refused(["token", "read"]));
    await expectRefusals(bearer(await make("read", FOLDER)), ({ needs, pattern }) => {
      const isAboutAll = !pattern.includes(":folder") && needs !== "token";
      return isAboutAll || needs === "write" ? [403, "forbidden"] : undefined;
    });
  });

  test("a folder out of reach, as one that does not exist, cold and warm [K1, I39]", async () => {
    const isAboutFolder = ({ pattern }: Asked) => pattern.includes(":folder");
    const refusal = (asked: Asked) =>
      isAboutFolder(asked) ? ([404, "folder_not_found"] as const) : undefined;
    const scoped = bearer(await make("admin", FOLDER));
    await expectRefusals(scoped, refusal, OTHER);
    const all = bearer(await make("admin"));
    for (const asked of endpoints()) {
      await ask(asked, OTHER, all);
      await ask(asked, FOLDER, scoped);
    }
    await expectRefusals(scoped, refusal, OTHER);
    for (const asked of endpoints().filter(isAboutFolder)) {
      const answers: unknown[] = [];
      for (const folder of [OTHER, "never"]) {
        const response = await ask(asked, folder, scoped);
        const { request_id, ...problem } = await problemOf(response);
        const text = JSON.stringify([problem, ...response.headers]);
        answers.push(text.replaceAll(request_id, "ID").replaceAll(folder, "FOLDER"));
      }
      expect(answers[0]).toEqual(answers[1]);
    }
  });
});

describe("a good token", () => {
  test("is let in to whatever its access allows, and lists only its folders [K1]", async () => {
    const read = bearer(await make("read", OTHER));
    const list = await fixture.call("GET", "/v1/folders", { headers: read });
    const { folders } = (await list.json()) as { folders: { name: string }[] };
    expect(folders.map(({ name }) => name)).toEqual([OTHER]);
    for (const asked of endpoints().filter(({ needs }) => needs === "read" || needs === "token")) {
      if (!asked.pattern.includes(":folder")) continue;
      const response = await ask(asked, OTHER, read);
      expect([401, 403]).not.toContain(response.status);
    }
    const newcomer = parseFolderName("newcomer");
    const write = bearer(await make("write", newcomer));
    const path = `/v1/folders/${newcomer}`;
    expect((await fixture.call("PUT", path, { headers: write })).status).toBe(201);
    expect((await fixture.call("PUT", path, { headers: write })).status).toBe(200);
  });

  test("is beside the server's own, and once there was one the server is not open [K3]", async () => {
    expect((await fixture.call("GET", BASE)).status).toBe(200);
    const made = await make("read");
    expect((await fixture.call("GET", BASE)).status).toBe(401);
    await fixture.tokens.revoke(made.record.id);
    expect((await fixture.call("GET", BASE)).status).toBe(401);
    const guarded = createRouter({ ...fixture.options, token: TOKEN });
    for (const { text } of [await make("read"), { text: TOKEN }]) {
      const request = new Request(`http://localhost${BASE}`, { headers: bearer({ text }) });
      expect((await guarded.fetch(request)).status).toBe(200);
    }
  });

  test("is noted with its last use and its devices [K5]", async () => {
    const { record, text } = await make("read", FOLDER);
    const { epoch, hash } = await fixture.sequencer.folder(FOLDER);
    const report = { name: "LAPTOP", applied: { epoch, seq: 0, hash } };
    const path = `${BASE}/devices/${id("laptop")}`;
    const options = { headers: bearer({ text }), json: report };
    expect((await fixture.call("PUT", path, options)).status).toBe(204);
    expect(fixture.tokens.check(text)).toEqual({ ...record, usedMs: fixture.clock.now() });
  });
});

describe("what is under way when a token is revoked [K4, I40]", () => {
  test("an upload is refused when it has arrived, and nothing is committed", async () => {
    const made = await make("write");
    const uploads: [string, string, string][] = [
      ["PUT", `${BASE}/files?path=a.txt`, "text/plain"],
      ["POST", `${BASE}/chunks`, "application/vnd.synced.pack"],
      ["POST", `${BASE}/ops`, "application/json"],
      ["PUT", "/v1/folders/brought", "application/json"],
    ];
    const before = await fixture.sequencer.folders({ limit: 10 });
    const answers = uploads.map(([method, path, type]) => {
      let more: (piece?: string) => void = () => undefined;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("{"));
          more = (piece) => {
            if (piece !== undefined) controller.enqueue(new TextEncoder().encode(piece));
            controller.close();
          };
        },
      });
      const headers = { ...bearer(made), "content-type": type };
      return { more, answer: fixture.call(method, path, { headers, body }) };
    });
    await fixture.clock.advance(10);
    await fixture.tokens.revoke(made.record.id);
    for (const { more, answer } of answers) {
      more("}");
      await expectProblem(await answer, 401, "token_revoked");
    }
    expect(await fixture.sequencer.folders({ limit: 10 })).toEqual(before);
  });

  test("its streams end within the time of a look, others stay", async () => {
    const revoked = await make("read");
    const kept = await make("read");
    const headers = { accept: "text/event-stream" };
    const open = async (made: MadeToken) => {
      const path = `${BASE}/events?after=0`;
      const response = await fixture.call("GET", path, {
        headers: { ...headers, ...bearer(made) },
      });
      const state = { ended: false };
      const reading = response.text().then(() => {
        state.ended = true;
      });
      return { state, reading };
    };
    const [first, second, other] = [await open(revoked), await open(revoked), await open(kept)];
    await fixture.clock.advance(TOKEN_CHECK_INTERVAL_MS);
    expect(first.state.ended).toBe(false);
    await fixture.tokens.revoke(revoked.record.id);
    await fixture.clock.advance(TOKEN_CHECK_INTERVAL_MS);
    await Promise.all([first.reading, second.reading]);
    expect(other.state.ended).toBe(false);
    fixture.stopping.abort();
    await other.reading;
  });

  test("a long download breaks off", async () => {
    const made = await make("write");
    const headers = bearer(made);
    const path = `${BASE}/files?path=large`;
    const body = new Uint8Array(12 * 1024 * 1024).map((_, index) => (index * index) >> 7);
    expect((await fixture.call("PUT", path, { headers, body })).status).toBe(201);
    const reader = (await fixture.call("GET", path, { headers })).body?.getReader();
    expect((await reader?.read())?.done).toBe(false);
    await fixture.tokens.revoke(made.record.id);
    const rest = (async () => {
      while (!(await reader?.read())?.done);
    })();
    expect(String(await failureOf(rest))).toContain("the token was revoked");
    expect(fixture.errors.splice(0)).toHaveLength(1);
  });
});

describe("an invitation [K12, B49]", () => {
  const redeem = (secret: string, label = "PHONE") =>
    fixture.call("POST", "/v1/invites/redeem", { json: { secret, label } });
  const invite = (label = "") =>
    fixture.tokens.invite({ label, access: "read", folders: [FOLDER], lifeMs: DAY_MS });

  test("becomes one token, with its grant and the device's name", async () => {
    const secret = await invite();
    const { token } = (await (await redeem(secret)).json()) as { token: string };
    expect(fixture.tokens.check(token)).toMatchObject({
      label: "PHONE",
      access: "read",
      folders: [FOLDER],
    });
    await expectProblem(await redeem(secret), 401, "unauthenticated");
    const labelled = (await (await redeem(await invite("mine"))).json()) as { token: string };
    expect(fixture.tokens.check(labelled.token).label).toBe("mine");
  });

  test("is one token's, however many ask at once", async () => {
    const secret = await invite();
    const answers = await Promise.all(Array.from({ length: 20 }, () => redeem(secret)));
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(19);
  });

  test("ends with its time, and is not guessed", async () => {
    const secret = await invite();
    for (const wrong of [secret.slice(1), secret.toUpperCase(), "", "0".repeat(64)]) {
      await expectProblem(await redeem(wrong), 401, "unauthenticated");
    }
    await fixture.clock.advance(DAY_MS);
    await expectProblem(await redeem(secret), 401, "unauthenticated");
    await expectProblem(await redeem(secret, ""), 400, "invalid_parameter");
  });

  test("alone does not close a server that is open yet, its token does [K3]", async () => {
    const secret = await invite();
    expect((await fixture.call("GET", BASE)).status).toBe(200);
    await redeem(secret);
    expect((await fixture.call("GET", BASE)).status).toBe(401);
  });
});
