/**
 * The typed client of the routes about the past, of files by path and content, and of plans, for
 * commands. Each answer is checked before it is handed out. Rules: H1, H4, G5, E3-E11.
 */
import { z } from "zod/mini";
import type { DeviceOrder } from "../core/device-order.ts";
import { DEVICE_KINDS } from "../core/device-state.ts";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { DeviceId, FolderName, OrderId } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import { type ExchangeOptions, type Outgoing, send, sendForJson } from "./exchange.ts";
import {
  type LinkInfo,
  type LinkRequest,
  linksSchema,
  type MadeLink,
  madeLinkSchema,
} from "./link-messages.ts";
import type { Hello } from "./messages.ts";
import { parseHello } from "./parse-answer.ts";
import {
  type PlanAnswer,
  type PlanApplication,
  type PlanRequest,
  type PlanResult,
  planAnswerSchema,
  planResultSchema,
} from "./plan-messages.ts";
import { ServerUrls } from "./server-urls.ts";
import {
  type ConflictsAnswer,
  conflictsAnswerSchema,
  type DiffAnswer,
  diffAnswerSchema,
  type HistoryAnswer,
  historyAnswerSchema,
  type ListAnswer,
  type LogAnswer,
  listAnswerSchema,
  logAnswerSchema,
  type MomentAnswer,
  momentAnswerSchema,
} from "./time-answers.ts";

export interface PastApiOptions extends Pick<ExchangeOptions, "transport" | "clock"> {
  /** As `ServerUrls` takes them. */
  readonly serverUrl: string;
  readonly folder: FolderName;
  readonly token?: string | undefined;
  /** Ends every request. @default nothing does */
  readonly signal?: AbortSignal | undefined;
}

/** Parameters of a GET; those that are undefined are left out. */
export type Query = Readonly<Record<string, string | number | undefined>>;

const count = z.int().check(z.minimum(0));
const deviceSchema = z.object({
  device: z.string(),
  name: z.string(),
  seenTime: z.string(),
  applied: z.object({ epoch: z.string(), seq: count }),
  /** These only of devices that say how they are. */
  kind: z.optional(z.enum(DEVICE_KINDS)),
  settled: z.optional(z.boolean()),
  problems: z.optional(count),
  held: z.optional(z.object({ direction: z.enum(["up", "down"]), reason: z.string(), count })),
  paused: z.optional(z.object({ until: z.optional(z.string()) })),
});
export type SeenDevice = z.infer<typeof deviceSchema>;
const devicesSchema = z.object({ devices: z.array(deviceSchema), next: z.optional(z.string()) });
const folderSchema = z.object({ epoch: z.string(), head: count });
const waitSchema = z.object({
  seq: count,
  reached: z.boolean(),
  devices: z.array(
    z.object({
      device: z.string(),
      name: z.string(),
      applied: count,
      settled: z.boolean(),
      seenTime: z.string(),
    }),
  ),
});
export type WaitedFor = z.infer<typeof waitSchema>;

export interface PastApi {
  /** Sends no token. */
  hello(): Promise<Hello>;
  /** The log, and the seq of its last event. */
  folder(): Promise<z.infer<typeof folderSchema>>;
  /** The seq of the last event. */
  head(): Promise<Sequence>;
  list(query: Query): Promise<ListAnswer>;
  log(query: Query): Promise<LogAnswer>;
  moment(query: Query): Promise<MomentAnswer>;
  diff(query: Query): Promise<DiffAnswer>;
  history(query: Query): Promise<HistoryAnswer>;
  conflicts(query: Query): Promise<ConflictsAnswer>;
  /** All that ever reported to the folder. */
  devices(): Promise<readonly SeenDevice[]>;
  /** Answers once the devices have what the log says up to an event, or after `within` seconds. */
  wait(query: Query): Promise<WaitedFor>;
  /** The bytes as they come. The caller checks them against the digest. */
  content(sha256: Digest): AsyncGenerator<Uint8Array, void, undefined>;
  /** @param page `device` is who asks */
  plan(
    request: PlanRequest,
    page: { readonly offset: number; readonly device: DeviceId },
  ): Promise<PlanAnswer>;
  apply(id: string, application: PlanApplication): Promise<PlanResult>;
  makeLink(request: LinkRequest): Promise<MadeLink>;
  links(): Promise<readonly LinkInfo[]>;
  revokeLink(id: string): Promise<void>;
  /** Gives a device an order; the same order again under the same id is one. */
  order(device: DeviceId, id: OrderId, order: DeviceOrder): Promise<void>;
}

