import { FRAME_BYTES, FRAME_SHIFT } from "../memory.ts";

import { ruleBook } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import {
  type EntryKind,
  type IdKind,
  type JudgedEntry,
  type PageTables,
  type Pointer,
  type Reach,
  type Resolver,
  type RootTable,
  tableBelow,
} from "../tables/tree.ts";
import { addressText } from "../word64.ts";
import { Cd, L1Cd } from "./cd.ts";
import { alignFrame, alignOffset, type SmmuFeatures } from "./features.ts";
import { brokenCdRule, brokenL1CdRule, CD_RULES, L1CD_RULES } from "./rules-cd.ts";
import { Ste } from "./ste.ts";
import type { StreamContext } from "./stream-context.ts";
import { cdSplit, ENTRY_SHIFT, L1_SHIFT } from "./structures.ts";
import { SubstreamContext } from "./substream-context.ts";
import { CD_UPDATES, SMMU_UPDATES } from "./updates.ts";

/** The smallest top-level page table (5.4 TTB0). */
const SMALLEST_ROOT = 64;

const l1Valid = L1Cd.reader("V");
const l2Frame = L1Cd.reader("L2Ptr");
const permissionIndirection = Cd.reader("PIE");

/** What context descriptors depend on, besides themselves. */
interface Stream {
  readonly stream: StreamContext;
  readonly resolve: Resolver | undefined;
  /** Whose ASIDs these are. */
  readonly scope: string;
}

/** SMMUv3: context descriptor tables, linear and of two levels. */
export class SmmuV3CdTables {
  readonly #features: SmmuFeatures;

  constructor(features: SmmuFeatures) {
    this.#features = features;
  }

  /** 5.2 S1ContextPtr: what the table is aligned to, its size in each format. */
  alignmentOf(stream: StreamContext): string {
    return `${2 ** tableAlign(stream)} bytes`;
  }

  /**
   * The context descriptor table of a stream.
   * @param owner "bound " where it is bound
   * @param sized S1CDMax is known: the table is as large as it says; otherwise only its first page is looked at
   */
  table(
    stream: StreamContext,
    device: number,
    owner: string,
    sized: boolean,
    resolve: Resolver | undefined,
  ): RootTable {
    const { s1cdmax, s1fmt, s1ContextFrame, s1ContextOffset } = stream;
    const stage2 = stage2Name(stream);
    const scope = owner === "" ? "" : `${owner}${stage2} `;
    // Without substreams the one descriptor belongs to no PASID.
    const ids = s1cdmax === 0 ? "device" : "pasid";
    const cd = this.#cd({ stream, resolve, scope }, ids);
    const split = cdSplit(s1fmt);
    const kind = split === 0 ? cd : this.#l1Cd({ ...cd, entries: 2 ** split }, stream, resolve);
    const size = 2 ** Math.max(s1cdmax - split, 0);
    const align = tableAlign(stream);
    const table = {
      kind,
      context: `${scope}${stage2} ${stream.s1stalld ? "S1STALLD" : ""} ${stream.s1pie ? "S1PIE" : ""} ${stream.el2} ${stream.hypervisor}`,
      frame: alignFrame(s1ContextFrame, align),
      offset: alignOffset(s1ContextOffset, align),
      entries: sized ? size : Math.min(size, FRAME_BYTES / kind.layout.bytes),
      first: ids === "device" ? device : 0,
      limit: ids === "device" ? Number.POSITIVE_INFINITY : 2 ** s1cdmax,
      device,
      resolve,
    };
    return { table, title: titleOf(stream), from: "STE", field: "S1ContextPtr", source: Ste.source };
  }

  get #reach(): Reach {
    return { frames: this.#features.frameLimit, width: `${this.#features.oas} bits` };
  }

