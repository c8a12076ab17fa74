import {
  countFile,
  formatSet,
  type HostInterface,
  type HostLimits,
  lackingOf,
  quoted,
  registerFile,
} from "../host.ts";
import { bit, bits, layout } from "../layout.ts";
import type { IommuState } from "../registers.ts";
import { VtdCapabilities } from "./capabilities.ts";
import { CapabilityRegister, ExtendedCapabilityRegister, VersionRegister } from "./registers.ts";

const HwInfo = layout("struct iommu_hw_info_vtd", "include/uapi/linux/iommufd.h", 24, {
  ERRATA_772415_SPR17: bit(0, "No read-only mappings in the parent of a nested domain"),
  cap_reg: bits(127, 64, "CAP_REG"),
  ecap_reg: bits(191, 128, "ECAP_REG"),
});

/** The files are those of drivers/iommu/intel/iommu.c. */
export const VTD_HOST: HostInterface = {
  registers: { ver: VersionRegister, cap: CapabilityRegister, ecap: ExtendedCapabilityRegister },
  telling: ["cap", "ecap"],
  folders: { "intel-iommu": null, "intel-vtd": 1 },
  files: {
    cap: registerFile("cap"),
    ecap: registerFile("ecap"),
    version: versionFile,
    address: () => undefined,
    domains_supported: countFile("domains_supported"),
    domains_used: countFile("domains_used"),
  },
  pasidBits: "pasid_bits",
  hwInfo: { layout: HwInfo, registers: { cap_reg: "cap", ecap_reg: "ecap" } },
  limits,
};

/** "major:minor" of VER_REG. */
function versionFile(text: string, state: IommuState): string | undefined {
  const match = /^(\d{1,2}):(\d{1,2})$/.exec(text);
  const [major, minor] = [Number(match?.[1]), Number(match?.[2])];
  if (!(major < 16 && minor < 16)) return `expected major:minor, each 0 to 15, found ${quoted(text)}`;
  state.setRegister("ver", BigInt(major * 16 + minor));
  return undefined;
}

/** VT-d 5.10, 11.4.2 and 11.4.3. */
function limits(state: IommuState): HostLimits {
  const caps = new VtdCapabilities();
  caps.configure(state);
  const has = (field: keyof typeof ExtendedCapabilityRegister.fields) =>
    state.capability("ecap", ExtendedCapabilityRegister, field, 1) !== 0;
  const pasids = state.property("pasid_bits") !== undefined || has("PASID");
  return {
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
