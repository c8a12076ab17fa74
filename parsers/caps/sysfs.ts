import { IommuState } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { show } from "../trace/show.ts";
import type { HostCapabilities, HostIommu } from "./host.ts";
import { isProposed, MODEL_FOLDERS, takeProperty } from "./sysfs-properties.ts";

/** Files of IOMMUs by "<device>/<model>/<property>" or "<device>/<model>/pgtable_format/<format>". */
export type SysfsFiles = ReadonlyMap<string, Uint8Array>;

/** A file of sysfs has a page at most. */
export const MAX_PROPERTY_BYTES = 4096;

/** Problems that one message names, and what of a path it shows. */
const SHOWN = 10;
const MAX_PATH = 120;

/** Shows its contents as a list of formats, or as one name. */
const FORMAT_FOLDER = "pgtable_format";

/**
 * Makes the IOMMUs of the files of a sysfs tree.
 *
 * @param problems what was wrong with reading them
 * @returns the IOMMUs in the order of their names, or a sentence that says what was expected
 */
export function hostsOfSysfs(files: SysfsFiles, problems: readonly string[] = []): HostCapabilities | string {
  const folders = new Map<string, Map<string, string>>();
  const found = [...problems];
  for (const [path, bytes] of files) {
    const [device, model, ...property] = path.split("/");
    const key = `${device}/${model}`;
    const folder = folders.get(key) ?? new Map<string, string>();
    folders.set(key, folder);
    if (bytes.length > MAX_PROPERTY_BYTES)
      found.push(
        `${short(path)}: expected a property of ${MAX_PROPERTY_BYTES} bytes at most, found ${bytes.length}`,
      );
    else folder.set(property.join("/"), textOf(bytes));
  }
  const hosts: HostIommu[] = [];
  for (const key of [...folders.keys()].sort(inNaturalOrder)) {
    const host = hostOfFolder(key, folders.get(key)!, found);
    if (host !== undefined) hosts.push(host);
  }
  if (hosts.length > 0) return { hosts, problems: found };
  const more = found.length > SHOWN ? `; and ${found.length - SHOWN} more` : "";
  const what = found.length > 0 ? found.slice(0, SHOWN).join("; ") + more : "none";
  return `expected <device>/<model>/<property> as in /sys/class/iommu, with a model of ${Object.keys(MODEL_FOLDERS).join(", ")}, found ${what}`;
}

/** dmar2 before dmar10. */
function inNaturalOrder(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}

/** Archivers that trust the size of a sysfs file, a page, fill it up with zeros. */
function textOf(bytes: Uint8Array): string {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return Buffer.from(bytes.subarray(0, end)).toString("latin1").trim();
}

function hostOfFolder(
  key: string,
  properties: ReadonlyMap<string, string>,
  problems: string[],
): HostIommu | undefined {
  const slash = key.lastIndexOf("/");
  const name = key.slice(slash + 1);
  const folder = Object.hasOwn(MODEL_FOLDERS, name) ? MODEL_FOLDERS[name]! : undefined;
  if (folder === undefined) {
    problems.push(`${short(key)}: expected a known model, found ${show(name)}`);
    return undefined;
  }
  const { model } = folder;
  const state = new IommuState();
  const formats: string[] = [];
  for (const [property, text] of properties) {
    const wrong = property === "model" ? wrongNumber(text, folder.number) : undefined;
    if (wrong !== undefined) {
      // Another number is another set of features: what the files say cannot be known.
      problems.push(`${short(key)}/model: ${wrong}`);
      return undefined;
    }
    if (property === "model") continue;
    if (property.startsWith(`${FORMAT_FOLDER}/`)) formats.push(property.slice(FORMAT_FOLDER.length + 1));
    else if (property === FORMAT_FOLDER) formats.push(...text.split(/\s+/).filter((word) => word !== ""));
    else {
      const problem = takeProperty(property, text, state, model);
      if (problem !== undefined) problems.push(`${short(`${key}/${property}`)}: ${problem}`);
    }
  }
  if (formats.length > 0) state.props.set(FORMAT_FOLDER, formats);
  const notes = applyDefaults([...properties.keys()], state, VENDORS[model].host.pasidBits);
  return { id: key.slice(0, Math.max(slash, 0)), model, state, source: `${name} of sysfs`, notes };
}

function wrongNumber(text: string, number: number | null): string | undefined {
  if (number === null || text === `${number}`) return undefined;
  return `expected ${number}, found ${show(text)}`;
}

/** A path for a message. */
function short(path: string): string {
  return path.length > MAX_PATH ? `${path.slice(0, MAX_PATH)}…` : path;
}

/** The default that the thread agreed on: no `ssid_bits`, no PASIDs. Registers speak for themselves. */
function applyDefaults(names: readonly string[], state: IommuState, property: string): string[] {
  const proposed = names.some((name) => isProposed(name.split("/")[0]!));
  if (!proposed || state.registers.size > 0) return [];
  if (state.props.has(property)) return [];
  state.props.set(property, 0);
  return ["ssid_bits is absent: 0, PASIDs are not supported"];
}
