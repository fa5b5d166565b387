/**
 * OrderStore: orders that wait for the devices that they are for. Rules: V9. Look-ups are
 * synchronous; writes are durable when they resolve.
 */
import type { DeviceOrder, GivenOrder } from "../core/device-order.ts";
import type { DeviceId, Epoch, OrderId } from "../core/identifier.ts";

/** A device of one folder. The epoch stays when the folder is renamed. */
export interface OrderPlace {
  readonly epoch: Epoch;
  readonly device: DeviceId;
}

export interface WaitingOrder extends GivenOrder {
  readonly device: DeviceId;
}

export interface OrderStore {
  /**
   * Takes the place of an order on the same subject. Forgets those that are too old by then.
   *
   * @returns false if too many wait in that folder; nothing is kept then
   */
  give(place: OrderPlace, given: NewOrder): Promise<boolean>;
  /** By device. @param sinceMs older ones do not count */
  waiting(epoch: Epoch, sinceMs: number): readonly WaitingOrder[];
  /** No error if there is no such order. */
  done(place: OrderPlace, id: OrderId): Promise<void>;
  /** Calls `listener` for each order that another server gave. Absent where there is none. */
  watch?(listener: (place: OrderPlace) => void): void;
  close(): void;
}

export interface NewOrder {
  readonly id: OrderId;
  readonly order: DeviceOrder;
  /** Milliseconds since 1970. */
  readonly givenMs: number;
  /** Orders from before then are too old. */
  readonly sinceMs: number;
}
