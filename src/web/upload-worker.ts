/**
 * Uploads files in a thread of its own: cuts and hashes them, sends only chunks that the server
 * lacks, and then the ops that make the files. So a cut upload goes on where it stopped, and a
 * proxy never sees a body of more than a few MiB. Rules: C1, C2, C5, O7.
 */
import { Chunker } from "../core/chunker.ts";
import { type Digest, digestFromBytes, Sha256, sha256 } from "../core/digest.ts";
import { type BuiltManifest, ManifestBuilder } from "../core/manifest.ts";
import type { PackObject } from "../protocol/messages.ts";
import { encodePack, PACK_HEADER_BYTES, PACK_MEDIA_TYPE } from "../protocol/pack.ts";
import type {
  StoredContent,
  UploadJob,
  UploadNews,
  UploadRequest,
} from "./model/upload-messages.ts";

const READ_BYTES = 8 * 1024 * 1024;
const PACK_BYTES_TARGET = 4 * 1024 * 1024;
const OBJECTS_PER_PACK_MAX = 2000;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;
/** A server that is away for longer ends the upload; it goes on when the person asks for it. */
const ATTEMPTS_MAX = 40;

/** Objects that wait to be asked for and sent, of one file or of many small ones. */
class Sender {
  readonly #request: UploadRequest;
  #objects: PackObject[] = [];
  #bytes = 0;
  #settled: (() => void)[] = [];
  /** The packs that are on their way, one after the other; the first that fails ends all. */
  #sending: Promise<void> = Promise.resolve();

  constructor(request: UploadRequest) {
    this.#request = request;
  }

  /** @param onSent called once the server has the object */
  async add(object: PackObject, onSent: () => void): Promise<void> {
    this.#objects.push(object);
    this.#bytes += object.bytes.length + PACK_HEADER_BYTES;
    this.#settled.push(onSent);
    const isFull = this.#bytes >= PACK_BYTES_TARGET;
    if (isFull || this.#objects.length >= OBJECTS_PER_PACK_MAX) await this.flush();
  }

  /** Waits for the pack before, so that the next one is hashed while this one is sent. */
  async flush(): Promise<void> {
    const [objects, settled] = [this.#objects, this.#settled];
    this.#objects = [];
    this.#settled = [];
    this.#bytes = 0;
    const before = this.#sending;
    this.#sending = before.then(async () => {
      if (objects.length > 0) await this.#send(objects);
      for (const onSent of settled) onSent();
    });
    // Whoever flushes next hears of it.
    this.#sending.catch(() => undefined);
    await before;
  }

  async finish(): Promise<void> {
    await this.flush();
    await this.#sending;
  }

  /** Manifests come after the chunks that they name, as the order of `objects` is. */
  async #send(objects: readonly PackObject[]): Promise<void> {
    const chunks = objects.filter(({ depth }) => depth === 0);
    const missing = await this.#missing(chunks.map(({ digest }) => digest));
    const wanted = objects.filter(({ depth, digest }) => depth > 0 || missing.has(digest));
    const sent = new Set<string>();
    const once = wanted.filter(({ digest }) => !sent.has(digest) && sent.add(digest));
    for (const group of byDepth(once)) {
      // A browser with its tools open writes bytes out as text for them, but not a blob's.
      await this.#post("/chunks", new Blob([encodePack(group)]), PACK_MEDIA_TYPE);
    }
  }

  async #missing(digests: readonly Digest[]): Promise<ReadonlySet<string>> {
    if (digests.length === 0) return new Set();
    const body = JSON.stringify({ digests: [...new Set(digests)] });
    const response = await this.#post("/chunks/missing", body, "application/json");
    const answer: unknown = await response.json();
    const isAnswer = typeof answer === "object" && answer !== null && "missing" in answer;
    const list: unknown = isAnswer ? answer.missing : undefined;
    if (!Array.isArray(list)) throw new Error("The server's answer has another form: reload");
    return new Set(list.map(String));
  }

  async #post(path: string, body: string | Blob, type: string) {
    const { route, headers } = this.#request;
    let delayMs = RETRY_MS_MIN;
    for (let attempt = 1; ; attempt++) {
      const response = await fetch(route + path, {
        method: "POST",
        headers: { ...headers, "content-type": type },
        body,
      }).catch(() => undefined);
      if (response?.ok === true) return response;
      const isPassing = response === undefined || response.status >= 500 || response.status === 429;
      if (!isPassing || attempt === ATTEMPTS_MAX) throw new Error(await reasonOf(response));
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      delayMs = Math.min(2 * delayMs, RETRY_MS_MAX);
    }
  }
}

