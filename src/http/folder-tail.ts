/**
 * The reads of all event streams of one folder. Nearly all streams stand at the same event nearly
 * all the time. They share one read of the log and one encoding, because otherwise a commit that
 * wakes 200 streams would be read and encoded 200 times. Rules: H5, H6, H9, H13.
 */
import type { ServedEvent } from "../core/event.ts";
import type { DeviceId, Epoch, FolderName } from "../core/identifier.ts";
import { STREAM_PIECE_BYTES } from "../core/limits.ts";
import type { Sequence } from "../core/node.ts";
import type { Clock } from "../ports/clock.ts";
import type { EventPage } from "../protocol/messages.ts";
import { inlinedBytes } from "../server/sequencer.ts";
import type { RouterOptions } from "./endpoint.ts";
import { Turns } from "./turns.ts";

export interface TailRequest {
  readonly after: Sequence;
  /** How many events are read from the log at once. */
  readonly limit: number;
  readonly inline: boolean;
  readonly epoch: Epoch;
  /** The reader. It knows its own events; of each run of them it only gets where the run ends. */
  readonly device: DeviceId | undefined;
}

/** Some events as a stream sends them. */
export interface TailPiece {
  /** Empty if there is nothing after the event that was asked for. */
  readonly bytes: Uint8Array;
  /** The last event in it, or that was passed over. */
  readonly next: Sequence;
}

type TailOptions = Pick<RouterOptions, "sequencer" | "instruments">;

interface Shared {
  readonly key: string;
  readonly after: Sequence;
  readonly page: Promise<TailPage>;
  /** The page when it was read. */
  loaded?: TailPage;
}

export class FolderTail {
  readonly #options: TailOptions;
  readonly #folder: FolderName;
  readonly #limits: TailLimits;
  readonly #end: () => void;
  #head: Sequence = 0;
  #shared: Shared | undefined;

