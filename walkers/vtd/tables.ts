import type { GuestMemory } from "../memory.ts";
import type { IommuState } from "../registers.ts";
import type { Binding } from "../request.ts";
import type { Entry } from "../tables/entry.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { EntryKind, RootTable, TableSpec, TableTree } from "../tables/tree.ts";
import type { VtdBinding } from "./binding.ts";
import { EXTENDED_CONTEXT, SCALABLE_CONTEXT, VtdDevice } from "./context.ts";
import { ExtendedRootEntry } from "./ecs-structures.ts";
import { TTM_EXTENDED, TTM_LEGACY, TTM_SCALABLE } from "./registers.ts";
import { directoryPasids } from "./scalable.ts";
import {
  ContextEntry,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
  TT_DEVICE_TLB,
  TT_PASS_THROUGH,
} from "./structures.ts";
import { conflict, HOST_WIDTH, illegal, kind, lacks, type PasidContext, VtdChecks } from "./tables-checks.ts";
import { VtdExtendedTables } from "./tables-extended.ts";
import { VtdPasidTables } from "./tables-pasid.ts";

const BUSES = 256;
const FUNCTIONS = 256;
const ROOT_HALF_BITS = (ScalableRootEntry.bytes * 8) / 2;

const ROOT_TITLES: Readonly<Record<number, string>> = {
  [TTM_LEGACY]: "root table",
  [TTM_EXTENDED]: "extended root table",
  [TTM_SCALABLE]: "scalable-mode root table",
};

/** VT-d: root, context, PASID directory and PASID tables of every mode. */
export class VtdTables implements TableTree<VtdDevice> {
  readonly registers = ["cap", "ecap", "ver", "rtaddr", "gsts"];
  readonly #checks: VtdChecks;
  readonly #pasids: VtdPasidTables;
  readonly #extended: VtdExtendedTables;
  #rootKnown = false;

  constructor(memory: GuestMemory) {
    this.#checks = new VtdChecks(memory);
    this.#pasids = new VtdPasidTables(this.#checks);
    this.#extended = new VtdExtendedTables(this.#checks);
  }

  configure(state: IommuState): void {
    this.#checks.configure(state);
    this.#rootKnown = state.has("rtaddr");
  }

