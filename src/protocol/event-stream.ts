/**
 * Reads server-sent events from bytes, as far as synced needs them: data, comments, and line ends
 * of all three kinds.
 * Rules: H6. WHATWG HTML, section 9.2.6. The text of one event is bounded, because a server may
 * never end it.
 */
import { SyncedError } from "../core/error.ts";

/** An event with the longest path and an inlined file is below 100 KiB. */
const MESSAGE_LENGTH_MAX = 1024 * 1024;

/** Accepts the stream in pieces of any size. */
export class EventStreamDecoder {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  /** An unfinished line. */
  #rest = "";
  #data: string[] = [];
  #dataLength = 0;

  /**
   * @returns an item for each event or comment that the piece completed: an event's data, or
   * undefined for a comment (a heartbeat).
   * @throws {SyncedError} `protocol_violation`
   */
  push(piece: Uint8Array): (string | undefined)[] {
    const lines = (this.#rest + this.#decode(piece)).split("\n");
    this.#rest = lines.pop() ?? "";
    this.#checkLength(this.#rest.length);
    const messages: (string | undefined)[] = [];
    for (const line of lines) {
      const text = line.endsWith("\r") ? line.slice(0, -1) : line;
      if (text === "") this.#dispatch(messages);
      else if (text.startsWith(":")) messages.push(undefined);
      else if (text.startsWith("data:")) this.#append(text.slice("data:".length));
    }
    return messages;
  }

  #dispatch(messages: (string | undefined)[]): void {
    if (this.#data.length === 0) return;
    messages.push(this.#data.join("\n"));
    this.#data = [];
    this.#dataLength = 0;
  }

  #append(text: string): void {
    this.#data.push(text.startsWith(" ") ? text.slice(1) : text);
    // An empty line takes memory, too.
    this.#dataLength += text.length + 1;
    this.#checkLength(this.#dataLength);
  }

  #decode(piece: Uint8Array): string {
    try {
      return this.#decoder.decode(piece, { stream: true });
    } catch (cause) {
      throw new SyncedError("protocol_violation", "Cannot read the event stream: it is not UTF-8", {
        cause,
      });
    }
  }

  #checkLength(length: number): void {
    if (length <= MESSAGE_LENGTH_MAX) return;
    throw new SyncedError(
      "protocol_violation",
      "Cannot read the event stream: an event never ends",
    );
  }
}
