import {
  CONFIG_VERSION,
  hasArmFields,
  OLDER_END,
  PASID_BITS_END,
  PasidTableConfigLayout,
  S1DSS_END,
} from "../../parsers/bind/c-structures.ts";
import type { PasidTableRequest } from "../../parsers/bind/request.ts";
import { FRAME_BYTES } from "../../walkers/memory.ts";
import {
  hostTableModel,
  type IommuModel,
  MODEL_OWNER,
  type TableModel,
  tableModelsOf,
} from "../../walkers/models.ts";
import type { BindFindings } from "../../walkers/pasid-tables/bind-findings.ts";
import { BIND_RULES } from "../../walkers/pasid-tables/bind-rules.ts";
import type { TableUse } from "../../walkers/pasid-tables/format.ts";
import { FIELD_GROUPS, VENDOR_FIELDS } from "../../walkers/pasid-tables/vendor-fields.ts";
import { PASID_TABLES } from "../../walkers/registry.ts";

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
  checkForeignFields(request, model, out);
  if (MODEL_OWNER[model] !== host) {
    out.add(
      BIND_RULES["bind-model-mismatch"],
      `model is ${model}: expected a table of an ${host} IOMMU, which walks ${tableModelsOf(host).join(" or ")}`,
    );
    return null;
  }
  const { parent, base, pasidBits } = request;
  return {
    model,
    layout: PASID_TABLES[model].layout(request, pasidBits, out),
    base,
    pasidBits,
    nested: parent !== undefined,
    parent,
    baseName: "base_ptr",
    pasidBitsName: "pasid_bits",
  };
}

/** `HOST`, and the layout without model, leave the format to the IOMMU. */
function resolved({ model }: PasidTableRequest, host: IommuModel): TableModel {
  return model === undefined || model === "host" ? hostTableModel(host) : model;
}

function checkSize(request: PasidTableRequest, out: BindFindings): void {
  const { bytes, passed, model } = request;
  if (bytes === undefined) return;
  const hasModel = model !== undefined || request.unknownModel !== undefined;
  // The list has laid out the fields of Arm alone: a structure that has others is larger, by how much is open.
  const extended = FIELD_GROUPS.some((group) => group !== "arm" && request[group] !== undefined);
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
  else if (hasArmFields(model) && bytes < S1DSS_END)
    out.add(
      BIND_RULES["bind-bytes-fields"],
      `bytes is ${bytes}: expected at least ${S1DSS_END} with model ${model}, so that s1fmt and s1dss are there`,
    );
}

function checkForeignFields(request: PasidTableRequest, model: TableModel, out: BindFindings): void {
  const foreign = FIELD_GROUPS.filter(
    (group) => request[group] !== undefined && VENDOR_FIELDS[group].owner !== MODEL_OWNER[model],
  );
  if (foreign.length > 0)
    out.add(
      BIND_RULES["bind-foreign-fields"],
      `fields ${foreign.join(", ")} are given: expected none of them with model ${model}`,
    );
}
