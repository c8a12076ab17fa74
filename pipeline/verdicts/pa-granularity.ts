/** How two addresses are compared: byte for byte, or as pages of the translation's size. */
export const PA_GRANULARITIES = ["exact", "page"] as const;
/** A name of `PA_GRANULARITIES`. */
export type PaGranularity = (typeof PA_GRANULARITIES)[number];
