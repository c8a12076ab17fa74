import type { BindFindings } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import type { BindHost, TableUse } from "../pasid-tables/format.ts";
import type { HwptStructure } from "../pasid-tables/hwpt.ts";
import { SmmuFeatures } from "./features.ts";
import { cdTable } from "./pasid-tables.ts";
import { CONFIG_BYPASS, CONFIG_STAGE1, EATS_FULL, isTwoLevel, Ste } from "./ste.ts";

/** Fields of an STE that a guest may set, by Linux's uapi; the others are the host's. */
const GUEST_FIELDS: ReadonlySet<string> = new Set([
  "V",
  "Config",
  "S1Fmt",
  "S1ContextPtr",
  "S1CDMax",
  "S1DSS",
  "S1CIR",
  "S1COR",
  "S1CSH",
  "S1STALLD",
  "EATS",
]);
/** STE.Config of a stream whose transactions are terminated. */
const CONFIG_ABORT = 0;
/** IDR0.STALL_MODEL: both fault models. */
const STALL_AND_TERMINATE = 0;
/** STE.S1Fmt. */
const S1FMT_RESERVED = 3;

const STE_WORDS = 2;

/** The first two words of an STE, nested on a second stage of the host. */
export const SMMUV3_HWPT: HwptStructure = {
  name: "iommu_hwpt_arm_smmuv3",
  bytes: 8 * STE_WORDS,
  fields: [{ name: "ste", at: 0, bytes: 8, count: STE_WORDS }],
  fits: () => true,
  check(view, host, out) {
    const ste = wholeSte(view);
    const field = (name: Parameters<typeof Ste.extract>[0]) => Number(Ste.extract(name, ste, 0));
    // The kernel takes an entry that is not valid for one that aborts, whatever else is in it.
    if (field("V") === 0) return null;
    checkHostBits(ste, out);
    const config = field("Config");
    if (config !== CONFIG_ABORT && config !== CONFIG_BYPASS && config !== CONFIG_STAGE1)
      out.add(
        BIND_RULES["bind-ste-config"],
        `Config is ${config}: expected ${CONFIG_ABORT} (abort), ${CONFIG_BYPASS} (bypass) or ${CONFIG_STAGE1} (stage 1)`,
      );
    checkFeatures(field("EATS"), field("S1STALLD"), host, out);
    return config === CONFIG_STAGE1 ? tableOf(ste, field, out) : null;
  },
};

/** An STE whose other words are zero. */
function wholeSte(view: DataView): DataView {
  const ste = new DataView(new ArrayBuffer(Ste.bytes));
  for (let at = 0; at < 8 * STE_WORDS; at += 8) ste.setBigUint64(at, view.getBigUint64(at, true), true);
  return ste;
}

/** Bits that are reserved, or that only the host may set. */
function checkHostBits(ste: DataView, out: BindFindings): void {
  const reserved = Ste.reservedSet(ste, 0);
  const bits = reserved.filter((bit) => bit < STE_WORDS * 64);
  const names = Ste.names().filter((name) => !GUEST_FIELDS.has(name) && Ste.extract(name, ste, 0) !== 0n);
  if (bits.length > 0)
    out.add(BIND_RULES["bind-reserved"], `reserved bits ${bits.join(", ")} of the STE are set: expected 0`);
  if (names.length > 0)
    out.add(
      BIND_RULES["bind-reserved"],
      `${names.join(", ")} of the STE ${names.length === 1 ? "is" : "are"} set: expected 0 in what a guest gives`,
    );
}

function checkFeatures(eats: number, stalld: number, { state }: BindHost, out: BindFindings): void {
  const features = new SmmuFeatures();
  features.configure(state);
  if (eats > EATS_FULL)
    out.add(BIND_RULES["bind-ste-config"], `EATS is ${eats}: expected 0 (refused) or ${EATS_FULL} (full)`);
  else if (eats === EATS_FULL && !features.ats)
    out.add(BIND_RULES["bind-flag-unsupported"], "EATS is 1: expected 0, since IDR0.ATS is 0");
  if (stalld !== 0 && features.stallModel !== STALL_AND_TERMINATE)
    out.add(
      BIND_RULES["bind-flag-unsupported"],
      `S1STALLD is 1: expected 0, since IDR0.STALL_MODEL is ${features.stallModel}`,
    );
}

function tableOf(
  ste: DataView,
  field: (name: "S1Fmt" | "S1CDMax" | "S1DSS") => number,
  out: BindFindings,
): TableUse {
  const s1fmt = field("S1Fmt");
  const pasidBits = field("S1CDMax");
  if (s1fmt === S1FMT_RESERVED && pasidBits > 0)
    out.add(BIND_RULES["bind-levels"], `S1Fmt is ${s1fmt}, a reserved value: expected 0 to 2`);
  const base = Ste.extract("S1ContextPtr", ste, 0) << BigInt(Ste.fields.S1ContextPtr.parts[0]![1]);
  return {
    model: isTwoLevel(s1fmt) && pasidBits > 0 ? "arm-2lvl" : "arm-1lvl",
    // Without substreams S1DSS is IGNORED.
    layout: cdTable(s1fmt, pasidBits === 0 ? undefined : field("S1DSS")),
    base,
    pasidBits,
    nested: true,
    parent: undefined,
    baseName: "S1ContextPtr",
    pasidBitsName: "S1CDMax",
  };
}
