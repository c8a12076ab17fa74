"""The `iommu` records of a Linux crash dump, for Intel VT-d.

    drgn -c vmcore -s vmlinux vtd.py [SNAPSHOT] > trace.ndjson

Follows drivers/iommu/intel/{dmar.c,iommu.c,iommu.h} and include/linux/dmar.h of Linux 3.15 to 7.2: dmar_drhd_units,
struct dmar_drhd_unit { list, segment, ignored, iommu }, struct intel_iommu { name, cap, ecap, gcmd, root_entry }.
Scalable mode is told as sm_supported() does (5.0 and later); the extended mode of 4.0 to 4.20 is not told.
"""

import json
import sys

from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.mm import virt_to_phys

ECAP_SMTS = 1 << 43
RTADDR_SMT = 1 << 10
GSTS_TES = 1 << 31
GSTS_RTPS = 1 << 30


def scalable_mode(prog):
    """The kernel's own switch; kernels before 5.0 have none."""
    try:
        return bool(prog["intel_iommu_sm"].value_())
    except KeyError:
        return False


def records(prog):
    scalable = scalable_mode(prog)
    units = prog["dmar_drhd_units"].address_of_()
    for unit in list_for_each_entry("struct dmar_drhd_unit", units, "list"):
        iommu = unit.iommu
        if unit.ignored or not iommu or not iommu.root_entry:
            continue
        ecap = iommu.ecap.value_()
        rtaddr = virt_to_phys(iommu.root_entry).value_()
        if scalable and ecap & ECAP_SMTS:
            rtaddr |= RTADDR_SMT
        # The bits of GCMD_REG that stay set stand in GSTS_REG at the same places.
        gsts = (iommu.gcmd.value_() & GSTS_TES) | GSTS_RTPS
        yield {
            "type": "iommu",
            "id": iommu.name.string_().decode(),
            "model": "intel",
            "regs": {
                "cap": hex(iommu.cap.value_()),
                "ecap": hex(ecap),
                "rtaddr": hex(rtaddr),
                "gsts": hex(gsts),
            },
            "assumed": ["rtaddr", "gsts"],
        }


def main(prog, arguments):
    out = [{"type": "header", "format": "pasid-trace", "version": 1, "producer": "drgn, vtd.py"}]
    out.extend(records(prog))
    if arguments:
        out.append({"type": "snapshot", "path": arguments[0]})
    for record in out:
        print(json.dumps(record, separators=(",", ":")))


main(prog, sys.argv[1:])  # noqa: F821: drgn sets prog
