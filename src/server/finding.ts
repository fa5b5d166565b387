/** Finding: one thing that `verify` says of a server's data. Rules: U12. */

export interface Finding {
  /** `folder NAME`, `folder NAME event N`, `folder NAME node ID`, `object DIGEST` or `store`. */
  readonly where: string;
  /** The path of the version or node that is affected, where it is one. */
  readonly path?: string;
  readonly code: FindingCode;
  readonly message: string;
}

export type FindingCode =
  | "store_damaged"
  | "chain_broken"
  | "event_differs"
  | "node_differs"
  | "tree_invalid"
  | "object_missing"
  | "object_damaged"
  | "version_hurt"
  /** These are no damage: a version is whole again, who may make another one so, a fold anew. */
  | "version_healed"
  | "repair_hope"
  | "history_dropped"
  | "version_doubtful"
  | "manifest_invalid";
