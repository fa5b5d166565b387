/** A page of a list. Rules: H4. */

/** A request for at most `limit` items behind `after`; from the start if `after` is absent. */
export interface Page<Key> {
  readonly after?: Key;
  readonly limit: number;
}
