/** Whether an IOMMU's walks see what processors have written without their caches or a write buffer being flushed. */
export interface Coherence {
  /** Device, context and PASID structures. */
  readonly contexts: boolean;
  readonly pageTables: boolean;
  /** Writes wait in a write buffer alone, which invalidations flush. */
  readonly buffered: boolean;
  /** The fields that say that something is not, with their values; "" where all is. */
  readonly because: string;
}

export const COHERENT: Coherence = { contexts: true, pageTables: true, buffered: false, because: "" };

/** Nothing is coherent. @param because the field that says so, with its value */
export function incoherent(because: string): Coherence {
  return { contexts: false, pageTables: false, buffered: false, because };
}
