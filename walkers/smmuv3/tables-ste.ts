import { stage2Consistent, stage2StartLevel } from "../page-tables/vmsav8-64-stage2.ts";
import type { Entry } from "../tables/entry.ts";
import { SEVERE, TABLE_RULES } from "../tables/table-rules.ts";
import { addressText } from "../word64.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0, maxTxsz, tableAddressBits } from "./granule.ts";
import {
  CONFIG_BYPASS,
  CONFIG_NESTED,
  CONFIG_STAGE1,
  EATS_FULL,
  EATS_FULL_DPT,
  EATS_SPLIT_STAGE,
  S1FMT_4K_L2,
  S1FMT_64K_L2,
  STRW_EL1,
} from "./ste.ts";
import { StreamContext } from "./stream-context.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CONFLICT = TABLE_RULES["conflicting-fields"];
const INEFFECTIVE = TABLE_RULES["ineffective-field"];
const NOT_MODELLED = TABLE_RULES["not-modelled"];
const STE_ILLEGAL = "IHI 0070, 5.2.2";

const RESERVED_ENCODING = 3;

/**
 * Judges a valid STE (IHI 0070 5.2.2, SteIllegal, and what 5.2 says has no effect).
 * @param lpae the SMMU has VMSAv8-32 LPAE tables, too
 * @returns the stream; null where it aborts, or where the SMMU refuses the entry
 */
export function judgeSte(entry: Entry, features: SmmuFeatures, lpae: boolean): StreamContext | null {
  const config = Number(entry.value("Config"));
  if (config < CONFIG_BYPASS) return null;
  const stage1 = (config & 5) === 5;
  const stage2 = (config & 6) === 6;
  if (stage1 && !features.stage1)
    entry.complain(UNSUPPORTED, "Config", "expected no stage 1, since IDR0.S1P is 0", STE_ILLEGAL);
  if (stage2 && !features.stage2)
    entry.complain(UNSUPPORTED, "Config", "expected no stage 2, since IDR0.S2P is 0", STE_ILLEGAL);
  const strw = Number(entry.value("STRW"));
  const strwUsed = config === CONFIG_STAGE1 && features.hyp;
  judgeAts(entry, config, strwUsed ? strw : STRW_EL1, features);
  if (strwUsed && (strw & 1) !== 0) entry.complain(ILLEGAL, "STRW", "expected 0 or 2", STE_ILLEGAL);
  if (stage1) judgeStage1(entry, features, stage2);
  const other = stage2 && lpae && entry.value("S2AA64") === 0n;
  if (stage2 && !other) judgeStage2(entry, features);

  const stream = new StreamContext();
  if (!stream.decode(entry.view, entry.at, features)) {
    judgeVmid(entry, config, strw, features);
    if (!other && !entry.complaints.some((c) => SEVERE.has(c.rule)))
      entry.complain(ILLEGAL, "Config", "the entry is ILLEGAL", STE_ILLEGAL);
    return null;
  }
  if (stage2) tagStage2(entry, stream, features);
  return stream;
}

/** 5.2 EATS. */
function judgeAts(entry: Entry, config: number, world: number, features: SmmuFeatures): void {
  if (!features.ats || config === CONFIG_BYPASS) return;
  const mode = Number(entry.value("EATS"));
  const stalls = entry.value("S2S") !== 0n;
  if (mode === EATS_SPLIT_STAGE) {
    if (config !== CONFIG_NESTED) entry.complain(CONFLICT, "EATS", "expected both stages in Config");
    if (stalls) entry.complain(CONFLICT, "EATS", "expected S2S to be 0");
    if (!features.splitStageAts)
      entry.complain(UNSUPPORTED, "EATS", "expected no split-stage ATS, since IDR0.NS1ATS is 1");
  }
  const dpt = mode === EATS_FULL_DPT && features.dpt;
  if (dpt && world !== STRW_EL1) entry.complain(CONFLICT, "EATS", "expected STRW to be 0");
  if (mode === EATS_FULL_DPT && !dpt)
    entry.complain(INEFFECTIVE, "EATS", "expected 0 to 2: without DPT it behaves as 0");
  if ((mode === EATS_FULL || dpt) && stalls && (config & 6) === 6)
    entry.complain(CONFLICT, "EATS", "expected S2S to be 0");
}

