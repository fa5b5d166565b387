/** Asks the server: adds the token, parses answers, and turns every failure into a `Problem`. */
import { signal } from "@preact/signals";
import type { ZodMiniType } from "zod/mini";
import { problemSchema } from "./answers.ts";

const TOKEN_KEY = "synced-token";

/** Stays in the tab: never in a cookie, an address or a store that outlives it [H30]. */
export const token = signal(sessionStorage.getItem(TOKEN_KEY) ?? "");
/** True once the server has refused the token, or its absence. */
export const isSignedOut = signal(false);

export function keepToken(text: string): void {
  token.value = text;
  if (text === "") sessionStorage.removeItem(TOKEN_KEY);
  else sessionStorage.setItem(TOKEN_KEY, text);
}

/** An answer that is no success, or none at all (then `status` is 0). */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId: string | undefined;
  /** Of `history_pending`: how much of the history is there, from 0 to 1. */
  readonly progress: number | undefined;

  constructor(
    status: number,
    code: string,
    detail: string,
    more: { readonly requestId?: string | undefined; readonly progress?: number | undefined } = {},
  ) {
    super(detail);
    this.status = status;
    this.code = code;
    this.requestId = more.requestId;
    this.progress = more.progress;
  }
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem(0, "internal", error instanceof Error ? error.message : String(error));
}

export interface Question {
  readonly method?: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export function authorization(): Readonly<Record<string, string>> {
  return token.value === "" ? {} : { authorization: `Bearer ${token.value}` };
}

/** @throws {Problem} */
export async function request(path: string, question: Question = {}): Promise<Response> {
  const { method = "GET", json, headers, signal: aborted } = question;
  const hasBody = json !== undefined;
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        ...authorization(),
        ...(hasBody ? { "content-type": "application/json" } : undefined),
        ...headers,
      },
      ...(hasBody ? { body: JSON.stringify(json) } : undefined),
      ...(aborted === undefined ? undefined : { signal: aborted }),
      cache: "no-store",
    });
  } catch (error) {
    if (aborted?.aborted === true) throw new Problem(0, "aborted", "Given up");
    const reason = error instanceof Error ? error.message : String(error);
    throw new Problem(0, "unreachable", `The server does not answer (${reason})`);
  }
  if (response.ok) return response;
  throw await readProblem(response);
}

async function readProblem(response: Response): Promise<Problem> {
  const { status } = response;
  const body: unknown = await response.json().catch(() => undefined);
  const parsed = problemSchema.safeParse(body);
  if (status === 401) isSignedOut.value = true;
  if (!parsed.success) return new Problem(status, "unknown", `The server answers ${status}`);
  const { code, detail, title, request_id: requestId, indexed, head } = parsed.data;
  const progress = indexed === undefined || head === undefined ? undefined : indexed / head;
  return new Problem(status, code, detail ?? title ?? code, { requestId, progress });
}

/** @throws {Problem} */
export async function ask<T>(
  schema: ZodMiniType<T>,
  path: string,
  question?: Question,
): Promise<T> {
  const response = await request(path, question);
  const body: unknown = await response.json();
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new Problem(response.status, "unreadable", "The server's answer has another form: reload");
}

/** `{a: 1, b: undefined}` becomes "a=1". */
export function query(values: Readonly<Record<string, string | number | undefined>>): string {
  return Object.entries(values)
    .flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(String(value))}`],
    )
    .join("&");
}

export function folderRoute(folder: string, rest = ""): string {
  return `/v1/folders/${encodeURIComponent(folder)}${rest}`;
}
