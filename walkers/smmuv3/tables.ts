import type { GuestMemory } from "../memory.ts";
import { frameHi, frameLo } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";

import { ruleBook } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import {
  type EntryKind,
  type JudgedEntry,
  type Pointer,
  type Reach,
  type Resolver,
  type RootTable,
  type TableTree,
  tableBelow,
} from "../tables/tree.ts";
import { addressText } from "../word64.ts";
import type { SmmuV3Binding } from "./binding.ts";
import { alignFrame, alignOffset, SmmuFeatures } from "./features.ts";
import { brokenL1StdRule, brokenSteRule, L1STD_RULES, STE_RULES } from "./rules-ste.ts";
import { Stage2 } from "./stage2.ts";
import { CONFIG_BYPASS, EATS_FULL_DPT, L1Std, Ste } from "./ste.ts";
import { StreamContext } from "./stream-context.ts";
import { ENTRY_SHIFT } from "./structures.ts";
import { SmmuV3CdTables } from "./tables-cd.ts";
import { L1STD_UPDATES, STE_UPDATES } from "./updates.ts";

const spanOf = L1Std.reader("Span");
const l2Frame = L1Std.reader("L2Ptr");
const l2Offset = L1Std.offsetReader("L2Ptr");
const rawFormat = Ste.reader("S1Fmt");
const rawDss = Ste.reader("S1DSS");
const permissionIndirection = Ste.reader("S2PIE");
const permissionOverlay = Ste.reader("S2POE");

