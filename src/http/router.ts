/**
 * The router, however it is served: admission, routing, the checks that each endpoint declares, and
 * errors.
 * Rules: H1-H8. Handlers are in the route files. Nothing here knows what a route does.
 */
import { type Context, Hono } from "hono";
import { NOTHING } from "../core/access.ts";
import { SyncedError } from "../core/error.ts";
import { type FolderName, parseFolderName } from "../core/identifier.ts";
import { PACK_MEDIA_TYPE } from "../protocol/pack.ts";
import { authorise, createAdmission } from "./admission.ts";
import { problemAnswer } from "./answer.ts";
import { archiveRoutes } from "./archive-routes.ts";
import { Audit } from "./audit.ts";
import { checkBodyHeaders } from "./body.ts";
import {
  type Call,
  type Caller,
  type Endpoint,
  EVENT_STREAM_TYPE,
  FOLDER_SEGMENT,
  type Method,
  type Route,
  type RouterOptions,
} from "./endpoint.ts";
import { eventRoutes } from "./event-routes.ts";
import { fileRoutes } from "./file-routes.ts";
import { inviteRoutes } from "./invite-routes.ts";
import { jsonRoutes } from "./json-routes.ts";
import { linkRoutes } from "./link-routes.ts";
import { CallMemory, MemoryBudget } from "./memory-budget.ts";
import { countRequest, metricsRoutes } from "./metrics.ts";
import { objectRoutes } from "./object-routes.ts";
import { orderRoutes } from "./order-routes.ts";
import { pageRoutes } from "./page-routes.ts";
import { planRoutes } from "./plan-routes.ts";
import { parseQuery, rawPath } from "./target.ts";
import { timeRoutes } from "./time-routes.ts";
import { bearerOf } from "./token-check.ts";
import { tokenRoutes } from "./token-routes.ts";

export type { RouterOptions } from "./endpoint.ts";

/** Every route, for the router and for tests that try all of them. */
export function allRoutes(options: RouterOptions): readonly Route[] {
  return [
    ...jsonRoutes(options),
    ...eventRoutes(options),
    ...objectRoutes(options),
    ...fileRoutes(options),
    ...timeRoutes(options),
    ...planRoutes(options),
    ...archiveRoutes(options),
    ...inviteRoutes(options),
    ...tokenRoutes(options),
    ...linkRoutes(options),
    ...orderRoutes(options),
    ...metricsRoutes(options.metrics),
    ...pageRoutes(options.page),
  ];
}

export interface Router {
  /** @param from the address at the other end; callers in this process have none */
  readonly fetch: (request: Request, from?: Origin) => Response | Promise<Response>;
}

interface Origin {
  readonly peer?: string | undefined;
}

export function createRouter(options: RouterOptions): Router {
  const all = allRoutes(options);
  const admit = createAdmission(options, all);
  const budget = new MemoryBudget(options.clock, options.signal);
  const audit = new Audit(options);
  const app = new Hono<{ Bindings: Origin }>({ getPath: rawPath });
  const requestIds = new WeakMap<Request, string>();
  const routes = new WeakMap<Request, Route>();
  const callers = new WeakMap<Request, Caller>();
  app.use(async (context, next) => {
    const startMs = options.clock.monotonic();
    await next();
    // The error that a handler threw is an answer by now.
    const { raw, method } = context.req;
    const { status } = context.res;
    const route = routes.get(raw);
    countRequest(options, { method, route: route?.pattern }, { status, startMs });
    if (route === undefined || !isForAdmins(route, method)) return;
    const { token, address } = callers.get(raw) ?? {};
    audit.note({ method, path: context.req.path, status, token, address });
  });
  app.use(async (context, next) => {
    if (options.signal.aborted) {
      throw new SyncedError("temporarily_unavailable", "The server is stopping");
    }
    const { raw, path } = context.req;
    const looking = options.tokens?.lookFor(bearerOf(raw.headers.get("authorization")));
    if (looking !== undefined) await looking;
    callers.set(raw, admit(raw, path, context.env.peer));
    await next();
  });
  for (const route of all) {
    app.all(route.pattern, (context) => {
      const requestId = options.random.id();
      requestIds.set(context.req.raw, requestId);
      routes.set(context.req.raw, route);
      const caller = callers.get(context.req.raw) ?? { grant: NOTHING };
      const confirm = () => {
        if (caller.token !== undefined) options.tokens?.confirm(caller.token);
      };
      const memory = new CallMemory(budget);
      const admitted = { requestId, caller, confirm, memory, stopping: options.signal };
      return answer(route, context, admitted, options.formerNames);
    });
  }
  app.notFound(() => {
    const error = new SyncedError("not_found", "Cannot answer: there is no such route");
    return problemAnswer(error, options.random.id());
  });
  app.onError((error, context) => {
    const requestId = requestIds.get(context.req.raw) ?? options.random.id();
    const response = problemAnswer(error, requestId);
    const code = error instanceof SyncedError ? error.code : "internal";
    options.instruments?.problem(code);
    // A crowd is no fault, and a line for each of its requests would fill the log.
    const isFault = response.status >= 500 && code !== "temporarily_unavailable";
    if (isFault) options.onError(error, requestId);
    return response;
  });
  return { fetch: (request, from = {}) => app.fetch(request, from) };
}

