import type { IommuState } from "../registers.ts";
import type { Binding } from "../request.ts";
import { ruleBook } from "../tables/entry-rule.ts";
import type { JudgedEntry } from "../tables/tree.ts";
import {
  type EntryKind,
  type Pointer,
  type ReservedBits,
  type RootTable,
  type TableTree,
  tableBelow,
} from "../tables/tree.ts";
import type { VtdBinding } from "./binding.ts";
import { VtdDevice } from "./context.ts";
import { decodeExtendedContext } from "./ecs.ts";
import { EXT_HOST, EXT_HOST_DEVICE_TLB, ExtendedContextEntry, ExtendedRootEntry } from "./ecs-structures.ts";
import { TTM_EXTENDED, TTM_LEGACY, TTM_SCALABLE } from "./registers.ts";
import {
  brokenContextRule,
  brokenExtendedContextRule,
  brokenReservedRule,
  brokenRootHalvesRule,
  brokenScalableContextRule,
  CONTEXT_RULES,
  EXTENDED_CONTEXT_RULES,
  EXTENDED_ROOT_RULES,
  ROOT_RULES,
  SCALABLE_CONTEXT_RULES,
  SCALABLE_ROOT_RULES,
  type VtdRules,
} from "./rules.ts";
import { decodeScalableContext } from "./scalable.ts";
import {
  ContextEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
  TT_PASS_THROUGH,
} from "./structures.ts";
import { kind, reservedBits, VtdParts } from "./tables-parts.ts";
import { VtdPasidTables } from "./tables-pasid.ts";
import { CONTEXT_UPDATES, HALVES_UPDATES } from "./updates.ts";
import type { VtdWalker } from "./walker.ts";

const BUSES = 256;
const FUNCTIONS = 256;

const contextTable = RootEntry.reader("CTP");
const translationType = ContextEntry.reader("TT");
const extendedType = ExtendedContextEntry.reader("T");
const extendedNesting = ExtendedContextEntry.reader("NESTE");
const lowerPresent = ScalableRootEntry.reader("LP");
const upperPresent = ScalableRootEntry.reader("UP");
const HALVES = [
  { present: lowerPresent, field: "LCTP", table: ScalableRootEntry.reader("LCTP") },
  { present: upperPresent, field: "UCTP", table: ScalableRootEntry.reader("UCTP") },
] as const;

/** VT-d: root, context, PASID directory and PASID tables of every mode. */
export class VtdTables implements TableTree<VtdDevice> {
  readonly registers = ["cap", "ecap", "ver", "rtaddr", "gsts"];
  readonly #parts: VtdParts;
  readonly #pasids: VtdPasidTables;
  #rootKnown = false;

  constructor(walker: VtdWalker) {
    this.#parts = new VtdParts(walker);
    this.#pasids = new VtdPasidTables(this.#parts);
  }

  configure(state: IommuState): void {
    this.#parts.configure(state);
    this.#rootKnown = state.has("rtaddr");
  }

  roots(): RootTable[] {
    const { caps } = this.#parts.walker;
    if (!this.#rootKnown || !caps.translationEnabled || caps.rootFault !== null) return [];
    const root = this.#root(caps.mode);
    if (root === null) return [];
    const table = {
      kind: root.kind,
      context: "",
      frame: caps.rootFrame,
      offset: 0,
      entries: BUSES,
      first: 0,
      limit: BUSES * FUNCTIONS,
      device: -1,
    };
    return [{ table, title: root.title, from: "RTADDR_REG", field: "RTA", source: "VT-d 5.10, 11.4.5" }];
  }

  bound(binding: Binding, device: number): RootTable[] {
    const given = binding as VtdBinding;
    const context = new VtdDevice();
    given.fill(context);
    const root = this.#pasids.of(context, device, given.sized)!;
    return [{ ...root, from: "bind", field: "base_ptr", source: "trace contract, `bind`" }];
  }

  pasids(context: VtdDevice, device: number): RootTable | null {
    return this.#pasids.of(context, device, true);
  }

  #root(mode: number): { readonly kind: EntryKind; readonly title: string } | null {
    const { reserved } = this.#parts.walker.caps;
    switch (mode) {
      case TTM_LEGACY:
        return { kind: this.#legacyRoot(), title: "root table" };
      case TTM_SCALABLE: {
        const below = this.#scalableContext();
        const kind = this.#halves(ScalableRootEntry, SCALABLE_ROOT_RULES, reserved.scalableRoot, below);
        return { kind, title: "scalable-mode root table" };
      }
      case TTM_EXTENDED: {
        const below = this.#extendedContext();
        const kind = this.#halves(ExtendedRootEntry, EXTENDED_ROOT_RULES, reserved.extendedRoot, below);
        return { kind, title: "extended root table" };
      }
      default:
        return null;
    }
  }

  // ── legacy mode ──

  #legacyRoot(): EntryKind {
    const words = this.#parts.walker.caps.reserved.root;
    const { reach } = this.#parts;
    return {
      ...kind(RootEntry, "P"),
      ids: "device",
      span: FUNCTIONS,
      entries: BUSES,
      below: this.#context(),
      reserved: reservedBits(words, ["CTP"]),
      rules: ruleBook(ROOT_RULES, null, (view, at, after) => brokenReservedRule(view, at, words, after)),
      points: (entry) => {
        const frame = contextTable(entry.view, entry.at);
        return [{ field: "CTP", frame, reach, table: tableBelow(entry, frame) }];
      },
    };
  }

