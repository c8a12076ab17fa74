import type { IommuModel } from "../models.ts";
import { MAX_PASID_BITS } from "../request.ts";

/** A field of a `pasid_table_config`: its values, and the bytes that a C structure would give it. */
interface NumberField {
  readonly least: number;
  readonly most: number;
  readonly bytes: 1 | 4;
  readonly doc: string;
}

/** One of several names. */
interface NameField {
  readonly names: readonly string[];
  readonly doc: string;
}

export type VendorField = NumberField | NameField;

interface FieldGroup {
  /** The IOMMU whose tables have them. */
  readonly owner: IommuModel;
  readonly doc: string;
  readonly fields: Readonly<Record<string, VendorField>>;
}

/** Fields of a `pasid_table_config` that only some models of table have, by the name of their group. */
export const VENDOR_FIELDS = {
  arm: {
    owner: "arm-smmuv3",
    doc: "Fields of the Arm formats",
    fields: {
      s1fmt: { least: 0, most: 2, bytes: 1, doc: "Stage 1 format: linear, 4 KiB leaves, 64 KiB leaves" },
      s1dss: {
        least: 0,
        most: 2,
        bytes: 1,
        doc: "Requests without SubstreamID: terminate, bypass, SubstreamID 0",
      },
    },
  },
  amd: {
    owner: "amd",
    doc: "Fields of the AMD format",
    fields: {
      glx: { least: 0, most: 2, bytes: 1, doc: "Levels of the guest CR3 table, less one" },
      paging_levels: { least: 4, most: 5, bytes: 1, doc: "Levels of the guest page tables" },
    },
  },
  intel: {
    owner: "intel",
    doc: "Fields of the Intel formats: PASID of requests without one",
    fields: {
      rid_pasid: {
        least: 0,
        most: 2 ** MAX_PASID_BITS - 1,
        bytes: 4,
        doc: "PASID (SubstreamID, process_id)",
      },
    },
  },
  riscv: {
    owner: "riscv",
    doc: "Fields of the RISC-V format",
    fields: { mode: { names: ["PD8", "PD17", "PD20"], doc: "Mode of the process directory" } },
  },
} as const satisfies Readonly<Record<string, FieldGroup>>;

type Groups = typeof VENDOR_FIELDS;
type ValueOf<F> = F extends NameField ? string : number;

/** A group's fields, as far as they are given. */
type GroupValues<G> = { readonly [F in keyof G]?: ValueOf<G[F]> | undefined };

/** The groups that a configuration gives; whether their values are any that the contract has is not said. */
export type VendorFields = {
  readonly [G in keyof Groups]?: GroupValues<Groups[G]["fields"]> | undefined;
};

export const FIELD_GROUPS = Object.keys(VENDOR_FIELDS) as readonly (keyof VendorFields)[];

/** The groups of a configuration that are given. */
export function vendorFieldsOf(config: VendorFields): VendorFields {
  const groups = FIELD_GROUPS.filter((name) => config[name] !== undefined);
  return Object.fromEntries(groups.map((name) => [name, config[name]]));
}
