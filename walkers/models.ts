/** The IOMMUs and the PASID tables that there are: names alone. What each one does is in registry.ts. */
import { pciName } from "./pci.ts";

/** How traces name the devices of an IOMMU. */
interface DeviceIds {
  /** Before the number of a device that has no PCI name. */
  readonly prefix: string;
  /** Ids on its interconnect: a wider one cannot come from a device of it. */
  readonly bits: number;
  /** Its ids are requester ids: devices have PCI names. */
  readonly pci: boolean;
}

interface IommuNames {
  readonly title: string;
  /** What people call it. */
  readonly aliases: readonly string[];
  readonly device: DeviceIds;
  /** The format of its second stage, as a `bind` record names it. */
  readonly secondStage: string;
}

/** IOMMU models of the trace contract's `iommu` record. */
export const IOMMUS = {
  intel: {
    title: "Intel VT-d",
    aliases: ["vtd", "vt-d", "dmar", "intel-iommu"],
    device: { prefix: "devid", bits: 16, pci: true },
    secondStage: "vtd-ss",
  },
  "arm-smmuv3": {
    title: "Arm SMMUv3",
    aliases: ["arm", "smmu", "smmuv3"],
    device: { prefix: "sid", bits: 32, pci: false },
    secondStage: "vmsav8-64",
  },
  amd: {
    title: "AMD-Vi",
    aliases: ["amd-vi", "amdvi", "amd-iommu"],
    device: { prefix: "devid", bits: 16, pci: true },
    secondStage: "amdv1",
  },
  riscv: {
    title: "RISC-V IOMMU",
    aliases: ["risc-v", "riscv-iommu"],
    device: { prefix: "did", bits: 24, pci: false },
    secondStage: "riscv-x4",
  },
} as const satisfies Readonly<Record<string, IommuNames>>;

/** An architecture of IOMMUs: "intel" (VT-d), "arm-smmuv3", "amd" (AMD-Vi), "riscv". */
export type IommuModel = keyof typeof IOMMUS;
export const IOMMU_MODELS = Object.keys(IOMMUS) as readonly IommuModel[];

/**
 * Short forms of the PASID table models, and the IOMMU that walks each: in the order of `enum pasid_table_model`, and
 * behind them those that it could not know. The first one of an IOMMU is its own unless a binding says more.
 */
export const MODEL_OWNER = {
  "arm-1lvl": "arm-smmuv3",
  "arm-2lvl": "arm-smmuv3",
  amd: "amd",
  intel: "intel",
  "intel-ecs": "intel",
  riscv: "riscv",
} as const satisfies Readonly<Record<string, IommuModel>>;

/** A format of PASID tables. */
export type TableModel = keyof typeof MODEL_OWNER;
export const TABLE_MODELS = Object.keys(MODEL_OWNER) as readonly TableModel[];

/** Models that a `bind` record may name: "host" stands for the own table model of the IOMMU. */
export const CONFIG_MODELS = ["host", ...TABLE_MODELS] as const;
export type ConfigModel = (typeof CONFIG_MODELS)[number];

/** The PASID table models that an IOMMU walks: what "host" stands for comes first. */
export function tableModelsOf(model: IommuModel): readonly TableModel[] {
  return TABLE_MODELS.filter((table) => MODEL_OWNER[table] === model);
}

/** What "host" stands for. */
export function hostTableModel(model: IommuModel): TableModel {
  return tableModelsOf(model)[0]!;
}

/** Requester ids are below this. */
const REQUESTER_IDS = 2 ** 16;

/**
 * A device as traces name it.
 * @param pci the name is a PCI name where the id can be a requester id; default: where the IOMMU's ids are such
 */
export function deviceName(model: IommuModel, id: number, pci: boolean = IOMMUS[model].device.pci): string {
  return pci && id < REQUESTER_IDS ? pciName(id) : `${IOMMUS[model].device.prefix}:${id}`;
}
