/** Passwords by scrypt (RFC 7914): 16 MiB and some 50 ms a try, in the thread pool. Rules: H41. */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import type { PasswordHashes } from "../../ports/link-store.ts";

const SALT_BYTES = 16;
const HASH_BYTES = 32;
const COST = { N: 16_384, r: 8, p: 1 } as const;

export const systemPasswordHashes: PasswordHashes = {
  async hash(password) {
    const salt = randomBytes(SALT_BYTES);
    return `${salt.toString("hex")}:${(await derive(password, salt)).toString("hex")}`;
  },
  async matches(password, hash) {
    const [salt = "", wanted = ""] = hash.split(":");
    const found = await derive(password, Buffer.from(salt, "hex"));
    return timingSafeEqual(found, Buffer.from(wanted, "hex"));
  },
};

function derive(password: string, salt: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, COST, (error, key) =>
      // Runtimes differ in whether there is null or nothing.
      error instanceof Error ? reject(error) : resolve(key),
    );
  });
}
