import { FRAME_BYTES, frameHi, frameLo, type GuestMemory } from "../memory.ts";
import { FOR_CONTEXT } from "../page-tables/stage.ts";
import type { IommuState } from "../registers.ts";
import { type Binding, READ } from "../request.ts";
import { WalkResult } from "../result.ts";
import { TableReader } from "../table-reader.ts";
import { ruleBook } from "../tables/entry-rule.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type {
  EntryKind,
  JudgedEntry,
  Pointer,
  Reach,
  Resolver,
  RootTable,
  TableSpec,
  TableTree,
  Tag,
} from "../tables/tree.ts";
import { addressText } from "../word64.ts";
import { Configuration } from "./configuration.ts";
import { type AmdViBinding, DeviceContext } from "./context.ts";
import { decodeDte } from "./device-table.ts";
import { CHECKED_BITS, DEVICE_ID_BITS, DeviceTableEntry, Gcr3Entry } from "./device-table-entry.ts";
import { EventReporter } from "./event-reporter.ts";
import { PASID_BITS_PER_LEVEL } from "./gcr3-table.ts";
import { HostStage } from "./host-stage.ts";
import { DEVICE_TABLE_BASES } from "./registers.ts";
import { brokenDteRule, DTE_RULES } from "./rules.ts";
import { DTE_UPDATES, GCR3_UPDATES } from "./updates.ts";

const ENTRIES = FRAME_BYTES / Gcr3Entry.bytes;
const PHYSICAL_WIDTH = "the physical address width";

const dteValid = DeviceTableEntry.reader("V");
const gcr3Valid = Gcr3Entry.reader("V");

/** AMD-Vi: device table and guest CR3 tables. */
export class AmdViTables implements TableTree<DeviceContext> {
  readonly registers: readonly string[] = ["efr", "efr2", "control", ...DEVICE_TABLE_BASES];
  readonly #configuration = new Configuration();
  readonly #host: HostStage;
  readonly #out = new WalkResult();
  #reach: Reach = { frames: 0, width: PHYSICAL_WIDTH };
  #rootKnown = false;

  constructor(memory: GuestMemory) {
    const tables = new TableReader(memory);
    this.#host = new HostStage(tables, new EventReporter(tables));
  }

  configure(state: IommuState): void {
    this.#configuration.load(state);
    this.#host.walk.reservedHi = this.#configuration.addressReservedHi;
    this.#reach = { frames: this.#configuration.frameLimit, width: PHYSICAL_WIDTH };
    this.#rootKnown = state.has("dev_tab_base");
  }

  roots(): RootTable[] {
    const { enabled, segmentBits, tableFrame, tableEntries } = this.#configuration;
    if (!this.#rootKnown || enabled === 0) return [];
    const roots: RootTable[] = [];
    const dte = this.#dte();
    const title =
      segmentBits === 0 ? "device table" : `device table of ${2 ** segmentBits} segments, the first`;
    const perSegment = 2 ** (DEVICE_ID_BITS - segmentBits);
    for (let segment = 0; segment < 2 ** segmentBits; segment++) {
      const entries = Math.min(tableEntries[segment]!, perSegment);
      if (entries <= 0) continue;
      const table: TableSpec = {
        kind: dte,
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

  #dte(): EntryKind {
    const configuration = this.#configuration;
    const { entryReserved, entryUnchecked } = configuration;
    const checked = entryReserved.map((word, i) => (i < CHECKED_BITS / 32 ? word : 0));
    return {
      layout: DeviceTableEntry,
      littleEndian: true,
      ids: "device",
      span: 1,
      entries: 1,
      updates: DTE_UPDATES,
      valid: (view, at) => dteValid(view, at) !== 0,
      reserved: { words: () => checked, addresses: [], width: "" },
      ignored: entryReserved.map((word, i) => (word & ~checked[i]!) | entryUnchecked[i]!),
      rules: ruleBook(DTE_RULES, configuration, (view, at, after) =>
        brokenDteRule(view, at, configuration, after),
      ),
      notes: (entry) => this.#noteGuest(entry),
      points: (entry) => this.#fromDevice(entry),
    };
  }

  #noteGuest(entry: JudgedEntry): void {
    if (entry.value("TV") === 0n || entry.value("GV") === 0n) return;
    if (this.#configuration.guestTranslation === 0)
      entry.complain(
        TABLE_RULES["ineffective-field"],
        "GV",
        "behaves as 0 without GTEn of the control register and EFR.GTSup",
      );
  }

  #fromDevice(entry: JudgedEntry): Pointer[] {
    const context = new DeviceContext();
    decodeDte(entry.view, entry.at, this.#configuration, context);
    const pointers: Pointer[] = [];
    if (context.translate !== 0 && context.mode !== 0)
      pointers.push({
        field: "HPTROOT",
        frame: context.hostRoot,
        reach: this.#reach,
        tag: () => ({
          key: `domain ${context.domain}`,
          target: host(context),
          name: `DomainID ${context.domain}`,
          points: `the ${context.mode}-level host table at ${addressText(context.hostRoot)}`,
          field: "DOMAINID",
          source: DeviceTableEntry.source,
        }),
      });
    const guest = this.pasids(context, entry.device);
    if (guest !== null) {
      const { table } = guest;
      pointers.push({
        field: "GCR3TRP",
        frame: table.frame,
        reach: this.#reach,
        resolve: table.resolve,
        table,
      });
    }
    return pointers;
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
      title: "guest CR3 table",
      ...(level > 0 && { below: this.#gcr3(context, level - 1, scope) }),
      updates: GCR3_UPDATES,
      valid: (view, at) => gcr3Valid(view, at) !== 0,
      points: (entry) => this.#fromGcr3(entry, context, level, scope),
    };
  }

  #fromGcr3(entry: JudgedEntry, context: DeviceContext, level: number, scope: string): Pointer[] {
    const frame = Number(entry.value("GCR3"));
    const field = "GCR3";
    const reach = this.#reach;
    if (level > 0) {
      const table = this.#gcr3Table(context, entry.table.device, level - 1, frame, entry.first, scope);
      return [{ field, frame, reach, resolve: table.resolve, table }];
    }
    const tag = (): Tag => ({
      key: `${scope}pasid ${entry.first}`,
      target: `${frame}`,
      name:
        context.domain < 0 ? `PASID ${entry.first}` : `PASID ${entry.first} of DomainID ${context.domain}`,
      points: `the guest page table at ${addressText(frame)}`,
      field: "GCR3",
      source: Gcr3Entry.source,
    });
    return [{ field, frame, reach, resolve: this.#resolver(context), tag }];
  }

  #resolver(context: DeviceContext): Resolver | undefined {
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
