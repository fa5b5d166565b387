/**
 * Tickets: a browser that fetches an image, a film or a zip by itself shows one in the address
 * instead of a token. Rules: K7.
 *
 * A ticket reads the bytes of one folder for ten minutes. Its key lives as long as the server runs.
 */
import { equalDigests, hmacSha256, parseDigest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { type FolderName, parseFolderName } from "../core/identifier.ts";
import { TICKET_LIFE_MS } from "../core/limits.ts";
import { formatTime } from "../core/time.ts";
import type { Clock } from "../ports/clock.ts";
import type { TokenId } from "../ports/token-store.ts";
import type { TicketAnswer } from "../protocol/messages.ts";

const TICKET = /^(\d{1,16})\.([a-z0-9][a-z0-9._-]{0,63})\.([0-9a-f]{16})?\.([0-9a-f]{64})$/;

/** Who may read what, and by whose token. */
export interface Ticket {
  readonly folder: FolderName;
  /** Absent if it was made for somebody with the server's own token, or with none. */
  readonly token: TokenId | undefined;
}

export class Tickets {
  readonly #clock: Pick<Clock, "now">;
  readonly #key: string;

  /** @param key 256 bits from a cryptographic source, as hex */
  constructor(clock: Pick<Clock, "now">, key: string) {
    this.#clock = clock;
    this.#key = key;
  }

  make({ folder, token }: Ticket): TicketAnswer {
    const expiresMs = this.#clock.now() + TICKET_LIFE_MS;
    const text = `${Math.floor(expiresMs)}.${folder}.${token ?? ""}`;
    const ticket = `${text}.${hmacSha256(this.#key, text)}`;
    return { ticket, expires: formatTime(expiresMs) };
  }

  /** @throws {SyncedError} `ticket_expired`, also for one that this server did not make */
  check(ticket: string): Ticket {
    const [, expires = "", folder = "", token, claim = ""] = TICKET.exec(ticket) ?? [];
    const text = `${expires}.${folder}.${token ?? ""}`;
    const isRight = claim !== "" && equalDigests(hmacSha256(this.#key, text), parseDigest(claim));
    if (!isRight || Number(expires) <= this.#clock.now()) {
      throw new SyncedError("ticket_expired", "Cannot answer: the ticket has expired");
    }
    return { folder: parseFolderName(folder), token: token as TokenId | undefined };
  }
}
