import { StrtabBaseCfg } from "../../walkers/smmuv3/registers.ts";
import { L1Std, Ste } from "../../walkers/smmuv3/ste.ts";
import type { LogIommu } from "./log-iommu.ts";
import type { TableBuilder } from "./table-builder.ts";

/** Registers by their offset (IHI 0070, 6.2) that decide what is walked, with their bytes. */
export const SMMUV3_REGISTERS: ReadonlyMap<number, { readonly name: string; readonly bytes: number }> =
  new Map([
    [0x0, { name: "idr0", bytes: 4 }],
    [0x4, { name: "idr1", bytes: 4 }],
    [0xc, { name: "idr3", bytes: 4 }],
    [0x14, { name: "idr5", bytes: 4 }],
    [0x1c, { name: "aidr", bytes: 4 }],
    [0x20, { name: "cr0", bytes: 4 }],
    [0x44, { name: "gbpa", bytes: 4 }],
    [0x80, { name: "strtab_base", bytes: 8 }],
    [0x88, { name: "strtab_base_cfg", bytes: 4 }],
  ]);

/** SMMU_STRTAB_BASE.ADDR. */
export const STRTAB_ADDRESS = 0x00ff_ffff_ffff_ffc0n;
/** STRTAB_BASE_CFG.FMT: 2-level. */
const FMT_2LEVEL = 1;
/** The largest stream table that is taken for one: of 2^20 entries. */
const MAX_TABLE = 2 ** 20 * Ste.bytes;

/** Lets the stream table be there when the registers name it: a log shows the entries alone that are read. */
export function showStreamTable(iommu: LogIommu, tables: TableBuilder): void {
  let shown = "";
  iommu.changed = () => {
    const base = iommu.register("strtab_base");
    const field = (name: "LOG2SIZE" | "SPLIT" | "FMT") =>
      iommu.state.field("strtab_base_cfg", StrtabBaseCfg, name, 0);
    const log2 = field("LOG2SIZE");
    const bytes =
      field("FMT") === FMT_2LEVEL
        ? 2 ** Math.max(0, log2 - field("SPLIT")) * L1Std.bytes
        : 2 ** log2 * Ste.bytes;
    const key = `${base} ${bytes}`;
    if (base === undefined || log2 === 0 || bytes > MAX_TABLE || key === shown) return;
    shown = key;
    tables.table(BigInt(base) & STRTAB_ADDRESS, bytes);
  };
}
