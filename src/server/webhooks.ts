/**
 * Tells receivers of changes, beside sync: the log is read, never waited for. Each webhook has one
 * delivery at a time, in the log's order, from a durable cursor, until the receiver has taken it.
 * Rules: W1-W4.
 *
 * Write order: must: how far the delivery goes, then the request, then the cursor. A kill between
 * them sends the same events once more, under the same id.
 */
import { SyncedError } from "../core/error.ts";
import {
  WEBHOOK_POLL_MS,
  WEBHOOK_RETRY_MS_MAX,
  WEBHOOK_RETRY_MS_MIN,
  WEBHOOK_TROUBLE_LENGTH_MAX,
} from "../core/limits.ts";
import { parseWebhookFilter } from "../core/webhook.ts";
import type { Clock } from "../ports/clock.ts";
import type { MetadataStore } from "../ports/metadata-store.ts";
import type { Random } from "../ports/random.ts";
import type { Transport } from "../ports/transport.ts";
import type { Webhook, WebhookId, WebhookStore } from "../ports/webhook-store.ts";
import type { Sequencer } from "./sequencer.ts";
import { deliver, type FollowedLog, lookForMessage } from "./webhook-delivery.ts";

export interface WebhooksOptions {
  readonly store: WebhookStore;
  readonly metadata: MetadataStore;
  readonly sequencer: Pick<Sequencer, "subscribeAll">;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly random: Random;
  /** Called once for each trouble until it is over, and when it is over. */
  readonly onNotice: (notice: WebhookNotice) => void;
}

export interface WebhookNotice {
  readonly code: "webhook_trouble" | "webhook_stopped" | "webhook_delivered";
  readonly id: WebhookId;
  readonly message: string;
}

export interface Webhooks {
  /** Ends the request under way. The next start sends it again. */
  stop(): Promise<void>;
}

export function startWebhooks(options: WebhooksOptions): Webhooks {
  return new Teller(options);
}

/** The tries of one webhook since a delivery succeeded. */
interface Tries {
  count: number;
  /** In milliseconds of `clock.monotonic`. */
  nextAt: number;
}

const FOLDERS_PER_PAGE = 1000;

class Teller implements Webhooks {
  readonly #options: WebhooksOptions;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  readonly #tries = new Map<WebhookId, Tries>();
  /** Webhooks whose deliveries are under way, each in its own turn. */
  readonly #busy = new Map<WebhookId, Promise<void>>();
  #woken = new AbortController();

