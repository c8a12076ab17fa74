import { FRAME_BYTES } from "../memory.ts";
import type { BindFindings } from "../pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../pasid-tables/bind-rules.ts";
import {
  type BindHost,
  type ParentStage,
  type PasidTableFormat,
  radixInputBits,
} from "../pasid-tables/format.ts";
import { fillBoundDevice, MODES, secondMode } from "./binding.ts";
import { RiscvConfig } from "./config.ts";
import { RiscvDevice } from "./context.ts";
import { PROCESS_ID_BITS } from "./layouts.ts";
import { Capabilities } from "./registers.ts";
import { secondStageLevels } from "./rules.ts";

/** `pdtp.MODE` by name: how many bits of the process_id it indexes (RISC-V IOMMU 1.0, "Leaf DDT entry"). */
const DIRECTORY_BITS = { PD8: 8, PD17: 17, PD20: 20 } as const;
type DirectoryMode = keyof typeof DIRECTORY_BITS;

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
        context: (pasidBits, host) => contextOf(mode ?? "PD8", pasidBits, host),
        checkFormat: (host, findings) => checkMode(mode, host, findings),
        checkSecondStage,
        secondInputBits: ({ levels }) => radixInputBits(levels, ROOT_EXTRA_BITS),
      };
    },
  },
} as const satisfies Readonly<Record<string, PasidTableFormat>>;

function modeNamed(name: string | undefined): DirectoryMode | undefined {
  return name !== undefined && Object.hasOwn(DIRECTORY_BITS, name) ? (name as DirectoryMode) : undefined;
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

/** What a device context would say of a directory at address 0. */
function contextOf(mode: DirectoryMode, pasidBits: number, { state }: BindHost): RiscvDevice {
  const config = new RiscvConfig();
  config.configure(state);
  const device = new RiscvDevice();
  const second = { secondLevels: 0, secondFrame: 0, gscid: -1 };
  fillBoundDevice(
    { model: "riscv", mode: MODES.get(mode)!, frame: 0, processIdLimit: 2 ** pasidBits, ...second },
    config,
    device,
  );
  return device;
}
