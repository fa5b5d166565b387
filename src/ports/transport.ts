/** Transport: the fetch signature. Redirects are errors, bodies are never inflated. */
export interface Transport {
  (request: Request): Promise<Response>;
  /**
   * For messages: how that URL is reached, as in "http://server through the proxy http://proxy".
   * Absent where it is always reached directly.
   */
  readonly describe?: (url: string) => string;
}