  #context(): EntryKind {
    const { caps } = this.#parts.walker;
    const secondStage = (entry: JudgedEntry) => translationType(entry.view, entry.at) !== TT_PASS_THROUGH;
    return {
      ...kind(ContextEntry, "P"),
      updates: CONTEXT_UPDATES,
      ids: "device",
      span: 1,
      entries: FUNCTIONS,
      reserved: reservedBits(caps.reserved.context, ["SSPTPTR"]),
      rules: ruleBook(CONTEXT_RULES, null, (view, at, after) => brokenContextRule(view, at, caps, after)),
      notes: (entry) => {
        if (secondStage(entry)) this.#parts.domainZero(entry);
      },
      points: (entry) => (secondStage(entry) ? [this.#secondStage(entry, "SSPTPTR")] : []),
    };
  }

  #secondStage(entry: JudgedEntry, field: string): Pointer {
    const levels = 2 + Number(entry.value("AW"));
    return this.#parts.secondStage(field, Number(entry.value(field)), levels, Number(entry.value("DID")), "");
  }

  // ── scalable mode ──

  #scalableContext(): EntryKind {
    const { caps } = this.#parts.walker;
    return {
      ...kind(ScalableContextEntry, "P"),
      ids: "device",
      span: 1,
      entries: FUNCTIONS / 2,
      reserved: reservedBits(caps.reserved.scalableContext, ["PASIDDIRPTR"]),
      rules: ruleBook(SCALABLE_CONTEXT_RULES, null, (view, at, after) =>
        brokenScalableContextRule(view, at, caps, after),
      ),
      points: (entry) => {
        const device = new VtdDevice();
        decodeScalableContext(entry.view, entry.at, caps, device);
        return this.#toPasids(entry, device);
      },
    };
  }

  // ── extended mode of revisions 2.x ──

  #extendedContext(): EntryKind {
    const { caps } = this.#parts.walker;
    const secondStage = ({ view, at }: JudgedEntry) => {
      const type = extendedType(view, at);
      return type === EXT_HOST || type === EXT_HOST_DEVICE_TLB || extendedNesting(view, at) !== 0;
    };
    return {
      ...kind(ExtendedContextEntry, "P"),
      ids: "device",
      span: 1,
      entries: FUNCTIONS / 2,
      reserved: reservedBits(caps.reserved.extendedContext, ["SLPTPTR", "PASIDPTR", "PASIDSTPTR"]),
      rules: ruleBook(EXTENDED_CONTEXT_RULES, null, (view, at, after) =>
        brokenExtendedContextRule(view, at, caps, after),
      ),
      notes: (entry) => {
        if (secondStage(entry)) this.#parts.domainZero(entry);
      },
      points: (entry) => {
        const device = new VtdDevice();
        decodeExtendedContext(entry.view, entry.at, device);
        const second = secondStage(entry) ? [this.#secondStage(entry, "SLPTPTR")] : [];
        return [...second, ...this.#toPasids(entry, device)];
      },
    };
  }

  // ── what several of them have ──

  #toPasids(entry: JudgedEntry, device: VtdDevice): Pointer[] {
    const root = this.pasids(device, entry.device);
    if (root === null) return [];
    const { field, table } = root;
    return [{ field, frame: table.frame, reach: this.#parts.reach, resolve: table.resolve, table }];
  }

  /** Root entries of two halves, each with the context table of half a bus. */
  #halves(
    layout: typeof ScalableRootEntry,
    rules: VtdRules,
    words: Uint32Array,
    below: EntryKind,
  ): EntryKind {
    const { reach } = this.#parts;
    return {
      ...kind(layout, "LP"),
      updates: HALVES_UPDATES,
      valid: (view, at) => lowerPresent(view, at) !== 0 || upperPresent(view, at) !== 0,
      ids: "device",
      span: FUNCTIONS,
      entries: BUSES,
      below,
      reserved: reservedHalves(words),
      rules: ruleBook(rules, null, (view, at, after) => brokenRootHalvesRule(view, at, words, after)),
      points: (entry) =>
        HALVES.flatMap(({ present, field, table }, half) => {
          if (present(entry.view, entry.at) === 0) return [];
          const frame = table(entry.view, entry.at);
          const first = entry.first + (half * FUNCTIONS) / 2;
          return [{ field, frame, reach, table: { ...tableBelow(entry, frame), first } }];
        }),
    };
  }
}

/** 7.1.3, SRT.3: reserved bits of a half count where it is present. */
function reservedHalves(words: Uint32Array): ReservedBits {
  const half = words.length / 2;
  return {
    ...reservedBits(words, ["LCTP", "UCTP"]),
    words: (view, at) =>
      words.map((word, i) => ((i < half ? lowerPresent : upperPresent)(view, at) === 0 ? 0 : word)),
  };
}
