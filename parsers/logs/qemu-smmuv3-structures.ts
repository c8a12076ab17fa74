/** Stream table entries and context descriptors as QEMU's SMMUv3 reads them: the fields that its trace events show. */
import { Cd } from "../../walkers/smmuv3/cd.ts";
import { Cr0, StrtabBaseCfg } from "../../walkers/smmuv3/registers.ts";
import { ADDRESS_SIZES, CONFIG_BYPASS, CONFIG_STAGE1, L1Std, Ste } from "../../walkers/smmuv3/ste.ts";
import { L1_SHIFT } from "../../walkers/smmuv3/structures.ts";
import type { LogOutput, Loss } from "./format.ts";
import type { LogIommu } from "./log-iommu.ts";
import { UNKNOWN_TABLES } from "./losses.ts";
import { type EventHandler, hexField, numberField, optionalNumber, partsOf } from "./qemu-events.ts";
import { STRTAB_ADDRESS, showStreamTable } from "./smmuv3-registers.ts";
import { hexOfBig, type TableBuilder } from "./table-builder.ts";

/** STE.Config: abort. */
const CONFIG_ABORT = 0;
/** QEMU's StreamIDs are PCI requester ids. */
const STREAM_BITS = 16;
/** Streams that are remembered. */
const MAX_STREAMS = 1 << 17;
/** Granules by their number of bits (CD.TG0, CD.TG1). */
const TG0: Readonly<Record<number, number>> = { 12: 0, 16: 1, 14: 2 };
const TG1: Readonly<Record<number, number>> = { 14: 1, 12: 2, 16: 3 };
/** CD.IPS by the number of bits. */
const IPS = new Map(
  Object.entries(ADDRESS_SIZES).map(([value, bits]) => [Number.parseInt(bits, 10), Number(value)]),
);
/** Cached pages that are remembered; past that they are forgotten, and requests to them counted as not known. */
const MAX_PAGES = 1 << 20;

const SECOND_STAGE: Loss = {
  what: "second-stage",
  severity: "warning",
  message:
    "requests through a second stage are left out: QEMU's events do not show its configuration; give memory beside the log (--memory)",
};

/** What is being read for one stream. */
interface Reading {
  sid: number;
  ste: string;
  cd: string;
  fields: Partial<Record<keyof (typeof Cd)["fields"], number | bigint>> | null;
}

export class SmmuStructures {
  /** The log begins before translation is enabled: what is cached has been read in it. */
  fromBoot = false;
  readonly handlers: Readonly<Record<string, EventHandler>>;
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  readonly #tables: TableBuilder;
  /** Streams whose configuration the log shows. */
  readonly #streams = new Set<number>();
  /** Streams with a second stage. */
  readonly #nested = new Set<number>();
  /** Pages that the log shows being put into the IOTLB, and how many bits they have. */
  readonly #pages = new Set<string>();
  readonly #pageBits = new Set<number>();
  readonly #reading: Reading = { sid: -1, ste: "", cd: "", fields: null };

  constructor(output: LogOutput, iommu: LogIommu, tables: TableBuilder) {
    this.#output = output;
    this.#iommu = iommu;
    this.#tables = tables;
    showStreamTable(iommu, tables);
    this.handlers = {
      smmuv3_find_ste: (args) => this.#findSte(args),
      smmuv3_find_ste_2lvl: (args) => this.#findSte2(args),
      smmuv3_get_ste: (args) => this.#ste(args),
      smmuv3_get_cd: (args) => this.#cd(args),
      smmuv3_decode_cd: (args) => this.#decodeCd(args),
      smmuv3_decode_cd_tt: (args) => this.#decodeTable(args),
    };
  }

  /** CR0 is written: a log that shows translation being enabled shows everything. */
  enabling(value: string): void {
    const before = this.#iommu.register("cr0");
    const bit = 1n << BigInt(Cr0.fields.SMMUEN.parts[0]![0]);
    if (before !== undefined && (BigInt(before) & bit) === 0n && (BigInt(value) & bit) !== 0n)
      this.fromBoot = true;
  }

  /** The ASID under which the stream's translations are looked up: the last that was missing of its descriptor. */
  found(asid: number): void {
    const reading = this.#reading;
    if (reading.fields === null) return;
    this.#tables.entry(Cd, reading.cd, { ...reading.fields, ASID: asid });
    this.#known(reading);
  }

