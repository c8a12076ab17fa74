import type { Advise, AdviseRoot, OwedCommand } from "../advice.ts";
import { REGIME_EL2 } from "../invalidation.ts";
import { FINAL_LEVEL } from "../page-tables/vmsav8-64.ts";

/** CMD_ATC_INV: the size that is all addresses. */
const ATC_ALL = 52;

function command(name: string, fields: OwedCommand["fields"]): OwedCommand {
  return { name, fields };
}

/** IHI 0070, 4.3 and 4.4. A command by address covers the tables on the way to it, not all that is below one of them. */
export const SMMUV3_ADVICE: Advise = (e) => {
  if (e.cache === "devtlb") {
    const stream = e.pasid < 0 ? {} : { SSV: 1, SSID: e.pasid };
    // What a block or a table maps depends on the granule, which this command does not know.
    const small = e.level === FINAL_LEVEL && !e.whole;
    const range: OwedCommand["fields"] = small ? { ADDR: e.frame } : { SIZE: ATC_ALL };
    return command("CMD_ATC_INV", { SID: e.device, ...stream, ...range });
  }
  if (e.cache === "context") return command("CMD_CFGI_STE", { SID: e.device });
  if (e.cache === "pasid") return command("CMD_CFGI_CD", { SID: e.device, SSID: Math.max(e.pasid, 0) });
  const VMID = Math.max(e.domain, 0);
  const ADDR = e.frame;
  const ASID = Math.max(e.space, 0);
  if (e.stage === 2) {
    // CMD_TLBI_S2_IPA leaves what stage 1 and 2 have made together (4.4.3.1).
    const whole = e.nested || e.table;
    return whole ? command("CMD_TLBI_S12_VMALL", { VMID }) : command("CMD_TLBI_S2_IPA", { VMID, ADDR });
  }
  const anySpace = e.space < 0;
  if (e.regime === REGIME_EL2) {
    // Without E2H there are no ASIDs, and CMD_TLBI_EL2_ASID has nothing to invalidate (4.4.2.10).
    if (e.table) return anySpace ? command("CMD_TLBI_EL2_ALL", {}) : command("CMD_TLBI_EL2_ASID", { ASID });
    return anySpace ? command("CMD_TLBI_EL2_VAA", { ADDR }) : command("CMD_TLBI_EL2_VA", { ASID, ADDR });
  }
  if (e.table)
    return anySpace ? command("CMD_TLBI_NH_ALL", { VMID }) : command("CMD_TLBI_NH_ASID", { VMID, ASID });
  return anySpace
    ? command("CMD_TLBI_NH_VAA", { VMID, ADDR })
    : command("CMD_TLBI_NH_VA", { VMID, ASID, ADDR });
};

/** IHI 0070, 3.11: a change of SMMUEN drops nothing, and before it is set again software invalidates everything. */
export const SMMUV3_ROOT_ADVICE: AdviseRoot = () => [
  command("CMD_CFGI_ALL", {}),
  command("CMD_TLBI_NSNH_ALL", {}),
];
