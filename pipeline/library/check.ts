import { readRequest } from "../../parsers/bind/read-request.ts";
import { IommuState } from "../../walkers/registers.ts";
import { type BindAnswer, checkBind } from "../bind-check/check-bind.ts";
import type { IommuCapabilities } from "./capabilities.ts";
import { LibraryError } from "./library-error.ts";
import type { Memory } from "./memory.ts";
import { frameAndOffset } from "./memory.ts";
import { vendorOf } from "./words.ts";

/** Every entry that a table of 20 PASID bits can have, and the directories over them. */
const ALL_ENTRIES = 2 ** 21;

/** What speaks against a binding: the rule, with its severity and source; a message; the PASID whose entry shows it. */
export type BindingFinding = BindAnswer["findings"][number];

/**
 * Does this PASID table belong on this IOMMU? As `pasid-replay check`.
 *
 * @param config a `pasid_table_config`, or what iommufd passes instead: JSON, as a value or its bytes, or the bytes of the C
 *   structure
 * @param host the IOMMU: one of `capabilities`, or a model with registers and properties
 * @param memory of the guest, to look at the entries as well
 * @returns what speaks against it; nothing: it can be bound
 * @throws LibraryError ("argument") for a configuration that is none
 */
export function check(
  config: object,
  host: Pick<IommuCapabilities, "model"> & Partial<Pick<IommuCapabilities, "registers" | "props">>,
  memory?: Memory,
): readonly BindingFinding[] {
  const bytes = config instanceof Uint8Array ? config : Buffer.from(JSON.stringify(config) ?? "");
  const request = readRequest(bytes);
  if (typeof request === "string") throw new LibraryError("argument", `config: ${request}`);
  const { model } = vendorOf(host.model);
  const state = new IommuState();
  for (const [name, value] of Object.entries(host.registers ?? {})) {
    frameAndOffset(`registers.${name}`, value);
    state.setRegister(name, value);
  }
  for (const [name, value] of Object.entries(host.props ?? {})) state.props.set(name, value);
  const guest = memory?.guest ?? null;
  return checkBind({ request, model, state, memory: guest, others: [], dev: "", maxEntries: ALL_ENTRIES })
    .findings;
}