/** The server may index history, or compute a plan of 100,000 steps, before it answers. */
const IDLE_MS = 300_000;
/** A thousand rows with the longest paths. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;
const JSON_TYPE = "application/json";
const BYTES = "application/octet-stream";

/** Makes no request. */
export function createPastApi(options: PastApiOptions): PastApi {
  const { transport, clock, folder, token } = options;
  const servers = new ServerUrls(options.serverUrl);
  const exchange = { transport, clock, servers };
  const base = `/v1/folders/${folder}`;
  const { signal = new AbortController().signal } = options;
  const patience = { idleMs: IDLE_MS, signal };
  const credentials = token === undefined ? {} : { token };

  function get(path: string, query: Query = {}): Outgoing {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) parameters.set(name, String(value));
    }
    const search = parameters.size === 0 ? "" : `?${parameters}`;
    const place = `${base}${path}${search}`;
    return { method: "GET", path: place, accept: JSON_TYPE, ...patience, ...credentials };
  }
  async function ask<Answer>(request: Outgoing, schema: z.ZodMiniType<Answer>): Promise<Answer> {
    const answer = await sendForJson(exchange, request, ANSWER_BYTES_MAX);
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    const place = issue === undefined ? "" : `: ${issue.path.join(".")}: ${issue.message}`;
    throw new SyncedError("protocol_violation", `Cannot use the server's answer${place}`);
  }
  function withBody(method: "POST" | "PUT", path: string, value: unknown): Outgoing {
    const body = JSON.stringify(value);
    return { ...get(path), method, contentType: JSON_TYPE, body };
  }
  return {
    async hello() {
      // Without the token, because the server's id is not known yet [G5].
      const request = { method: "GET", path: "/v1/hello", accept: JSON_TYPE, ...patience } as const;
      const ask = () => sendForJson(exchange, request, ANSWER_BYTES_MAX);
      return parseHello(await servers.any(ask), servers.current);
    },
    folder: () => ask(get(""), folderSchema),
    head: async () => (await ask(get(""), folderSchema)).head,
    list: (query) => ask(get("/list", query), listAnswerSchema),
    log: (query) => ask(get("/log", query), logAnswerSchema),
    moment: (query) => ask(get("/moment", query), momentAnswerSchema),
    diff: (query) => ask(get("/diff", query), diffAnswerSchema),
    history: (query) => ask(get("/history", query), historyAnswerSchema),
    conflicts: (query) => ask(get("/conflicts", query), conflictsAnswerSchema),
    async devices() {
      const found: SeenDevice[] = [];
      for (let after: string | undefined; ; ) {
        const limit = EVENTS_PER_PAGE_MAX;
        const page = await ask(get("/devices", { after, limit }), devicesSchema);
        for (const device of page.devices) found.push(device);
        if (page.next === undefined || page.devices.length === 0) return found;
        after = page.next;
      }
    },
    wait: (query) => ask(get("/wait", query), waitSchema),
    async *content(sha256) {
      const request = { ...get(`/contents/${sha256}`), accept: BYTES };
      yield* (await send(exchange, request, BYTES)).pieces();
    },
    plan: (request, { offset, device }) =>
      ask(withBody("POST", `/plans?offset=${offset}&device=${device}`, request), planAnswerSchema),
    makeLink: (request) => ask(withBody("POST", "/links", request), madeLinkSchema),
    links: async () => (await ask(get("/links"), linksSchema)).links,
    async revokeLink(id) {
      const request = { ...get(`/links/${encodeURIComponent(id)}`), method: "DELETE" } as const;
      const answer = await send(exchange, request, JSON_TYPE);
      // Read to its end, so that the connection can be used again.
      for await (const piece of answer.pieces()) void piece;
    },
    apply: (id, application) => ask(withBody("PUT", `/plans/${id}`, application), planResultSchema),
    async order(device, id, order) {
      const request = withBody("PUT", `/devices/${device}/orders/${id}`, order);
      const answer = await send(exchange, request, JSON_TYPE);
      for await (const piece of answer.pieces()) void piece;
    },
  };
}
