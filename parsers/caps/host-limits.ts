import { Configuration } from "../../walkers/amd-vi/configuration.ts";
import { ExtendedFeature2Register, ExtendedFeatureRegister } from "../../walkers/amd-vi/registers.ts";
import type { IommuModel, TableModel } from "../../walkers/models.ts";
import { type PageTableFormat, pageTableFormat } from "../../walkers/page-tables/formats.ts";
import { guestBits, SV32_LEVELS } from "../../walkers/page-tables/riscv-sv.ts";
import type { IommuState } from "../../walkers/registers.ts";
import { RiscvConfig } from "../../walkers/riscv/config.ts";
import { Capabilities } from "../../walkers/riscv/registers.ts";
import { SmmuFeatures } from "../../walkers/smmuv3/features.ts";
import { Idr0 } from "../../walkers/smmuv3/registers.ts";
import { VtdCapabilities } from "../../walkers/vtd/capabilities.ts";
import { ExtendedCapabilityRegister } from "../../walkers/vtd/registers.ts";

/** Widest address that a table's address field holds, where nothing says how wide the host's are. */
const WIDEST_AMD_ADDRESS = 52;
const WIDEST_ADDRESS = 64;
const FRAME_BITS = 12;

/** What one IOMMU can do with a PASID table. What is not known of it counts as there. */
export interface HostLimits {
  readonly model: IommuModel;
  /** 0: PASIDs are not supported. */
  readonly pasidBits: number;
  /** Bits of the addresses that it puts out. */
  readonly outputBits: number;
  /** Bits of the addresses that a second stage takes, at most. */
  readonly secondInputBits: number;
  /** Formats of PASID table of its vendor that it cannot walk, and why. */
  readonly lacking: ReadonlyMap<TableModel, string>;
  /** Why no second stage can lie under the table; "" where one can. */
  readonly noNesting: string;
  /** Formats of the page tables that PASID entries may point to. */
  readonly formats: ReadonlySet<PageTableFormat>;
}

/** Derives them from registers and properties, as the walkers do. */
export function limitsOf(model: IommuModel, state: IommuState): HostLimits {
  const limits = LIMITS[model](state);
  return { ...limits, formats: published(limits.formats, state) };
}

const LIMITS: Readonly<Record<IommuModel, (state: IommuState) => HostLimits>> = {
  intel: vtdLimits,
  "arm-smmuv3": smmuLimits,
  amd: amdLimits,
  riscv: riscvLimits,
};

/** A list that the host publishes leaves what it names; names that nobody knows say nothing. */
function published(formats: ReadonlySet<PageTableFormat>, state: IommuState): ReadonlySet<PageTableFormat> {
  const given = state.props.get("pgtable_format");
  const names = typeof given === "string" ? [given] : Array.isArray(given) ? (given as string[]) : [];
  const known = names.map(pageTableFormat);
  if (known.length === 0 || known.includes(undefined)) return formats;
  return new Set([...formats].filter((format) => known.includes(format)));
}

function formatSet(entries: readonly (readonly [PageTableFormat, boolean])[]): Set<PageTableFormat> {
  return new Set(entries.filter(([, there]) => there).map(([format]) => format));
}

function lackingOf(entries: readonly (readonly [TableModel, string])[]): Map<TableModel, string> {
  return new Map(entries.filter(([, why]) => why !== ""));
}

/** VT-d 5.10, 11.4.2 and 11.4.3. */
function vtdLimits(state: IommuState): HostLimits {
  const caps = new VtdCapabilities();
  caps.configure(state);
  const has = (field: keyof typeof ExtendedCapabilityRegister.fields) =>
    state.capability("ecap", ExtendedCapabilityRegister, field, 1) !== 0;
  const pasids = state.property("pasid_bits") !== undefined || has("PASID");
  return {
    model: "intel",
    pasidBits: pasids ? Math.log2(caps.pasidLimit) : 0,
    outputBits: caps.hostWidth,
    secondInputBits: caps.guestWidth,
    lacking: lackingOf([
      ["intel", has("SMTS") ? "" : "scalable mode (ECAP.SMTS) is not supported"],
      ["intel-ecs", has("ECS") ? "" : "extended mode (ECAP.ECS of revisions 2.x) is not supported"],
    ]),
    noNesting: caps.nested ? "" : "ECAP.NEST is 0",
    formats: formatSet([
      ["x86-64", caps.firstStage],
      ["x86-64-5lvl", caps.firstStage && caps.firstStageFiveLevel],
      ["vtd-ss", caps.secondStage],
    ]),
  };
}

