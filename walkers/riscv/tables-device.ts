import type { Entry } from "../tables/entry.ts";
import { TABLE_RULES } from "../tables/table-rules.ts";
import type { RiscvConfig } from "./config.ts";
import type { RiscvDevice } from "./context.ts";
import { DeviceContextLayout } from "./layouts.ts";
import { brokenDeviceRule, DEVICE_RULES } from "./rules.ts";

const SOURCE = "RISC-V IOMMU 1.0, 2.1.4";

const ILLEGAL = TABLE_RULES["illegal-encoding"];
const UNSUPPORTED = TABLE_RULES["unsupported-encoding"];
const CONFLICT = TABLE_RULES["conflicting-fields"];

/** Which field a rule of DEVICE_RULES is about, and what kind of mistake breaking it is. */
const FIELD_OF_RULE = [
  null,
  null,
  ["EN_ATS", UNSUPPORTED],
  ["T2GPA", CONFLICT],
  ["EN_PRI", CONFLICT],
  ["PRPR", CONFLICT],
  ["T2GPA", UNSUPPORTED],
  ["T2GPA", CONFLICT],
  ["fsc_MODE", UNSUPPORTED],
  ["fsc_MODE", ILLEGAL],
  ["fsc_MODE", UNSUPPORTED],
  ["fsc_MODE", UNSUPPORTED],
  ["DPE", CONFLICT],
  ["iohgatp_MODE", ILLEGAL],
  ["iohgatp_MODE", UNSUPPORTED],
  ["iohgatp_MODE", UNSUPPORTED],
  ["msiptp_MODE", ILLEGAL],
  ["iohgatp_PPN", ILLEGAL],
  ["SADE", UNSUPPORTED],
  ["SBE", UNSUPPORTED],
  ["SXL", UNSUPPORTED],
  ["SBE", UNSUPPORTED],
  ["RCID", UNSUPPORTED],
  ["msiptp_MODE", CONFLICT],
] as const;

/**
 * Judges a device context by the specification's configuration checks: the reserved bits, and the first of the
 * other rules that is broken.
 * @param device the context, decoded
 * @returns whether the IOMMU accepts it
 */
export function judgeDevice(entry: Entry, device: RiscvDevice, config: RiscvConfig): boolean {
  if (device.reserved !== 0) {
    entry.reservedBits(TABLE_RULES["reserved-entry-bits"], reservedWords(entry, config), [], "");
    device.reserved = 0;
  }
  const broken = brokenDeviceRule(device, config);
  const about = FIELD_OF_RULE[broken];
  if (about !== null && about !== undefined)
    entry.complain(about[1], about[0], DEVICE_RULES[broken]!, `${SOURCE}, rule ${broken}`);
  return entry.complaints.length === 0;
}

/** Reserved bits of a context; of MSI address mask and pattern also those from MGPAW - 12 up. */
function reservedWords(entry: Entry, config: RiscvConfig): Uint32Array {
  const words = entry.layout.reserved(config.has);
  if (!("msi_addr_mask" in entry.layout.fields)) return words;
  for (const field of ["msi_addr_mask", "msi_addr_pattern"] as const) {
    const [high, low] = DeviceContextLayout.fields[field].parts[0]!;
    const first = low >> 5;
    words[first]! |= ~config.msiPageLo;
    words[first + 1]! |= ~config.msiPageHi & (2 ** (high - low + 1 - 32) - 1);
  }
  return words;
}