async function answer(
  route: Route,
  context: Context,
  admitted: Pick<Call, "requestId" | "caller" | "confirm" | "memory" | "stopping">,
  formerNames: RouterOptions["formerNames"],
): Promise<Response> {
  const request = context.req.raw;
  const segments = context.req.path.split("/");
  const endpoint = endpointOf(route, request.method);
  const asked = folderIn(route, segments);
  authorise(admitted.caller.grant, endpoint.needs, asked);
  const present = asked === undefined ? undefined : formerNames?.get(asked);
  const isRenamed = asked !== undefined && present !== undefined;
  checkBodyHeaders(request, endpoint.takes);
  checkAccept(request, endpoint.answers);
  const query = parseQuery(request, endpoint.parameters ?? []);
  const named = isRenamed
    ? { formerName: parseFolderName(asked), segments: withFolder(route, segments, present) }
    : { segments };
  try {
    return await endpoint.handle({ ...admitted, request, ...named, query });
  } finally {
    admitted.memory.release();
  }
}

function isForAdmins({ methods }: Route, method: string): boolean {
  return isMethod(method) && methods[method]?.needs === "admin";
}

/** The raw segment that stands for the folder in the route's pattern, if one does. */
function folderIn({ pattern }: Route, segments: readonly string[]): string | undefined {
  const index = pattern.split("/").indexOf(FOLDER_SEGMENT);
  return index === -1 ? undefined : segments[index];
}

function withFolder(
  { pattern }: Route,
  segments: readonly string[],
  name: FolderName,
): readonly string[] {
  return segments.with(pattern.split("/").indexOf(FOLDER_SEGMENT), name);
}

function endpointOf(route: Route, method: string): Endpoint {
  const { methods } = route;
  if (method === "HEAD" && methods.GET?.head === true) return methods.GET;
  const endpoint = isMethod(method) ? methods[method] : undefined;
  if (endpoint !== undefined) return endpoint;
  const allowed: string[] = Object.keys(methods);
  if (methods.GET?.head === true) allowed.push("HEAD");
  throw new SyncedError("method_not_allowed", `Cannot use ${method} here`, {
    extensions: { allow: allowed.join(", ") },
  });
}

function isMethod(method: string): method is Method {
  return method === "GET" || method === "PUT" || method === "POST" || method === "DELETE";
}

const ANSWER_TYPES: Readonly<Record<NonNullable<Endpoint["answers"]>, readonly string[]>> = {
  json: ["application/json"],
  pack: [PACK_MEDIA_TYPE],
  events: ["application/json", EVENT_STREAM_TYPE],
  // A file may be of any type: a requester that asks for an image may well get one.
  bytes: [],
};

/**
 * @throws {SyncedError} `not_acceptable` if the requester names types and ours is not among them.
 */
function checkAccept(request: Request, answers: Endpoint["answers"] = "json"): void {
  const accept = request.headers.get("accept");
  const types = ANSWER_TYPES[answers];
  if (accept === null || accept.trim() === "" || types.length === 0) return;
  for (const item of accept.toLowerCase().split(",", 100)) {
    const [range = "", ...parameters] = item.split(";").map((part) => part.trim());
    if (parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))) continue;
    if (
      range === "*/*" ||
      types.some((type) => type === range || type.startsWith(wildcard(range)))
    ) {
      return;
    }
  }
  throw new SyncedError(
    "not_acceptable",
    `Cannot answer with another type than ${types.join(", ")}`,
  );
}

/** "application/" for "application/*"; for anything else a text with which no type begins. */
function wildcard(range: string): string {
  return range.endsWith("/*") ? range.slice(0, -1) : " ";
}
