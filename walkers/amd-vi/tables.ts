import { FRAME_BYTES, frameHi, frameLo, type GuestMemory } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, READ, WRITE } from "../request.ts";
import { WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import { address, type Entry } from "../tables/entry.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { EntryKind, RootTable, TableSpec, TableTree } from "../tables/tree.ts";
import { Configuration } from "./configuration.ts";
import { type AmdViBinding, DeviceContext } from "./context.ts";
import {
  CHECKED_BITS,
  DEVICE_ID_BITS,
  DeviceTableEntry,
  Gcr3Entry,
  RESERVED_GLX,
  RESERVED_IOCTL,
  RESERVED_MODE,
} from "./device-table-entry.ts";
import { EventReporter } from "./event-reporter.ts";
import { gcr3TableLimit, PASID_BITS_PER_LEVEL } from "./gcr3-table.ts";
import { HostStage } from "./host-stage.ts";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];

const ENTRIES = FRAME_BYTES / Gcr3Entry.bytes;
/** 2.2.2: the IOMMU reads, and software writes, a device table entry in halves of 128 bits. */
const DTE_UNIT = 16;
const PHYSICAL_WIDTH = "the physical address width";

const dteValid = DeviceTableEntry.reader("V");
const gcr3Valid = Gcr3Entry.reader("V");

/** AMD-Vi: device table and guest CR3 tables. */
export class AmdViTables implements TableTree<DeviceContext> {
  readonly registers: readonly string[] = [
    "efr",
    "efr2",
    "control",
    "dev_tab_base",
    ...Array.from({ length: 7 }, (_, i) => `dev_tab_seg${i + 1}_base`),
  ];
  readonly #configuration = new Configuration();
  readonly #host: HostStage;
  readonly #out = new WalkResult();
  #rootKnown = false;

  constructor(memory: GuestMemory) {
    const tables = new TableReader(memory);
    this.#host = new HostStage(tables, new EventReporter(tables));
  }

  configure(state: IommuState): void {
    this.#configuration.load(state);
    this.#host.walk.reservedHi = this.#configuration.addressReservedHi;
    this.#rootKnown = state.has("dev_tab_base");
  }

  roots(): RootTable[] {
    const { enabled, segmentBits, tableFrame, tableEntries } = this.#configuration;
    if (!this.#rootKnown || enabled === 0) return [];
    const roots: RootTable[] = [];
    const title =
      segmentBits === 0 ? "device table" : `device table of ${2 ** segmentBits} segments, the first`;
    const perSegment = 2 ** (DEVICE_ID_BITS - segmentBits);
    for (let segment = 0; segment < 2 ** segmentBits; segment++) {
      const entries = Math.min(tableEntries[segment]!, perSegment);
      if (entries <= 0) continue;
      const table: TableSpec = {
        kind: this.#dte,
        context: "",
        frame: tableFrame[segment]!,
        offset: 0,
        entries,
        first: segment * perSegment,
        limit: 2 ** DEVICE_ID_BITS,
        device: -1,
      };
      roots.push({
        table,
        title,
        from: "Device Table Base Address Register",
        field: "DevTabBase",
        source: "AMD 48882, MMIO offset 0000h",
      });
    }
    return roots;
  }

  bound(binding: Binding, device: number): RootTable[] {
    const context = new DeviceContext();
    context.copyFrom((binding as AmdViBinding).device);
    context.pasidLimit = Math.min(context.pasidLimit, this.#configuration.pasidLimit);
    const scope = `bound ${host(context)} `;
    const table = this.#gcr3Table(context, device, context.glx, context.gcr3Root, 0, scope);
    const title = gcr3Title(context);
    return [{ table, title, from: "bind", field: "base_ptr", source: "trace contract, `bind`" }];
  }

  pasids(context: DeviceContext, device: number): RootTable | null {
    if (context.valid === 0 || context.translate === 0 || context.guest === 0) return null;
    const scope = `domain ${context.domain} `;
    const table = this.#gcr3Table(context, device, context.glx, context.gcr3Root, 0, scope);
    const { source } = DeviceTableEntry;
    return { table, title: gcr3Title(context), from: "device table entry", field: "GCR3TRP", source };
  }

  readonly #dte: EntryKind = {
    layout: DeviceTableEntry,
    littleEndian: true,
    ids: "device",
    span: 1,
    entries: 1,
    updates: { unit: DTE_UNIT },
    valid: (view, at) => dteValid(view, at) !== 0,
    judge: (entry) => this.#judgeDte(entry),
  };

  /** 2.2.2, 2.5.2 (ILLEGAL_DEV_TABLE_ENTRY). */
  #judgeDte(entry: Entry): void {
    const { entryReserved } = this.#configuration;
    entry.reservedBits(TABLE_RULES["reserved-entry-bits"], entryReserved, [], "", 0, CHECKED_BITS);
    entry.reservedBits(TABLE_RULES["ignored-entry-bits"], entryReserved, [], "", CHECKED_BITS);
    if (Number(entry.value("IOCTL")) === RESERVED_IOCTL) entry.complain(ILLEGAL, "IOCTL", "expected 0 to 2");
    // Without TV, nothing else in the entry is looked at.
    if (entry.value("TV") === 0n) return;
    const context = this.#judgeHostTables(entry);
    if (context !== null) this.#judgeGuestTables(entry, context);
  }