  constructor(options: WebhooksOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#woken.abort();
    await this.#running;
    await Promise.all(this.#busy.values());
    // If PostgreSQL is away, the turn ends by itself.
    await this.#options.store.turn?.leave().catch(ignoreTrouble);
  }

  async #run(): Promise<void> {
    const { clock, sequencer } = this.#options;
    const unsubscribe = sequencer.subscribeAll(() => this.#woken.abort());
    while (!this.#stopping.signal.aborted) {
      this.#woken = new AbortController();
      await this.#beginAll().catch(ignoreTrouble);
      await clock.sleep(WEBHOOK_POLL_MS, this.#woken.signal);
    }
    unsubscribe();
  }

  async #beginAll(): Promise<void> {
    const { store } = this.#options;
    // Commands add and remove webhooks in the store meanwhile.
    const webhooks = store.webhooks().filter(({ isStopped }) => !isStopped);
    if (webhooks.length === 0) return;
    if (store.turn !== undefined && !(await store.turn.take())) return;
    const logs = await this.#logs();
    for (const webhook of webhooks) this.#begin(webhook, logs);
  }

  async #logs(): Promise<readonly FollowedLog[]> {
    const logs: FollowedLog[] = [];
    for (let after: FollowedLog["folder"] | undefined; ; ) {
      const limit = FOLDERS_PER_PAGE;
      const page = await this.#options.metadata.folders(
        after === undefined ? { limit } : { after, limit },
      );
      for (const { folder, head } of page)
        logs.push({ folder: folder.name, epoch: head.epoch, head: head.seq });
      after = page.at(-1)?.folder.name;
      if (page.length < limit) return logs;
    }
  }

  /** One receiver that is slow or away does not hold up another. */
  #begin(webhook: Webhook, logs: readonly FollowedLog[]): void {
    const { id } = webhook;
    if (this.#busy.has(id)) return;
    let tries = this.#tries.get(id);
    // It was failing when the server ended.
    if (tries === undefined && webhook.failingSinceMs !== undefined) {
      tries = { count: 0, nextAt: 0 };
      this.#tries.set(id, tries);
    }
    if (tries !== undefined && this.#options.clock.monotonic() < tries.nextAt) return;
    const telling = this.#tell(webhook, logs).finally(() => this.#busy.delete(id));
    this.#busy.set(id, telling);
  }

  async #tell(webhook: Webhook, logs: readonly FollowedLog[]): Promise<void> {
    const own = logs.filter((log) => this.#isAbout(webhook, log));
    try {
      for (const log of own) {
        let isBehind = true;
        while (isBehind && !this.#stopping.signal.aborted) {
          const done = await this.#deliverNext(webhook, log);
          if (done === "failed") return;
          isBehind = done === "more";
          await this.#options.clock.yield();
        }
      }
    } catch (error) {
      // The store's trouble: the server as a whole learns of it elsewhere, and this is tried again.
      const why = error instanceof Error ? error.message : String(error);
      await this.#fail(webhook, why).catch(ignoreTrouble);
    }
  }

  #isAbout({ folders }: Webhook, { folder }: FollowedLog): boolean {
    if (folders === "all") return true;
    const { formerNames } = this.#options.metadata;
    return folders.some((name) => name === folder || formerNames.get(name) === folder);
  }

  async #deliverNext(webhook: Webhook, log: FollowedLog): Promise<"more" | "none" | "failed"> {
    const { store, metadata } = this.#options;
    const { epoch, head } = log;
    const found = await store.cursor(webhook.id, epoch);
    const known = found ?? { webhook: webhook.id, epoch, seq: 0 };
    if (known.seq > head) {
      // An older backup of the log is here: from its end on all is news again.
      await store.setCursor({ webhook: webhook.id, epoch, seq: head }, "full");
      return "none";
    }
    if (known.seq === head) return "none";
    const filter = parseWebhookFilter(webhook.filter);
    const looked = await lookForMessage(metadata, log, { cursor: known, filter });
    if (looked === undefined) return "none";
    const { last, message } = looked;
    const done = { webhook: webhook.id, epoch, seq: last };
    if (message === undefined) {
      const isKept = await store.setCursor(done, "normal");
      return isKept && last < head ? "more" : "none";
    }
    if (!(await store.setCursor({ ...known, sendingTo: last }, "full"))) return "none";
    const outcome = await deliver(this.#options, webhook, message, this.#stopping.signal);
    if (this.#stopping.signal.aborted && outcome.kind !== "delivered") return "failed";
    if (outcome.kind === "failed") {
      await this.#fail(webhook, outcome.why);
      return "failed";
    }
    if (outcome.kind === "stopped") {
      await this.#stop(webhook);
      return "failed";
    }
    const isKept = await store.setCursor(done, "full");
    await this.#recover(webhook);
    return isKept && last < head ? "more" : "none";
  }

  async #fail(webhook: Webhook, why: string): Promise<void> {
    const { clock, random, store, onNotice } = this.#options;
    const { id } = webhook;
    const { count } = this.#tries.get(id) ?? { count: 0 };
    const delay = Math.min(WEBHOOK_RETRY_MS_MIN * 2 ** count, WEBHOOK_RETRY_MS_MAX);
    const nextAt = clock.monotonic() + delay * (0.5 + random.fraction() / 2);
    this.#tries.set(id, { count: Math.min(count + 1, 16), nextAt });
    if (count > 0) return;
    const trouble = why.slice(0, WEBHOOK_TROUBLE_LENGTH_MAX);
    const failingSinceMs = webhook.failingSinceMs ?? clock.now();
    const message = `Cannot deliver to webhook ${id}: ${trouble}; trying again until it works`;
    onNotice({ code: "webhook_trouble", id, message });
    await store.setState(id, { failingSinceMs, trouble, isStopped: false });
  }

  async #stop({ id }: Webhook): Promise<void> {
    const { store, onNotice } = this.#options;
    await store.setState(id, { trouble: "it answered 410", isStopped: true });
    const message = `Webhook ${id} answered 410, gone: nothing more is sent to it`;
    onNotice({ code: "webhook_stopped", id, message });
  }

  async #recover({ id }: Webhook): Promise<void> {
    if (!this.#tries.delete(id)) return;
    const { store, onNotice } = this.#options;
    await store.setState(id, { isStopped: false });
    onNotice({ code: "webhook_delivered", id, message: `Webhook ${id} takes deliveries again` });
  }
}

/** The store is away. The server as a whole learns of it elsewhere, and this is tried again. */
function ignoreTrouble(error: unknown): void {
  if (!(error instanceof SyncedError)) throw error;
}