  constructor(options: TailOptions, folder: FolderName, limits: TailLimits) {
    this.#options = options;
    this.#folder = folder;
    this.#limits = limits;
    this.#end = options.sequencer.subscribe(folder, (head) => {
      this.#head = Math.max(this.#head, head);
      // A page that ended at the old head may continue now.
      this.#shared = undefined;
    });
  }

  /** The last event that the log is known to have. It is renewed before any reader wakes. */
  get head(): Sequence {
    return this.#head;
  }

  /**
   * The next events for one stream, about as many as fit into a piece. A stream that waits for its
   * reader holds a piece and no page: a thousand of them may stand at a thousand events.
   *
   * @throws as `Sequencer.events` does
   */
  async read(request: TailRequest): Promise<TailPiece> {
    return await this.#limits.turns.take(async () => {
      const page = await this.#page(request);
      const { bytes, inlined, next } = await page.pieceAfter(request.after, request.device);
      this.#options.instruments?.bytesSent(inlined);
      return { bytes, next };
    });
  }

  /** Drops the page that is kept for the next reader. */
  forget(): void {
    this.#shared = undefined;
  }

  close(): void {
    this.#end();
    this.#limits.leaves(this);
  }

  #page(request: TailRequest): Promise<TailPage> {
    const { after, inline, epoch } = request;
    const key = `${inline}/${epoch}`;
    const known = this.#shared;
    const isFit = known?.after === after || known?.loaded?.covers(after) === true;
    if (known !== undefined && known.key === key && isFit) return known.page;
    const shared: Shared = { key, after, page: this.#load(request) };
    this.#shared = shared;
    this.#limits.keeps(this);
    shared.page.then(
      (page) => {
        shared.loaded = page;
      },
      () => {
        if (this.#shared === shared) this.#shared = undefined;
      },
    );
    return shared.page;
  }

  async #load({ after, limit, inline, epoch }: TailRequest): Promise<TailPage> {
    const { sequencer } = this.#options;
    // Read without bytes, because the reader decides whether they come along. An event gets them
    // when a reader wants it.
    const request = { after, limit, epoch, inline: false, splitsGroups: true };
    const page = await sequencer.events(this.#folder, request);
    this.#head = Math.max(this.#head, page.head);
    return new TailPage(this.#options, page, { after, inline });
  }
}

/** Bounds what the tails of all folders hold and do. */
export class TailLimits {
  readonly turns: Turns;
  readonly #holders = new Set<FolderTail>();

  constructor(clock: Clock) {
    this.turns = new Turns(clock, READERS_MAX);
  }

  /** Tells that a tail keeps a page. Another one may have to forget its own. */
  keeps(tail: FolderTail): void {
    this.#holders.delete(tail);
    this.#holders.add(tail);
    const [oldest] = this.#holders;
    if (oldest === undefined || this.#holders.size <= PAGES_KEPT_MAX) return;
    this.#holders.delete(oldest);
    oldest.forget();
  }

  leaves(tail: FolderTail): void {
    this.#holders.delete(tail);
  }
}

/** Streams that read and encode at the same time. The others hold no more than their buffer. */
const READERS_MAX = 8;
/** Pages that are kept for the next reader; each has up to 2 MiB. */
const PAGES_KEPT_MAX = 16;

/** Some events of the log. They are encoded when the first reader wants them. */
class TailPage {
  readonly #options: TailOptions;
  readonly #after: Sequence;
  readonly #next: Sequence;
  readonly #events: readonly ServedEvent[];
  readonly #inline: boolean;
  readonly #texts: (Promise<Text> | undefined)[] = [];
  /** Pieces for all who have no event of their own in this page, by where they begin. */
  readonly #pieces = new Map<Sequence, Promise<Piece>>();

  constructor(
    options: TailOptions,
    page: EventPage,
    { after, inline }: Pick<TailRequest, "after" | "inline">,
  ) {
    this.#options = options;
    this.#after = after;
    this.#next = page.next;
    this.#inline = inline;
    this.#events = page.events;
  }

  /** True if the event after that one is in this page. */
  covers(after: Sequence): boolean {
    return this.#after <= after && after < this.#next;
  }

  async pieceAfter(after: Sequence, reader: DeviceId | undefined): Promise<Piece> {
    const isShared = reader === undefined || this.#events.every(({ device }) => device !== reader);
    if (!isShared) return await this.#encode(after, reader);
    const known = this.#pieces.get(after);
    if (known !== undefined) return await known;
    const piece = this.#encode(after, undefined);
    this.#pieces.set(after, piece);
    // The next reader may succeed, so nothing of a failure is kept.
    piece.catch(() => this.#pieces.delete(after));
    return await piece;
  }

  async #encode(after: Sequence, reader: DeviceId | undefined): Promise<Piece> {
    let text = "";
    let inlined = 0;
    let next = after;
    const start = after - this.#after;
    for (let index = start; index < this.#events.length; index += EVENTS_ENCODED_AT_ONCE) {
      const events = this.#events.slice(index, index + EVENTS_ENCODED_AT_ONCE);
      const parts = await Promise.all(
        events.map((event, offset) => this.#partOf(event, index + offset, reader)),
      );
      for (const [offset, part] of parts.entries()) {
        text += part?.text ?? "";
        inlined += part?.inlined ?? 0;
        next = events[offset]?.seq ?? next;
        if (text.length >= STREAM_PIECE_BYTES)
          return { bytes: encoder.encode(text), inlined, next };
      }
    }
    return { bytes: encoder.encode(text), inlined, next };
  }

  #partOf(
    event: ServedEvent,
    index: number,
    reader: DeviceId | undefined,
  ): Text | Promise<Text> | undefined {
    if (event.device !== reader) return this.#textOf(event, index);
    return this.#events[index + 1]?.device === reader ? undefined : passed(event);
  }

  #textOf(event: ServedEvent, index: number): Promise<Text> {
    const known = this.#texts[index];
    if (known !== undefined) return known;
    const text = this.#encodeEvent(event);
    this.#texts[index] = text;
    text.catch(() => {
      this.#texts[index] = undefined;
    });
    return text;
  }

  async #encodeEvent(event: ServedEvent): Promise<Text> {
    const whole = this.#inline ? await this.#options.sequencer.withInline(event) : event;
    // JSON escapes line feeds, so an event is always one line.
    const text = `id: ${event.seq}\ndata: ${JSON.stringify(whole)}\n\n`;
    return { text, inlined: inlinedBytes(whole) };
  }
}

/** Their bytes are read together. */
const EVENTS_ENCODED_AT_ONCE = 16;

/** An event's text in a stream, and the number of file bytes in it. */
interface Text {
  readonly text: string;
  readonly inlined: number;
}

interface Piece extends TailPiece {
  readonly inlined: number;
}

const encoder = new TextEncoder();

function passed({ seq }: ServedEvent): Text {
  return { text: `id: ${seq}\ndata: {"passed":${seq}}\n\n`, inlined: 0 };
}
