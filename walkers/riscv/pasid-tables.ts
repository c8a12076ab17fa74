import { FRAME_BYTES } from "../memory.ts";
import type { PageTableFormat } from "../page-tables/formats.ts";
import type { BindFindings } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import {
  addressIn,
  type BindHost,
  type EntryFormat,
  formatLacking,
  leafLevel,
  type ParentStage,
  type PasidTableFormat,
  radixInputBits,
  radixLevels,
  type TableLevel,
} from "../pasid-tables/format.ts";
import { secondMode } from "./binding.ts";
import { RiscvConfig } from "./config.ts";
import {
  MODE_SV39,
  MODE_SV48,
  MODE_SV57,
  PdtEntry,
  PROCESS_ID_BITS,
  ProcessContextLayout,
} from "./layouts.ts";
import { Capabilities } from "./registers.ts";
import { secondStageLevels } from "./rules.ts";

/** `pdtp.MODE` by name: how many bits of the process_id it indexes (RISC-V IOMMU 1.0, "Leaf DDT entry"). */
const DIRECTORY_BITS = { PD8: 8, PD17: 17, PD20: 20 } as const;
type DirectoryMode = keyof typeof DIRECTORY_BITS;

/** log2 of the process contexts in a page. */
const CONTEXT_BITS = Math.log2(FRAME_BYTES / ProcessContextLayout.bytes);
/** log2 of the entries in a page of the directory above. */
const INDEX_BITS = Math.log2(FRAME_BYTES / PdtEntry.bytes);
/** The index of the root of a second stage has two bits more. */
const ROOT_EXTRA_BITS = 2;

/** The process directory, as it is bound. */
export const RISCV_PASID_TABLES = {
  riscv: {
    largest: {},
    layout({ riscv }, _pasidBits, out) {
      const mode = modeNamed(riscv?.mode);
      if (mode === undefined)
        out.add(
          BIND_RULES["bind-format-missing"],
          `riscv.mode is ${riscv?.mode ?? "absent"}: expected ${Object.keys(DIRECTORY_BITS).join(", ")}`,
        );
      const bits = mode === undefined ? undefined : DIRECTORY_BITS[mode];
      return {
        reach: bits ?? PROCESS_ID_BITS,
        shape: () => ({ what: "process directory", bytes: FRAME_BYTES, alignment: FRAME_BYTES }),
        levels: () => levelsOf(bits ?? CONTEXT_BITS),
        checkFormat: (host, findings) => checkMode(mode, host, findings),
        checkSecondStage,
        secondInputBits: ({ levels }) => radixInputBits(levels, ROOT_EXTRA_BITS),
        entries,
      };
    },
  },
} as const satisfies Readonly<Record<string, PasidTableFormat>>;

function modeNamed(name: string | undefined): DirectoryMode | undefined {
  return name !== undefined && Object.hasOwn(DIRECTORY_BITS, name) ? (name as DirectoryMode) : undefined;
}

function levelsOf(bits: number): TableLevel[] {
  const above = Math.max(Math.ceil((bits - CONTEXT_BITS) / INDEX_BITS), 0);
  const next = { field: "PPN", bytes: FRAME_BYTES, what: "process directory table" };
  return [
    ...radixLevels(above, { layout: PdtEntry, present: "V", next }, CONTEXT_BITS),
    leafLevel(ProcessContextLayout, "V"),
  ];
}

function checkMode(mode: DirectoryMode | undefined, { state }: BindHost, out: BindFindings): void {
  if (mode !== undefined && state.capability("capabilities", Capabilities, mode, 1) === 0)
    out.add(
      BIND_RULES["bind-format-unsupported"],
      `riscv.mode is ${mode}: expected one that the IOMMU has, found that capabilities.${mode} is 0`,
    );
}

/** RISC-V IOMMU 1.0, iohgatp.MODE: the scheme that a second stage of this many levels has. */
function checkSecondStage({ levels }: ParentStage, { state }: BindHost, out: BindFindings): void {
  if (levels === undefined) return;
  const config = new RiscvConfig();
  config.configure(state);
  if (secondStageLevels(secondMode(levels), config) !== levels)
    out.add(
      BIND_RULES["bind-nested-unsupported"],
      `stage2.levels is ${levels}: expected a second stage that capabilities and fctl.GXL of this IOMMU allow`,
    );
}

/**
 * Process context: fsc.MODE with SXL as the device's context would have it (RISC-V IOMMU 1.0, "Leaf PDT entry"), in the
 * byte order that it would say: on a bound device, the IOMMU's own.
 */
function entries(host: BindHost): EntryFormat {
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
  return {
    littleEndian,
    rootBytes: FRAME_BYTES,
    read(view, at) {
      const mode = Number(ProcessContextLayout.extract("fsc_MODE", view, at, littleEndian));
      if (mode === 0) return { unsupported: [], roots: [] };
      const format = formats.get(mode);
      return {
        unsupported:
          format === undefined
            ? [`a reserved mode (fsc.MODE is ${mode})`]
            : formatLacking(host, format, `fsc.MODE is ${mode}`),
        roots: [addressIn(ProcessContextLayout, "fsc_PPN", view, at, littleEndian)],
      };
    },
  };
}
