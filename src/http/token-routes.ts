/** The routes of tokens, for admins of all folders. Rules: K1, K2, K4, K14. */
import { SyncedError } from "../core/error.ts";
import { EVENTS_PER_PAGE_MAX } from "../core/limits.ts";
import { formatTime } from "../core/time.ts";
import type { TokenRecord } from "../ports/token-store.ts";
import { parseTokenRequest } from "../protocol/token-request.ts";
import type { Tokens } from "../server/tokens.ts";
import { emptyAnswer, jsonAnswer } from "./answer.ts";
import { readJson } from "./body.ts";
import { type Call, type Route, type RouterOptions, segment, sendingOf } from "./endpoint.ts";
import { limitOf } from "./json-routes.ts";
import { answerInTurn } from "./list-page.ts";
import { Turns } from "./turns.ts";

const TOKENS_PATH = "/v1/tokens";
const BODY_BYTES_MAX = 128 * 1024;

/** Lists that are made at the same time. */
const LISTS_MAX = 2;

export function tokenRoutes(options: RouterOptions): readonly Route[] {
  const { tokens, clock } = options;
  if (tokens === undefined) return [];
  const turns = new Turns(clock, LISTS_MAX);
  return [
    {
      pattern: TOKENS_PATH,
      methods: {
        GET: {
          needs: "admin",
          parameters: ["after", "limit"],
          handle: (call) =>
            answerInTurn(() => tokensPage(tokens, call), {
              turns,
              ...sendingOf(options, call),
            }),
        },
        POST: {
          needs: "admin",
          takes: "json",
          async handle(call) {
            const body = await readJson(call, { bytesMax: BODY_BYTES_MAX, clock });
            const { record, text } = await tokens.make(parseTokenRequest(body));
            return jsonAnswer({ ...shown(record), token: text }, 201);
          },
        },
      },
    },
    {
      pattern: `${TOKENS_PATH}/:token`,
      methods: {
        DELETE: {
          needs: "admin",
          async handle(call) {
            const id = segment(call, 3);
            await tokens.refresh();
            if (tokens.find(id) === undefined) {
              throw new SyncedError("not_found", `Cannot revoke "${id}": there is no such token`);
            }
            await tokens.revoke(id);
            return emptyAnswer(204);
          },
        },
      },
    },
  ];
}

async function tokensPage(tokens: Tokens, call: Call): Promise<object> {
  await tokens.refresh();
  const limit = limitOf(call, EVENTS_PER_PAGE_MAX);
  const after = call.query.get("after");
  const first = after === undefined ? undefined : tokens.find(after)?.id;
  const all = tokens.list();
  const start = first === undefined ? 0 : all.findIndex(({ id }) => id === first) + 1;
  const page = all.slice(start, start + limit);
  const next = start + limit < all.length ? page.at(-1)?.id : undefined;
  return { tokens: page.map(shown), next };
}

/** Never the digest, whose secret somebody may have chosen badly in a later version. */
function shown({ id, label, access, folders, ...times }: TokenRecord) {
  const { createdMs, expiresMs, revokedMs, usedMs } = times;
  return {
    id,
    label,
    access,
    folders,
    created: formatTime(createdMs),
    expires: timeOf(expiresMs),
    revoked: timeOf(revokedMs),
    used: timeOf(usedMs),
  };
}

function timeOf(timeMs: number | undefined): string | undefined {
  return timeMs === undefined ? undefined : formatTime(timeMs);
}
