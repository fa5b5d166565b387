/** Buckets for tests: Ceph's, and one in this process that fails as it is told. */
import { AwsClient } from "aws4fetch";
import { parseBucketUrl } from "../../src/adapters/bucket/address.ts";
import { Bucket } from "../../src/adapters/bucket/client.ts";
import { createFetchTransport } from "../../src/adapters/network/fetch-transport.ts";
import { sha256 } from "../../src/core/digest.ts";

export const BUCKET_KEY = { id: "synced-test", secret: "secret-of-synced-test" };

/** @param url of the bucket, `s3://...` */
export function bucketAt(url: string): Bucket {
  return new Bucket(parseBucketUrl(url), BUCKET_KEY, createFetchTransport());
}

/** Makes a bucket, as its owner does. @param url `http://HOST:PORT/BUCKET` */
export async function makeBucket(url: string): Promise<void> {
  const { id: accessKeyId, secret: secretAccessKey } = BUCKET_KEY;
  const signer = new AwsClient({ accessKeyId, secretAccessKey, service: "s3" });
  const response = await fetch(await signer.sign(url, { method: "PUT" }));
  if (!response.ok) throw new Error(`No bucket: ${response.status} ${await response.text()}`);
}

/** An answer instead of the right one; "cut" breaks it off, "lost" does the work and hides it. */
export type BucketFault = { readonly status: number; readonly code: string } | "cut" | "lost";

/**
 * Speaks as much of S3 as is used, and looks at the digest that a request claims. What a signature
 * is worth, only a real one knows.
 */
export class SmallBucket {
  readonly objects = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly requests: string[] = [];
  /** The faults of the next requests. */
  readonly faults: BucketFault[] = [];
  readonly #server: Bun.Server<undefined>;

  constructor() {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request) => this.#answer(request),
    });
  }

  get url(): string {
    return `s3://127.0.0.1:${this.#server.port}/bucket/some/prefix`;
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const name = new URL(request.url).pathname.replace("/bucket/some/prefix/", "");
    this.requests.push(`${request.method} ${name}`);
    const body = new Uint8Array(await request.arrayBuffer());
    const fault = this.faults.shift();
    if (fault !== undefined && typeof fault !== "string") return refusal(fault);
    if (request.headers.get("x-amz-content-sha256") !== sha256(body)) {
      return refusal({ status: 400, code: "XAmzContentSHA256Mismatch" });
    }
    if (!(request.headers.get("authorization") ?? "").includes(BUCKET_KEY.id)) {
      return refusal({ status: 403, code: "AccessDenied" });
    }
    const right = this.#do(request, name, body);
    if (fault === "lost") return refusal({ status: 500, code: "InternalError" });
    return fault === "cut" ? cut(right) : right;
  }

  #do(request: Request, name: string, body: Uint8Array<ArrayBuffer>): Response {
    if (request.method === "PUT") {
      this.objects.set(name, body);
      return new Response();
    }
    if (request.method === "DELETE") {
      this.objects.delete(name);
      return new Response(null, { status: 204 });
    }
    const bytes = this.objects.get(name);
    if (bytes === undefined) return refusal({ status: 404, code: "NoSuchKey" });
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "") ?? [];
    if (Number(from) >= bytes.length) return refusal({ status: 416, code: "InvalidRange" });
    return new Response(bytes.slice(Number(from), Number(to) + 1), { status: 206 });
  }
}

function refusal({ status, code }: { readonly status: number; readonly code: string }): Response {
  return new Response(`<Error><Code>${code}</Code></Error>`, { status });
}

/** Ends in the middle of its body. */
function cut(response: Response): Response {
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      const bytes = new Uint8Array(await response.arrayBuffer());
      controller.enqueue(bytes.subarray(0, bytes.length >> 1));
      await Bun.sleep(20);
      controller.error(new Error("cut"));
    },
  });
  return new Response(body, { status: response.status });
}
