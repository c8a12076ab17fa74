/** What an SMMU does not refuse in a stream table entry or context descriptor, and yet is not what it seems. */

import { TABLE_RULES } from "../tables/table-rules.ts";
import type { JudgedEntry } from "../tables/tree.ts";
import type { CdFields } from "./cd-fields.ts";
import type { SmmuFeatures } from "./features.ts";
import { effectiveCdMax } from "./rules-ste.ts";
import { CONFIG_BYPASS, EATS_FULL_DPT } from "./ste.ts";
import type { SteFields } from "./ste-fields.ts";
import type { StreamContext } from "./stream-context.ts";

const INEFFECTIVE = TABLE_RULES["ineffective-field"];
const NOT_MODELLED = TABLE_RULES["not-modelled"];
/** Of S1Fmt and S1DSS: behaves as 0 (5.2). */
const RESERVED_ENCODING = 3;
const AS_ZERO = "expected 0 to 2: it behaves as 0";
const WITHOUT_INDIRECTION = "permissions are taken from the descriptors themselves";

export function noteSte(entry: JudgedEntry, ste: SteFields, features: SmmuFeatures): void {
  const { config } = ste;
  if (config < CONFIG_BYPASS) return;
  if (features.ats && config !== CONFIG_BYPASS && ste.eats === EATS_FULL_DPT && !features.dpt)
    entry.complain(INEFFECTIVE, "EATS", "expected 0 to 2: without DPT it behaves as 0");
  if (ste.stage1 && effectiveCdMax(ste, features) > 0) {
    if (ste.s1fmt === RESERVED_ENCODING) entry.complain(INEFFECTIVE, "S1Fmt", AS_ZERO);
    if (ste.s1dss === RESERVED_ENCODING) entry.complain(INEFFECTIVE, "S1DSS", AS_ZERO);
  }
  // Without S2AA64 they are another format's.
  if (!ste.stage2 || (ste.s2aa64 === 0 && features.lpae)) return;
  noteDirty(entry, "S2HD", ste.s2hd, "S2HA", ste.s2ha, features);
  if (features.s2pi && entry.value("S2PIE") !== 0n)
    entry.complain(NOT_MODELLED, "S2PIE", WITHOUT_INDIRECTION);
  if (features.s2po && entry.value("S2POE") !== 0n)
    entry.complain(NOT_MODELLED, "S2POE", "permissions are taken as without overlays");
}

export function noteCd(
  entry: JudgedEntry,
  cd: CdFields,
  stream: StreamContext,
  features: SmmuFeatures,
): void {
  if (cd.aa64 === 0 && features.lpae) return;
  noteDirty(entry, "HD", cd.hd, "HA", cd.ha, features);
  if (stream.s1pie && entry.value("PIE") !== 0n) entry.complain(NOT_MODELLED, "PIE", WITHOUT_INDIRECTION);
}

/** 5.2 S2HD, 5.4 HD. */
function noteDirty(
  entry: JudgedEntry,
  dirtyField: string,
  dirty: number,
  accessField: string,
  access: number,
  { httu }: SmmuFeatures,
): void {
  if (httu >= 2 && dirty !== 0 && access === 0)
    entry.complain(INEFFECTIVE, dirtyField, `behaves as 0 where ${accessField} is 0`);
}