  roots(): RootTable[] {
    const { caps } = this.#checks.walker;
    if (!this.#rootKnown || !caps.translationEnabled || caps.rootFault !== null) return [];
    const kind = this.#rootKind(caps.mode);
    if (kind === null) return [];
    const table: TableSpec = {
      kind,
      context: "",
      frame: caps.rootFrame,
      offset: 0,
      entries: BUSES,
      first: 0,
      limit: BUSES * FUNCTIONS,
      device: -1,
    };
    const title = ROOT_TITLES[caps.mode]!;
    return [{ table, title, from: "RTADDR_REG", field: "RTA", source: "VT-d 5.10, 11.4.5" }];
  }

  bound(binding: Binding, device: number): RootTable[] {
    const given = binding as VtdBinding;
    const context = new VtdDevice();
    given.fill(context);
    const nested = context.secondLevels !== 0;
    const limit = Math.min(given.pasidLimit, this.#checks.walker.caps.pasidLimit);
    const stage = nested ? `${context.secondRoot}/${context.secondLevels}` : "";
    const pasids: PasidContext = {
      name: `bound ${stage}`,
      device,
      limit,
      also: given.ridPasid,
      below: nested ? context : null,
      scope: `bound ${stage} `,
    };
    const table =
      given.model === "intel-ecs"
        ? this.#extended.pasidTable(given.frame, given.sized ? limit : 0, pasids)
        : this.#pasids.directory(given.frame, given.sized ? limit : 0, pasids);
    const title = given.model === "intel-ecs" ? "PASID table" : "PASID directory";
    return [{ table, title, from: "bind", field: "base_ptr", source: "trace contract, `bind`" }];
  }

  pasids(device: VtdDevice, id: number): RootTable | null {
    const { pasidFrame, pasidLimit, ridPasid } = device;
    const { caps } = this.#checks.walker;
    const limit = Math.min(pasidLimit, caps.pasidLimit);
    const from = { from: "context entry", source: ScalableContextEntry.source };
    const pasids = { name: "", device: id, limit, below: null, scope: "" };
    if (device.context === SCALABLE_CONTEXT) {
      const table = this.#pasids.directory(pasidFrame, pasidLimit, { ...pasids, also: ridPasid });
      return { table, title: "PASID directory", field: "PASIDDIRPTR", ...from };
    }
    if (device.context !== EXTENDED_CONTEXT || device.pasidEnabled === 0) return null;
    const table = this.#extended.pasidTable(pasidFrame, limit, { ...pasids, also: -1 });
    return { table, title: "PASID table", field: "PASIDPTR", ...from };
  }

  #rootKind(mode: number): EntryKind | null {
    switch (mode) {
      case TTM_LEGACY:
        return { ...this.#legacyRoot, below: { ...this.#context, entries: FUNCTIONS } };
      case TTM_SCALABLE:
        return { ...this.#scalableRoot, below: { ...this.#scalableContext, entries: FUNCTIONS / 2 } };
      case TTM_EXTENDED:
        return { ...this.#extendedRoot, below: { ...this.#extended.context, entries: FUNCTIONS / 2 } };
      default:
        return null;
    }
  }

  // ── legacy mode ──

  readonly #legacyRoot: EntryKind = kind(
    RootEntry,
    "P",
    (entry) => {
      const { caps } = this.#checks.walker;
      entry.reservedBits(TABLE_RULES["reserved-entry-bits"], caps.reserved.root, ["CTP"], HOST_WIDTH);
      const frame = Number(entry.value("CTP"));
      if (!this.#checks.leads(entry, "CTP", frame)) return;
      entry.leadsTo({
        kind: this.#context,
        context: "",
        frame,
        offset: 0,
        entries: FUNCTIONS,
        first: entry.first,
        limit: BUSES * FUNCTIONS,
        device: -1,
      });
    },
    "device",
    FUNCTIONS,
  );

  readonly #context: EntryKind = kind(ContextEntry, "P", (entry) => {
    const { caps } = this.#checks.walker;
    entry.reservedBits(TABLE_RULES["reserved-entry-bits"], caps.reserved.context, ["SSPTPTR"], HOST_WIDTH);
    this.#checks.width(entry);
    const type = Number(entry.value("TT"));
    if (type > TT_PASS_THROUGH) illegal(entry, "TT", "expected 0 to 2");
    if (type === TT_PASS_THROUGH && !caps.passThrough) lacks(entry, "TT", "ECAP.PT");
    if (type === TT_DEVICE_TLB && !caps.deviceTlb) lacks(entry, "TT", "ECAP.DT");
    if (type < TT_PASS_THROUGH) this.#checks.secondStage(entry, "", null);
  });

  // ── scalable mode ──

  readonly #scalableRoot: EntryKind = {
    ...kind(ScalableRootEntry, "LP", (entry) =>
      this.#rootHalves(entry, this.#checks.walker.caps.reserved.scalableRoot, this.#scalableContext),
    ),
    span: FUNCTIONS,
    valid: eitherHalf,
  };

  readonly #scalableContext: EntryKind = kind(ScalableContextEntry, "P", (entry) => {
    const { caps } = this.#checks.walker;
    entry.reservedBits(
      TABLE_RULES["reserved-entry-bits"],
      caps.reserved.scalableContext,
      ["PASIDDIRPTR"],
      HOST_WIDTH,
    );
    if (entry.value("DTE") === 0n && entry.value("PRE") !== 0n)
      conflict(entry, "PRE", "expected 0 where DTE is 0", "VT-d 5.10, 7.1.3, SCT.4.1");
    if (entry.value("EPTR") !== 0n && entry.value("PASIDE") === 0n)
      conflict(entry, "EPTR", "expected 0 where PASIDE is 0", "VT-d 5.10, 7.1.3, SCT.4.3");
    const size = directoryPasids(Number(entry.value("PDTS")));
    if (caps.ridPasid && Number(entry.value("RID_PASID")) >= size)
      conflict(
        entry,
        "RID_PASID",
        `expected a PASID below ${size}, the size of the directory by PDTS`,
        "VT-d 5.10, 7.1.3, SCT.4.2",
      );
    const frame = Number(entry.value("PASIDDIRPTR"));
    if (!this.#checks.leads(entry, "PASIDDIRPTR", frame)) return;
    entry.leadsTo(
      this.#pasids.directory(frame, size, {
        name: "",
        device: entry.device,
        limit: Math.min(size, caps.pasidLimit),
        also: caps.ridPasid ? Number(entry.value("RID_PASID")) : 0,
        below: null,
        scope: "",
      }),
    );
  });

  // ── extended mode of revisions 2.x ──

  readonly #extendedRoot: EntryKind = {
    ...kind(ExtendedRootEntry, "LP", (entry) =>
      this.#rootHalves(entry, this.#checks.walker.caps.reserved.extendedRoot, this.#extended.context),
    ),
    span: FUNCTIONS,
    valid: eitherHalf,
  };

  // ── what several of them have ──

  /** 7.1.3, SRT.3: each half that is present counts. */
  #rootHalves(entry: Entry, reserved: Uint32Array, context: EntryKind): void {
    for (const [half, present, pointer] of [
      [0, "LP", "LCTP"],
      [1, "UP", "UCTP"],
    ] as const) {
      if (entry.value(present) === 0n) continue;
      const from = half * ROOT_HALF_BITS;
      entry.reservedBits(
        TABLE_RULES["reserved-entry-bits"],
        reserved,
        ["LCTP", "UCTP"],
        HOST_WIDTH,
        from,
        from + ROOT_HALF_BITS,
      );
      const frame = Number(entry.value(pointer));
      if (!this.#checks.leads(entry, pointer, frame)) continue;
      entry.leadsTo({
        kind: context,
        context: "",
        frame,
        offset: 0,
        entries: FUNCTIONS / 2,
        first: entry.first + (half * FUNCTIONS) / 2,
        limit: BUSES * FUNCTIONS,
        device: -1,
      });
    }
  }
}

const lowerPresent = ScalableRootEntry.reader("LP");
const upperPresent = ScalableRootEntry.reader("UP");
function eitherHalf(view: DataView, at: number): boolean {
  return lowerPresent(view, at) !== 0 || upperPresent(view, at) !== 0;
}
