/**
 * The addresses of one server, or of several that share their data. One is used until it fails,
 * then the next. Rules: Y22.
 */
import { SyncedError } from "../core/error.ts";

export class ServerUrls {
  readonly #urls: readonly string[];
  #index = 0;

  /** @param list base URLs, with commas between them */
  constructor(list: string) {
    this.#urls = list.split(",").map((url) => url.replace(/\/+$/, ""));
  }

  get count(): number {
    return this.#urls.length;
  }

  /** Without a trailing slash. */
  get current(): string {
    return this.#urls[this.#index % this.count] ?? "";
  }

  /** That one failed. Who else found it out may have left it already. */
  leave(url: string): void {
    if (url === this.current) this.#index += 1;
  }

  /**
   * Makes a request that any of the servers may answer, of each of them once until one does.
   *
   * @throws as `ask` does of the last one
   */
  async any<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    for (let left = this.count; ; left -= 1) {
      try {
        return await ask();
      } catch (error) {
        if (left === 1 || !isUnreachable(error)) throw error;
      }
    }
  }
}

export function isUnreachable(error: unknown): boolean {
  return error instanceof SyncedError && error.code === "server_unreachable";
}
