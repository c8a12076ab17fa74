import { Gcr3Entry } from "../../walkers/amd-vi/device-table-entry.ts";
import type { Layout } from "../../walkers/layout.ts";
import { PAGE_TABLE_FORMATS, type PageTableFormat } from "../../walkers/page-tables/formats.ts";
import { RiscvConfig } from "../../walkers/riscv/config.ts";
import { MODE_SV39, MODE_SV48, MODE_SV57, ProcessContextLayout } from "../../walkers/riscv/layouts.ts";
import { Cd } from "../../walkers/smmuv3/cd.ts";
import { SmmuFeatures } from "../../walkers/smmuv3/features.ts";
import { granuleOfTg0, granuleOfTg1 } from "../../walkers/smmuv3/granule.ts";
import { VtdCapabilities } from "../../walkers/vtd/capabilities.ts";
import { ExtendedPasidEntry } from "../../walkers/vtd/ecs-structures.ts";
import {
  PasidEntry,
  PGTT_FIRST_STAGE,
  PGTT_NESTED,
  PGTT_PASS_THROUGH,
  PGTT_SECOND_STAGE,
} from "../../walkers/vtd/structures.ts";
import type { BindHost } from "./host-checks.ts";
import type { TableUse } from "./shape.ts";
import { addressOf } from "./table-scan.ts";

/** What the entry of a PASID says of the page tables under it. */
interface EntryFacts {
  /** Formats that the IOMMU cannot walk: "VMSAv8-32 LPAE (AA64 is 0)". */
  readonly unsupported: readonly string[];
  /** Where its page tables begin. */
  readonly roots: readonly bigint[];
}

/** Reads a present entry at byte `at` of `view`. */
export type EntryReader = (view: DataView, at: number) => EntryFacts;

/** The reader of a table's entries, for one IOMMU. */
export function entryReader(use: TableUse, host: BindHost): EntryReader {
  switch (use.model) {
    case "intel":
      return vtdReader(host);
    case "intel-ecs":
      return extendedReader(host);
    case "arm-1lvl":
    case "arm-2lvl":
      return smmuReader(host);
    case "amd":
      return (view, at) => ({ unsupported: [], roots: [addressIn(Gcr3Entry, "GCR3", view, at)] });
    case "riscv":
      return riscvReader(host);
  }
}

function addressIn<F extends string>(
  layout: Layout<F>,
  field: F,
  view: DataView,
  at: number,
  littleEndian = true,
): bigint {
  return addressOf(layout, field, layout.extract(field, view, at, littleEndian));
}

/** A format with what says that an entry uses it, where the IOMMU lacks it. */
function lacking(host: BindHost, format: PageTableFormat, because: string): string[] {
  return host.limits.formats.has(format) ? [] : [`${PAGE_TABLE_FORMATS[format]} (${because})`];
}

/** VT-d 5.10, 9.6: PGTT and FSPM. */
function vtdReader(host: BindHost): EntryReader {
  const caps = new VtdCapabilities();
  caps.configure(host.state);
  return (view, at) => {
    const type = Number(PasidEntry.extract("PGTT", view, at));
    const first = type === PGTT_FIRST_STAGE || type === PGTT_NESTED;
    const second = type === PGTT_SECOND_STAGE || type === PGTT_NESTED;
    const unsupported: string[] = [];
    const roots: bigint[] = [];
    if (first) {
      const five = PasidEntry.extract("FSPM", view, at) === 1n;
      unsupported.push(
        ...lacking(host, five ? "x86-64-5lvl" : "x86-64", `PGTT is ${type}, FSPM ${five ? 1 : 0}`),
      );
      roots.push(addressIn(PasidEntry, "FSPTPTR", view, at));
    }
    if (second) {
      unsupported.push(...lacking(host, "vtd-ss", `PGTT is ${type}`));
      roots.push(addressIn(PasidEntry, "SSPTPTR", view, at));
    }
    if (type === PGTT_NESTED && !caps.nested) unsupported.push(`nested translation (PGTT is ${type})`);
    if (type === PGTT_PASS_THROUGH && !caps.passThrough) unsupported.push(`pass-through (PGTT is ${type})`);
    return { unsupported, roots };
  };
}

/** VT-d 2.5, 9.5: FLPM. */
function extendedReader(host: BindHost): EntryReader {
  return (view, at) => {
    const five = ExtendedPasidEntry.extract("FLPM", view, at) === 1n;
    const format = five ? "x86-64-5lvl" : "x86-64";
    return {
      unsupported: lacking(host, format, `FLPM is ${five ? 1 : 0}`),
      roots: [addressIn(ExtendedPasidEntry, "FLPTPTR", view, at)],
    };
  };
}

/** IHI 0070, 5.4: AA64, and the granule of each half that is in use. */
function smmuReader(host: BindHost): EntryReader {
  const features = new SmmuFeatures();
  features.configure(host.state);
  const granule = (field: "TG0" | "TG1", view: DataView, at: number): string[] => {
    const tg = Number(Cd.extract(field, view, at));
    const known = (field === "TG0" ? granuleOfTg0 : granuleOfTg1)(features, tg) !== 0;
    return known
      ? []
      : [`a granule of ${Cd.fields[field].values?.[tg] ?? "a reserved value"} (${field} is ${tg})`];
  };
  return (view, at) => {
    const wide = Cd.extract("AA64", view, at) === 1n;
    const unsupported = lacking(host, wide ? "vmsav8-64" : "vmsav8-32", `AA64 is ${wide ? 1 : 0}`);
    const roots: bigint[] = [];
    for (const half of [0, 1] as const) {
      if (Cd.extract(`EPD${half}`, view, at) === 1n) continue;
      if (wide) unsupported.push(...granule(`TG${half}`, view, at));
      roots.push(addressIn(Cd, `TTB${half}`, view, at));
    }
    return { unsupported, roots };
  };
}

/** Process context: fsc.MODE with SXL as the device's context would have it (RISC-V IOMMU 1.0, "Leaf PDT entry"). */
function riscvReader(host: BindHost): EntryReader {
  const config = new RiscvConfig();
  config.configure(host.state);
  const formats: ReadonlyMap<number, PageTableFormat> = new Map(
    config.gxl !== 0
      ? [[MODE_SV39, "sv32"]]
      : [
          [MODE_SV39, "sv39"],
          [MODE_SV48, "sv48"],
          [MODE_SV57, "sv57"],
        ],
  );
  const littleEndian = config.be === 0;
  return (view, at) => {
    const mode = Number(ProcessContextLayout.extract("fsc_MODE", view, at, littleEndian));
    if (mode === 0) return { unsupported: [], roots: [] };
    const format = formats.get(mode);
    return {
      unsupported:
        format === undefined
          ? [`a reserved mode (fsc.MODE is ${mode})`]
          : lacking(host, format, `fsc.MODE is ${mode}`),
      roots: [addressIn(ProcessContextLayout, "fsc_PPN", view, at, littleEndian)],
    };
  };
}
