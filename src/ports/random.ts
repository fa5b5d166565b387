/** Chance, as the engine may know it. */
export interface Random {
  /** 128 random bits from a cryptographic source as 32 hex digits. */
  id<Id extends string>(): Id;
  /** In [0, 1): for jitter only. */
  fraction(): number;
}
