import { FRAME_BYTES } from "../memory.ts";
import { ruleBook } from "../tables/entry-rule.ts";
import type { JudgedEntry } from "../tables/tree.ts";
import { type EntryKind, type Pointer, type Resolver, type RootTable, tableBelow } from "../tables/tree.ts";
import { addressText } from "../word64.ts";
import {
  EXTENDED_CONTEXT,
  KIND_FIRST_STAGE,
  KIND_SECOND_STAGE,
  NESTED,
  SCALABLE_CONTEXT,
  type VtdDevice,
} from "./context.ts";
import { ExtendedContextEntry, ExtendedPasidEntry } from "./ecs-structures.ts";
import { brokenReservedRule } from "./rules.ts";
import {
  brokenExtendedPasidRule,
  brokenPasidRule,
  EXTENDED_PASID_RULES,
  PASID_DIRECTORY_RULES,
  PASID_RULES,
} from "./rules-pasid.ts";
import { PASID_TABLE_BITS } from "./sizes.ts";
import { PasidDirectoryEntry, PasidEntry, ScalableContextEntry } from "./structures.ts";
import { firstStageTables, kind, reservedBits, type VtdParts } from "./tables-parts.ts";
import { PASID_UPDATES } from "./updates.ts";

const PASIDS_PER_TABLE = 1 << PASID_TABLE_BITS;
const DIRECTORY_PAGE = FRAME_BYTES / PasidDirectoryEntry.bytes;
const EXTENDED_PAGE = FRAME_BYTES / ExtendedPasidEntry.bytes;
const TAGGING = "VT-d 5.10, 6.2.1";

const translationType = PasidEntry.reader("PGTT");
const addressWidth = PasidEntry.reader("AW");
const pagingMode = PasidEntry.reader("FSPM");
const secondTable = PasidEntry.reader("SSPTPTR");
const firstTable = PasidEntry.reader("FSPTPTR");
const domainId = PasidEntry.reader("DID");
const pasidTable = PasidDirectoryEntry.reader("SMPTBLPTR");
const extendedMode = ExtendedPasidEntry.reader("FLPM");
const extendedFirstTable = ExtendedPasidEntry.reader("FLPTPTR");

/** What a PASID table's entries depend on, besides themselves. */
interface PasidContext {
  /** Levels of the second stage under a bound device's tables; 0: none. */
  readonly boundLevels: number;
  /** The second stage that the tables' addresses, and those in their entries, go through. */
  readonly resolve: Resolver | undefined;
  /** Whose domain ids these are. */
  readonly scope: string;
}

/** PASID directories and PASID tables of scalable mode; PASID tables of the extended mode of revisions 2.x. */
export class VtdPasidTables {
  readonly #parts: VtdParts;

  constructor(parts: VtdParts) {
    this.#parts = parts;
  }

  /**
   * The PASID structures of a context.
   * @param sized it is known how many PASIDs they have room for: else only the first page is looked at
   */
  of(device: VtdDevice, id: number, sized: boolean): RootTable | null {
    if (device.context === SCALABLE_CONTEXT) return this.#directory(device, id, sized);
    if (device.context !== EXTENDED_CONTEXT || device.pasidEnabled === 0) return null;
    return this.#extendedTable(device, id, sized);
  }

