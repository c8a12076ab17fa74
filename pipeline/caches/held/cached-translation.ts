/** A translation that a cache may hold, or once held: what memory said to a context at a time. */
export interface CachedTranslation {
  readonly context: number;
  /** Last tick at which memory gave this translation. */
  readonly time: number;
  /** An invalidation has covered it. */
  invalidated: boolean;
}
