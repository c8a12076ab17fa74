import {
  FIELD_GROUPS,
  VENDOR_FIELDS,
  type VendorField,
  type VendorFields,
} from "../../walkers/pasid-tables/vendor-fields.ts";
import { type Field, type OptionalField, object, optional } from "./field.ts";

/** The groups of fields that only some models of table have, each of which may be left out, as all fields in it. */
type VendorGroups = { readonly [G in keyof VendorFields]-?: OptionalField<NonNullable<VendorFields[G]>> };

/** @param read which values a field may have */
export function vendorGroups(read: (field: VendorField) => Field<unknown>): VendorGroups {
  const groups = FIELD_GROUPS.map((name) => {
    const { doc, fields } = VENDOR_FIELDS[name];
    const declared = Object.entries(fields).map(([field, values]) => [field, optional(read(values))]);
    return [name, optional(object(Object.fromEntries(declared), doc))];
  });
  return Object.fromEntries(groups) as VendorGroups;
}