  #contextOf(device: VtdDevice): PasidContext & { readonly name: string } {
    const extended = device.context === EXTENDED_CONTEXT;
    const below = device.secondLevels !== 0 && (device.bound !== 0 || (extended && device.nested !== 0));
    const stage = below ? `${device.secondRoot}/${device.secondLevels}` : "";
    const resolve = this.#parts.resolver(below ? device : null);
    if (device.bound !== 0) {
      const name = `bound ${stage}`;
      return { name, boundLevels: device.secondLevels, resolve, scope: `${name} ` };
    }
    const scope = extended ? `ext did ${device.domain} ` : "";
    return { name: below ? `nested ${stage}` : "", boundLevels: 0, resolve, scope };
  }

  // ── scalable mode ──

  #directory(device: VtdDevice, id: number, sized: boolean): RootTable {
    const context = this.#contextOf(device);
    const limit = Math.min(device.pasidLimit, this.#parts.walker.caps.pasidLimit);
    // The last page of a directory is looked at as a whole.
    const size = sized ? Math.ceil((device.bound !== 0 ? limit : device.pasidLimit) / PASIDS_PER_TABLE) : 0;
    const pages = Math.max(Math.ceil(size / DIRECTORY_PAGE), 1);
    return {
      table: {
        kind: this.#directoryEntry(context),
        context: context.name,
        frame: device.pasidFrame,
        offset: 0,
        entries: pages * DIRECTORY_PAGE,
        first: 0,
        limit,
        also: device.ridPasid,
        device: id,
        resolve: context.resolve,
      },
      title: "PASID directory",
      from: "context entry",
      field: "PASIDDIRPTR",
      source: ScalableContextEntry.source,
    };
  }

  #directoryEntry(context: PasidContext): EntryKind {
    const words = this.#parts.walker.caps.reserved.pasidDirectory;
    return {
      ...kind(PasidDirectoryEntry, "P"),
      ids: "pasid",
      span: PASIDS_PER_TABLE,
      entries: DIRECTORY_PAGE,
      below: this.#pasidEntry(context),
      reserved: reservedBits(words, ["SMPTBLPTR"]),
      rules: ruleBook(PASID_DIRECTORY_RULES, null, (view, at, after) =>
        brokenReservedRule(view, at, words, after),
      ),
      points: (entry) => {
        const frame = pasidTable(entry.view, entry.at);
        const { reach } = this.#parts;
        const table = tableBelow(entry, frame);
        return [{ field: "SMPTBLPTR", frame, reach, resolve: context.resolve, table }];
      },
    };
  }

  #pasidEntry(context: PasidContext): EntryKind {
    const { caps } = this.#parts.walker;
    const { boundLevels } = context;
    return {
      ...kind(PasidEntry, "P"),
      updates: PASID_UPDATES,
      ids: "pasid",
      span: 1,
      entries: PASIDS_PER_TABLE,
      title: "PASID table",
      reserved: reservedBits(caps.reserved.pasid, ["SSPTPTR", "FSPTPTR", "HPTPTR"]),
      rules: ruleBook(PASID_RULES, { caps, boundLevels }, (view, at, after) =>
        brokenPasidRule(view, at, caps, boundLevels, after),
      ),
      notes: (entry) => this.#parts.domainZero(entry),
      points: (entry) => this.#stages(entry, context),
    };
  }

  #stages(entry: JudgedEntry, { resolve, scope }: PasidContext): Pointer[] {
    const { view, at } = entry;
    const type = translationType(view, at);
    const domain = domainId(view, at);
    const pointers: Pointer[] = [];
    if (type === KIND_SECOND_STAGE || type === NESTED) {
      const levels = 2 + addressWidth(view, at);
      const root = secondTable(view, at);
      const because = `PGTT is ${type}`;
      pointers.push(this.#parts.secondStage("SSPTPTR", root, levels, domain, scope, resolve, because));
    }
    if (type === KIND_FIRST_STAGE || type === NESTED) {
      const frame = firstTable(view, at);
      const mode = pagingMode(view, at);
      const tag = () => ({
        key: `${scope}did ${domain} pasid ${entry.first}`,
        target: `${frame}/${4 + mode}`,
        name: `DID ${domain} with PASID ${entry.first}`,
        points: `the ${4 + mode}-level first-stage table at ${addressText(frame)}`,
        field: "DID",
        source: TAGGING,
      });
      const reach = type === NESTED ? null : this.#parts.reach;
      const tables = firstStageTables(mode, `PGTT is ${type}, FSPM ${mode === 1 ? 1 : 0}`);
      pointers.push({ field: "FSPTPTR", frame, reach, resolve, tag, tables });
    }
    return pointers;
  }

  // ── extended mode ──

  #extendedTable(device: VtdDevice, id: number, sized: boolean): RootTable {
    const context = this.#contextOf(device);
    const limit = Math.min(device.pasidLimit, this.#parts.walker.caps.pasidLimit);
    return {
      table: {
        kind: this.#extendedEntry(context),
        context: context.name,
        frame: device.pasidFrame,
        offset: 0,
        entries: Math.max(sized ? limit : 0, EXTENDED_PAGE),
        first: 0,
        limit,
        device: id,
        resolve: context.resolve,
      },
      title: "PASID table",
      from: "context entry",
      field: "PASIDPTR",
      source: ExtendedContextEntry.source,
    };
  }

  #extendedEntry({ resolve }: PasidContext): EntryKind {
    const { caps } = this.#parts.walker;
    return {
      ...kind(ExtendedPasidEntry, "P"),
      ids: "pasid",
      span: 1,
      entries: EXTENDED_PAGE,
      reserved: reservedBits(caps.reserved.extendedPasid, ["FLPTPTR"]),
      rules: ruleBook(EXTENDED_PASID_RULES, null, (view, at, after) =>
        brokenExtendedPasidRule(view, at, caps, after),
      ),
      points: ({ view, at }) => {
        const frame = extendedFirstTable(view, at);
        const mode = extendedMode(view, at);
        const tables = firstStageTables(mode, `FLPM is ${mode === 1 ? 1 : 0}`);
        return [{ field: "FLPTPTR", frame, reach: this.#parts.reach, resolve, tables }];
      },
    };
  }
}