  /** A translation goes into the IOTLB. */
  inserted(args: string): void {
    if (this.fromBoot || this.#output.memory) return;
    const granule = optionalNumber(args, "tg=");
    const level = optionalNumber(args, "level=");
    if (granule === undefined || level === undefined) return;
    const granuleBits = 10 + 2 * granule;
    const bits = granuleBits + Math.max(0, 3 - level) * (granuleBits - L1_SHIFT);
    this.#pageBits.add(bits);
    if (this.#pages.size >= MAX_PAGES) this.#pages.clear();
    this.#pages.add(pageKey(numberField(args, "asid="), hexField(args, "addr="), bits));
  }

  /** Whether a request's tables are known; where not, it is counted. @param asid of an IOTLB hit, -1 for a walk */
  knows(sid: number, asid: number, addr: string): boolean {
    if (this.#output.memory) return true;
    if (this.#nested.has(sid)) {
      this.#output.lost(SECOND_STAGE);
      return false;
    }
    if (this.#streams.has(sid) && (this.fromBoot || asid < 0 || this.#hasPage(asid, addr))) return true;
    this.#output.lost(UNKNOWN_TABLES);
    return false;
  }

  /** A stream's requests go through a second stage, whose configuration no event shows. */
  secondStage(sid: number): void {
    this.#nested.add(sid);
  }

  bypassed(sid: number): void {
    this.#withoutStage1(sid, CONFIG_BYPASS);
  }

  aborted(sid: number): void {
    this.#withoutStage1(sid, CONFIG_ABORT);
  }

  /** The entry that has just been read leads to no context descriptor. */
  #withoutStage1(sid: number, config: number): void {
    const reading = this.#reading;
    if (reading.sid !== sid || reading.ste === "") return;
    this.#iommu.declare();
    this.#tables.entry(Ste, reading.ste, { V: 1, Config: config });
    this.#known(reading);
  }

  #known(reading: Reading): void {
    this.#streams.add(reading.sid);
    reading.sid = -1;
    reading.ste = "";
    reading.cd = "";
    reading.fields = null;
  }

  #hasPage(asid: number, addr: string): boolean {
    for (const bits of this.#pageBits) if (this.#pages.has(pageKey(asid, addr, bits))) return true;
    return false;
  }

  #findSte(args: string): void {
    // "sid=0x18", in early versions "SID:0x18".
    const sid = optionalNumber(args, "sid=") ?? numberField(args, "SID:");
    const reading = this.#reading;
    reading.sid = sid;
    reading.ste = "";
    reading.cd = "";
    reading.fields = null;
    if (this.#streams.size > MAX_STREAMS) this.#streams.clear();
    if (this.#nested.size > MAX_STREAMS) this.#nested.clear();
    this.#streams.delete(sid);
    this.#nested.delete(sid);
    // What the driver wrote before the log began: QEMU bounds a StreamID by 16 bits, whatever LOG2SIZE says.
    if (this.#iommu.register("strtab_base_cfg") !== undefined) return;
    const twoLevels = (numberField(args, "features:") & 1) === 1;
    const cfg = StrtabBaseCfg.build(
      twoLevels
        ? { LOG2SIZE: STREAM_BITS, FMT: 1, SPLIT: numberField(args, "sid_split:") }
        : { LOG2SIZE: STREAM_BITS },
    );
    this.#iommu.set("strtab_base_cfg", hexOfBig(BigInt(new DataView(cfg.buffer).getUint32(0, true))), true);
  }

  #findSte2(args: string): void {
    if (this.#iommu.register("strtab_base") === undefined)
      this.#iommu.set("strtab_base", hexField(args, "strtab_base:"));
    // The array has 2^(Span - 1) entries (IHI 0070, 5.1); QEMU says 2^Span - 1, the last index of twice as many.
    const span = Math.round(Math.log2(numberField(args, "max_l2_ste:") + 1));
    this.#iommu.declare();
    this.#tables.entry(L1Std, hexField(args, "l1ptr:"), {
      Span: span,
      L2Ptr: BigInt(hexField(args, "l2ptr:")),
    });
  }

  #ste(args: string): void {
    const reading = this.#reading;
    reading.ste = hexField(args, "STE addr: ");
    if (this.#iommu.register("strtab_base") !== undefined || reading.sid < 0) return;
    // Only a linear table gets here: its base follows from the entry.
    const base = (BigInt(reading.ste) - BigInt(reading.sid * Ste.bytes)) & STRTAB_ADDRESS;
    this.#iommu.set("strtab_base", hexOfBig(base), true);
  }

  #cd(args: string): void {
    const reading = this.#reading;
    if (reading.ste === "") return;
    reading.cd = hexField(args, "CD addr: ");
    this.#iommu.declare();
    this.#tables.entry(Ste, reading.ste, { V: 1, Config: CONFIG_STAGE1, S1ContextPtr: BigInt(reading.cd) });
  }

  #decodeCd(args: string): void {
    if (this.#reading.cd === "") return;
    const ips = IPS.get(numberField(args, "oas="));
    // Tables that no event shows are not walked (EPD0, EPD1). The A bit set: Linux's and, without a stall model, the rule.
    this.#reading.fields = {
      V: 1,
      AA64: 1,
      R: 1,
      A: 1,
      EPD0: 1,
      EPD1: 1,
      ...(ips === undefined ? {} : { IPS: ips }),
    };
  }

  #decodeTable(args: string): void {
    const { fields } = this.#reading;
    const [, table] = partsOf(/^TT\[([01])\]:/, args);
    if (fields === null) return;
    const size = numberField(args, "tsz:");
    const base = BigInt(hexField(args, "ttb:"));
    const granule = numberField(args, "granule_sz:");
    const had = optionalNumber(args, "had:") ?? 0;
    if (table === "0")
      Object.assign(fields, { EPD0: 0, T0SZ: size, TTB0: base, TG0: TG0[granule] ?? 3, HAD0: had });
    else Object.assign(fields, { EPD1: 0, T1SZ: size, TTB1: base, TG1: TG1[granule] ?? 0, HAD1: had });
  }
}

function pageKey(asid: number, addr: string, bits: number): string {
  return `${asid}/${bits}/${(BigInt(addr) >> BigInt(bits)).toString(36)}`;
}
