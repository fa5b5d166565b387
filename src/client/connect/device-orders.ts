/**
 * DeviceOrders: fetches what people ask of this device from afar, has it done once, and tells the
 * server. Each contact with the server asks, and so does the stream's word. Rules: V9, V10.
 */
import type { DeviceOrder } from "../../core/device-order.ts";
import { SyncedError } from "../../core/error.ts";
import { KEPT, readKept, writeKept } from "../folder/kept-values.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { RemoteLog } from "./remote-log.ts";

/** Ids of orders that are remembered, so that none is obeyed twice: two may wait at a time. */
const OBEYED_MAX = 16;

export interface DeviceOrdersParts {
  readonly ports: Pick<ClientPorts, "store" | "api">;
  readonly log: RemoteLog;
  /** Durable when it resolves. An order that means nothing any more is obeyed by doing nothing. */
  readonly obey: (order: DeviceOrder) => Promise<void>;
}

export class DeviceOrders {
  readonly #parts: DeviceOrdersParts;
  #askedAtContact = 0;

  constructor(parts: DeviceOrdersParts) {
    this.#parts = parts;
  }

  /**
   * Call it while the server is there.
   *
   * @param contacts how often it was met
   * @throws {SyncedError} trouble with the server; the orders that are left come again
   */
  async take(contacts: number, signal: AbortSignal): Promise<void> {
    const { ports, log, obey } = this.#parts;
    const { api, store } = ports;
    if (this.#askedAtContact === contacts && !log.hasOrder) return;
    log.hasOrder = false;
    for (const { id, order } of await api.orders(log.device, signal)) {
      const obeyed = readKept(store, KEPT.obeyed) ?? [];
      if (!obeyed.includes(id)) {
        await obey(order);
        writeKept(store, KEPT.obeyed, [...obeyed, id].slice(-OBEYED_MAX));
      }
      await this.#tell(id, signal);
    }
    this.#askedAtContact = contacts;
  }

  async #tell(id: Parameters<ClientPorts["api"]["orderDone"]>[1], signal: AbortSignal) {
    const { ports, log } = this.#parts;
    try {
      await ports.api.orderDone(log.device, id, signal);
    } catch (cause) {
      // It comes again and is told again; a server that lost the folder says so elsewhere.
      if (!(cause instanceof SyncedError) || cause.code === "server_unreachable") throw cause;
    }
  }
}
