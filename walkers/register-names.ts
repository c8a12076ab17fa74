/** Registers of an IOMMU by the names that traces use: the specification's in lower case. */
export interface RegisterNames {
  /** The one without which nothing says where the tables are. */
  readonly root: string;
  /** Those that say what is walked, and how. */
  readonly walked: readonly string[];
  /** Those that a recorder may log as well. */
  readonly others: readonly string[];
}

/** Names that stand apart by white space. */
export const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** "pidr0", "pidr1" and so on. */
export const numbered = (name: string, count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `${name}${i}`);

export function registersOf({ walked, others }: RegisterNames): readonly string[] {
  return [...walked, ...others];
}

/** Whether there is a register of this name; of those that no walk depends on, also as "ccmd_reg" or "smmu_cr1". */
export function isRegister({ walked, others }: RegisterNames, name: string): boolean {
  if (walked.includes(name)) return true;
  const short = name.replace(/^smmu_/, "").replace(/_reg$/, "");
  return others.includes(short);
}
