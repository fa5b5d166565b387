/** The only source of chance for the engine. */
export interface Random {
  /** 128 random bits from a cryptographic source as 32 hex digits. */
  id<Id extends string>(): Id;
  /** A number in [0, 1), for jitter only. */
  fraction(): number;
}
