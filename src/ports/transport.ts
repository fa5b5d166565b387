/** Transport: the signature of fetch. A redirect is an error. Bodies are never inflated. */
export interface Transport {
  (request: Request): Promise<Response>;
  /**
   * Describes how a URL is reached, for messages, such as "http://server through the proxy
   * http://proxy". Absent if every URL is reached directly.
   */
  readonly describe?: (url: string) => string;
}
