/**
 * The three calls to a bucket that speaks S3: put, get a range, delete. Rules: P8, P9.
 *
 * Whatever may pass is tried again: to put the same bytes under the same name twice, or to delete
 * twice, changes nothing.
 */
import { AwsClient } from "aws4fetch";
import { sha256 } from "../../core/digest.ts";
import { SyncedError } from "../../core/error.ts";
import { BUCKET_REQUESTS_MAX } from "../../core/limits.ts";
import type { Transport } from "../../ports/transport.ts";
import type { BucketAddress, BucketKey } from "./address.ts";

/** After so many tries, or so much time, the caller is told. */
const TRIES_MAX = 5;
const RETRY_MS = 100;
const RETRIES_END_MS = 20_000;
/** One try: until the bucket answers, and a slow line's time for the bytes. */
const ANSWER_MS_MAX = 10_000;
const BYTES_PER_MS_MIN = 128;
/** An error's XML: a code and a sentence. */
const REFUSAL_LENGTH_MAX = 2_000;

const NOT_FOUND = 404;
const PASSING: ReadonlySet<number> = new Set([408, 409, 425, 429, 500, 502, 503, 504]);
const FULL = /<Code>(?:QuotaExceeded|XMinioStorageFull|EntityTooLarge)<\/Code>/;

interface Outgoing {
  readonly method: "GET" | "PUT" | "DELETE";
  readonly name: string;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly range?: ByteRange;
}

/** A range of an object's bytes. */
export interface ByteRange {
  readonly at: number;
  readonly length: number;
}

/** One try's outcome that may be another the next time. */
class Passing extends Error {}

export class Bucket {
  readonly name: string;
  readonly #address: BucketAddress;
  readonly #signer: AwsClient;
  readonly #transport: Transport;
  readonly #waiting: (() => void)[] = [];
  #free = BUCKET_REQUESTS_MAX;

  constructor(address: BucketAddress, { id, secret }: BucketKey, transport: Transport) {
    this.name = address.name;
    this.#address = address;
    this.#transport = transport;
    this.#signer = new AwsClient({
      accessKeyId: id,
      secretAccessKey: secret,
      region: address.region,
      service: "s3",
      retries: 0,
    });
  }

  /** @throws {SyncedError} `temporarily_unavailable`, `storage_full` */
  async put(name: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#exchange({ method: "PUT", name, body });
  }

  /**
   * @returns the bytes; fewer than asked for if the object ends before; undefined if there is none
   * @throws {SyncedError} `temporarily_unavailable`
   */
  async get(name: string, range: ByteRange): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return await this.#exchange({ method: "GET", name, range });
  }

  /** It may be gone already. @throws {SyncedError} `temporarily_unavailable` */
  async delete(name: string): Promise<void> {
    await this.#exchange({ method: "DELETE", name });
  }

  async #exchange(outgoing: Outgoing): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const startedMs = performance.now();
    for (let tries = 1; ; tries += 1) {
      await this.#take();
      try {
        return await this.#try(outgoing);
      } catch (error) {
        const isPassing = error instanceof Passing || isUnreachable(error);
        if (!isPassing) throw error;
        const isLate = performance.now() - startedMs > RETRIES_END_MS;
        if (tries >= TRIES_MAX || isLate) throw this.#trouble(error.message);
      } finally {
        this.#give();
      }
      const waitMs = RETRY_MS * 2 ** (tries - 1) * (0.5 + Math.random());
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }

  async #try(outgoing: Outgoing): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const response = await this.#answer(await this.#request(outgoing));
    if (response.status === NOT_FOUND && outgoing.method !== "PUT") {
      const text = await textOf(response);
      if (/<Code>NoSuchBucket<\/Code>/.test(text)) throw this.#trouble("there is no such bucket");
      return undefined;
    }
    if (!response.ok) throw this.#refusal(response.status, await textOf(response));
    return await bytesOf(response, outgoing.range?.length ?? 0);
  }

  async #request({ method, name, body, range }: Outgoing): Promise<Request> {
    const url = `${this.#address.base}${name}`;
    const bytes = range?.length ?? body?.length ?? 0;
    const digest = sha256(body ?? new Uint8Array());
    const signed = await this.#signer.sign(url, {
      method,
      headers: { "x-amz-content-sha256": digest },
    });
    const headers = new Headers(signed.headers);
    if (range !== undefined) {
      headers.set("range", `bytes=${range.at}-${range.at + range.length - 1}`);
    }
    const signal = AbortSignal.timeout(ANSWER_MS_MAX + bytes / BYTES_PER_MS_MIN);
    const init = { method, headers, signal, redirect: "manual" } as const;
    return new Request(url, body === undefined ? init : { ...init, body });
  }

  async #answer(request: Request): Promise<Response> {
    try {
      return await this.#transport(request);
    } catch (error) {
      if (request.signal.aborted) throw new Passing("it does not answer");
      throw error;
    }
  }

  #refusal(status: number, text: string): Error {
    const code = /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(text)?.[1];
    const said = code === undefined ? `${status}` : `${status} ${code}`;
    if (PASSING.has(status) || code === "RequestTimeout") return new Passing(`it said ${said}`);
    if (status === 507 || FULL.test(text)) {
      return new SyncedError("storage_full", `The ${this.name} takes no more: it said ${said}`);
    }
    const advice =
      code === "RequestTimeTooSkewed"
        ? "set this machine's clock"
        : "check SYNCED_BUCKET_URL with its region, and that SYNCED_BUCKET_KEY may read, write " +
          "and delete there";
    return this.#trouble(`it said ${said}; ${advice}`);
  }

  #trouble(reason: string): SyncedError {
    const message = `Cannot use the ${this.name}: ${reason}. Nothing is lost; devices try again`;
    return new SyncedError("temporarily_unavailable", message);
  }

  async #take(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }
}

function isUnreachable(error: unknown): error is SyncedError {
  return error instanceof SyncedError && error.code === "server_unreachable";
}

async function textOf(response: Response): Promise<string> {
  return (await response.text().catch(() => "")).slice(0, REFUSAL_LENGTH_MAX);
}

async function bytesOf(response: Response, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await response.arrayBuffer());
  } catch {
    throw new Passing("its answer broke off");
  }
  const told = response.headers.get("content-length");
  if (told !== null && Number(told) !== bytes.length) throw new Passing("its answer broke off");
  if (bytes.length > bytesMax) throw new Passing("it sent more than was asked for");
  return bytes;
}
