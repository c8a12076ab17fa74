import {
  formatSet,
  type HostInterface,
  type HostLimits,
  hexNumber,
  lackingOf,
  quoted,
  registerFile,
  WIDEST_ADDRESS,
} from "../host.ts";
import { bit, bits, layout } from "../layout.ts";
import type { IommuState } from "../registers.ts";
import { Configuration } from "./configuration.ts";
import { ExtendedFeature2Register, ExtendedFeatureRegister } from "./registers.ts";

/** The first word of the capability block in PCI configuration space: what sysfs calls `cap`. */
const CapabilityHeader = layout("IOMMU Capability Header", "AMD 48882, capability offset 00h", 4, {
  CAPID: bits(7, 0, "Capability id", { 15: "secure device" }),
  CAPPTR: bits(15, 8, "Next capability"),
  CAPTYPE: bits(18, 16, "Capability block type", { 3: "IOMMU" }),
  CAPREV: bits(23, 19, "Revision"),
  IOTLBSUP: bit(24, "IOTLB support"),
  HTTUNNEL: bit(25, "HyperTransport tunnel translation"),
  NPCACHE: bit(26, "Caches entries that are not present"),
  EFRSUP: bit(27, "Extended Feature Register"),
  CAPEXT: bit(28, "Miscellaneous Information Register 1"),
});

const HwInfo = layout("struct iommu_hw_info_amd", "include/uapi/linux/iommufd.h", 16, {
  efr: bits(63, 0, "Extended Feature Register"),
  efr2: bits(127, 64, "Extended Feature 2 Register"),
});

/** Widest address that a table's address field holds, where nothing says how wide the host's are. */
const WIDEST_OUTPUT = 52;

/** The files are those of drivers/iommu/amd/init.c. */
export const AMD_VI_HOST: HostInterface = {
  registers: { pci_cap: CapabilityHeader, efr: ExtendedFeatureRegister, efr2: ExtendedFeature2Register },
  telling: ["efr"],
  folders: { "amd-iommu": null },
  files: { cap: registerFile("pci_cap"), features: featuresFile },
  pasidBits: "pasid_bits",
  hwInfo: { layout: HwInfo, registers: { efr: "efr", efr2: "efr2" } },
  limits,
};

/**
 * The Extended Feature Register; with a colon, that and the second one. Their order has changed (Linux printed EFR2
 * first when it began to print both): of the two only the first has fields above bit 31.
 */
function featuresFile(text: string, state: IommuState): string | undefined {
  const parts = text.split(":").map(hexNumber);
  if (parts.length > 2 || parts.includes(undefined))
    return `expected one or two numbers of 1 to 16 hex digits, with a colon between, found ${quoted(text)}`;
  const [first, second] = parts as [bigint, bigint | undefined];
  const swapped = second !== undefined && first >> 32n === 0n && second >> 32n !== 0n;
  state.setRegister("efr", swapped ? second : first);
  if (second !== undefined) state.setRegister("efr2", swapped ? first : second);
  return undefined;
}

/** AMD 48882, MMIO 0030h and 01A0h. */
function limits(state: IommuState): HostLimits {
  const configuration = new Configuration();
  configuration.load(state);
  const guest = state.capability("efr", ExtendedFeatureRegister, "GTSUP", 1) !== 0;
  const rootGuest = state.capability("efr2", ExtendedFeature2Register, "GCR3TRPMODESUP", 1) !== 0;
  const pasids = state.property("pasid_bits") !== undefined || guest;
  return {
    pasidBits: pasids ? Math.log2(configuration.pasidLimit) : 0,
    outputBits: state.property("output_bits") ?? WIDEST_OUTPUT,
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