/** Of S1Fmt and S1DSS. */
const RESERVED_ENCODING = 3;

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
  readonly #cds: SmmuV3CdTables;
  #reach: Reach = { frames: 0, width: "" };
  #rootKnown = false;

  constructor(memory: GuestMemory) {
    this.#stage2 = new Stage2(new TableReader(memory), new StreamContext());
    this.#cds = new SmmuV3CdTables(this.#features);
  }

  configure(state: IommuState): void {
    this.#features.configure(state);
    this.#stage2.eventQueue = this.#features.eventQueue;
    this.#stage2.xnx = this.#features.xnx;
    this.#stage2.privileged = true;
    this.#reach = { frames: this.#features.frameLimit, width: `${this.#features.oas} bits` };
    this.#rootKnown = state.has("strtab_base") && state.has("strtab_base_cfg");
  }

  roots(): RootTable[] {
    const { enabled, strtabFrame, strtabOffset, streamBits, split } = this.#features;
    if (!this.#rootKnown || !enabled) return [];
    const ste = this.#ste();
    const table = {
      kind: split === 0 ? ste : this.#l1Std(ste),
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
    const sized = given.ssidBits !== undefined;
    const root = this.#cds.table(stream, device, "bound ", sized, this.#resolver(stream));
    return [{ ...root, from: "bind", field: "base_ptr", source: "trace contract, `bind`" }];
  }

  pasids(stream: StreamContext, device: number): RootTable | null {
    if (!stream.stage1Enabled) return null;
    return this.#cds.table(stream, device, "", true, this.#resolver(stream));
  }

  // ── stream table ──

  /** 5.1 and 7.3.3, C_BAD_STREAMID. */
  #l1Std(ste: EntryKind): EntryKind {
    const features = this.#features;
    const span = 2 ** features.split;
    return {
      layout: L1Std,
      littleEndian: true,
      ids: "device",
      span,
      entries: 1,
      below: { ...ste, entries: span },
      updates: L1STD_UPDATES,
      valid: (view, at) => spanOf(view, at) !== 0,
      ignored: L1Std.reserved(),
      rules: ruleBook(L1STD_RULES, features, (view, at, after) =>
        brokenL1StdRule(spanOf(view, at), features, after),
      ),
      points: (entry) => {
        const { view, at } = entry;
        const entries = 2 ** (spanOf(view, at) - 1);
        const align = ENTRY_SHIFT + spanOf(view, at) - 1;
        const frame = alignFrame(l2Frame(view, at), align);
        const offset = alignOffset(l2Offset(view, at), align);
        const table = { ...tableBelow(entry, frame, offset), entries };
        return [{ field: "L2Ptr", frame, offset, aligned: `${2 ** align} bytes`, reach: this.#reach, table }];
      },
    };
  }

  #ste(): EntryKind {
    const features = this.#features;
    const stream = new StreamContext();
    const valid = StreamContext.valid;
    return {
      layout: Ste,
      littleEndian: true,
      ids: "device",
      span: 1,
      entries: 1,
      updates: STE_UPDATES,
      valid,
      ignored: Ste.reserved(features.has),
      rules: ruleBook(STE_RULES, { features, stream }, (view, at, after) => {
        stream.decode(view, at, features);
        return brokenSteRule(stream, features, after);
      }),
      notes: (entry) => this.#noteSte(entry),
      points: (entry) => this.#fromSte(entry),
    };
  }

  /** What 5.2 says has no effect, and what is not modelled. */
  #noteSte(entry: JudgedEntry): void {
    const { view, at } = entry;
    const features = this.#features;
    const stream = new StreamContext();
    stream.decode(view, at, features);
    if (stream.config < CONFIG_BYPASS) return;
    const ineffective = (field: string, text: string) =>
      entry.complain(TABLE_RULES["ineffective-field"], field, text);
    if (stream.eats === EATS_FULL_DPT && !features.dpt)
      ineffective("EATS", "expected 0 to 2: without DPT it behaves as 0");
    if (stream.stage1Enabled && stream.s1cdmax > 0) {
      if (rawFormat(view, at) === RESERVED_ENCODING) ineffective("S1Fmt", "expected 0 to 2: it behaves as 0");
      if (rawDss(view, at) === RESERVED_ENCODING) ineffective("S1DSS", "expected 0 to 2: it behaves as 0");
    }
    if (!stream.stage2Enabled || !stream.s2aa64) return;
    if (stream.s2hd && features.httu >= 2 && !stream.s2ha)
      ineffective("S2HD", "behaves as 0 where S2HA is 0");
    if (features.s2pi && permissionIndirection(view, at) !== 0)
      entry.complain(
        TABLE_RULES["not-modelled"],
        "S2PIE",
        "permissions are taken from the descriptors themselves",
      );
    if (features.s2po && permissionOverlay(view, at) !== 0)
      entry.complain(TABLE_RULES["not-modelled"], "S2POE", "permissions are taken as without overlays");
  }

  #fromSte(entry: JudgedEntry): Pointer[] {
    const { view, at } = entry;
    const stream = new StreamContext();
    stream.decode(view, at, this.#features);
    const pointers: Pointer[] = [];
    if (stream.stage2Enabled) {
      stream.useStage2(view, at, this.#features);
      pointers.push(this.#toStage2(stream));
    }
    const cds = this.pasids(stream, entry.device);
    if (cds !== null) {
      const { table } = cds;
      const aligned = this.#cds.alignmentOf(stream);
      const { frame, offset, resolve } = table;
      pointers.push({ field: "S1ContextPtr", frame, offset, aligned, reach: this.#reach, resolve, table });
    }
    return pointers;
  }

  /** Where stage 2 begins, and the VMID that it is cached under. */
  #toStage2(stream: StreamContext): Pointer {
    const { frame, offset, startLevel, inputBits } = stream.stage2;
    const tag = () => ({
      key: `vmid ${stream.vmid}`,
      target: `${frame}:${offset}/${startLevel}/${inputBits}`,
      name: `VMID ${stream.vmid}`,
      points: `the stage 2 table at ${addressText(frame, offset)}, from level ${startLevel}`,
      field: "S2VMID",
      source: "IHI 0070, 3.17",
    });
    return {
      field: "S2TTB",
      frame,
      offset,
      aligned: "the table's size",
      reach: this.#reach,
      ...(stream.vmid >= 0 && { tag }),
    };
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