/** IHI 0070, 6.3.1, 6.3.2 and 6.3.6. */
function smmuLimits(state: IommuState): HostLimits {
  const features = new SmmuFeatures();
  features.configure(state);
  const noStage1 = features.stage1 ? "" : "stage 1 (IDR0.S1P) is not supported";
  const noTwoLevel = features.cd2l ? "" : "2-level tables (IDR0.CD2L) are not supported";
  return {
    model: "arm-smmuv3",
    pasidBits: features.ssidSize,
    outputBits: features.oas,
    secondInputBits: features.ias,
    lacking: lackingOf([
      ["arm-1lvl", noStage1],
      ["arm-2lvl", noStage1 || noTwoLevel],
    ]),
    noNesting: features.stage2 ? "" : "IDR0.S2P is 0",
    formats: formatSet([
      ["vmsav8-64", features.vmsav864],
      ["vmsav8-32", (state.capability("idr0", Idr0, "TTF", 3) & 1) !== 0],
    ]),
  };
}

/** AMD 48882, MMIO 0030h and 01A0h. */
function amdLimits(state: IommuState): HostLimits {
  const configuration = new Configuration();
  configuration.load(state);
  const guest = state.capability("efr", ExtendedFeatureRegister, "GTSUP", 1) !== 0;
  const rootGuest = state.capability("efr2", ExtendedFeature2Register, "GCR3TRPMODESUP", 1) !== 0;
  const pasids = state.property("pasid_bits") !== undefined || guest;
  return {
    model: "amd",
    pasidBits: pasids ? Math.log2(configuration.pasidLimit) : 0,
    outputBits: state.property("output_bits") ?? WIDEST_AMD_ADDRESS,
    secondInputBits: state.property("input_bits") ?? WIDEST_ADDRESS,
    lacking: lackingOf([["amd", guest ? "" : "guest translation (EFR.GTSup) is not supported"]]),
    noNesting:
      configuration.hostLevels === 0
        ? "EFR.HATS says that there is no host translation"
        : rootGuest
          ? ""
          : "the root pointer is a system physical address (EFR2.GCR3TRPMode is 0)",
    formats: formatSet([
      ["x86-64", true],
      ["x86-64-5lvl", configuration.guestLevels > 4],
    ]),
  };
}

/** RISC-V IOMMU 1.0, capabilities. */
function riscvLimits(state: IommuState): HostLimits {
  const config = new RiscvConfig();
  config.configure(state);
  const widest = config.pd20 ? 20 : config.pd17 ? 17 : config.pd8 ? 8 : 0;
  const levels = config.gxl
    ? config.sv32x4 * SV32_LEVELS
    : Math.max(config.sv57x4 * 5, config.sv48x4 * 4, config.sv39x4 * 3);
  return {
    model: "riscv",
    pasidBits: Math.min(widest, Math.log2(config.processIdLimit)),
    outputBits: Math.log2(config.frameLimit) + FRAME_BITS,
    secondInputBits: levels === 0 ? WIDEST_ADDRESS : guestBits(levels),
    lacking: lackingOf([["riscv", widest > 0 ? "" : "capabilities has none of PD8, PD17 and PD20"]]),
    noNesting:
      levels !== 0 ? "" : `capabilities has none of ${config.gxl ? "Sv32x4" : "Sv39x4, Sv48x4 and Sv57x4"}`,
    formats: formatSet([
      ["sv32", state.capability("capabilities", Capabilities, "Sv32", 1) !== 0],
      ["sv39", config.sv39 !== 0],
      ["sv48", config.sv48 !== 0],
      ["sv57", config.sv57 !== 0],
    ]),
  };
}
