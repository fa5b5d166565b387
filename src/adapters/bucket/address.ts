/**
 * Where a bucket is, and the key that opens it. Rules: P7.
 *
 * The URL names no credential, because command lines and logs show it.
 */
import { SyncedError } from "../../core/error.ts";

/** A bucket and the key that opens it, as a person writes them. */
export interface BucketPlace {
  /** `s3://HOST/BUCKET/PREFIX` */
  readonly url: string;
  /** `ID:SECRET` */
  readonly key: string;
}

export interface BucketAddress {
  /** Where names of objects begin, with a slash at the end. */
  readonly base: string;
  readonly region: string;
  /** For people: the host, the bucket and the prefix. */
  readonly name: string;
}

export interface BucketKey {
  readonly id: string;
  readonly secret: string;
}

const SHAPE = "s3://HOST[:PORT]/BUCKET[/PREFIX][?region=R&style=path|host&tls=on|off]";
const PART = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/;
const LOOPBACK = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])$/i;
const OPTIONS: Readonly<Record<string, RegExp>> = {
  region: /^[a-z0-9-]{1,64}$/i,
  style: /^(?:path|host)$/,
  tls: /^(?:on|off)$/,
};

/** @throws {SyncedError} `usage` */
export function parseBucketUrl(text: string): BucketAddress {
  if (!URL.canParse(text)) throw notOne();
  const url = new URL(text);
  if (url.protocol !== "s3:" || url.hostname === "") throw notOne();
  if (url.username !== "" || url.password !== "") {
    const advice = "the key belongs into SYNCED_BUCKET_KEY or --bucket-key-file";
    throw new SyncedError("usage", `Cannot use a bucket's URL with a key in it: ${advice}`);
  }
  for (const [name, value] of url.searchParams) {
    if (OPTIONS[name]?.test(value) !== true) throw notOne();
  }
  const parts = url.pathname.split("/").filter((part) => part !== "");
  const [bucket, ...prefix] = parts;
  if (bucket === undefined || !parts.every((part) => PART.test(part))) throw notOne();
  const style = url.searchParams.get("style") ?? "path";
  const tls = url.searchParams.get("tls") ?? (LOOPBACK.test(url.hostname) ? "off" : "on");
  const host = style === "host" ? `${bucket}.${url.host}` : url.host;
  const below = (style === "host" ? prefix : parts).map((part) => `${part}/`).join("");
  return {
    base: `${tls === "on" ? "https" : "http"}://${host}/${below}`,
    region: url.searchParams.get("region") ?? "us-east-1",
    name: `bucket ${parts.join("/")} at ${url.host}`,
  };
}

/** @param source names it to a person. @throws {SyncedError} `usage` */
export function parseBucketKey(text: string, source: string): BucketKey {
  const [, id, secret] = /^([^\s:]{1,256}):([^\s]{1,1024})$/.exec(text.trim()) ?? [];
  if (id === undefined || secret === undefined) {
    throw new SyncedError("usage", `Cannot use the bucket's key in ${source}: expected ID:SECRET`);
  }
  return { id, secret };
}

function notOne(): SyncedError {
  return new SyncedError("usage", `Cannot use that bucket's URL: expected ${SHAPE}`);
}
