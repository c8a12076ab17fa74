import type { Layout } from "../layout.ts";
import { FRAME_BYTES, frameHi, frameLo, type GuestMemory } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import { ruleBook } from "../tables/entry-rule.ts";
import {
  type EntryKind,
  type IdKind,
  type JudgedEntry,
  type PageTables,
  type Pointer,
  type Reach,
  type Resolver,
  type RootTable,
  type TableSpec,
  type TableTree,
  type Tag,
  tableBelow,
} from "../tables/tree.ts";
import { addressText } from "../word64.ts";
import type { SmmuV3Binding } from "./binding.ts";
import { Cd, L1Cd } from "./cd.ts";
import { CdFields } from "./cd-fields.ts";
import { alignFrame, alignOffset, SmmuFeatures } from "./features.ts";
import { noteCd, noteSte } from "./notes.ts";
import { brokenCdRule, brokenL1CdRule, CD_RULES, L1CD_RULES } from "./rules-cd.ts";
import { brokenL1StdRule, brokenSteRule, L1STD_RULES, STE_RULES } from "./rules-ste.ts";
import { Stage2 } from "./stage2.ts";
import { L1Std, Ste } from "./ste.ts";
import { SteFields } from "./ste-fields.ts";
import { StreamContext } from "./stream-context.ts";
import { cdSplit, ENTRY_SHIFT, L1_SHIFT } from "./structures.ts";
import { type AddressHalf, SubstreamContext } from "./substream-context.ts";

/** The smallest top-level page table (5.4 TTB0). */
const SMALLEST_ROOT = 64;
/** What page tables are aligned to. */
const OWN_SIZE = "the table's size";
/** 3.21.3: what is single-copy atomic. */
const ATOMIC_BYTES = 8;

const steValid = Ste.reader("V");
const cdValid = Cd.reader("V");
const l1cdValid = L1Cd.reader("V");
const span = L1Std.reader("Span");
const config = Ste.reader("Config");

/** SMMUv3: stream table and context descriptor tables, linear and of two levels. */
export class SmmuV3Tables implements TableTree<StreamContext> {
  readonly registers = [
    "idr0",
    "idr1",
    "idr3",
    "idr5",
    "aidr",
    "cr0",
    "cr2",
    "strtab_base",
    "strtab_base_cfg",
  ];
  readonly #features = new SmmuFeatures();
  readonly #stage2: Stage2;
  readonly #out = new WalkResult();
  #rootKnown = false;
  readonly #steFields = new SteFields();
  readonly #cdFields = new CdFields();
  #reach: Reach = { frames: 0, width: "" };

  constructor(memory: GuestMemory) {
    this.#stage2 = new Stage2(new TableReader(memory), new StreamContext());
  }

  configure(state: IommuState): void {
    this.#features.configure(state);
    this.#stage2.eventQueue = this.#features.eventQueue;
    this.#stage2.xnx = this.#features.xnx;
    this.#stage2.privileged = true;
    const { oas } = this.#features;
    this.#reach = { frames: 2 ** (oas - 12), width: `${oas} bits` };
    this.#rootKnown = state.has("strtab_base") && state.has("strtab_base_cfg");
  }