function judgeVmid(entry: Entry, config: number, strw: number, features: SmmuFeatures): void {
  const hypervisor = config === CONFIG_STAGE1 && features.hyp && strw === 2;
  if (!features.stage2 || config === CONFIG_BYPASS || hypervisor || features.vmid16) return;
  if (entry.value("S2VMID") > 0xffn)
    entry.complain(UNSUPPORTED, "S2VMID", "expected 8 bits, since IDR0.VMID16 is 0", STE_ILLEGAL);
}

function judgeStage1(entry: Entry, features: SmmuFeatures, nested: boolean): void {
  // 3.4.3: as an IPA it goes to stage 2 as it is.
  if (!nested && entry.value("S1ContextPtr") << 6n >= 1n << BigInt(features.oas))
    entry.complain(
      TABLE_RULES["address-too-wide"],
      "S1ContextPtr",
      `expected an address of ${features.oas} bits`,
      "IHI 0070, 3.4.3",
    );
  if (entry.value("S1STALLD") !== 0n && features.stallModel !== 0)
    entry.complain(UNSUPPORTED, "S1STALLD", "expected 0, since IDR0.STALL_MODEL is not 0", STE_ILLEGAL);
  // Without substreams, S1CDMax is IGNORED.
  const cdmax = features.ssidSize === 0 ? 0 : Number(entry.value("S1CDMax"));
  if (cdmax > features.ssidSize)
    entry.complain(
      UNSUPPORTED,
      "S1CDMax",
      `expected IDR1.SSIDSIZE, ${features.ssidSize}, at most`,
      STE_ILLEGAL,
    );
  if (cdmax === 0) return;
  const format = Number(entry.value("S1Fmt"));
  if ((format === S1FMT_4K_L2 || format === S1FMT_64K_L2) && !features.cd2l)
    entry.complain(UNSUPPORTED, "S1Fmt", "expected 0, since IDR0.CD2L is 0", STE_ILLEGAL);
  if (format === RESERVED_ENCODING) entry.complain(INEFFECTIVE, "S1Fmt", "expected 0 to 2: it behaves as 0");
  if (entry.value("S1DSS") === BigInt(RESERVED_ENCODING))
    entry.complain(INEFFECTIVE, "S1DSS", "expected 0 to 2: it behaves as 0");
}

function judgeStage2(entry: Entry, features: SmmuFeatures): void {
  const stalls = entry.value("S2S") !== 0n;
  if (features.stallModel === 1 && stalls)
    entry.complain(UNSUPPORTED, "S2S", "expected 0, since IDR0.STALL_MODEL is 1", STE_ILLEGAL);
  if (features.stallModel === 2 && !stalls)
    entry.complain(UNSUPPORTED, "S2S", "expected 1, since IDR0.STALL_MODEL is 2", STE_ILLEGAL);
  if (entry.value("S2AA64") === 0n || !features.vmsav864)
    entry.complain(UNSUPPORTED, "S2AA64", "expected a format that IDR0.TTF reports", STE_ILLEGAL);
  judgeHttu(entry, features, "S2HA", "S2HD", "S2HAFT");
  const bigEndian = entry.value("S2ENDI") !== 0n;
  if (bigEndian ? !features.bigEndianTables : !features.littleEndianTables)
    entry.complain(UNSUPPORTED, "S2ENDI", "expected a byte order that IDR0.TTENDIAN reports", STE_ILLEGAL);
  const tg = Number(entry.value("S2TG"));
  const granule = granuleOfTg0(features, tg);
  if (tg === RESERVED_ENCODING) entry.complain(ILLEGAL, "S2TG", "expected 0 to 2", STE_ILLEGAL);
  else if (granule === 0)
    entry.complain(UNSUPPORTED, "S2TG", "expected a granule that IDR5 reports", STE_ILLEGAL);
  if (granule !== 0) judgeStage2Shape(entry, features, granule);
  if (features.s2pi && entry.value("S2PIE") !== 0n)
    entry.complain(NOT_MODELLED, "S2PIE", "permissions are taken from the descriptors themselves");
  if (features.s2po && entry.value("S2POE") !== 0n)
    entry.complain(NOT_MODELLED, "S2POE", "permissions are taken as without overlays");
}

