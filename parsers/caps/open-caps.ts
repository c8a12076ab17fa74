import { statSync } from "node:fs";
import { readInput } from "../bind/input.ts";
import { openInput, readUpTo } from "../bind/input-file.ts";
import { anyContentOf, headOf } from "../magic.ts";
import type { ByteSource } from "../trace/byte-source.ts";
import { isObject } from "../trace/field.ts";
import { hostsOfJson } from "./caps-json.ts";
import type { HostCapabilities } from "./host.ts";
import { hostOfHwInfo } from "./hw-info.ts";
import { hostsOfDirectory } from "./sysfs-directory.ts";
import { hostsOfTar, isArchive } from "./sysfs-tar.ts";
import { hostsOfTrace } from "./trace-hosts.ts";

/** Larger than any description of capabilities: what is larger is a trace. */
const MAX_DESCRIPTION_BYTES = 2 ** 20;
/** Largest archive, unpacked; one of a whole class of IOMMUs has less than a megabyte. */
const MAX_TAR_BYTES = 64 * 2 ** 20;

/**
 * Reads what the IOMMUs of a host can do from a folder of sysfs, or a file (also gzip or zstd): a tar archive of one,
 * JSON, a trace, or the bytes of one of iommufd's structures, raw or as hex digits. Its contents tell which.
 *
 * @param path a folder, a file, or "-" for standard input
 * @returns the IOMMUs, or a sentence that says what was expected and what was found
 * @throws TraceError or what the system says where it cannot be read
 */
export async function openCapabilities(path: string): Promise<HostCapabilities | string> {
  if (path !== "-" && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return hostsOfDirectory(path);
  const source = await openInput(path, "capabilities of IOMMUs");
  let taken = false;
  try {
    let head = await readUpTo(source, new Uint8Array(0), MAX_DESCRIPTION_BYTES);
    if (isArchive(head)) {
      head = await readUpTo(source, head, MAX_TAR_BYTES);
      if (head.length < MAX_TAR_BYTES) return await hostsOfTar(head);
      return `expected an archive of less than ${MAX_TAR_BYTES} bytes, found a larger one`;
    }
    const content = anyContentOf(headOf(head));
    if (content !== undefined) return `expected capabilities of IOMMUs, found ${content}`;
    if (head.length < MAX_DESCRIPTION_BYTES) {
      const hosts = hostsOfDescription(head);
      if (hosts !== undefined) return hosts;
    }
    taken = true;
    return await hostsOfTrace(resumed(source, head));
  } finally {
    if (!taken) await source.close();
  }
}

/** Undefined where it may be a trace. */
function hostsOfDescription(bytes: Uint8Array): HostCapabilities | string | undefined {
  const input = readInput(bytes);
  if (typeof input === "string") return bytes.includes(0x7b) ? undefined : input;
  if (input.kind === "json") {
    const first = Array.isArray(input.value) ? input.value[0] : input.value;
    return isObject(first) && "type" in first ? undefined : hostsOfJson(input.value);
  }
  const host = hostOfHwInfo(input.bytes);
  return typeof host === "string" ? host : { hosts: [host], problems: [] };
}

/** A source whose first bytes have been read already. */
function resumed(source: ByteSource, head: Uint8Array): ByteSource {
  let rest = head;
  return {
    path: source.path,
    size: source.size,
    get consumed() {
      return source.consumed;
    },
    async read(target, at, length) {
      const n = Math.min(length, rest.length);
      if (n === 0) return source.read(target, at, length);
      target.set(rest.subarray(0, n), at);
      rest = rest.subarray(n);
      return n;
    },
    close: () => source.close(),
  };
}
