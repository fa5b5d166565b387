/**
 * SimNetwork: passes requests to the server's fetch handler in virtual time, and loses, delays,
 * repeats, cuts and refuses them by chance. Reordering comes from the delays. Rules: I28, F29-F37.
 */
import type { Transport } from "../../src/ports/transport.ts";
import type { Scheduler } from "./sim-clock.ts";
import type { SimRandom } from "./sim-random.ts";
import type { SimTrace } from "./sim-trace.ts";

/** Chances in [0, 1] for one request, and its delays. */
export interface NetworkWeather {
  readonly dropBefore: number;
  readonly dropAfter: number;
  readonly duplicate: number;
  readonly truncate: number;
  readonly unavailable: number;
  readonly portal: number;
  readonly streamBreak: number;
  readonly delayMs: number;
  readonly longDelay: number;
}

export const FAIR_WEATHER: NetworkWeather = {
  dropBefore: 0,
  dropAfter: 0,
  duplicate: 0,
  truncate: 0,
  unavailable: 0,
  portal: 0,
  streamBreak: 0,
  delayMs: 5,
  longDelay: 0,
};

/** The server's side, whatever incarnation runs now. */
export interface SimListener {
  /** Undefined while the server is down. */
  readonly handler: ((request: Request) => Promise<Response>) | undefined;
  /** Changes with every incarnation: answers of a dead one are lost. */
  readonly incarnation: number;
}

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
}

interface Parcel {
  readonly url: string;
  readonly method: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer> | undefined;
  readonly signal: AbortSignal;
}

const LONG_DELAY_MS = 20_000;

/** One client's process on the network. */
export class SimConnection {
  partitioned = false;
  weather: NetworkWeather = FAIR_WEATHER;
  readonly transport: Transport = (request) => this.#send(request);
  readonly #scheduler: Scheduler;
  readonly #random: SimRandom;
  readonly #trace: SimTrace;
  readonly #listener: SimListener;
  readonly #label: string;
  readonly #streams = new Set<(reason: string) => void>();
  readonly #listening = new Set<() => void>();
  #dead = false;

  constructor(parts: {
    scheduler: Scheduler;
    random: SimRandom;
    trace: SimTrace;
    listener: SimListener;
    label: string;
  }) {
    this.#scheduler = parts.scheduler;
    this.#random = parts.random;
    this.#trace = parts.trace;
    this.#listener = parts.listener;
    this.#label = parts.label;
  }