  #l1Cd(below: EntryKind, stream: StreamContext, resolve: Resolver | undefined): EntryKind {
    const features = this.#features;
    return {
      layout: L1Cd,
      littleEndian: true,
      ids: "pasid",
      span: below.entries,
      entries: 1,
      below,
      updates: SMMU_UPDATES,
      valid: (view, at) => l1Valid(view, at) !== 0,
      ignored: L1Cd.reserved(),
      rules: ruleBook(L1CD_RULES, features, (view, at, after) =>
        brokenL1CdRule(l2Frame(view, at), stream, features, after),
      ),
      points: (entry) => {
        const align = Math.log2(below.entries) + ENTRY_SHIFT;
        const frame = alignFrame(l2Frame(entry.view, entry.at), align);
        const table = tableBelow(entry, frame);
        const aligned = `${2 ** align} bytes`;
        return [{ field: "L2Ptr", frame, aligned, reach: this.#reach, resolve, table }];
      },
    };
  }

  #cd(of: Stream, ids: IdKind): EntryKind {
    const features = this.#features;
    const { stream } = of;
    const substream = new SubstreamContext();
    return {
      layout: Cd,
      littleEndian: true,
      ids,
      span: 1,
      entries: 1,
      title: "level 2 context descriptor table",
      updates: CD_UPDATES,
      valid: SubstreamContext.valid,
      ignored: Cd.reserved(features.has),
      rules: ruleBook(CD_RULES, { features, substream }, (view, at, after) => {
        substream.decode(view, at, stream, features);
        return brokenCdRule(substream, stream, features, after);
      }),
      notes: (entry) => this.#noteCd(entry, stream),
      points: (entry) => this.#fromCd(entry, of),
    };
  }

  /** What 5.4 says has no effect, and what is not modelled. */
  #noteCd(entry: JudgedEntry, stream: StreamContext): void {
    const substream = new SubstreamContext();
    substream.decode(entry.view, entry.at, stream, this.#features);
    if (!substream.aa64) return;
    if (substream.hd && this.#features.httu >= 2 && !substream.ha)
      entry.complain(TABLE_RULES["ineffective-field"], "HD", "behaves as 0 where HA is 0");
    if (stream.s1pie && permissionIndirection(entry.view, entry.at) !== 0)
      entry.complain(
        TABLE_RULES["not-modelled"],
        "PIE",
        "permissions are taken from the descriptors themselves",
      );
  }

  #fromCd(entry: JudgedEntry, { stream, scope }: Stream): Pointer[] {
    const substream = new SubstreamContext();
    substream.decode(entry.view, entry.at, stream, this.#features);
    const sound = brokenCdRule(substream, stream, this.#features) === 0;
    if (sound) substream.useTables(entry.view, entry.at, this.#features);
    const { asid, aa64, low, high } = substream;
    const tables: PageTables = {
      format: aa64 ? "vmsav8-64" : "vmsav8-32",
      because: `AA64 is ${aa64 ? 1 : 0}`,
      rootBytes: SMALLEST_ROOT,
    };
    const regime = stream.hypervisor ? "el2 " : "";
    const { vmid } = stream;
    return [low, high].flatMap((half): Pointer[] => {
      if (!half.enabled) return [];
      const field = half === low ? "TTB0" : "TTB1";
      if (!sound) return [{ field, ...placeOf(entry.address(field)), reach: null, tables }];
      const { frame, offset, inputBits, granule } = half.tables;
      const tag = () => ({
        key: `${scope}${regime}vmid ${vmid} asid ${asid} ${field}`,
        target: `${frame}:${offset}/${granule}/${inputBits}`,
        name: vmid < 0 ? `ASID ${asid}` : `ASID ${asid} of VMID ${vmid}`,
        points: `${field} at ${addressText(frame, offset)}, ${inputBits} bits`,
        field: "ASID",
        source: "IHI 0070, 3.17",
      });
      const reach = stream.stage2Enabled ? null : this.#reach;
      return [
        {
          field,
          frame,
          offset,
          aligned: "the table's size",
          reach,
          tables,
          ...(asid >= 0 && { tag }),
        },
      ];
    });
  }
}

/** Frame and offset of an address. */
function placeOf(address: bigint): { readonly frame: number; readonly offset: number } {
  return { frame: Number(address >> BigInt(FRAME_SHIFT)), offset: Number(address % BigInt(FRAME_BYTES)) };
}

function titleOf({ s1cdmax, s1fmt }: StreamContext): string {
  if (s1cdmax === 0) return "context descriptor";
  return cdSplit(s1fmt) === 0 ? "linear context descriptor table" : "2-level context descriptor table";
}

/** log2 of what the table is aligned to. */
function tableAlign({ s1fmt, s1cdmax }: StreamContext): number {
  const split = cdSplit(s1fmt);
  return split === 0 ? s1cdmax + ENTRY_SHIFT : Math.max(ENTRY_SHIFT, s1cdmax - split + L1_SHIFT);
}

/** What a stream's second stage is, as part of a table's identity. */
function stage2Name(stream: StreamContext): string {
  if (!stream.stage2Enabled) return "";
  const { frame, offset, granule, startLevel, inputBits } = stream.stage2;
  return `stage 2 ${stream.vmid} ${frame}:${offset}/${granule}/${startLevel}/${inputBits}`;
}
