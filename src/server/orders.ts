/**
 * Orders: keeps what people ask of devices until the devices have done it, and tells whoever
 * listens for a device. Rules: V9.
 */
import type { DeviceOrder } from "../core/device-order.ts";
import { SyncedError } from "../core/error.ts";
import type { Epoch, OrderId } from "../core/identifier.ts";
import { ORDER_LIFE_MS } from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { OrderPlace, OrderStore, WaitingOrder } from "../ports/order-store.ts";

export class Orders {
  readonly #store: OrderStore;
  readonly #clock: Clock;
  readonly #listeners = new Map<string, Set<() => void>>();

  constructor({ store, clock }: { readonly store: OrderStore; readonly clock: Clock }) {
    this.#store = store;
    this.#clock = clock;
  }

  /** @throws {SyncedError} `rate_limited` */
  give(place: OrderPlace, id: OrderId, order: DeviceOrder): void {
    const givenMs = this.#clock.now();
    const isGiven = this.#store.give(place, { id, order, givenMs, sinceMs: this.#sinceMs });
    if (!isGiven) {
      const message = "Cannot give the order: too many wait for the devices of this folder";
      throw new SyncedError("rate_limited", message);
    }
    for (const listener of this.#listeners.get(keyOf(place)) ?? []) listener();
  }

  /** Of all devices of a folder, by device. */
  waiting(epoch: Epoch): readonly WaitingOrder[] {
    return this.#store.waiting(epoch, this.#sinceMs);
  }

  waitingFor({ epoch, device }: OrderPlace): readonly WaitingOrder[] {
    return this.waiting(epoch).filter((order) => order.device === device);
  }

  done(place: OrderPlace, id: OrderId): void {
    this.#store.done(place, id);
  }

  /** Calls `listener` for each order that is given to the device. @returns what ends that */
  subscribe(place: OrderPlace, listener: () => void): () => void {
    const key = keyOf(place);
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#listeners.get(key) === listeners) {
        this.#listeners.delete(key);
      }
    };
  }

  get #sinceMs(): number {
    return this.#clock.now() - ORDER_LIFE_MS;
  }
}

function keyOf({ epoch, device }: OrderPlace): string {
  return `${epoch} ${device}`;
}