  /** The process is gone: nothing resolves any more. */
  kill(): void {
    this.breakStreams("killed");
    this.#dead = true;
    for (const unlisten of [...this.#listening]) unlisten();
  }

  /**
   * A request's signal with a listener is never collected, and with it the whole world.
   *
   * @returns what ends it; so does the end of the process.
   */
  #listen(signal: AbortSignal, heard: () => void): () => void {
    signal.addEventListener("abort", heard);
    const unlisten = () => {
      signal.removeEventListener("abort", heard);
      this.#listening.delete(unlisten);
    };
    this.#listening.add(unlisten);
    return unlisten;
  }

  breakStreams(reason: string): void {
    for (const stop of [...this.#streams]) stop(reason);
  }

  #delay(): number {
    if (this.#random.chance(this.weather.longDelay)) {
      this.#trace.count("net long delay");
      return this.#random.fraction() * LONG_DELAY_MS;
    }
    return Math.ceil(this.#random.fraction() * this.weather.delayMs);
  }

  #happens(what: keyof NetworkWeather): boolean {
    if (!this.#random.chance(this.weather[what])) return false;
    this.#trace.count(`net ${what}`);
    return true;
  }

  async #send(request: Request): Promise<Response> {
    if (this.#dead) return new Promise(() => {});
    const { url, method, headers, signal } = request;
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer());
    // As HTTP tells it.
    if (body !== undefined) headers.set("content-length", String(body.length));
    const parcel: Parcel = { url, method, headers, body, signal };
    return new Promise<Response>((resolve, reject) => {
      let open = true;
      const settle = (act: () => void) => {
        if (!open) return;
        open = false;
        unlisten();
        if (!this.#dead) act();
      };
      const onAbort = () => settle(() => reject(new DOMException("Aborted", "AbortError")));
      const unlisten = this.#listen(signal, onAbort);
      if (signal.aborted) return onAbort();
      const fail = (reason: string, delayMs: number) => {
        this.#scheduler.at(delayMs, () =>
          settle(() => reject(new TypeError(`Network: ${reason}`))),
        );
      };
      const answer = (response: Response) => settle(() => resolve(response));
      this.#travel(parcel, fail, answer);
    });
  }

  #travel(
    parcel: Parcel,
    fail: (reason: string, delayMs: number) => void,
    answer: (response: Response) => void,
  ): void {
    const what = `${this.#label} ${parcel.method} ${routeOf(parcel.url)}`;
    if (this.partitioned || this.#happens("dropBefore")) return fail("dropped", this.#delay());
    if (this.#happens("unavailable")) {
      const response = Response.json({ code: "temporarily_unavailable" }, { status: 503 });
      this.#scheduler.at(this.#delay(), () => answer(response));
      return;
    }
    if (this.#happens("portal")) {
      const headers = { "content-type": "text/html" };
      const response = new Response("<html>Please log in</html>", { headers });
      this.#scheduler.at(this.#delay(), () => answer(response));
      return;
    }
    const lost = this.#happens("dropAfter");
    const cut = this.#happens("truncate");
    if (this.#happens("duplicate"))
      this.#scheduler.at(this.#delay(), () => void this.#execute(parcel, () => {}));
    this.#scheduler.at(this.#delay(), () => {
      if (this.partitioned || this.#listener.handler === undefined) return fail("refused", 1);
      const incarnation = this.#listener.incarnation;
      void this.#execute(parcel, (response, status) => {
        this.#trace.add(`${this.#scheduler.now} ${what} -> ${status}`);
        if (lost || this.partitioned) return fail("answer lost", this.#delay());
        if ("body" in response && response instanceof Response)
          return answer(this.#stream(response, parcel));
        this.#scheduler.at(this.#delay(), () => {
          if (incarnation !== this.#listener.incarnation) return fail("reset", 0);
          answer(restored(response as Answer, cut ? this.#random.fraction() : 1));
        });
      }).catch(() => fail("reset", 1));
    });
  }

  /**
   * Runs the handler once; streams are handed on as they are, other answers once they are complete.
   */
  async #execute(
    parcel: Parcel,
    then: (answer: Response | Answer, status: number) => void,
  ): Promise<void> {
    const handler = this.#listener.handler;
    if (handler === undefined) return;
    const { url, method, headers, body } = parcel;
    const streaming = headers.get("accept")?.includes("text/event-stream") === true;
    const abort = new AbortController();
    if (streaming) this.#listen(parcel.signal, () => abort.abort());
    const init: RequestInit = { method, headers, signal: abort.signal };
    if (body !== undefined) init.body = body;
    const response = await handler(new Request(url, init));
    if (response.headers.get("content-type")?.startsWith("text/event-stream") === true) {
      then(response, response.status);
      return;
    }
    const bytes = new Uint8Array(await response.arrayBuffer());
    then({ status: response.status, headers: response.headers, body: bytes }, response.status);
  }

  /** Copies an event stream chunk by chunk, late but in order, until something breaks it. */
  #stream(response: Response, parcel: Parcel): Response {
    const source = response.body;
    if (source === null) return response;
    const reader = source.getReader();
    const scheduler = this.#scheduler;
    let open = true;
    let readyAt = scheduler.now;
    const { promise: broken, resolve: breakNow } = Promise.withResolvers<string>();
    const stop = (reason: string) => breakNow(reason);
    this.#streams.add(stop);
    this.#listen(parcel.signal, () => breakNow("aborted"));
    const target = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const end = (act: () => void) => {
          if (!open) return;
          open = false;
          this.#streams.delete(stop);
          void reader.cancel().catch(() => {});
          if (!this.#dead) act();
        };
        void broken.then((reason) =>
          end(() => controller.error(new TypeError(`Network: stream ${reason}`))),
        );
        const pump = async () => {
          for (;;) {
            const { done, value } = await reader.read();
            if (!open) return;
            readyAt = Math.max(readyAt, scheduler.now + this.#delay());
            if (done) {
              scheduler.at(readyAt - scheduler.now, () => end(() => controller.close()));
              return;
            }
            if (this.#happens("streamBreak")) return breakNow("broken");
            scheduler.at(readyAt - scheduler.now, () => {
              if (open && !this.#dead) controller.enqueue(value);
            });
          }
        };
        void pump().catch(() => breakNow("reset"));
      },
      cancel: () => breakNow("cancelled"),
    });
    return new Response(target, { status: response.status, headers: response.headers });
  }
}

/** What follows "http://server.test/v1/folders/", without the query. */
function routeOf(url: string): string {
  return url.split("?", 1)[0]?.split("/").slice(5).join("/") ?? "";
}

function restored(answer: Answer, share: number): Response {
  const { status, headers, body } = answer;
  const empty = status === 204 || status === 304;
  if (share === 1) return new Response(empty ? null : body, { status, headers });
  // A proxy that cuts an answer without a length: nothing but the content tells.
  const cut = new Headers(headers);
  cut.delete("content-length");
  const bytes = body.slice(0, Math.floor(body.length * share));
  return new Response(empty ? null : bytes, { status, headers: cut });
}
