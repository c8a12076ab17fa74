import type { Layout } from "../../../walkers/layout.ts";
import { FRAME_BYTES, frameHi, frameLo, type GuestMemory } from "../../../walkers/memory.ts";
import { FOR_CONTEXT } from "../../../walkers/page-tables/stage.ts";
import { exceeds } from "../../../walkers/page-tables/vtd-second-stage.ts";
import type { IommuState } from "../../../walkers/registers.ts";
import { type Binding, READ } from "../../../walkers/request.ts";
import { WalkResult } from "../../../walkers/result.ts";
import type { VtdBinding } from "../../../walkers/vtd/binding.ts";
import { VtdDevice } from "../../../walkers/vtd/context.ts";
import {
  EXT_GUEST,
  EXT_GUEST_DEVICE_TLB,
  EXT_HOST,
  EXT_HOST_DEVICE_TLB,
  EXT_PASS_THROUGH,
  ExtendedContextEntry,
  ExtendedPasidEntry,
  ExtendedRootEntry,
} from "../../../walkers/vtd/ecs-structures.ts";
import { VtdWalker } from "../../../walkers/vtd/index.ts";
import {
  CapabilityRegister,
  TTM_EXTENDED,
  TTM_LEGACY,
  TTM_SCALABLE,
} from "../../../walkers/vtd/registers.ts";
import { PASID_TABLE_BITS, useBoundStage } from "../../../walkers/vtd/scalable.ts";
import {
  ContextEntry,
  PasidDirectoryEntry,
  PasidEntry,
  PGTT_FIRST_STAGE,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  PGTT_SECOND_STAGE,
  RootEntry,
  ScalableContextEntry,
  ScalableRootEntry,
  TT_DEVICE_TLB,
  TT_PASS_THROUGH,
} from "../../../walkers/vtd/structures.ts";
import { TABLE_RULES } from "../table-rules.ts";
import { address, type Entry } from "./entry.ts";
import type { EntryKind, RootTable, TableFormat, TableSpec } from "./table.ts";

const BUSES = 256;
const FUNCTIONS = 256;
const PASIDS_PER_TABLE = 1 << PASID_TABLE_BITS;
const ROOT_HALF_BITS = (ScalableRootEntry.bytes * 8) / 2;
/** 6.5.3.3: entries are fetched in pieces of 128 bits. */
const FETCH_BYTES = 16;
const HOST_WIDTH = "the host address width";
const SAME_DOMAIN = "VT-d 5.10, 9.3";
const TAGGING = "VT-d 5.10, 6.2.1";

/** What a PASID table's entries depend on, besides themselves. */
interface PasidContext {
  readonly name: string;
  readonly device: number;
  readonly limit: number;
  /** RID_PASID, which ECAP.PSS does not bound. */
  readonly also: number;
  /** Second stage of a bound device: the tables' addresses, and those in their entries, go through it. */
  readonly below: VtdDevice | null;
  /** Whose domain ids these are. */
  readonly scope: string;
}

/** VT-d: root, context, PASID directory and PASID tables of every mode. */
export class VtdTables implements TableFormat {
  readonly registers = ["cap", "ecap", "ver", "rtaddr", "gsts"];
  readonly #walker: VtdWalker;
  readonly #out = new WalkResult();
  #rootKnown = false;
  #domainZeroReserved = false;

  constructor(memory: GuestMemory) {
    this.#walker = new VtdWalker(memory);
  }

  configure(state: IommuState): void {
    this.#walker.configure(state);
    this.#rootKnown = state.has("rtaddr");
    this.#domainZeroReserved = state.field("cap", CapabilityRegister, "CM", 0) !== 0;
  }

