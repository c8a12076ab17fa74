/** How much a finding matters: the contract's severities, and what `--fail-on` goes by. */
export const SEVERITIES = ["error", "warning", "info"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Something that a finding can be about. Declared once; `pasid-replay rules` lists them all. */
export interface Rule {
  /** Short and stable: scripts and ignore lists name it. Words joined by "-". */
  readonly id: string;
  readonly severity: Severity;
  /** One sentence: what is wrong and why it matters. */
  readonly text: string;
  /** Document and section that the rule comes from, or what it is derived from. */
  readonly source: string;
}

/** Declares the rules of one module: the key is the rule's id. */
export function rules<K extends string>(
  declarations: Readonly<Record<K, Omit<Rule, "id">>>,
): Readonly<Record<K, Rule>> {
  const out = {} as Record<K, Rule>;
  for (const [id, declared] of Object.entries(declarations) as [K, Omit<Rule, "id">][])
    out[id] = { id, ...declared };
  return out;
}
