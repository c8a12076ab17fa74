/** What QEMU's human monitor prints, 7.2 to 11.1 (monitor/hmp-cmds.c, system/memory.c). */

/** A stretch of guest-physical addresses, and what is there. */
export interface MemoryRegion {
  readonly name: string;
  readonly first: bigint;
  readonly last: bigint;
  /** The id of the device that it belongs to, as `info mtree -o` has it; undefined where that has none. */
  readonly owner?: string;
  /** The device that it belongs to, by its id or its path. */
  readonly device?: string;
}

const REGION = /^\s+([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, ([^)]+)\): (.*)$/;

/** Regions of one name in what `info mtree` prints, or `info mtree -o`, each address once. */
export function regionsNamed(text: string, names: readonly string[]): MemoryRegion[] {
  return regionsThat(text, (name) => names.includes(name)).sort((a, b) => (a.first < b.first ? -1 : 1));
}

/** The same of names that begin with something. */
export function regionsFrom(text: string, prefix: string): MemoryRegion[] {
  return regionsThat(text, (name) => name.startsWith(prefix));
}

function regionsThat(text: string, wanted: (name: string) => boolean): MemoryRegion[] {
  const found = new Map<string, MemoryRegion>();
  for (const line of text.split("\n")) {
    const region = regionOf(line);
    if (region !== null && wanted(region.name)) found.set(`${region.first} ${region.name}`, region);
  }
  return [...found.values()];
}

function regionOf(line: string): (MemoryRegion & { readonly kind: string }) | null {
  const match = REGION.exec(line.replace(/\r$/, ""));
  if (match === null) return null;
  // "pc.ram @0000000000100000", "arm-smmuv3 [disabled] owner:{dev path=/machine/…}", "riscv-iommu-regs owner:{dev id=00:01.0}"
  const text = match[4]!.replace(/ (?:owner|parent):\{.*$/, "");
  const name = text.replace(/ @[0-9a-f]+.*$/, "").replace(/ (?:KVM|\[.*)$/, "");
  const owner = / owner:\{dev id=([^}]+)\}/.exec(match[4]!)?.[1];
  const device = / owner:\{dev ([^}]+)\}/.exec(match[4]!)?.[1];
  const known = { ...(owner === undefined ? {} : { owner }), ...(device === undefined ? {} : { device }) };
  return { name, kind: match[3]!, first: BigInt(`0x${match[1]}`), last: BigInt(`0x${match[2]}`), ...known };
}

/** A function on a root bus, by what `info pci` prints. */
export interface PciFunction {
  readonly slot: number;
  readonly fn: number;
}

const FUNCTION = /^ +Bus +(\d+), device +(\d+), function (\d):/;

/**
 * The functions on bus 0 with an id of vendor and device as `info pci` prints it ("1b36:0014"). Those behind bridges are not
 * among them before a guest has given their buses numbers.
 */
export function functionsOf(text: string, id: string): PciFunction[] {
  const found: PciFunction[] = [];
  let at: RegExpExecArray | null = null;
  for (const line of text.split("\n")) {
    at = FUNCTION.exec(line) ?? at;
    if (at !== null && at[1] === "0" && line.includes(`: PCI device ${id}`))
      found.push({ slot: Number(at[2]), fn: Number(at[3]) });
  }
  return found;
}

const ECAM = /^\s+([0-9a-f]{16})-[0-9a-f]{16} \(prio -?\d+, [^)]+\): alias \S+ @pcie-mmcfg-mmio /m;

/** Where the configuration space of bus 0 lies in the memory of a machine without ports; null where it lies nowhere. */
export function configSpaceOf(text: string): bigint | null {
  const match = ECAM.exec(text);
  return match === null ? null : BigInt(`0x${match[1]}`);
}

/** Readable and writable memory of the flat view of the address space that processors see, of `info mtree -f`. */
export function ramOf(text: string): MemoryRegion[] {
  for (const view of text.split(/^FlatView #\d+\s*$/m))
    if (/^ AS "memory", /m.test(view))
      return view.split("\n").flatMap((line) => {
        const region = regionOf(line);
        return region?.kind === "ram" ? [region] : [];
      });
  return [];
}

/**
 * The 64-bit words that `xp /Ngx ADDRESS` prints.
 * @returns as many as there are before an address that cannot be read
 */
export function memoryWords(text: string): bigint[] {
  const words: bigint[] = [];
  for (const line of text.split("\n")) {
    const at = line.indexOf(":");
    if (at < 0 || line.includes("Cannot access")) continue;
    for (const word of line
      .slice(at + 1)
      .trim()
      .split(/\s+/)) {
      if (!/^0x[0-9a-f]{1,16}$/.test(word)) return words;
      words.push(BigInt(word));
    }
  }
  return words;
}

/** The address in QEMU's own memory that `gpa2hva` prints; null where there is no memory. */
export function hostAddressOf(text: string): bigint | null {
  const match = /^Host virtual address for .* is (0x[0-9a-f]+)\s*$/m.exec(text);
  return match === null ? null : BigInt(match[1]!);
}
