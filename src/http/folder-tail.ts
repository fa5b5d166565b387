/**
 * The reads of all event streams of one folder. Nearly all streams stand at the same event nearly
 * all the time. They share one read of the log and one encoding, because otherwise a commit that
 * wakes 200 streams would be read and encoded 200 times. Rules: H5, H6, H9, H13.
 */
import type { ServedEvent } from "../core/event.ts";
import type { DeviceId, Epoch, FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";
import type { EventPage } from "../protocol/messages.ts";
import { inlinedBytes } from "../server/sequencer.ts";
import type { RouterOptions } from "./endpoint.ts";

export interface TailRequest {
  readonly after: Sequence;
  readonly limit: number;
  readonly inline: boolean;
  readonly epoch: Epoch;
}

type TailOptions = Pick<RouterOptions, "sequencer" | "instruments">;

export class FolderTail {
  readonly #options: TailOptions;
  readonly #folder: FolderName;
  readonly #end: () => void;
  #head: Sequence = 0;
  #shared: { readonly key: string; readonly page: Promise<TailPage> } | undefined;

  constructor(options: TailOptions, folder: FolderName) {
    this.#options = options;
    this.#folder = folder;
    this.#end = options.sequencer.subscribe(folder, (head) => {
      this.#head = head;
      // A page that ended at the old head may continue now.
      this.#shared = undefined;
    });
  }

  /** The last event that the log is known to have. It is renewed before any reader wakes. */
  get head(): Sequence {
    return this.#head;
  }

  /** @throws as `Sequencer.events` does */
  read(request: TailRequest): Promise<TailPage> {
    const { after, limit, inline, epoch } = request;
    const key = `${after}/${limit}/${inline}/${epoch}`;
    if (this.#shared?.key === key) return this.#shared.page;
    const shared = { key, page: this.#load(request) };
    this.#shared = shared;
    shared.page.catch(() => {
      if (this.#shared === shared) this.#shared = undefined;
    });
    return shared.page;
  }

  close(): void {
    this.#end();
  }

  async #load(request: TailRequest): Promise<TailPage> {
    const { sequencer } = this.#options;
    // Read without bytes, because the reader decides whether they come along. An event gets them
    // when a reader wants it.
    const page = await sequencer.events(this.#folder, { ...request, inline: false });
    this.#head = Math.max(this.#head, page.head);
    return new TailPage(this.#options, page, request.inline);
  }
}

/** Some whole groups of the log. They are encoded when the first reader wants them. */
export class TailPage {
  readonly next: Sequence;
  readonly #options: TailOptions;
  readonly #events: readonly ServedEvent[];
  readonly #inline: boolean;
  readonly #texts: (Promise<Text> | undefined)[] = [];
  #whole: Promise<Piece> | undefined;

  constructor(options: TailOptions, page: EventPage, inline: boolean) {
    this.#options = options;
    this.#inline = inline;
    this.#events = page.events;
    this.next = page.next;
  }

  get isEmpty(): boolean {
    return this.#events.length === 0;
  }

  /**
   * @param reader knows its own events; of each run of them it only gets the seq where the run
   * ends.
   */
  async pieceFor(reader: DeviceId | undefined): Promise<Uint8Array> {
    const isShared = reader === undefined || this.#events.every(({ device }) => device !== reader);
    if (isShared) this.#whole ??= this.#encode(undefined);
    try {
      const { bytes, inlined } = await ((isShared && this.#whole) || this.#encode(reader));
      this.#options.instruments?.bytesSent(inlined);
      return bytes;
    } catch (error) {
      // The next reader may succeed, so nothing of the failure is kept.
      this.#whole = undefined;
      this.#texts.length = 0;
      throw error;
    }
  }

  async #encode(reader: DeviceId | undefined): Promise<Piece> {
    const texts: (Text | Promise<Text>)[] = [];
    for (const [index, event] of this.#events.entries()) {
      if (event.device !== reader) texts.push(this.#textOf(event, index));
      else if (this.#events[index + 1]?.device !== reader) texts.push(passed(event));
    }
    let text = "";
    let inlined = 0;
    for (const part of await Promise.all(texts)) {
      text += part.text;
      inlined += part.inlined;
    }
    return { bytes: encoder.encode(text), inlined };
  }

  #textOf(event: ServedEvent, index: number): Promise<Text> {
    const known = this.#texts[index];
    if (known !== undefined) return known;
    const text = this.#encodeEvent(event);
    this.#texts[index] = text;
    return text;
  }

  async #encodeEvent(event: ServedEvent): Promise<Text> {
    const whole = this.#inline ? await this.#options.sequencer.withInline(event) : event;
    // JSON escapes line feeds, so an event is always one line.
    const text = `id: ${event.seq}\ndata: ${JSON.stringify(whole)}\n\n`;
    return { text, inlined: inlinedBytes(whole) };
  }
}

/** An event's text in a stream, and the number of file bytes in it. */
interface Text {
  readonly text: string;
  readonly inlined: number;
}

interface Piece {
  readonly bytes: Uint8Array;
  readonly inlined: number;
}

const encoder = new TextEncoder();

function passed({ seq }: ServedEvent): Text {
  return { text: `id: ${seq}\ndata: {"passed":${seq}}\n\n`, inlined: 0 };
}