  roots(): RootTable[] {
    const { caps } = this.#walker;
    if (!this.#rootKnown || !caps.translationEnabled || caps.rootFault !== null) return [];
    const kind = this.#rootKind(caps.mode);
    if (kind === null) return [];
    const table: TableSpec = {
      kind,
      context: "",
      frame: caps.rootFrame,
      offset: 0,
      entries: BUSES,
      ids: "device",
      first: 0,
      span: FUNCTIONS,
      limit: BUSES * FUNCTIONS,
      device: -1,
    };
    return [{ table, from: "RTADDR_REG", field: "RTA", source: "VT-d 5.10, 11.4.5" }];
  }

  bound(binding: Binding, device: number): RootTable[] {
    const given = binding as VtdBinding;
    const context = new VtdDevice();
    given.fill(context);
    const nested = context.secondLevels !== 0;
    const limit = Math.min(given.pasidLimit, this.#walker.caps.pasidLimit);
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
        ? this.#extendedPasidTable(given.frame, given.sized ? limit : 0, pasids)
        : this.#pasidDirectory(given.frame, given.sized ? limit : 0, pasids);
    return [{ table, from: "bind", field: "base_ptr", source: "trace contract, `bind`" }];
  }

  #rootKind(mode: number): EntryKind | null {
    switch (mode) {
      case TTM_LEGACY:
        return this.#legacyRoot;
      case TTM_SCALABLE:
        return this.#scalableRoot;
      case TTM_EXTENDED:
        return this.#extendedRoot;
      default:
        return null;
    }
  }

  // ── legacy mode ──

  readonly #legacyRoot: EntryKind = kind(RootEntry, "P", (entry) => {
    const { caps } = this.#walker;
    entry.reservedBits(TABLE_RULES["reserved-entry-bits"], caps.reserved.root, ["CTP"], HOST_WIDTH);
    const frame = Number(entry.value("CTP"));
    if (!this.#leads(entry, "CTP", frame)) return;
    entry.leadsTo({
      kind: this.#context,
      context: "",
      frame,
      offset: 0,
      entries: FUNCTIONS,
      ids: "device",
      first: entry.first,
      span: 1,
      limit: BUSES * FUNCTIONS,
      device: -1,
    });
  });

