import { type RegisterNames, words } from "../register-names.ts";

/** VT-d 5.10, 11.4. */
export const VTD_REGISTER_NAMES: RegisterNames = {
  root: "rtaddr",
  walked: words("cap ecap rtaddr gsts"),
  others: words(`
    ver gcmd ccmd fsts fectl fedata feaddr feuaddr aflog pmen plmbase plmlimit phmbase phmlimit iqh iqt iqa ics iectl
    iedata ieaddr ieuaddr iqercd irta pqh pqt pqa prs pectl pedata peaddr peuaddr mtrrcap mtrrdef eccap ecmd ecrsp
    ecsts vccap vcmd vcrsp vcmdrsp iva iotlb frcd fr dmen perfcap perfcfgoff perffrzoff perfovfoff perfcntroff
    perfintrsts perfintrctl perfintrdata perfintraddr perfintruaddr perfevntcap rsvd lb_iva lb_iotlb`),
};
