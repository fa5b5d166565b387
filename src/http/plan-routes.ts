/** Plans over HTTP: shown by POST, done by PUT under the name that was shown. Rules: E9-E11, H4, H8. */
import { SyncedError } from "../core/error.ts";
import { type DeviceId, parseId } from "../core/identifier.ts";
import { PLAN_BODY_BYTES_MAX, PLAN_STEPS_PER_PAGE } from "../core/limits.ts";
import { parsePlanApplication, parsePlanRequest } from "../protocol/parse-plan.ts";
import { parseSequenceText } from "../protocol/parse-request.ts";
import { readJson } from "./body.ts";
import { type Route, type RouterOptions, segment, sendingOf } from "./endpoint.ts";
import { folderOf, limitOf } from "./json-routes.ts";
import { answerInTurn } from "./list-page.ts";
import { Turns } from "./turns.ts";

const PLAN_ID = /^[0-9a-f]{32}$/;

export function planRoutes(options: RouterOptions): readonly Route[] {
  const { history, clock } = options;
  if (history === undefined) return [];
  // A large plan takes some 100 MB while it is made.
  const turns = new Turns(clock, 1);
  const bounds = { bytesMax: PLAN_BODY_BYTES_MAX, clock };
  return [
    {
      pattern: "/v1/folders/:folder/plans",
      methods: {
        POST: {
          needs: "read",
          parameters: ["offset", "limit", "device"],
          takes: "json",
          async handle(call) {
            const folder = folderOf(call);
            const offset = parseSequenceText(call.query.get("offset") ?? "0", "offset");
            const limit = limitOf(call, PLAN_STEPS_PER_PAGE);
            const text = call.query.get("device");
            const device = text === undefined ? undefined : parseId<DeviceId>(text);
            const request = parsePlanRequest(await readJson(call, bounds));
            const asked = { request, device, offset, limit };
            const plan = () => history.showPlan(folder, asked);
            return await answerInTurn(plan, { turns, ...sendingOf(options, call) });
          },
        },
      },
    },
    {
      pattern: "/v1/folders/:folder/plans/:plan",
      methods: {
        PUT: {
          needs: "write",
          takes: "json",
          async handle(call) {
            const folder = folderOf(call);
            const id = segment(call, 5);
            if (!PLAN_ID.test(id)) {
              throw new SyncedError(
                "invalid_id",
                "Cannot use the plan's id: expected 32 hex digits",
              );
            }
            const application = parsePlanApplication(await readJson(call, bounds));
            const done = () => history.applyPlan(folder, { id, application });
            return await answerInTurn(done, { turns, ...sendingOf(options, call) });
          },
        },
      },
    },
  ];
}
