import type { Layout } from "./layout.ts";
import type { TableModel } from "./models.ts";
import type { PageTableFormat } from "./page-tables/formats.ts";
import type { IommuState } from "./registers.ts";

/** What a host says of an IOMMU of one model, and what follows from it. */
export interface HostInterface {
  /** The registers that say what it can do, by the names that they have in traces. */
  readonly registers: Readonly<Record<string, Layout>>;
  /** Those of them that tell the model by their name alone, the best known first. */
  readonly telling: readonly string[];
  /** Folders that Linux has in `/sys/class/iommu/<device>/`, and what the file `model` in them says; null: they have none. */
  readonly folders: Readonly<Record<string, number | null>>;
  /** Files in these folders that the model alone has. */
  readonly files: Readonly<Record<string, PublishedFile>>;
  /** The property that says how many bits a PASID has. */
  readonly pasidBits: "pasid_bits" | "ssid_bits";
  /** What iommufd's IOMMU_GET_HW_INFO gives: its structure, and registers by its fields; null: none is defined. */
  readonly hwInfo: { readonly layout: Layout; readonly registers: Readonly<Record<string, string>> } | null;
  /** What it can do with a PASID table, as the walker takes registers and properties. */
  limits(state: IommuState): HostLimits;
}

/** What one IOMMU can do with a PASID table. What is not known of it counts as there. */
export interface HostLimits {
  /** 0: PASIDs are not supported. */
  readonly pasidBits: number;
  /** Bits of the addresses that it puts out. */
  readonly outputBits: number;
  /** Bits of the addresses that a second stage takes, at most. */
  readonly secondInputBits: number;
  /** Models of PASID table that it cannot walk although others of its model do, and why. */
  readonly lacking: ReadonlyMap<TableModel, string>;
  /** Why no second stage can lie under the table; "" where one can. */
  readonly noNesting: string;
  /** Formats of the page tables that PASID entries may point to. */
  readonly formats: ReadonlySet<PageTableFormat>;
}

/** Widest address that a register or a table can say. */
export const WIDEST_ADDRESS = 64;

/** The formats that are there. */
export function formatSet(entries: readonly (readonly [PageTableFormat, boolean])[]): Set<PageTableFormat> {
  return new Set(entries.filter(([, there]) => there).map(([format]) => format));
}

/** The table models that something is lacking for. */
export function lackingOf(entries: readonly (readonly [TableModel, string])[]): Map<TableModel, string> {
  return new Map(entries.filter(([, why]) => why !== ""));
}

/** Takes over what a file says, its contents without the newline; a sentence says what is wrong with it. */
export type PublishedFile = (text: string, state: IommuState) => string | undefined;

/** A file that holds a register in hex. */
export function registerFile(register: string): PublishedFile {
  return (text, state) => {
    const value = hexNumber(text);
    if (value === undefined) return `expected 1 to 16 hex digits, found ${quoted(text)}`;
    state.setRegister(register, value);
    return undefined;
  };
}

/** A file that holds a count, which becomes a property. */
export function countFile(property: string): PublishedFile {
  return (text, state) => {
    if (!/^\d{1,10}$/.test(text)) return `expected a number, found ${quoted(text)}`;
    state.props.set(property, Number(text));
    return undefined;
  };
}

export function hexNumber(text: string): bigint | undefined {
  return /^(0x)?[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text.replace(/^0x/i, "")}`) : undefined;
}

/** A text in a message, cut where it is long. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
