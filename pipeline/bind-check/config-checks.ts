import {
  CONFIG_VERSION,
  OLDER_END,
  PASID_BITS_END,
  PasidTableConfigLayout,
  S1DSS_END,
} from "../../parsers/bind/c-structures.ts";
import type { PasidTableRequest, VendorFields } from "../../parsers/bind/request.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { IommuModel, TableModel } from "../../walkers/models.ts";
import { hostTableModel, MODEL_OWNER, tableModelsOf } from "../../walkers/models.ts";
import { BIND_RULES } from "../findings/bind-rules.ts";
import { type BindFindings, bitCount } from "./finding.ts";
import { effectiveS1fmt, isTwoLevel, type TableUse } from "./shape.ts";

/** `pdtp.MODE` by name: how many bits of the process_id it indexes (RISC-V IOMMU 1.0, "Leaf DDT entry"). */
const DIRECTORY_BITS: Readonly<Record<string, number>> = { PD8: 8, PD17: 17, PD20: 20 };

/** Whose fields are whose. */
const FIELDS_OF: Readonly<Record<keyof VendorFields, IommuModel>> = {
  arm: "arm-smmuv3",
  amd: "amd",
  intel: "intel",
  riscv: "riscv",
};

/**
 * Checks a `pasid_table_config` by itself and against the IOMMU's vendor.
 * @returns the table, or null where it is another vendor's or nobody's
 */
export function checkConfig(
  request: PasidTableRequest,
  host: IommuModel,
  out: BindFindings,
): TableUse | null {
  if (request.version !== undefined && request.version !== CONFIG_VERSION)
    out.add(BIND_RULES["bind-version"], `version is ${request.version}: expected ${CONFIG_VERSION}`);
  checkSize(request, out);
  if (request.unknownModel !== undefined) {
    out.add(
      BIND_RULES["bind-model-unknown"],
      `model is ${request.unknownModel}: expected an enumerator of enum pasid_table_model`,
    );
    return null;
  }
  const model = resolved(request, host);
  checkForeignFields(request, MODEL_OWNER[model], model, out);
  if (MODEL_OWNER[model] !== host) {
    out.add(
      BIND_RULES["bind-model-mismatch"],
      `model is ${model}: expected a table of an ${host} IOMMU, which walks ${tableModelsOf(host).join(" or ")}`,
    );
    return null;
  }
  return useOf(request, model, out);
}

/** `HOST`, and the layout without model, leave the format to the IOMMU. */
function resolved({ model }: PasidTableRequest, host: IommuModel): TableModel {
  return model === undefined || model === "host" ? hostTableModel(host) : model;
}

function checkSize(request: PasidTableRequest, out: BindFindings): void {
  const { bytes, passed, model } = request;
  if (bytes === undefined) return;
  const hasModel = model !== undefined || request.unknownModel !== undefined;
  // The list has not laid out the fields of the other vendors: a structure that has some is larger, by how much is open.
  const extended = request.amd !== undefined || request.intel !== undefined || request.riscv !== undefined;
  const known = extended ? FRAME_BYTES : PasidTableConfigLayout.bytes;
  if (bytes < OLDER_END)
    out.add(
      BIND_RULES["bind-bytes-small"],
      `bytes is ${bytes}: expected at least ${OLDER_END}, where the layout without model ends, or ${PASID_BITS_END} with it`,
    );
  else if (bytes > known)
    out.add(BIND_RULES["bind-bytes-large"], `bytes is ${bytes}: expected ${known} at most`);
  else if (passed !== undefined && bytes > passed)
    out.add(BIND_RULES["bind-bytes-large"], `bytes is ${bytes}: expected no more than the ${passed} passed`);
  else if (hasModel && bytes < PASID_BITS_END)
    out.add(
      BIND_RULES["bind-bytes-fields"],
      `bytes is ${bytes}, the layout without model: expected at least ${PASID_BITS_END} with model ${model ?? request.unknownModel}`,
    );
  else if (!hasModel && bytes >= PASID_BITS_END)
    out.add(BIND_RULES["bind-bytes-fields"], `bytes is ${bytes}, the layout with model: expected a model`);
  else if ((model === "arm-1lvl" || model === "arm-2lvl") && bytes < S1DSS_END)
    out.add(
      BIND_RULES["bind-bytes-fields"],
      `bytes is ${bytes}: expected at least ${S1DSS_END} with model ${model}, so that s1fmt and s1dss are there`,
    );
}

function checkForeignFields(
  request: PasidTableRequest,
  owner: IommuModel,
  model: TableModel,
  out: BindFindings,
): void {
  const foreign = (Object.keys(FIELDS_OF) as (keyof VendorFields)[]).filter(
    (name) => request[name] !== undefined && FIELDS_OF[name] !== owner,
  );
  if (foreign.length > 0)
    out.add(
      BIND_RULES["bind-foreign-fields"],
      `fields ${foreign.join(", ")} are given: expected none of them with model ${model}`,
    );
}

function useOf(request: PasidTableRequest, model: TableModel, out: BindFindings): TableUse {
  const { arm, amd, intel, riscv, parent, base, pasidBits } = request;
  if (model === "arm-1lvl" || model === "arm-2lvl") checkLevels(model, arm?.s1fmt, out);
  if (model === "riscv" && DIRECTORY_BITS[riscv?.mode ?? ""] === undefined)
    out.add(
      BIND_RULES["bind-format-missing"],
      `riscv.mode is ${riscv?.mode ?? "absent"}: expected ${Object.keys(DIRECTORY_BITS).join(", ")}`,
    );
  const use: TableUse = {
    model,
    base,
    pasidBits,
    s1fmt: effectiveS1fmt(model, arm?.s1fmt),
    glx: amd?.glx ?? 0,
    directoryBits: DIRECTORY_BITS[riscv?.mode ?? ""],
    nested: parent !== undefined,
    parent,
    baseName: "base_ptr",
    pasidBitsName: "pasid_bits",
    ...(arm && { arm }),
    ...(amd && { amd }),
    ...(intel && { intel }),
    ...(riscv && { riscv }),
  };
  checkRidPasid(use, out);
  return use;
}

/** The model says the number of levels; s1fmt says it again, and the size of the leaves. */
function checkLevels(model: "arm-1lvl" | "arm-2lvl", s1fmt: number | undefined, out: BindFindings): void {
  if (s1fmt === undefined) {
    if (model === "arm-2lvl")
      out.add(
        BIND_RULES["bind-format-missing"],
        "s1fmt is absent: expected 1 (4 KiB leaves) or 2 (64 KiB leaves) with model arm-2lvl",
      );
    return;
  }
  const expected = model === "arm-1lvl" ? "0" : "1 or 2";
  if (s1fmt > 2)
    out.add(
      BIND_RULES["bind-levels"],
      `s1fmt is ${s1fmt}, a reserved value: expected ${expected} with model ${model}`,
    );
  else if (isTwoLevel(s1fmt) !== (model === "arm-2lvl"))
    out.add(BIND_RULES["bind-levels"], `s1fmt is ${s1fmt}: expected ${expected} with model ${model}`);
}

function checkRidPasid(use: TableUse, out: BindFindings): void {
  const rid = use.intel?.rid_pasid;
  if (rid === undefined || use.pasidBits === undefined || use.pasidBits > 32) return;
  if (rid >= 2 ** use.pasidBits)
    out.add(
      BIND_RULES["bind-rid-pasid"],
      `rid_pasid is ${rid}: expected a PASID of ${bitCount(use.pasidBits)}, below ${2 ** use.pasidBits}`,
    );
}