function judgeStage2Shape(entry: Entry, features: SmmuFeatures, granule: number): void {
  const ds = features.ds && entry.value("S2DS") !== 0n;
  const bits = Math.min(features.addressBits(Number(entry.value("S2PS"))), tableAddressBits(granule, ds));
  if (entry.value("S2TTB") << 4n >= 1n << BigInt(bits))
    entry.complain(
      TABLE_RULES["address-too-wide"],
      "S2TTB",
      `expected an address of ${bits} bits`,
      STE_ILLEGAL,
    );
  const most = maxTxsz(features, granule);
  const inputs = features.v30 ? features.ias : Math.min(features.ias, tableAddressBits(granule, ds));
  const txsz = Number(entry.value("S2T0SZ"));
  if (txsz > most || txsz < 64 - inputs) {
    entry.complain(ILLEGAL, "S2T0SZ", `expected ${64 - inputs} to ${most}`, STE_ILLEGAL);
    return;
  }
  const high = ds && granule === 12 ? Number(entry.value("S2SL0_2")) << 2 : 0;
  const level = stage2StartLevel(
    granule,
    Number(entry.value("S2SL0")) | high,
    ds,
    features.oas,
    features.stt,
  );
  if (Number.isNaN(level))
    entry.complain(ILLEGAL, "S2SL0", "expected a start level of this granule", STE_ILLEGAL);
  else if (!stage2Consistent(granule, 64 - txsz, level))
    entry.complain(
      CONFLICT,
      "S2SL0",
      `expected a start level that fits S2T0SZ, ${txsz}, not level ${level}`,
      STE_ILLEGAL,
    );
}

/** 5.2 S2HA, S2HD; 5.4 HA, HD. */
export function judgeHttu(
  entry: Entry,
  { httu }: SmmuFeatures,
  accessField: string,
  dirtyField: string,
  tableField: string,
): void {
  const access = entry.value(accessField) !== 0n;
  const dirty = entry.value(dirtyField) !== 0n;
  const lacks = "expected 0: IDR0.HTTU does not report it";
  if (access && httu === 0) entry.complain(UNSUPPORTED, accessField, lacks);
  if (dirty && httu < 2) entry.complain(UNSUPPORTED, dirtyField, lacks);
  else if (dirty && !access)
    entry.complain(INEFFECTIVE, dirtyField, `behaves as 0 where ${accessField} is 0`);
  if (httu === 3 && entry.value(tableField) !== 0n && !access)
    entry.complain(CONFLICT, tableField, `expected 0 where ${accessField} is 0`);
}

/** Where stage 2 begins, and the VMID that it is cached under. */
function tagStage2(entry: Entry, stream: StreamContext, features: SmmuFeatures): void {
  const { frame, offset, startLevel, inputBits } = stream.stage2;
  const given = entry.value("S2TTB") << 4n;
  if (given !== (BigInt(frame) << 12n) + BigInt(offset))
    entry.complain(
      TABLE_RULES["misaligned-table"],
      "S2TTB",
      "expected an address aligned to the table's size",
    );
  entry.pointer("S2TTB", frame, 2 ** (features.oas - 12), `${features.oas} bits`);
  if (stream.vmid < 0) return;
  entry.tag({
    key: `vmid ${stream.vmid}`,
    target: `${frame}:${offset}/${startLevel}/${inputBits}`,
    name: `VMID ${stream.vmid}`,
    points: `the stage 2 table at ${addressText(frame, offset)}, from level ${startLevel}`,
    field: "S2VMID",
    source: "IHI 0070, 3.17",
  });
}
