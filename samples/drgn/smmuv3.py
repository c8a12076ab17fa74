"""The `iommu` records of a Linux crash dump, for Arm SMMUv3.

    drgn -c vmcore -s vmlinux smmuv3.py [SNAPSHOT] > trace.ndjson

Follows drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.{c,h} and iommu_device_list of drivers/iommu/iommu.c: struct
arm_smmu_device { strtab_cfg, sid_bits, ssid_bits, asid_bits, oas, features, iommu }, Linux 4.12 to 7.2. Of struct
arm_smmu_strtab_cfg both forms are read: { strtab_base, strtab_base_cfg }, and of later kernels (about 6.12) { linear, l2 }.
The driver may be a module: then drgn needs its debugging information as well.

The driver keeps no copy of the ID registers: what it has read from them are properties. CR0 is taken to say that
translation is on.
"""

import json
import sys

from drgn import container_of
from drgn.helpers.linux.list import list_for_each_entry

SOURCE = "arm-smmu-v3.c"
#: Where the driver's types are: the header is there from 5.10 on.
HEADERS = ("arm-smmu-v3.h", SOURCE)
#: ARM_SMMU_FEAT_*
FEAT_2_LVL_STRTAB = 1 << 0
FEAT_STALLS = 1 << 11
FEAT_BTM = 1 << 16
#: Linux resolves 8 bits of a StreamID in the second level.
STRTAB_SPLIT = 8
FMT_2LVL = 1 << 16
SPLIT_SHIFT = 6
STRTAB_BASE_RA = 1 << 62
STRTAB_BASE_ADDR = ((1 << 52) - 1) & ~0x3F
CR0_SMMUEN = 1 << 0


def driver_type(prog, name):
    """A type of this driver: the SMMUv2 driver has types of the same names."""
    for header in HEADERS:
        try:
            return prog.type(name, header)
        except LookupError:
            pass
    raise LookupError(f"no {name} of {SOURCE}: is the driver's debugging information loaded?")


def stream_table(smmu, config_type):
    """STRTAB_BASE and STRTAB_BASE_CFG."""
    config = smmu.strtab_cfg
    if config_type.has_member("strtab_base"):
        return config.strtab_base.value_(), config.strtab_base_cfg.value_()
    # As arm_smmu_write_strtab() makes them.
    if smmu.features.value_() & FEAT_2_LVL_STRTAB:
        entries = config.l2.num_l1_ents.value_()
        log2size = entries.bit_length() - 1 + STRTAB_SPLIT
        form, address = FMT_2LVL | STRTAB_SPLIT << SPLIT_SHIFT | log2size, config.l2.l1_dma.value_()
    else:
        form, address = smmu.sid_bits.value_(), config.linear.ste_dma.value_()
    return (address & STRTAB_BASE_ADDR) | STRTAB_BASE_RA, form


def smmus(prog):
    """SMMUs among all IOMMUs: those with the driver's operations."""
    operations = prog.variable("arm_smmu_ops", SOURCE).address_of_().value_()
    device = driver_type(prog, "struct arm_smmu_device")
    devices = prog["iommu_device_list"].address_of_()
    for iommu in list_for_each_entry("struct iommu_device", devices, "list"):
        if iommu.ops.value_() == operations:
            yield container_of(iommu, device, "iommu")


def records(prog):
    config_type = driver_type(prog, "struct arm_smmu_strtab_cfg")
    for index, smmu in enumerate(smmus(prog)):
        base, form = stream_table(smmu, config_type)
        features = smmu.features.value_()
        yield {
            "type": "iommu",
            "id": f"smmu{index}",
            "model": "arm-smmuv3",
            "regs": {"cr0": hex(CR0_SMMUEN), "strtab_base": hex(base), "strtab_base_cfg": hex(form)},
            "props": {
                "ssid_bits": smmu.ssid_bits.value_(),
                "asid_bits": smmu.asid_bits.value_(),
                "output_bits": smmu.oas.value_(),
                "btm": bool(features & FEAT_BTM),
                "stall": bool(features & FEAT_STALLS),
            },
            "assumed": ["cr0", "strtab_base", "strtab_base_cfg"],
        }


def main(prog, arguments):
    out = [{"type": "header", "format": "pasid-trace", "version": 1, "producer": "drgn, smmuv3.py"}]
    out.extend(records(prog))
    if arguments:
        out.append({"type": "snapshot", "path": arguments[0]})
    for record in out:
        print(json.dumps(record, separators=(",", ":")))


main(prog, sys.argv[1:])  # noqa: F821: drgn sets prog