  readonly #context: EntryKind = kind(ContextEntry, "P", (entry) => {
    const { caps } = this.#walker;
    entry.reservedBits(TABLE_RULES["reserved-entry-bits"], caps.reserved.context, ["SSPTPTR"], HOST_WIDTH);
    this.#checkWidth(entry);
    const type = Number(entry.value("TT"));
    if (type > TT_PASS_THROUGH) illegal(entry, "TT", "expected 0 to 2");
    if (type === TT_PASS_THROUGH && !caps.passThrough) lacks(entry, "TT", "ECAP.PT");
    if (type === TT_DEVICE_TLB && !caps.deviceTlb) lacks(entry, "TT", "ECAP.DT");
    if (type < TT_PASS_THROUGH) this.#checkSecondStage(entry, "", null);
  });

  // ── scalable mode ──

  readonly #scalableRoot: EntryKind = {
    ...kind(ScalableRootEntry, "LP", (entry) =>
      this.#rootHalves(entry, this.#walker.caps.reserved.scalableRoot, this.#scalableContext),
    ),
    valid: eitherHalf,
  };

  readonly #scalableContext: EntryKind = kind(ScalableContextEntry, "P", (entry) => {
    const { caps } = this.#walker;
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
    // 9.4: the directory has 2^(PDTS + 7) entries, each for 64 PASIDs.
    const size = 2 ** (Number(entry.value("PDTS")) + 7 + PASID_TABLE_BITS);
    if (caps.ridPasid && Number(entry.value("RID_PASID")) >= size)
      conflict(
        entry,
        "RID_PASID",
        `expected a PASID below ${size}, the size of the directory by PDTS`,
        "VT-d 5.10, 7.1.3, SCT.4.2",
      );
    const frame = Number(entry.value("PASIDDIRPTR"));
    if (!this.#leads(entry, "PASIDDIRPTR", frame)) return;
    entry.leadsTo(
      this.#pasidDirectory(frame, size, {
        name: "",
        device: entry.device,
        limit: Math.min(size, caps.pasidLimit),
        also: caps.ridPasid ? Number(entry.value("RID_PASID")) : 0,
        below: null,
        scope: "",
      }),
    );
  });

  /**
   * A PASID directory.
   * @param size PASIDs that it is known to have room for: its last page is looked at as a whole; 0: not known, and
   *   only its first page is looked at
   */
  #pasidDirectory(frame: number, size: number, pasids: PasidContext): TableSpec {
    const perFrame = FRAME_BYTES / PasidDirectoryEntry.bytes;
    const pages = Math.max(Math.ceil(size / PASIDS_PER_TABLE / perFrame), 1);
    return {
      kind: this.#directoryKind(pasids),
      context: `${pasids.name}`,
      frame,
      offset: 0,
      entries: pages * perFrame,
      ids: "pasid",
      first: 0,
      span: PASIDS_PER_TABLE,
      limit: pasids.limit,
      also: pasids.also,
      device: pasids.device,
      resolve: this.#resolver(pasids.below),
    };
  }

  #directoryKind(pasids: PasidContext): EntryKind {
    return kind(PasidDirectoryEntry, "P", (entry) => {
      const { reserved } = this.#walker.caps;
      entry.reservedBits(
        TABLE_RULES["reserved-entry-bits"],
        reserved.pasidDirectory,
        ["SMPTBLPTR"],
        HOST_WIDTH,
      );
      const frame = Number(entry.value("SMPTBLPTR"));
      const resolve = this.#resolver(pasids.below);
      if (!this.#leads(entry, "SMPTBLPTR", frame, resolve)) return;
      entry.leadsTo({
        kind: this.#pasidKind(pasids),
        context: pasids.name,
        frame,
        offset: 0,
        entries: PASIDS_PER_TABLE,
        ids: "pasid",
        first: entry.first,
        span: 1,
        limit: pasids.limit,
        also: pasids.also,
        device: pasids.device,
        resolve,
      });
    });
  }

  #pasidKind(pasids: PasidContext): EntryKind {
    return kind(PasidEntry, "P", (entry) => this.#judgePasid(entry, pasids));
  }

  /** 7.1.3, SPT.3 and SPT.4. */
  #judgePasid(entry: Entry, pasids: PasidContext): void {
    const { caps } = this.#walker;
    entry.reservedBits(
      TABLE_RULES["reserved-entry-bits"],
      caps.reserved.pasid,
      ["SSPTPTR", "FSPTPTR", "HPTPTR"],
      HOST_WIDTH,
    );
    const type = Number(entry.value("PGTT"));
    const first = type === PGTT_FIRST_STAGE || type === PGTT_NESTED;
    const second = type === PGTT_SECOND_STAGE || type === PGTT_NESTED;
    this.#checkType(entry, type, pasids);
    if (first) {
      const mode = Number(entry.value("FSPM"));
      if (mode > 1) illegal(entry, "FSPM", "expected 0 or 1", "VT-d 5.10, 7.1.3, SPT.4.3");
      if (mode === 1 && !caps.firstStageFiveLevel) lacks(entry, "FSPM", "CAP.FS5LP");
    }
    if (second) {
      this.#checkWidth(entry);
      this.#checkSecondStage(entry, pasids.scope, pasids.below);
    }
    this.#checkDomainZero(entry);
    if (first) this.#checkFirstStage(entry, type, pasids);
  }

  #checkType(entry: Entry, type: number, pasids: PasidContext): void {
    const { caps } = this.#walker;
    if (type < PGTT_FIRST_STAGE || type > PGTT_PASS_THROUGH) {
      illegal(entry, "PGTT", "expected 1 to 4", "VT-d 5.10, 7.1.3, SPT.4.2");
      return;
    }
    if (type === PGTT_FIRST_STAGE && !caps.firstStage) lacks(entry, "PGTT", "ECAP.FSTS");
    if (type === PGTT_SECOND_STAGE && !caps.secondStage) lacks(entry, "PGTT", "ECAP.SSTS");
    if (type === PGTT_NESTED && !caps.nested) lacks(entry, "PGTT", "ECAP.NEST");
    if (type === PGTT_PASS_THROUGH && !caps.passThrough) lacks(entry, "PGTT", "ECAP.PT");
    if (pasids.below !== null && (type === PGTT_SECOND_STAGE || type === PGTT_NESTED))
      conflict(
        entry,
        "PGTT",
        "expected first stage or pass-through, since the binding has a second stage already",
        "VT-d 5.10, 7.1.3, SPT.4.2",
      );
  }

  #checkFirstStage(entry: Entry, type: number, pasids: PasidContext): void {
    const { caps } = this.#walker;
    const frame = Number(entry.value("FSPTPTR"));
    if (type === PGTT_NESTED) {
      const width = caps.secondStageWidth(2 + Number(entry.value("AW")));
      if (exceeds(frameHi(frame), frameLo(frame), width))
        entry.complain(
          TABLE_RULES["address-too-wide"],
          "FSPTPTR",
          `expected an address of ${width} bits, the smaller of CAP.MGAW and AW`,
          "VT-d 5.10, 7.1.3, SPT.4.4",
        );
    } else this.#leads(entry, "FSPTPTR", frame, this.#resolver(pasids.below));
    const levels = 4 + Number(entry.value("FSPM"));
    const domain = Number(entry.value("DID"));
    entry.tag({
      key: `${pasids.scope}did ${domain} pasid ${entry.first}`,
      target: `${frame}/${levels}`,
      name: `DID ${domain} with PASID ${entry.first}`,
      points: `the ${levels}-level first-stage table at ${address(frame)}`,
      field: "DID",
      source: TAGGING,
    });
  }

  // ── extended mode of revisions 2.x ──

  readonly #extendedRoot: EntryKind = {
    ...kind(ExtendedRootEntry, "LP", (entry) =>
      this.#rootHalves(entry, this.#walker.caps.reserved.extendedRoot, this.#extendedContext),
    ),
    valid: eitherHalf,
  };

  readonly #extendedContext: EntryKind = kind(ExtendedContextEntry, "P", (entry) => {
    const { caps } = this.#walker;
    entry.reservedBits(
      TABLE_RULES["reserved-entry-bits"],
      caps.reserved.extendedContext,
      ["SLPTPTR", "PASIDPTR", "PASIDSTPTR"],
      HOST_WIDTH,
    );
    this.#checkWidth(entry);
    const type = Number(entry.value("T"));
    const pasids = entry.value("PASIDE") !== 0n;
    if (type > EXT_GUEST_DEVICE_TLB || type === 3) illegal(entry, "T", "expected 0 to 2, 4 or 5");
    if ((type === EXT_HOST_DEVICE_TLB || type === EXT_GUEST_DEVICE_TLB) && !caps.deviceTlb)
      lacks(entry, "T", "ECAP.DT");
    const passes = type === EXT_PASS_THROUGH || type === EXT_GUEST || type === EXT_GUEST_DEVICE_TLB;
    if (passes && !caps.passThrough) lacks(entry, "T", "ECAP.PT");
    if ((type === EXT_GUEST || type === EXT_GUEST_DEVICE_TLB) && !pasids)
      conflict(entry, "T", "expected another type where PASIDE is 0", "VT-d 2.4, 9.4");
    const nested = entry.value("NESTE") !== 0n;
    if (type === EXT_HOST || type === EXT_HOST_DEVICE_TLB || nested) this.#checkSecondStage(entry, "", null);
    if (!pasids || type === EXT_PASS_THROUGH || !caps.supportsWidth(Number(entry.value("AW")))) return;
    this.#leadToExtendedPasids(entry, nested);
  });

  #leadToExtendedPasids(entry: Entry, nested: boolean): void {
    const { caps } = this.#walker;
    const below = nested ? new VtdDevice() : null;
    if (below !== null) {
      below.context = 2;
      below.secondRoot = Number(entry.value("SLPTPTR"));
      below.secondLevels = 2 + Number(entry.value("AW"));
    }
    // 2.4, 9.4: 2^(PTS + 5) entries.
    const limit = Math.min(2 ** (Number(entry.value("PTS")) + 5), caps.pasidLimit);
    const frame = Number(entry.value("PASIDPTR"));
    if (!this.#leads(entry, "PASIDPTR", frame, this.#resolver(below))) return;
    entry.leadsTo(
      this.#extendedPasidTable(frame, limit, {
        name: below === null ? "" : `nested ${below.secondRoot}/${below.secondLevels}`,
        device: entry.device,
        limit,
        also: -1,
        below,
        scope: `ext did ${Number(entry.value("DID"))} `,
      }),
    );
  }

  #extendedPasidTable(frame: number, size: number, pasids: PasidContext): TableSpec {
    const resolve = this.#resolver(pasids.below);
    return {
      kind: kind(ExtendedPasidEntry, "P", (entry) => {
        const { caps } = this.#walker;
        entry.reservedBits(
          TABLE_RULES["reserved-entry-bits"],
          caps.reserved.extendedPasid,
          ["FLPTPTR"],
          HOST_WIDTH,
        );
        const mode = Number(entry.value("FLPM"));
        if (mode > 1) illegal(entry, "FLPM", "expected 0 or 1", "VT-d 2.5, 9.5");
        if (mode === 1 && !caps.firstStageFiveLevel) lacks(entry, "FLPM", "CAP.5LP");
        this.#leads(entry, "FLPTPTR", Number(entry.value("FLPTPTR")), resolve);
      }),
      context: pasids.name,
      frame,
      offset: 0,
      entries: Math.max(size, FRAME_BYTES / ExtendedPasidEntry.bytes),
      ids: "pasid",
      first: 0,
      span: 1,
      limit: pasids.limit,
      device: pasids.device,
      resolve,
    };
  }

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
      if (!this.#leads(entry, pointer, frame)) continue;
      entry.leadsTo({
        kind: context,
        context: "",
        frame,
        offset: 0,
        entries: FUNCTIONS / 2,
        ids: "device",
        first: entry.first + (half * FUNCTIONS) / 2,
        span: 1,
        limit: BUSES * FUNCTIONS,
        device: -1,
      });
    }
  }

  #checkWidth(entry: Entry): void {
    const { caps } = this.#walker;
    const aw = Number(entry.value("AW"));
    if (aw < 1 || aw > 3) illegal(entry, "AW", "expected 1 to 3");
    else if (!caps.supportsWidth(aw)) lacks(entry, "AW", `bit ${aw} of CAP.SAGAW`);
  }

  /** The table of the second stage, and the domain id that it is cached under. */
  #checkSecondStage(entry: Entry, scope: string, below: VtdDevice | null): void {
    const pointer = "SLPTPTR" in entry.layout.fields ? "SLPTPTR" : "SSPTPTR";
    const frame = Number(entry.value(pointer));
    this.#leads(entry, pointer, frame, this.#resolver(below));
    if (entry.layout !== PasidEntry) this.#checkDomainZero(entry);
    const levels = 2 + Number(entry.value("AW"));
    const domain = Number(entry.value("DID"));
    entry.tag({
      key: `${scope}did ${domain}`,
      target: `${frame}/${levels}`,
      name: `DID ${domain}`,
      points: `the ${levels}-level second-stage table at ${address(frame)}`,
      field: "DID",
      source: SAME_DOMAIN,
    });
  }

  #checkDomainZero(entry: Entry): void {
    if (this.#domainZeroReserved && entry.value("DID") === 0n)
      entry.complain(TABLE_RULES["reserved-domain-id"], "DID", "expected another, since CAP.CM is 1");
  }

  #leads(entry: Entry, field: string, frame: number, resolve?: (frame: number) => number): boolean {
    const { hostWidth } = this.#walker.caps;
    const frames = resolve === undefined ? 2 ** (hostWidth - 12) : Number.POSITIVE_INFINITY;
    return entry.pointer(field, frame, frames, `${hostWidth} bits`, resolve);
  }

  #resolver(device: VtdDevice | null): ((frame: number) => number) | undefined {
    if (device === null) return undefined;
    return (frame) => {
      const { second } = this.#walker;
      this.#out.reset("intel");
      useBoundStage(this.#walker, device);
      if (!second.translate(frameHi(frame), frameLo(frame), READ, FOR_CONTEXT, this.#out)) return -1;
      return second.frame;
    };
  }
}

function kind<F extends string>(layout: Layout<F>, present: F, judge: (entry: Entry) => void): EntryKind {
  const read = layout.reader(present);
  return { layout, littleEndian: true, unit: FETCH_BYTES, valid: (view, at) => read(view, at) !== 0, judge };
}

const lowerPresent = ScalableRootEntry.reader("LP");
const upperPresent = ScalableRootEntry.reader("UP");
function eitherHalf(view: DataView, at: number): boolean {
  return lowerPresent(view, at) !== 0 || upperPresent(view, at) !== 0;
}

function illegal(entry: Entry, field: string, text: string, source?: string): void {
  entry.complain(TABLE_RULES["illegal-encoding"], field, text, source);
}

function lacks(entry: Entry, field: string, capability: string): void {
  entry.complain(TABLE_RULES["unsupported-encoding"], field, `expected something else without ${capability}`);
}

function conflict(entry: Entry, field: string, text: string, source: string): void {
  entry.complain(TABLE_RULES["conflicting-fields"], field, text, source);
}
