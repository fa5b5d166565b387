/** Routes of orders: a person gives one, the device asks for it and says when it is done. Rules: V9. */
import { type DeviceId, type OrderId, parseId } from "../core/identifier.ts";
import type { OrderPlace } from "../ports/order-store.ts";
import { parseOrder } from "../protocol/parse-request.ts";
import { emptyAnswer, jsonAnswer } from "./answer.ts";
import { readJson } from "./body.ts";
import { type Call, type Route, type RouterOptions, segment } from "./endpoint.ts";
import { folderOf } from "./json-routes.ts";

const ORDER_BODY_BYTES_MAX = 1024;

export function orderRoutes({ orders, sequencer, clock }: RouterOptions): readonly Route[] {
  if (orders === undefined) return [];
  const placeOf = async (call: Call): Promise<OrderPlace> => {
    const { epoch } = await sequencer.folder(folderOf(call));
    return { epoch, device: parseId<DeviceId>(segment(call, 5)) };
  };
  const pattern = "/v1/folders/:folder/devices/:device/orders";
  return [
    {
      pattern,
      methods: {
        GET: {
          needs: "read",
          handle: async (call) =>
            jsonAnswer({
              orders: orders
                .waitingFor(await placeOf(call))
                .map(({ id, time, order }) => ({ id, time, order })),
            }),
        },
      },
    },
    {
      pattern: `${pattern}/:order`,
      methods: {
        PUT: {
          needs: "write",
          takes: "json",
          async handle(call) {
            const place = await placeOf(call);
            const id = parseId<OrderId>(segment(call, 7));
            const body = await readJson(call, { bytesMax: ORDER_BODY_BYTES_MAX, clock });
            await orders.give(place, id, parseOrder(body));
            return emptyAnswer(204);
          },
        },
        // The device says that it is done. It may be one that only reads.
        DELETE: {
          needs: "read",
          async handle(call) {
            await orders.done(await placeOf(call), parseId<OrderId>(segment(call, 7)));
            return emptyAnswer(204);
          },
        },
      },
    },
  ];
}
