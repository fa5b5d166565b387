/**
 * A sound server behind a mouth that lies: what `lie` answers goes out in the server's place. So
 * everything else, and all that comes after, is as it should be.
 */
import { parseTreePage } from "../../src/protocol/parse-answer.ts";
import { LogWriter } from "../generate/logs.ts";
import { type Fixture, FOLDER, openFixture } from "../http/fixture.ts";

export type Lie = (
  request: Request,
  /** Path and query below `/v1`. */
  route: string,
) => Promise<Response | undefined> | Response | undefined;

export class LyingServer {
  lie: Lie = () => undefined;
  readonly url: string;
  /** Authorization headers that came, by route. */
  readonly authorised: string[] = [];
  /** Bodies of objects that came. */
  readonly sent: Buffer[] = [];
  /** Of held changes that devices reported. */
  readonly heldIds = new Set<string>();
  #cut = new AbortController();
  readonly #fixture: Fixture;
  readonly #listener: ReturnType<typeof Bun.serve>;

  private constructor(fixture: Fixture) {
    this.#fixture = fixture;
    this.#listener = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 60,
      maxRequestBodySize: 64 * 1024 * 1024,
      fetch: (request) => this.#answer(request),
    });
    this.url = `http://127.0.0.1:${this.#listener.port}`;
  }

  static async open(): Promise<LyingServer> {
    return new LyingServer(await openFixture());
  }

  async close(): Promise<void> {
    await this.#listener.stop(true);
    await this.#fixture.close();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    if (request.headers.has("authorization")) this.authorised.push(pathname);
    await this.#remember(request, pathname);
    const lie = await this.lie(request, `${pathname.replace("/v1", "")}${search}`);
    if (lie !== undefined) return lie;
    const answer = await this.#fixture.router.fetch(request);
    const isStream = answer.headers.get("content-type") === "text/event-stream";
    if (!isStream || answer.body === null) return answer;
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    answer.body.pipeTo(writable, { signal: this.#cut.signal }).catch(() => {});
    return new Response(readable, { headers: answer.headers });
  }

  async #remember(request: Request, path: string): Promise<void> {
    if (request.method === "POST" && path.endsWith("/chunks")) {
      this.sent.push(Buffer.from(await request.clone().arrayBuffer()));
    }
    if (request.method !== "PUT" || !/\/devices\/[0-9a-f]+$/.test(path)) return;
    for (const id of (await request.clone().text()).match(/(?<="id":")[0-9a-f]+/g) ?? []) {
      this.heldIds.add(id);
    }
  }

  /** Ends the event streams that are open. */
  cutStreams(): void {
    this.#cut.abort();
    this.#cut = new AbortController();
  }

  /** The true answer, to be changed. */
  async truth(request: Request): Promise<Record<string, unknown>> {
    const answer = await this.#fixture.router.fetch(request);
    return await answer.json();
  }

  /** Continues the true log. */
  async forger(): Promise<LogWriter> {
    const { epoch, head, hash } = await this.#fixture.sequencer.folder(FOLDER);
    const url = `http://127.0.0.1/v1/folders/default/tree?limit=5000`;
    const page = parseTreePage(await this.truth(new Request(url)), { limit: 5_000 });
    return new LogWriter({ epoch, seq: head, hash }, page.nodes);
  }

  async head(): Promise<number> {
    return (await this.#fixture.sequencer.folder(FOLDER)).head;
  }

  /** Somebody else's file. */
  async put(path: string, text: string): Promise<void> {
    const target = `/v1/folders/default/files?path=${encodeURIComponent(path)}`;
    const answer = await this.#fixture.call("PUT", target, { body: text });
    if (!answer.ok) throw new Error(`PUT ${path}: ${answer.status}`);
  }
}
