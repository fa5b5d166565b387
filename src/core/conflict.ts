/**
 * Names for conflict copies and for recovered files.
 * Rules: R13, D15. A name depends on the arguments alone, so a retry, or another device, finds the
 * same one.
 */
import { isDigest } from "./digest.ts";
import { DEVICE_NAME_LENGTH_MAX, NAME_BYTES_MAX } from "./limits.ts";
import { utf8LengthBytes } from "./path.ts";

export interface ConflictNameSource extends MarkedNameSource {
  /** The device's name as a person chose it. */
  readonly device: string;
}

export interface MarkedNameSource {
  /** The name that the file loses; it is legal. */
  readonly name: string;
  /** The file's mtime; undefined for an entry that has none. */
  readonly mtimeNs: string | undefined;
  /** The file's SHA-256, the SHA-256 of a symlink's target, or a directory's node id. */
  readonly hash6Source: string;
  /** Begins at 0; the caller tries the next number if other bytes have the name. */
  readonly attempt: number;
}

/** If the text behind the last dot is longer than this, it is not taken for an extension. */
const EXTENSION_BYTES_MAX = 64;

/** @returns a legal name: `name (conflict DEVICE YYYY-MM-DD HASH6).ext`, at most 255 bytes. */
export function conflictName(source: ConflictNameSource): string {
  return markedName(source, `conflict ${plainDeviceName(source.device)}`);
}

/** @returns a legal name: `name (recovered YYYY-MM-DD HASH6).ext`, at most 255 bytes. */
export function recoveredName(source: MarkedNameSource): string {
  return markedName(source, "recovered");
}

/** @returns a legal name: `name (restored YYYY-MM-DD HASH6).ext`, at most 255 bytes. */
export function restoredName(source: MarkedNameSource): string {
  return markedName(source, "restored");
}

function markedName(source: MarkedNameSource, reason: string): string {
  const { stem, extension } = splitExtension(source.name);
  const hash6 = sixDigits(source.hash6Source);
  const retry = source.attempt === 0 ? "" : ` ${source.attempt + 1}`;
  const suffix = ` (${reason} ${dateOf(source.mtimeNs)} ${hash6}${retry})${extension}`;
  return cutToBytes(stem, NAME_BYTES_MAX - utf8LengthBytes(suffix)) + suffix;
}

/** An id begins with the time, so those of one hour are told apart by their last digits. */
function sixDigits(source: string): string {
  return isDigest(source) ? source.slice(0, 6) : source.slice(-6);
}

/**
 * The last dot begins the extension, unless only dots stand before it (".profile") or nothing
 * behind it.
 */
function splitExtension(name: string): { stem: string; extension: string } {
  const dot = name.lastIndexOf(".");
  const extension = dot === -1 ? "" : name.slice(dot);
  const isDotFile = /^\.*$/.test(name.slice(0, Math.max(dot, 0)));
  if (isDotFile || extension === "." || utf8LengthBytes(extension) > EXTENSION_BYTES_MAX) {
    return { stem: name, extension: "" };
  }
  return { stem: name.slice(0, dot), extension };
}

/**
 * Control and format characters, lone surrogates, and characters that N3 or some file system
 * refuses.
 */
const UNFIT = /[\p{Cc}\p{Cf}\p{Cs}\uFFFE\uFFFF/\\:*?"<>|]/gu;

function plainDeviceName(device: string): string {
  const plain = device.replace(UNFIT, "-").trim();
  const bounded = cutToBytes(plain, DEVICE_NAME_LENGTH_MAX).trim();
  return bounded === "" ? "device" : bounded;
}

/**
 * @returns the longest beginning of the text that fits into so many bytes and ends between two code
 * points.
 */
function cutToBytes(text: string, lengthBytesMax: number): string {
  if (utf8LengthBytes(text) <= lengthBytesMax) return text;
  let lengthBytes = 0;
  let end = 0;
  for (const character of text) {
    lengthBytes += utf8LengthBytes(character);
    if (lengthBytes > lengthBytesMax) break;
    end += character.length;
  }
  return text.slice(0, end);
}

const DAY_NS = 86_400n * 1_000_000_000n;
/** Days from 0000-03-01, where an era of 400 years begins, to 1970-01-01. */
const DAYS_TO_1970 = 719_468;
const DAYS_PER_ERA = 146_097;
/** 0000-01-01 and 9999-12-31, because the name has four digits for the year. */
const DAY_MIN = -719_528;
const DAY_MAX = 2_932_896;

/**
 * The UTC date of an mtime, computed here because core may not use Date. Source: Howard Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
 */
function dateOf(mtimeNs: string | undefined): string {
  const day = Math.min(Math.max(dayOf(mtimeNs ?? "0"), DAY_MIN), DAY_MAX);
  const shifted = day + DAYS_TO_1970;
  const era = Math.floor(shifted / DAYS_PER_ERA);
  const dayOfEra = shifted - era * DAYS_PER_ERA;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1_460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  return `${padded(year, 4)}-${padded(month, 2)}-${padded(dayOfMonth, 2)}`;
}

function dayOf(mtimeNs: string): number {
  const ns = BigInt(mtimeNs);
  // Division of bigints rounds towards zero, but the evening before 1970 belongs to day -1.
  const day = ns / DAY_NS - (ns < 0n && ns % DAY_NS !== 0n ? 1n : 0n);
  return Number(day);
}

function padded(value: number, length: number): string {
  return String(value).padStart(length, "0");
}
