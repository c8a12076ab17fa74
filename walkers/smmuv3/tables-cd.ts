import type { Entry } from "../tables/entry.ts";
import { SEVERE, TABLE_RULES } from "../tables/table-rules.ts";
import { addressText } from "../word64.ts";
import type { SmmuFeatures } from "./features.ts";
import { granuleOfTg0, granuleOfTg1, maxTxsz, tableAddressBits } from "./granule.ts";
import type { StreamContext } from "./stream-context.ts";
import { type AddressHalf, SubstreamContext } from "./substream-context.ts";
import { judgeHttu } from "./tables-ste.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CD_ILLEGAL = "IHI 0070, 5.4.2";

const HALVES = [
  { txsz: "T0SZ", tg: "TG0", ttb: "TTB0", epd: "EPD0", reservedTg: 3, expectedTg: "expected 0 to 2" },
  { txsz: "T1SZ", tg: "TG1", ttb: "TTB1", epd: "EPD1", reservedTg: 0, expectedTg: "expected 1 to 3" },
] as const;
type Half = (typeof HALVES)[number];

/**
 * Judges a valid CD (IHI 0070 5.4.2, CdIllegal).
 * @param stream the STE above it
 * @param lpae the SMMU has VMSAv8-32 LPAE tables, too: those are not looked into
 * @param scope whose ASIDs these are
 */
export function judgeCd(
  entry: Entry,
  stream: StreamContext,
  features: SmmuFeatures,
  lpae: boolean,
  scope: string,
): void {
  judgeFaultModel(entry, stream, features);
  const used = HALVES.filter((half) => isUsed(entry, half, stream));
  const bigEndian = entry.value("ENDI") !== 0n;
  if (used.length > 0 && (bigEndian ? !features.bigEndianTables : !features.littleEndianTables))
    entry.complain(UNSUPPORTED, "ENDI", "expected a byte order that IDR0.TTENDIAN reports", CD_ILLEGAL);
  if (entry.value("AA64") === 0n && lpae) return;
  if (entry.value("AA64") === 0n || !features.vmsav864)
    entry.complain(UNSUPPORTED, "AA64", "expected a format that IDR0.TTF reports", CD_ILLEGAL);
  judgeHttu(entry, features, "HA", "HD", "HAFT");
  if (!stream.el2 && !features.asid16 && entry.value("ASID") > 0xffn)
    entry.complain(UNSUPPORTED, "ASID", "expected 8 bits, since IDR0.ASID16 is 0", CD_ILLEGAL);
  for (const half of used) judgeHalf(entry, half, features);
  if (stream.s1pie && entry.value("PIE") !== 0n)
    entry.complain(
      TABLE_RULES["not-modelled"],
      "PIE",
      "permissions are taken from the descriptors themselves",
    );

  const context = new SubstreamContext();
  if (!context.decode(entry.view, entry.at, stream, features)) {
    if (!entry.complaints.some((c) => SEVERE.has(c.rule)))
      entry.complain(ILLEGAL, "V", "the descriptor is ILLEGAL", CD_ILLEGAL);
    return;
  }
  for (const half of used) {
    const decoded = half.ttb === "TTB0" ? context.low : context.high;
    judgeTable(entry, half, decoded, stream, features);
    tagHalf(entry, half, decoded, stream, context.asid, scope);
  }
}

/** With one privilege level EPD0 and EPD1 are IGNORED, and there is no TTB1. */
function isUsed(entry: Entry, half: Half, stream: StreamContext): boolean {
  if (stream.el2) return half.ttb === "TTB0";
  return entry.value(half.epd) === 0n;
}

function judgeFaultModel(entry: Entry, stream: StreamContext, features: SmmuFeatures): void {
  const stalls = entry.value("S") !== 0n;
  if (stream.s1stalld && stalls)
    entry.complain(TABLE_RULES["conflicting-fields"], "S", "expected 0 where STE.S1STALLD is 1", CD_ILLEGAL);
  if (features.terminateAborts && entry.value("A") === 0n)
    entry.complain(UNSUPPORTED, "A", "expected 1, since IDR0.TERM_MODEL is 1", CD_ILLEGAL);
  if (features.stallModel === 1 && stalls)
    entry.complain(UNSUPPORTED, "S", "expected 0, since IDR0.STALL_MODEL is 1", CD_ILLEGAL);
  if (features.stallModel === 2 && !stalls)
    entry.complain(UNSUPPORTED, "S", "expected 1, since IDR0.STALL_MODEL is 2", CD_ILLEGAL);
}

function judgeHalf(entry: Entry, half: Half, features: SmmuFeatures): void {
  const tg = Number(entry.value(half.tg));
  const granule = half.ttb === "TTB0" ? granuleOfTg0(features, tg) : granuleOfTg1(features, tg);
  if (tg === half.reservedTg) entry.complain(ILLEGAL, half.tg, half.expectedTg, CD_ILLEGAL);
  else if (granule === 0)
    entry.complain(UNSUPPORTED, half.tg, "expected a granule that IDR5 reports", CD_ILLEGAL);
  if (granule === 0) return;
  const wide = features.ds && entry.value("DS") !== 0n;
  const tableBits = tableAddressBits(granule, wide);
  const least = features.vax ? 64 - tableBits : 16;
  const most = maxTxsz(features, granule);
  const txsz = Number(entry.value(half.txsz));
  if (txsz < least || txsz > most)
    entry.complain(ILLEGAL, half.txsz, `expected ${least} to ${most}`, CD_ILLEGAL);
  const bits = Math.min(features.addressBits(Number(entry.value("IPS"))), tableBits);
  if (entry.value(half.ttb) << 4n >= 1n << BigInt(bits))
    entry.complain(
      TABLE_RULES["address-too-wide"],
      half.ttb,
      `expected an address of ${bits} bits, as IPS and the granule have it`,
      CD_ILLEGAL,
    );
}

function judgeTable(
  entry: Entry,
  half: Half,
  decoded: AddressHalf,
  stream: StreamContext,
  features: SmmuFeatures,
): void {
  const { frame, offset } = decoded.tables;
  if (entry.value(half.ttb) << 4n !== (BigInt(frame) << 12n) + BigInt(offset))
    entry.complain(
      TABLE_RULES["misaligned-table"],
      half.ttb,
      "expected an address aligned to the table's size",
    );
  if (!stream.stage2Enabled) entry.pointer(half.ttb, frame, 2 ** (features.oas - 12), `${features.oas} bits`);
}

function tagHalf(
  entry: Entry,
  half: Half,
  decoded: AddressHalf,
  stream: StreamContext,
  asid: number,
  scope: string,
): void {
  const { vmid } = stream;
  if (asid < 0) return;
  const { frame, offset, inputBits, granule } = decoded.tables;
  const regime = stream.hypervisor ? "el2 " : "";
  entry.tag({
    key: `${scope}${regime}vmid ${vmid} asid ${asid} ${half.ttb}`,
    target: `${frame}:${offset}/${granule}/${inputBits}`,
    name: vmid < 0 ? `ASID ${asid}` : `ASID ${asid} of VMID ${vmid}`,
    points: `${half.ttb} at ${addressText(frame, offset)}, ${inputBits} bits`,
    field: "ASID",
    source: "IHI 0070, 3.17",
  });
}
