/** A page of a list. Rules: H4. */

/** What comes after `after` (from the start where there is none), at most `limit` of it. */
export interface Page<Key> {
  readonly after?: Key;
  readonly limit: number;
}