/** Packs of one depth each, lowest first: each holds what the next one lists. */
function byDepth(objects: readonly PackObject[]): PackObject[][] {
  const depths = [...new Set(objects.map(({ depth }) => depth))].sort((one, two) => one - two);
  return depths.map((wanted) => objects.filter(({ depth }) => depth === wanted));
}

async function reasonOf(response: Response | undefined): Promise<string> {
  if (response === undefined) return "The server does not answer";
  const body: unknown = await response.json().catch(() => undefined);
  const hasDetail = typeof body === "object" && body !== null && "detail" in body;
  return hasDetail ? String(body.detail) : `The server answers with status ${response.status}`;
}

async function upload(request: UploadRequest): Promise<void> {
  const sender = new Sender(request);
  const chunker = new Chunker(request.chunker);
  const ready: UploadNews[] = [];
  for (const job of request.jobs) {
    try {
      const content = await store(job, chunker, sender);
      ready.push({ kind: "stored", id: job.id, content });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      tell({ kind: "failed", id: job.id, reason });
    }
  }
  try {
    await sender.finish();
    for (const news of ready) tell(news);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    for (const news of ready)
      if (news.kind === "stored") tell({ kind: "failed", id: news.id, reason });
  }
  tell({ kind: "done" });
}

async function store(
  { id, file }: UploadJob,
  chunker: Chunker,
  sender: Sender,
): Promise<StoredContent> {
  const whole = new Sha256();
  const builder = new ManifestBuilder();
  let bytesSent = 0;
  for await (const bytes of chunksOf(file, chunker)) {
    whole.update(bytes);
    const digest = await digestOf(bytes);
    builder.push(digest, bytes.length);
    const onSent = () => {
      bytesSent += bytes.length;
      tell({ kind: "progress", id, bytes: bytesSent });
    };
    await sender.add({ depth: 0, digest, bytes }, onSent);
  }
  const built: BuiltManifest = builder.finish();
  for (const object of built.objects) await sender.add(object, () => undefined);
  return {
    kind: "file",
    manifest: built.manifest,
    depth: built.depth,
    sha256: whole.digest(),
    size: built.size,
    executable: false,
    mtimeNs: `${file.lastModified}000000`.replace(/^0+(?=.)/, ""),
  };
}

/** The browser's own is ten times as fast; on plain http of another machine it has none. */
async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<Digest> {
  if (!isSecureContext) return sha256(bytes);
  return digestFromBytes(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)));
}

async function* chunksOf(file: File, chunker: Chunker): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let rest = new Uint8Array(0);
  for (let offset = 0; offset < file.size; ) {
    const end = Math.min(offset + READ_BYTES, file.size);
    const read = new Uint8Array(await file.slice(offset, end).arrayBuffer());
    const buffer = new Uint8Array(rest.length + read.length);
    buffer.set(rest);
    buffer.set(read, rest.length);
    offset = end;
    let start = 0;
    for (;;) {
      const cut = chunker.cut(buffer, start, buffer.length, offset === file.size);
      if (cut === 0) break;
      yield buffer.slice(start, cut);
      start = cut;
    }
    rest = buffer.slice(start);
  }
}

function tell(news: UploadNews): void {
  postMessage(news);
}

addEventListener("message", (message: MessageEvent<UploadRequest>) => void upload(message.data));
