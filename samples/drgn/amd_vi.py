"""The `iommu` records of a Linux crash dump, for AMD-Vi.

    drgn -c vmcore -s vmlinux amd_vi.py [SNAPSHOT] > trace.ndjson

Follows drivers/iommu/amd/{init.c,amd_iommu_types.h}: amd_iommu_list, struct amd_iommu { list, index, features,
features2 }, and of Linux 6.0 to 7.2 struct amd_iommu_pci_seg { id, dev_table, dev_table_size }; before, one
amd_iommu_dev_table and dev_table_size for all. A kernel without features2 keeps EFR2 in amd_iommu_efr2, or nowhere.

The driver keeps no copy of the control register: it is left out, and reads as everything enabled that EFR offers. Where
memory is encrypted, DEV_TAB_BASE has the encryption bit; it is left out too, since a dump is by physical address.
"""

import json
import sys

from drgn.helpers.linux.list import list_for_each_entry
from drgn.helpers.linux.mm import virt_to_phys

FRAME_BITS = 12


def variable(prog, name):
    try:
        return prog[name].value_()
    except KeyError:
        return None


def feature_registers(prog, iommu):
    """EFR and EFR2: the unit's own, else those that all units have in common."""
    structure = prog.type("struct amd_iommu")
    out = {}
    for register, member, common in (
        ("efr", "features", "amd_iommu_efr"),
        ("efr2", "features2", "amd_iommu_efr2"),
    ):
        value = iommu.member_(member).value_() if structure.has_member(member) else None
        if not value:
            value = variable(prog, common)
        if value is not None:
            out[register] = hex(value)
    return out


def device_table(prog, iommu):
    """DEV_TAB_BASE, as iommu_set_device_table() makes it: the address, and the number of 4 KiB pages less one."""
    if prog.type("struct amd_iommu").has_member("pci_seg"):
        table, size = iommu.pci_seg.dev_table, iommu.pci_seg.dev_table_size.value_()
    else:
        table, size = prog["amd_iommu_dev_table"], variable(prog, "dev_table_size")
    return virt_to_phys(table).value_() | ((size >> FRAME_BITS) - 1)


def records(prog):
    units = prog["amd_iommu_list"].address_of_()
    for iommu in list_for_each_entry("struct amd_iommu", units, "list"):
        yield {
            "type": "iommu",
            "id": f"ivhd{iommu.index.value_()}",
            "model": "amd",
            "regs": {
                **feature_registers(prog, iommu),
                "dev_tab_base": hex(device_table(prog, iommu)),
            },
            "assumed": ["dev_tab_base"],
        }


def main(prog, arguments):
    out = [{"type": "header", "format": "pasid-trace", "version": 1, "producer": "drgn, amd_vi.py"}]
    out.extend(records(prog))
    if arguments:
        out.append({"type": "snapshot", "path": arguments[0]})
    for record in out:
        print(json.dumps(record, separators=(",", ":")))


main(prog, sys.argv[1:])  # noqa: F821: drgn sets prog