  roots(): RootTable[] {
    const { enabled, strtabFrame, strtabOffset, streamBits, split } = this.#features;
    if (!this.#rootKnown || !enabled) return [];
    const table: TableSpec = {
      kind: split === 0 ? this.#ste() : this.#l1Std(),
      context: "",
      frame: strtabFrame,
      offset: strtabOffset,
      entries: 2 ** Math.max(streamBits - split, 0),
      first: 0,
      limit: 2 ** streamBits,
      device: -1,
    };
    const title = split === 0 ? "linear stream table" : "2-level stream table";
    return [{ table, title, from: "SMMU_STRTAB_BASE", field: "ADDR", source: "IHI 0070, 6.3.24" }];
  }

  bound(binding: Binding, device: number): RootTable[] {
    const given = binding as SmmuV3Binding;
    const stream = new StreamContext();
    given.load(stream, this.#features);
    const known = given.ssidBits !== undefined;
    return [
      {
        table: this.#cdTable(stream, device, `bound ${stage2Name(stream)} `, known),
        title: cdTitle(stream),
        from: "bind",
        field: "base_ptr",
        source: "trace contract, `bind`",
      },
    ];
  }

  pasids(stream: StreamContext, device: number): RootTable | null {
    if (!stream.stage1Enabled) return null;
    const table = this.#cdTable(stream, device, "", true);
    return { table, title: cdTitle(stream), from: "STE", field: "S1ContextPtr", source: Ste.source };
  }

  // ── stream table ──

  /** 5.1: with a split, level 1 descriptors of as many streams. */
  #l1Std(): EntryKind {
    const features = this.#features;
    return {
      ...kind(L1Std),
      span: 2 ** features.split,
      below: { ...this.#ste(), entries: 2 ** features.split },
      valid: (view, at) => span(view, at) !== 0,
      rules: ruleBook(L1STD_RULES, features, (view, at, after) => brokenL1StdRule(view, at, features, after)),
      points: (entry) => this.#fromL1Std(entry),
    };
  }

  #fromL1Std(entry: JudgedEntry): Pointer[] {
    const entries = 2 ** (Number(entry.value("Span")) - 1);
    const align = ENTRY_SHIFT + Math.log2(entries);
    const { frame, offset } = alignedDown(entry, "L2Ptr", align);
    const table = { ...tableBelow(entry, frame, offset), entries };
    return [{ field: "L2Ptr", frame, offset, aligned: bytesText(align), reach: this.#reach, table }];
  }

  #ste(): EntryKind {
    const features = this.#features;
    return {
      ...kind(Ste),
      valid: (view, at) => steValid(view, at) !== 0,
      updates: { unit: ATOMIC_BYTES, used: usedSteWords },
      rules: ruleBook(STE_RULES, features, (view, at, after) =>
        brokenSteRule(this.#steFields.read(view, at), features, after),
      ),
      notes: (entry) => noteSte(entry, this.#steFields.read(entry.view, entry.at), features),
      points: (entry) => this.#fromSte(entry),
    };
  }

  #fromSte(entry: JudgedEntry): Pointer[] {
    const stream = new StreamContext();
    stream.take(this.#steFields.read(entry.view, entry.at), this.#features);
    const pointers: Pointer[] = [];
    if (stream.stage2Enabled) pointers.push(this.#toStage2(stream));
    if (stream.stage1Enabled) {
      const table = this.#cdTable(stream, entry.device, "", true);
      const { frame, offset, resolve } = table;
      const aligned = bytesText(cdTableAlign(stream));
      pointers.push({ field: "S1ContextPtr", frame, offset, aligned, reach: this.#reach, resolve, table });
    }
    return pointers;
  }

  /** Where stage 2 begins, and the VMID that it is cached under. */
  #toStage2({ vmid, stage2 }: StreamContext): Pointer {
    const { frame, offset, startLevel, inputBits } = stage2;
    const tag: Tag = {
      key: `vmid ${vmid}`,
      target: `${frame}:${offset}/${startLevel}/${inputBits}`,
      name: `VMID ${vmid}`,
      points: `the stage 2 table at ${addressText(frame, offset)}, from level ${startLevel}`,
      field: "S2VMID",
      source: "IHI 0070, 3.17",
    };
    const place = { field: "S2TTB", frame, offset, aligned: OWN_SIZE, reach: this.#reach };
    return vmid < 0 ? place : { ...place, tag };
  }

  // ── context descriptors ──

  /**
   * The context descriptor table of a stream.
   * @param scope whose ASIDs these are
   * @param sized S1CDMax is known: the table is as large as it says; otherwise only its first page is looked at
   */
  #cdTable(stream: StreamContext, device: number, scope: string, sized: boolean): TableSpec {
    const { s1cdmax, s1fmt } = stream;
    const context = `${scope}${stage2Name(stream)} ${stream.s1stalld ? "S1STALLD" : ""} ${stream.s1pie ? "S1PIE" : ""} ${stream.el2} ${stream.hypervisor}`;
    const splitBits = cdSplit(s1fmt);
    const linear = splitBits === 0;
    const shift = linear ? ENTRY_SHIFT : L1_SHIFT;
    const size = 2 ** Math.max(s1cdmax - splitBits, 0);
    const align = cdTableAlign(stream);
    // Without substreams the one descriptor belongs to no PASID.
    const leaf = this.#cdKind(stream, scope, s1cdmax === 0 ? "device" : "pasid");
    return {
      kind: linear ? leaf : this.#l1CdKind(stream, leaf, splitBits),
      context,
      frame: alignFrame(stream.s1ContextFrame, align),
      offset: alignOffset(stream.s1ContextOffset, align),
      entries: sized ? size : Math.min(size, FRAME_BYTES >> shift),
      first: s1cdmax === 0 ? device : 0,
      limit: s1cdmax === 0 ? Number.POSITIVE_INFINITY : 2 ** s1cdmax,
      device,
      resolve: this.#resolver(stream),
    };
  }

  #l1CdKind(stream: StreamContext, leaf: EntryKind, splitBits: number): EntryKind {
    const features = this.#features;
    const resolve = this.#resolver(stream);
    return {
      ...kind(L1Cd),
      ids: "pasid",
      span: 2 ** splitBits,
      below: { ...leaf, entries: 2 ** splitBits },
      valid: (view, at) => l1cdValid(view, at) !== 0,
      rules: ruleBook(L1CD_RULES, features, (view, at, after) =>
        brokenL1CdRule(view, at, stream, features, after),
      ),
      points: (entry) => {
        const align = splitBits + ENTRY_SHIFT;
        const { frame, offset } = alignedDown(entry, "L2Ptr", align);
        const table = tableBelow(entry, frame, offset);
        const aligned = bytesText(align);
        return [{ field: "L2Ptr", frame, offset, aligned, reach: this.#reach, resolve, table }];
      },
    };
  }

  #cdKind(stream: StreamContext, scope: string, ids: IdKind): EntryKind {
    const features = this.#features;
    return {
      ...kind(Cd),
      ids,
      title: "level 2 context descriptor table",
      valid: (view, at) => cdValid(view, at) !== 0,
      rules: ruleBook(CD_RULES, features, (view, at, after) =>
        brokenCdRule(this.#cdFields.read(view, at), stream, features, after),
      ),
      notes: (entry) => noteCd(entry, this.#cdFields.read(entry.view, entry.at), stream, features),
      points: (entry) => this.#fromCd(entry, stream, scope),
    };
  }

  #fromCd(entry: JudgedEntry, stream: StreamContext, scope: string): Pointer[] {
    const resolve = this.#resolver(stream);
    const context = new SubstreamContext();
    const fields = this.#cdFields.read(entry.view, entry.at);
    const tables: PageTables = {
      format: fields.aa64 !== 0 ? "vmsav8-64" : "vmsav8-32",
      because: `AA64 is ${fields.aa64}`,
      rootBytes: SMALLEST_ROOT,
    };
    if (brokenCdRule(fields, stream, this.#features) !== 0) return unsoundTables(entry, tables);
    context.take(fields, stream, this.#features);
    const pointers: Pointer[] = [];
    for (const [field, half] of [
      ["TTB0", context.low],
      ["TTB1", context.high],
    ] as const) {
      if (!half.enabled) continue;
      const { frame, offset } = half.tables;
      const tag = asidTag(field, half, stream, context.asid, scope);
      const place = { field, frame, offset, aligned: OWN_SIZE, reach: this.#reach, resolve, tables };
      pointers.push(tag === null ? place : { ...place, tag });
    }
    return pointers;
  }

  #resolver(stream: StreamContext): Resolver | undefined {
    if (!stream.stage2Enabled) return undefined;
    return (frame) => {
      this.#out.reset("arm-1lvl");
      this.#stage2.stream = stream;
      if (!this.#stage2.translate(frameHi(frame), frameLo(frame), READ, FOR_CONTEXT, this.#out)) return -1;
      return this.#stage2.frame;
    };
  }
}

function kind(layout: Layout): Omit<EntryKind, "valid"> {
  return {
    layout,
    littleEndian: true,
    ids: "device",
    span: 1,
    entries: 1,
    updates: { unit: ATOMIC_BYTES },
    // RES0 bits are not checked by an SMMU.
    ignored: layout.reserved(),
  };
}

function cdTitle({ s1cdmax, s1fmt }: StreamContext): string {
  if (s1cdmax === 0) return "context descriptor";
  return cdSplit(s1fmt) === 0 ? "linear context descriptor table" : "2-level context descriptor table";
}

/** 5.2 S1ContextPtr: log2 of what the table is aligned to, its size in each format. */
function cdTableAlign({ s1fmt, s1cdmax }: StreamContext): number {
  const split = cdSplit(s1fmt);
  return split === 0 ? s1cdmax + ENTRY_SHIFT : Math.max(ENTRY_SHIFT, s1cdmax - split + L1_SHIFT);
}

/** What a stream's second stage is, as part of a table's identity. */
function stage2Name(stream: StreamContext): string {
  if (!stream.stage2Enabled) return "";
  const { frame, offset, granule, startLevel, inputBits } = stream.stage2;
  return `stage 2 ${stream.vmid} ${frame}:${offset}/${granule}/${startLevel}/${inputBits}`;
}

/**
 * 64-bit words that an STE makes the SMMU look at (5.2): with aborts and bypass the first two, with stage 1 these and the
 * VMID's, with stage 2 the first four.
 */
function usedSteWords(view: DataView, at: number): number {
  const value = config(view, at);
  if (value < 4) return 0b1;
  if (value === 4) return 0b11;
  return value === 5 ? 0b111 : 0b1111;
}

/** The address in a field aligned down to 2^align bytes, as the SMMU takes it. */
function alignedDown(entry: JudgedEntry, field: string, align: number): { frame: number; offset: number } {
  const down = (entry.address(field) >> BigInt(align)) << BigInt(align);
  return { frame: Number(down >> 12n), offset: Number(down & 0xfffn) };
}

function bytesText(align: number): string {
  return `${2 ** align} bytes`;
}

/** Page tables of a descriptor that the SMMU refuses: where its fields say. */
function unsoundTables(entry: JudgedEntry, tables: PageTables): Pointer[] {
  return (["TTB0", "TTB1"] as const)
    .filter((_, half) => entry.value(`EPD${half}`) === 0n)
    .map((field) => ({ field, ...alignedDown(entry, field, 0), reach: null, tables }));
}

function asidTag(
  field: string,
  { tables }: AddressHalf,
  { vmid, hypervisor }: StreamContext,
  asid: number,
  scope: string,
): Tag | null {
  if (asid < 0) return null;
  const { frame, offset, inputBits, granule } = tables;
  const regime = hypervisor ? "el2 " : "";
  return {
    key: `${scope}${regime}vmid ${vmid} asid ${asid} ${field}`,
    target: `${frame}:${offset}/${granule}/${inputBits}`,
    name: vmid < 0 ? `ASID ${asid}` : `ASID ${asid} of VMID ${vmid}`,
    points: `${field} at ${addressText(frame, offset)}, ${inputBits} bits`,
    field: "ASID",
    source: "IHI 0070, 3.17",
  };
}
