/** The only source of chance for the engine. */
export interface Random {
  /**
   * 128 bits as 32 hex digits: 48 of the time in milliseconds, then 80 random ones from a
   * cryptographic source. Unique, whatever the clock says. No secret: whoever saw one knows when
   * others were made.
   */
  id<Id extends string>(): Id;
  /** A number in [0, 1), for jitter only. */
  fraction(): number;
}
