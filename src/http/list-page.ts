/**
 * Pages of a list: read in steps, cut at a size, and sent only while there is memory for them.
 * Rules: H4, H21, H22. So a page of the longest names and paths never stands in memory as values,
 * and others get a turn between two steps.
 */
import { PAGE_BYTES_MAX } from "../core/limits.ts";
import { bytesAnswer, jsonTextAnswer, packedFor, type StreamOptions, streamOf } from "./answer.ts";
import type { CallMemory, Release } from "./memory-budget.ts";
import type { Turns } from "./turns.ts";

/** A step reads items of about this length together, a few milliseconds of work. */
const STEP_LENGTH = 128 * 1024;
const STEP_COUNT_FIRST = 32;
const STEP_COUNT_MAX = 500;
/** Memory is taken in such portions. The first also covers the values of a step. */
const PORTION_BYTES = 1024 * 1024;
/** An item that was read and its text stand in memory together, later its text and its bytes. */
const COPIES = 2;
/** Answers up to this size are handed to the connection at once, and are not counted. */
const WHOLE_LENGTH_MAX = 64 * 1024;
const SLICE_LENGTH = 128 * 1024;
const encoder = new TextEncoder();

interface Step<Item, Head> {
  readonly head: Head;
  readonly items: readonly Item[];
  /** True if no items are left. */
  readonly isEnd: boolean;
}

export interface ListReader<Item, Head> {
  /** Reads at most `count` items after `last`, or from the beginning. */
  read(last: Item | undefined, count: number): Promise<Step<Item, Head>>;
  /** @returns what is sent of an item */
  shown(item: Item): unknown;
  /** True if a page may end with this item. */
  mayEnd(item: Item): boolean;
}

export interface ListPage<Item, Head> {
  /** As of the first step, and of the last: others may commit between two. */
  readonly head: Head;
  readonly lastHead: Head;
  /** Each item's JSON. */
  readonly texts: readonly string[];
  readonly last: Item | undefined;
  readonly isEnd: boolean;
  /** Gives back the memory that the texts take. */
  readonly release: Release;
}

export interface ListBounds {
  readonly limit: number;
  readonly turns: Turns;
  readonly memory: CallMemory;
}

/**
 * Reads `limit` items, or fewer if they are long or memory is short, and goes on to the first with
 * which a page may end.
 *
 * @throws {SyncedError} `temporarily_unavailable`, and what `read` throws
 */
export async function readPage<Item, Head>(
  reader: ListReader<Item, Head>,
  { limit, turns, memory }: ListBounds,
): Promise<ListPage<Item, Head>> {
  const texts: string[] = [];
  const portions = [await memory.keep(PORTION_BYTES)];
  const release = () => {
    for (const portion of portions) portion();
  };
  let length = 0;
  let last: Item | undefined;
  let first: Head | undefined;
  try {
    for (let count = STEP_COUNT_FIRST; ; ) {
      const { head, items, isEnd } = await turns.take(() => {
        const left = limit - texts.length;
        return reader.read(last, left > 0 ? Math.min(count, left) : count);
      });
      first ??= head;
      for (const item of items) {
        const text = JSON.stringify(reader.shown(item));
        texts.push(text);
        length += text.length;
        last = item;
        const isFull = texts.length >= limit || length >= PAGE_BYTES_MAX;
        const isShort = isBeyond(length, portions) && !addPortion(portions, memory);
        if ((isFull || isShort) && reader.mayEnd(item)) {
          return { head: first, lastHead: head, texts, last, isEnd: false, release };
        }
      }
      if (isEnd) return { head: first, lastHead: head, texts, last, isEnd, release };
      while (isBeyond(length, portions)) {
        portions.push(await memory.keep(PORTION_BYTES));
      }
      count = Math.floor((STEP_LENGTH * texts.length) / length);
      count = Math.max(1, Math.min(STEP_COUNT_MAX, count));
    }
  } catch (error) {
    release();
    throw error;
  }
}

