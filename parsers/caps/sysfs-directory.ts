import { closeSync, constants, fstatSync, openSync, readdirSync, readSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import type { HostCapabilities } from "./host.ts";
import { hostsOfSysfs, MAX_PROPERTY_BYTES } from "./sysfs.ts";
import { MODEL_FOLDERS } from "./sysfs-properties.ts";

/** Entries of one folder that are looked at. */
const MAX_ENTRIES = 4096;
/** The folder of a class in sysfs, under its mount point. */
const CLASS_FOLDER = join("class", "iommu");

/**
 * Reads `/sys/class/iommu`, a copy of it, or the folder of one IOMMU. Symbolic links are followed only where they
 * stay in the folder, and where the folder is a class of a sysfs tree, whose members are links, into that tree's
 * `devices`; nothing but properties is read.
 *
 * @returns the IOMMUs, or a sentence that says what was expected and what was found
 * @throws what the system says where the folder itself cannot be read
 */
export function hostsOfDirectory(path: string): HostCapabilities | string {
  const given = realpathSync(path);
  const whole = entriesOf(given).some((entry) => entry.name === "class") ? join(given, CLASS_FOLDER) : given;
  const root = realpathSync(whole);
  const files = new Map<string, Uint8Array>();
  const problems: string[] = [];
  if (hasModel(root)) readDevice(basename(root), root, files, problems);
  else
    for (const entry of entriesOf(root)) {
      const device = entry.isSymbolicLink() ? followed(root, entry.name, problems) : join(root, entry.name);
      if (device === undefined || !(entry.isDirectory() || entry.isSymbolicLink())) continue;
      if (!readDevice(entry.name, device, files, problems))
        problems.push(`${entry.name}: it publishes no capabilities`);
    }
  return hostsOfSysfs(files, problems);
}

/** Where a link in the folder leads, if it may be followed. */
function followed(root: string, name: string, problems: string[]): string | undefined {
  let target: string;
  try {
    target = realpathSync(join(root, name));
  } catch {
    problems.push(`${name}: a symbolic link that leads nowhere`);
    return undefined;
  }
  const allowed = [root];
  if (root.endsWith(`${sep}${CLASS_FOLDER}`)) allowed.push(join(dirname(dirname(root)), "devices"));
  if (allowed.some((folder) => isWithin(target, folder))) return target;
  problems.push(`${name}: a symbolic link that leads out of the folder: not followed`);
  return undefined;
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith(`..${sep}`);
}

/** @returns false where it has no folder of a model */
function readDevice(name: string, path: string, files: Map<string, Uint8Array>, problems: string[]): boolean {
  let found = false;
  for (const entry of entriesOf(path)) {
    if (!entry.isDirectory() || !isModel(entry.name, join(path, entry.name))) continue;
    found = true;
    readFolder(`${name}/${entry.name}`, join(path, entry.name), files, problems, true);
  }
  return found;
}

function hasModel(path: string): boolean {
  return entriesOf(path).some((entry) => entry.isDirectory() && isModel(entry.name, join(path, entry.name)));
}

/** A folder of a known name, or with the file that says its model's number. */
function isModel(name: string, path: string): boolean {
  if (Object.hasOwn(MODEL_FOLDERS, name)) return true;
  return entriesOf(path).some((entry) => entry.name === "model" && entry.isFile());
}

function readFolder(
  key: string,
  path: string,
  files: Map<string, Uint8Array>,
  problems: string[],
  deeper: boolean,
): void {
  for (const entry of entriesOf(path)) {
    if (entry.isFile()) readProperty(`${key}/${entry.name}`, join(path, entry.name), files, problems);
    else if (entry.isDirectory() && deeper)
      readFolder(`${key}/${entry.name}`, join(path, entry.name), files, problems, false);
  }
}

function readProperty(key: string, path: string, files: Map<string, Uint8Array>, problems: string[]): void {
  let fd = -1;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!fstatSync(fd).isFile()) return;
    const bytes = Buffer.alloc(MAX_PROPERTY_BYTES + 1);
    let length = 0;
    for (let n = -1; n !== 0 && length < bytes.length; length += n)
      n = readSync(fd, bytes, length, bytes.length - length, null);
    files.set(key, bytes.subarray(0, length));
  } catch (error) {
    problems.push(`${key}: expected to read it, found ${(error as NodeJS.ErrnoException).code}`);
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

function entriesOf(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true }).slice(0, MAX_ENTRIES);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOTDIR") return [];
    throw error;
  }
}
