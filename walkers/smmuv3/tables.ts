import type { Layout } from "../layout.ts";
import { FRAME_BYTES, frameHi, frameLo, type GuestMemory } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import type { Entry } from "../tables/entry.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { EntryKind, IdKind, RootTable, TableSpec, TableTree } from "../tables/tree.ts";
import type { SmmuV3Binding } from "./binding.ts";
import { Cd, L1Cd } from "./cd.ts";
import { alignFrame, alignOffset, SmmuFeatures } from "./features.ts";
import { Idr0 } from "./registers.ts";
import { Stage2 } from "./stage2.ts";
import { L1Std, Ste } from "./ste.ts";
import { StreamContext } from "./stream-context.ts";
import { cdSplit, ENTRY_SHIFT, L1_SHIFT, MAX_SPAN } from "./structures.ts";
import { judgeCd } from "./tables-cd.ts";
import { judgeSte } from "./tables-ste.ts";

/** 3.21.3: what is single-copy atomic. */
const ATOMIC_BYTES = 8;
/** IDR0.TTF: VMSAv8-32 LPAE tables, which are not looked into here. */
const TTF_LPAE = 1;

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
  #lpae = false;

  constructor(memory: GuestMemory) {
    this.#stage2 = new Stage2(new TableReader(memory), new StreamContext());
  }

  configure(state: IommuState): void {
    this.#features.configure(state);
    this.#stage2.eventQueue = this.#features.eventQueue;
    this.#stage2.xnx = this.#features.xnx;
    this.#stage2.privileged = true;
    this.#lpae = (state.capability("idr0", Idr0, "TTF", 2) & TTF_LPAE) !== 0;
    this.#rootKnown = state.has("strtab_base") && state.has("strtab_base_cfg");
  }

  roots(): RootTable[] {
    const { enabled, strtabFrame, strtabOffset, streamBits, split } = this.#features;
    if (!this.#rootKnown || !enabled) return [];
    const table: TableSpec = {
      kind:
        split === 0
          ? this.#steKind
          : { ...this.#l1Std, span: 2 ** split, below: { ...this.#steKind, entries: 2 ** split } },
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

  /** 5.1 and 7.3.3, C_BAD_STREAMID. */
  readonly #l1Std: EntryKind = {
    ...kind(L1Std, (entry) => {
      const { split, oas } = this.#features;
      reservedBits(entry);
      const spanValue = Number(entry.value("Span"));
      if (spanValue > MAX_SPAN) {
        entry.complain(TABLE_RULES["illegal-encoding"], "Span", `expected 0 to ${MAX_SPAN}`);
        return;
      }
      if (spanValue > split + 1) {
        entry.complain(
          TABLE_RULES["conflicting-fields"],
          "Span",
          `expected ${split + 1} at most, since STRTAB_BASE_CFG.SPLIT is ${split}`,
          "IHI 0070, 5.1 and 7.3.3",
        );
        return;
      }
      const align = ENTRY_SHIFT + spanValue - 1;
      const { frame, offset } = aligned(entry, "L2Ptr", align);
      if (!entry.pointer("L2Ptr", frame, 2 ** (oas - 12), `${oas} bits`)) return;
      entry.leadsTo({
        kind: this.#steKind,
        context: "",
        frame,
        offset,
        entries: 2 ** (spanValue - 1),
        first: entry.first,
        limit: 2 ** this.#features.streamBits,
        device: -1,
      });
    }),
    valid: (view, at) => span(view, at) !== 0,
  };

  readonly #steKind: EntryKind = {
    ...kind(Ste, (entry) => {
      reservedBits(entry);
      const stream = judgeSte(entry, this.#features, this.#lpae);
      if (stream === null || !stream.stage1Enabled) return;
      const { oas } = this.#features;
      const frames = stream.stage2Enabled ? Number.POSITIVE_INFINITY : 2 ** (oas - 12);
      const { frame } = aligned(entry, "S1ContextPtr", cdTableAlign(stream));
      if (entry.pointer("S1ContextPtr", frame, frames, `${oas} bits`, this.#resolver(stream)))
        entry.leadsTo(this.#cdTable(stream, entry.device, "", true));
    }),
    valid: (view, at) => steValid(view, at) !== 0,
    updates: { unit: ATOMIC_BYTES, used: usedSteWords },
  };

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
      kind: linear ? leaf : this.#l1CdKind(stream, device, context, leaf, splitBits),
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

  #l1CdKind(
    stream: StreamContext,
    device: number,
    context: string,
    leaf: EntryKind,
    splitBits: number,
  ): EntryKind {
    return {
      ...kind(L1Cd, (entry) => {
        reservedBits(entry);
        const { oas } = this.#features;
        const frames = stream.stage2Enabled ? Number.POSITIVE_INFINITY : 2 ** (oas - 12);
        const { frame, offset } = aligned(entry, "L2Ptr", splitBits + ENTRY_SHIFT);
        const resolve = this.#resolver(stream);
        if (!entry.pointer("L2Ptr", frame, frames, `${oas} bits`, resolve)) return;
        entry.leadsTo({
          kind: leaf,
          context,
          frame,
          offset,
          entries: 2 ** splitBits,
          first: entry.first,
          limit: 2 ** stream.s1cdmax,
          device,
          resolve,
        });
      }),
      ids: "pasid",
      span: 2 ** splitBits,
      below: { ...leaf, entries: 2 ** splitBits },
      valid: (view, at) => l1cdValid(view, at) !== 0,
    };
  }

  #cdKind(stream: StreamContext, scope: string, ids: IdKind): EntryKind {
    return {
      ...kind(Cd, (entry) => {
        reservedBits(entry);
        judgeCd(entry, stream, this.#features, this.#lpae, scope);
      }),
      ids,
      valid: (view, at) => cdValid(view, at) !== 0,
    };
  }

  #resolver(stream: StreamContext): ((frame: number) => number) | undefined {
    if (!stream.stage2Enabled) return undefined;
    return (frame) => {
      this.#out.reset("arm-1lvl");
      this.#stage2.stream = stream;
      if (!this.#stage2.translate(frameHi(frame), frameLo(frame), READ, FOR_CONTEXT, this.#out)) return -1;
      return this.#stage2.frame;
    };
  }
}

function kind(layout: Layout, judge: (entry: Entry) => void): Omit<EntryKind, "valid"> {
  const updates = { unit: ATOMIC_BYTES };
  return { layout, littleEndian: true, ids: "device", span: 1, entries: 1, updates, judge };
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

/** RES0 bits are not checked by an SMMU. */
function reservedBits(entry: Entry): void {
  entry.reservedBits(TABLE_RULES["ignored-entry-bits"], entry.layout.reserved(), [], "", 0);
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

/** The address in a field aligned down to 2^align bytes, as the SMMU takes it; complains where that changes it. */
function aligned(entry: Entry, field: string, align: number): { frame: number; offset: number } {
  const low = BigInt(entry.layout.fields[field]!.parts[0]![1] % 64);
  const value = entry.value(field) << low;
  const down = (value >> BigInt(align)) << BigInt(align);
  if (down !== value) misaligned(entry, field, `${2 ** align} bytes`);
  return { frame: Number(down >> 12n), offset: Number(down & 0xfffn) };
}

function misaligned(entry: Entry, field: string, size: string): void {
  entry.complain(TABLE_RULES["misaligned-table"], field, `expected an address aligned to ${size}`);
}
