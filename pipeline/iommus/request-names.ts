/** The names that requests of one device behind one IOMMU go by in what they come to. */
export interface RequestNames {
  /** Counts pairs of names from 0: what an output keeps of them, it finds by this. */
  readonly index: number;
  /** Undefined for the IOMMU that a `bind` without any `iommu` record implies. */
  readonly iommu: string | undefined;
  /** The device, as the trace spells it. */
  readonly device: string;
  /** The trace, where several are replayed into one output. */
  readonly trace?: string | undefined;
}
