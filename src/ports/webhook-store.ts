/**
 * WebhookStore: whom the server tells of changes, and how far each was told. Durable, as
 * TokenStore, with which it lies; other processes change it meanwhile. Rules: W1-W4.
 */
import type { Brand } from "../core/brand.ts";
import type { Epoch, FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";

/** 16 lower-case hex digits. */
export type WebhookId = Brand<string, "WebhookId">;

export interface Webhook {
  readonly id: WebhookId;
  readonly url: string;
  /** `whsec_` and the key's bytes in base64. It signs, so it is kept as it is. */
  readonly secret: string;
  /** Such as `create,delete:photos/**`. */
  readonly filter: string;
  readonly folders: "all" | readonly FolderName[];
  /** Milliseconds since 1970, as all times here. */
  readonly createdMs: number;
  /** Set while deliveries fail: since when, and why. */
  readonly failingSinceMs?: number;
  readonly trouble?: string;
  /** True if the receiver answered 410: nothing more is sent. */
  readonly isStopped: boolean;
}

export type WebhookState = Pick<Webhook, "failingSinceMs" | "trouble" | "isStopped">;

/** Of several servers one tells. */
export interface TellersTurn {
  /** True if it is this one, for the next 15 s. Whoever tells asks every second. */
  take(): Promise<boolean>;
  leave(): Promise<void>;
}

/** How far a webhook was told of one log. */
export interface WebhookCursor {
  readonly webhook: WebhookId;
  readonly epoch: Epoch;
  /** Up to this event all was delivered, or did not match. */
  readonly seq: Sequence;
  /** The last event of the delivery under way, so that a retry is about the same events. */
  readonly sendingTo?: Sequence;
}

export interface WebhookStore {
  /** With the events from which on it is told, by log. Logs that are not named begin at 0. */
  addWebhook(webhook: Webhook, cursors: readonly WebhookCursor[]): Promise<void>;
  /** By time of creation. */
  webhooks(): readonly Webhook[];
  /** @returns false if there is none */
  removeWebhook(id: WebhookId): Promise<boolean>;
  cursor(webhook: WebhookId, epoch: Epoch): Promise<WebhookCursor | undefined>;
  /**
   * @param barrier "normal": a crash may forget it
   * @returns false if the webhook is gone, or another server tells: then nothing is written
   */
  setCursor(cursor: WebhookCursor, barrier: "full" | "normal"): Promise<boolean>;
  setState(id: WebhookId, state: WebhookState): Promise<void>;
  /** Absent where no other server has the same webhooks. */
  readonly turn?: TellersTurn;
}
