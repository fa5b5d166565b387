/**
 * Decides whether an answer that no synced server gives is about the server or about one body.
 * Rules: H11.
 *
 * Proxies refuse bodies because of their length, because a filter dislikes their content, or
 * because they take too long. Such an answer looks as if the server were not there. But a server
 * that answers all else is there, so asking it something else tells the two apart.
 */
import { SyncedError } from "../core/error.ts";
import { type Outgoing, strangeStatus } from "./exchange.ts";

const TOO_LARGE = 413;
const TOO_MANY_REQUESTS = 429;
const TOO_SLOW = 408;

interface Sending<Value> {
  /** The server, as a person knows it. */
  readonly place: string;
  /** Throws an error that is about the server as a whole. */
  readonly checkServer: (signal: AbortSignal) => Promise<void>;
  readonly request: Outgoing;
  /** Makes the request; the caller may make it again. */
  readonly ask: () => Promise<Value>;
}

/**
 * Makes a request whose parts may be requested alone.
 *
 * @throws {SyncedError} `body_refused` if the body was refused twice (once, if for its length) on
 * the way to a server that answers well otherwise; all else as `send`
 */
export async function sendBody<Value>(sending: Sending<Value>): Promise<Value> {
  const { checkServer, request, ask } = sending;
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await ask();
    } catch (error) {
      const status = strangeStatus(error);
      if (status === undefined || status === TOO_MANY_REQUESTS) throw error;
      await checkServer(request.signal);
      // The proxy may have looked for its server at a bad moment.
      if (isFirst && status !== TOO_LARGE) continue;
      throw refusal(sending, status, error);
    }
  }
}

function refusal(
  { place, request }: Pick<Sending<unknown>, "place" | "request">,
  status: number,
  cause: unknown,
): SyncedError {
  const isAnswer = request.path.endsWith("/fetch");
  const lengthBytes = (request.body?.length ?? 0).toLocaleString("en");
  const what = isAnswer
    ? "Cannot receive it: a proxy on the way from"
    : "Cannot send it: a proxy on the way to";
  const body = isAnswer ? "does not hand it on" : `refuses ${lengthBytes} bytes`;
  const message = `${what} ${place} ${body} (${status}); ${adviceOn(status)}`;
  return new SyncedError("body_refused", message, { cause, extensions: { status } });
}

function adviceOn(status: number): string {
  if (status === TOO_LARGE) {
    return "let larger bodies pass there, as with client_max_body_size 8m in nginx";
  }
  if (status === TOO_SLOW || status >= 500) return "see its log and its time limits";
  return "see its log, and whether a filter of requests is at work there";
}
