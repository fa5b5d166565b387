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
    store.watch?.((place) => this.#wake(place));
  }

  /** @throws {SyncedError} `rate_limited` */
  async give(place: OrderPlace, id: OrderId, order: DeviceOrder): Promise<void> {
    const givenMs = this.#clock.now();
    const given = { id, order, givenMs, sinceMs: this.#sinceMs };
    const isGiven = await this.#store.give(place, given);
    if (!isGiven) {
      const message = "Cannot give the order: too many wait for the devices of this folder";
      throw new SyncedError("rate_limited", message);
    }
    this.#wake(place);
  }

  /** Of all devices of a folder, by device. */
  waiting(epoch: Epoch): readonly WaitingOrder[] {
    return this.#store.waiting(epoch, this.#sinceMs);
  }

  waitingFor({ epoch, device }: OrderPlace): readonly WaitingOrder[] {
    return this.waiting(epoch).filter((order) => order.device === device);
  }

  async done(place: OrderPlace, id: OrderId): Promise<void> {
    await this.#store.done(place, id);
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

  #wake(place: OrderPlace): void {
    for (const listener of this.#listeners.get(keyOf(place)) ?? []) listener();
  }

  get #sinceMs(): number {
    return this.#clock.now() - ORDER_LIFE_MS;
  }
}

function keyOf({ epoch, device }: OrderPlace): string {
  return `${epoch} ${device}`;
}
