/** The page's files as texts, before they have names under which they are served. */

export interface PageFiles {
  /** Names each asset as `{{NAME}}`. */
  readonly html: string;
  /** By name. */
  readonly assets: ReadonlyMap<string, string>;
}
