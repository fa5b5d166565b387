/** The route that turns an invitation into a token. Rules: K12. The invitation is what admits. */
import { INVITES_PATH } from "../protocol/invite.ts";
import { parseRedemption } from "../protocol/parse-request.ts";
import { jsonAnswer } from "./answer.ts";
import { readJson } from "./body.ts";
import type { Route, RouterOptions } from "./endpoint.ts";

const BODY_BYTES_MAX = 4 * 1024;

export function inviteRoutes({ tokens, clock }: RouterOptions): readonly Route[] {
  if (tokens === undefined) return [];
  return [
    {
      pattern: INVITES_PATH,
      methods: {
        POST: {
          needs: "nothing",
          takes: "json",
          async handle(call) {
            const body = await readJson(call, { bytesMax: BODY_BYTES_MAX, clock });
            const { secret, label } = parseRedemption(body);
            const { text } = await tokens.redeem(secret, label);
            return jsonAnswer({ token: text });
          },
        },
      },
    },
  ];
}