  #judgeHostTables(entry: Entry): DeviceContext | null {
    const { hostLevels } = this.#configuration;
    const context = new DeviceContext();
    context.mode = Number(entry.value("MODE"));
    context.hostRoot = Number(entry.value("HPTROOT"));
    context.domain = Number(entry.value("DOMAINID"));
    context.perm = READ | WRITE;
    if (context.mode === RESERVED_MODE) entry.complain(ILLEGAL, "MODE", "expected 0 to 6");
    else if (context.mode > hostLevels)
      entry.complain(UNSUPPORTED, "MODE", `expected ${hostLevels} at most, as EFR.HATS has it`);
    else {
      if (context.mode === 0) return context;
      this.#leads(entry, "HPTROOT", context.hostRoot);
      entry.tag({
        key: `domain ${context.domain}`,
        target: host(context),
        name: `DomainID ${context.domain}`,
        points: `the ${context.mode}-level host table at ${address(context.hostRoot)}`,
        field: "DOMAINID",
      });
      return context;
    }
    return null;
  }

  #judgeGuestTables(entry: Entry, context: DeviceContext): void {
    const configuration = this.#configuration;
    if (entry.value("GV") === 0n) return;
    if (configuration.guestTranslation === 0) {
      entry.complain(
        TABLE_RULES["ineffective-field"],
        "GV",
        "behaves as 0 without GTEn of the control register and EFR.GTSup",
      );
      return;
    }
    context.glx = Number(entry.value("GLX"));
    context.gcr3Root = Number(entry.value("GCR3TRP"));
    context.gcr3RootGuest = configuration.gcr3RootGuest;
    context.pasidLimit = Math.min(gcr3TableLimit(context.glx), configuration.pasidLimit);
    const levels = 4 + Number(entry.value("GUESTPAGINGMODE"));
    if (levels > 5) entry.complain(ILLEGAL, "GUESTPAGINGMODE", "expected 0 or 1");
    else if (levels > configuration.guestLevels)
      entry.complain(UNSUPPORTED, "GUESTPAGINGMODE", "expected 0, as EFR.GATS has it");
    if (context.glx === RESERVED_GLX) entry.complain(ILLEGAL, "GLX", "expected 0 to 2");
    else if (context.glx > configuration.glx)
      entry.complain(UNSUPPORTED, "GLX", `expected ${configuration.glx} at most, as EFR.GLXSup has it`);
    else {
      const scope = `domain ${context.domain} `;
      const table = this.#gcr3Table(context, entry.device, context.glx, context.gcr3Root, 0, scope);
      if (this.#leads(entry, "GCR3TRP", context.gcr3Root, table.resolve)) entry.leadsTo(table);
    }
  }

  /**
   * A guest CR3 table of a level (2.2.6): its entries lead to guest page tables at level 0, else to tables of the
   * level below.
   * @param scope whose PASIDs these are
   */
  #gcr3Table(
    context: DeviceContext,
    device: number,
    level: number,
    frame: number,
    first: number,
    scope: string,
  ): TableSpec {
    // Of all addresses here, only that of the root may be system-physical (GCR3TRPMode).
    const guestPhysical = context.gcr3RootGuest !== 0 || level < context.glx;
    return {
      kind: this.#gcr3(context, level, scope),
      context: `${level} ${host(context)} ${guestPhysical} ${scope}`,
      frame,
      offset: 0,
      entries: ENTRIES,
      first,
      limit: context.pasidLimit,
      device,
      resolve: guestPhysical ? this.#resolver(context) : undefined,
    };
  }

  #gcr3(context: DeviceContext, level: number, scope: string): EntryKind {
    return {
      layout: Gcr3Entry,
      littleEndian: true,
      ids: "pasid",
      span: 2 ** (PASID_BITS_PER_LEVEL * level),
      entries: ENTRIES,
      ...(level > 0 && { below: this.#gcr3(context, level - 1, scope) }),
      updates: { unit: Gcr3Entry.bytes },
      valid: (view, at) => gcr3Valid(view, at) !== 0,
      judge: (entry) => this.#judgeGcr3(entry, context, level, scope),
    };
  }

  #judgeGcr3(entry: Entry, context: DeviceContext, level: number, scope: string): void {
    const frame = Number(entry.value("GCR3"));
    const { device } = entry.table;
    if (level > 0) {
      const table = this.#gcr3Table(context, device, level - 1, frame, entry.first, scope);
      if (this.#leads(entry, "GCR3", frame, table.resolve)) entry.leadsTo(table);
      return;
    }
    this.#leads(entry, "GCR3", frame, this.#resolver(context));
    entry.tag({
      key: `${scope}pasid ${entry.first}`,
      target: `${frame}`,
      name:
        context.domain < 0 ? `PASID ${entry.first}` : `PASID ${entry.first} of DomainID ${context.domain}`,
      points: `the guest page table at ${address(frame)}`,
      field: "GCR3",
    });
  }

  #leads(entry: Entry, field: string, frame: number, resolve?: (frame: number) => number): boolean {
    const reservedHi = this.#configuration.addressReservedHi;
    const beyond = resolve === undefined && (frameHi(frame) & reservedHi) !== 0;
    return entry.pointer(field, frame, beyond ? 0 : Number.POSITIVE_INFINITY, PHYSICAL_WIDTH, resolve);
  }

  #resolver(context: DeviceContext): ((frame: number) => number) | undefined {
    if (context.mode === 0) return undefined;
    return (frame) => {
      this.#out.reset("amd");
      this.#host.begin(context, true);
      const found = this.#host.translate(frameHi(frame), frameLo(frame), READ, FOR_CONTEXT, this.#out);
      return found ? this.#host.frame : -1;
    };
  }
}

function gcr3Title({ glx }: DeviceContext): string {
  return `${glx + 1}-level guest CR3 table`;
}

/** The host tables of a device, as part of a table's identity. */
function host(context: DeviceContext): string {
  return context.mode === 0 ? "flat" : `${context.hostRoot}/${context.mode}`;
}
