import { unpackTar } from "modern-tar";
import { headOf, isTar } from "../magic.ts";
import type { HostCapabilities } from "./host.ts";
import { hostsOfSysfs, MAX_PROPERTY_BYTES } from "./sysfs.ts";
import { MODEL_FOLDERS } from "./sysfs-properties.ts";

const BLOCK = 512;

/** Whether these are the first bytes of an archive. */
export function isArchive(bytes: Uint8Array): boolean {
  return bytes.length >= BLOCK && isTar(headOf(bytes));
}

/**
 * Reads an archive of `/sys/class/iommu` (made with --dereference, for its members are symbolic links) or of the
 * `devices` that they lead to; where in the archive it lies does not matter.
 *
 * @returns the IOMMUs, or a sentence that says what was expected and what was found
 */
export async function hostsOfTar(bytes: Uint8Array): Promise<HostCapabilities | string> {
  const all = new Map<string, Uint8Array>();
  let links = 0;
  try {
    // Entries that are no property are not kept.
    const entries = await unpackTar(bytes, {
      strict: true,
      filter: ({ type, size }) => {
        if (type === "symlink" || type === "link") links++;
        return (type ?? "file") === "file" && size <= MAX_PROPERTY_BYTES;
      },
    });
    for (const { header, data } of entries) all.set(header.name, data ?? new Uint8Array(0));
  } catch (error) {
    return `expected a tar archive, found a damaged one: ${(error as Error).message}`;
  }
  const hosts = hostsOfSysfs(propertiesOf(all));
  if (typeof hosts !== "string" || links === 0) return hosts;
  return `${hosts}, and ${links} link${links === 1 ? "" : "s"}: archive what they lead to (tar --dereference)`;
}

/** The files in folders of models, by the folder above them, the folder and their name. */
function propertiesOf(all: ReadonlyMap<string, Uint8Array>): Map<string, Uint8Array> {
  const paths = [...all.keys()].map((name) => name.split("/").filter((part) => part !== "" && part !== "."));
  const withNumber = new Set(
    paths.filter((path) => path.at(-1) === "model").map((path) => path.slice(0, -1).join("/")),
  );
  const files = new Map<string, Uint8Array>();
  [...all.values()].forEach((data, i) => {
    const path = paths[i]!;
    const at = path.findIndex(
      (part, n) =>
        n < path.length - 1 &&
        (Object.hasOwn(MODEL_FOLDERS, part) || withNumber.has(path.slice(0, n + 1).join("/"))),
    );
    if (at < 0) return;
    const key = [path[at - 1] ?? "", ...path.slice(at)].join("/");
    if (!files.has(key)) files.set(key, data);
  });
  return files;
}