function isBeyond(length: number, { length: count }: readonly Release[]): boolean {
  return COPIES * length > count * PORTION_BYTES;
}

function addPortion(portions: Release[], memory: CallMemory): boolean {
  const portion = memory.keepNow(PORTION_BYTES);
  if (portion !== undefined) portions.push(portion);
  return portion !== undefined;
}

/**
 * Answers `{[list]: [...], ...rest}`.
 *
 * @param list its name, its items, and what gives their memory back
 */
export function listAnswer(
  list: { readonly name: string } & Pick<ListPage<unknown, unknown>, "texts" | "release">,
  rest: object,
  options: Omit<StreamOptions, "onEnd">,
): Response {
  const after = JSON.stringify(rest).slice(1);
  const begin = `{"${list.name}":[`;
  const end = `]${after === "}" ? "" : ","}${after}`;
  const length = list.texts.reduce((sum, text) => sum + text.length + 1, 0);
  if (length <= WHOLE_LENGTH_MAX) {
    list.release();
    return jsonTextAnswer(`${begin}${list.texts.join(",")}${end}`);
  }
  const slices = slicesOf([begin, ...separated(list.texts), end]);
  return bytesAnswer(streamOf(slices, { ...options, onEnd: list.release }), {
    "content-type": "application/json",
  });
}

/**
 * Answers with a value that is made at once, in a turn, since it may be large while it is made.
 *
 * @param options with `packsFor`, if the answer has no secret and may be gzipped
 * @throws {SyncedError} `temporarily_unavailable`, and what `make` throws
 */
export async function answerInTurn(
  make: () => Promise<unknown>,
  { turns, memory, packsFor, ...options }: TurnOptions,
): Promise<Response> {
  const [text, packed] = await turns.take(async () => {
    const made = JSON.stringify(await make());
    const bytes = packsFor === undefined ? undefined : await packedFor(packsFor, made);
    return bytes === undefined ? ([made, undefined] as const) : (["", bytes] as const);
  });
  const headers = {
    "content-type": "application/json",
    ...(packsFor === undefined ? undefined : { vary: "accept-encoding" }),
    ...(packed === undefined ? undefined : { "content-encoding": "gzip" }),
  };
  const length = packed?.length ?? text.length;
  if (length <= WHOLE_LENGTH_MAX) {
    return packed === undefined ? jsonTextAnswer(text, 200, headers) : bytesAnswer(packed, headers);
  }
  // Whoever waited for memory here would hold the text meanwhile.
  const onEnd = memory.keepAtOnce(packed === undefined ? COPIES * length : length);
  const pieces = packed === undefined ? piecesOf(text) : slicesOfBytes(packed);
  return bytesAnswer(streamOf(pieces, { ...options, memory, onEnd }), headers);
}

interface TurnOptions extends Omit<StreamOptions, "onEnd"> {
  readonly turns: Turns;
  readonly packsFor?: Request;
}

async function* slicesOfBytes(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  for (let start = 0; start < bytes.length; start += SLICE_LENGTH) {
    yield bytes.subarray(start, start + SLICE_LENGTH);
  }
}

/** A piece never ends within a pair of surrogates. */
async function* piecesOf(text: string): AsyncGenerator<Uint8Array, void> {
  for (let start = 0; start < text.length; ) {
    let end = Math.min(text.length, start + SLICE_LENGTH);
    if (/[\ud800-\udbff]/.test(text.charAt(end - 1))) end += 1;
    yield encoder.encode(text.slice(start, end));
    start = end;
  }
}

function* separated(texts: readonly string[]): Generator<string> {
  for (const [index, text] of texts.entries()) yield index === 0 ? text : `,${text}`;
}

/** Encodes only when the reader takes it. */
async function* slicesOf(texts: readonly string[]): AsyncGenerator<Uint8Array, void> {
  let slice = "";
  for (const text of texts) {
    slice += text;
    if (slice.length < SLICE_LENGTH) continue;
    yield encoder.encode(slice);
    slice = "";
  }
  if (slice !== "") yield encoder.encode(slice);
}
