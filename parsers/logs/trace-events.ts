/**
 * Texts of the trace events that say what software did to an IOMMU: what was mapped for whom and what was
 * invalidated (Linux include/trace/events/{iommu,dma,swiotlb}.h, drivers/iommu/intel/trace.h).
 *
 * `iommu:map` and `unmap` name neither device nor domain; `dma:*` (since 6.12) name the device and the direction.
 */
import { hexWord } from "./kernel-text.ts";

/** What a device may do with a buffer: DMA_TO_DEVICE it reads, DMA_FROM_DEVICE it writes. */
export type MapAccess = "r" | "w" | "rw";

export interface MappedRange {
  readonly addr: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** Physical address of the first byte, where the event gives it. */
  readonly pa: bigint | undefined;
}

export type SoftwareEvent =
  /** The DMA API handed addresses out to a device. */
  | {
      readonly kind: "dma-map";
      readonly device: string;
      readonly access: MapAccess | undefined;
      readonly ranges: readonly MappedRange[];
      /** dma_map_sg: the addresses by which dma_unmap_sg will name it. */
      readonly phys: readonly bigint[];
      /** The kernel cut the lists. */
      readonly truncated: boolean;
    }
  /** … and took them back; dma_unmap_sg gives no addresses but the physical ones. */
  | {
      readonly kind: "dma-unmap";
      readonly device: string;
      readonly access: MapAccess | undefined;
      readonly ranges: readonly MappedRange[];
      readonly phys: readonly bigint[];
    }
  /** The page tables of some domain were changed. */
  | { readonly kind: "iommu-map"; readonly range: MappedRange }
  | { readonly kind: "iommu-unmap"; readonly range: MappedRange }
  | { readonly kind: "iommu-attach"; readonly device: string; readonly detached: boolean }
  | { readonly kind: "iommu-group"; readonly device: string; readonly group: number }
  | {
      readonly kind: "iommu-fault";
      readonly driver: string;
      readonly device: string;
      readonly addr: bigint;
      /** IOMMU_FAULT_READ 0, IOMMU_FAULT_WRITE 1, as the driver gives it. */
      readonly flags: bigint;
    }
  /** One descriptor for VT-d's invalidation queue: four words. The wait that ends a batch is not traced. */
  | {
      readonly kind: "vtd-command";
      readonly iommu: string;
      readonly name: string;
      readonly words: readonly bigint[];
    }
  /** VT-d: a device's caches carry this domain id. */
  | {
      readonly kind: "vtd-tag";
      readonly iommu: string;
      readonly device: string;
      readonly domain: number;
      readonly pasid: number;
      readonly assigned: boolean;
    }
  /** VT-d: what is about to be invalidated; the descriptors follow. */
  | { readonly kind: "vtd-flush"; readonly iommu: string; readonly domain: number }
  /** Understood, and says nothing of translations. */
  | { readonly kind: "other"; readonly name: string };

const ACCESS: Readonly<Record<string, MapAccess>> = {
  TO_DEVICE: "r",
  FROM_DEVICE: "w",
  BIDIRECTIONAL: "rw",
};

const IOMMU_RANGE =
  /IOMMU:\s*iova=0x([0-9a-f]{1,16}) - 0x([0-9a-f]{1,16})(?: paddr=0x([0-9a-f]{1,16}))? size=(\d+)(?: unmapped_size=(\d+))?/i;
const ATTACH = /IOMMU:\s*device=(\S+)/;
const ADD_GROUP = /IOMMU:\s*groupID=(\d+) device=(\S+)/;
const PAGE_FAULT = /IOMMU:(.*?) (\S+) iova=0x([0-9a-f]{1,16}) flags=0x([0-9a-f]{1,8})/i;
const QI =
  /^(\S+) (dmar\d+): 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16}) 0x([0-9a-f]{1,16})(?![0-9a-fx])/i;
const TAG = /^([^\s/]+)\/(\S+) type \S+ did (\d+) pasid (\d+)/;
const FLUSH = /^(\S+?)[\s/].* did (\d+)/;
const DMA_SINGLE =
  /^(\S+) dir=(\w+) dma_addr=(?:0x)?([0-9a-f]{1,16}) size=(\d+)(?:.*? phys_addr=(?:0x)?([0-9a-f]{1,16}))?/i;
const DMA_LISTS = /^(\S+) dir=(\w+)(.*)$/;

const SINGLE_MAPS = new Set([
  "dma_map_page",
  "dma_map_phys",
  "dma_map_resource",
  "dma_alloc",
  "dma_alloc_pages",
  "dma_alloc_sgt",
]);
const SINGLE_UNMAPS = new Set([
  "dma_unmap_page",
  "dma_unmap_phys",
  "dma_unmap_resource",
  "dma_free",
  "dma_free_pages",
  "dma_free_sgt",
]);
const OTHER =
  /^(?:dma_sync_\w+|dma_\w+_err|swiotlb_bounced|prq_report|remove_device_from_group|page_response|dev_fault)$/;

/**
 * What an event says.
 * @param event its name without the system
 * @returns undefined for an event of other subsystems; null for one of ours whose text is not as it should be
 */
export function softwareEvent(event: string, text: string): SoftwareEvent | undefined | null {
  if (SINGLE_MAPS.has(event)) return singleOf(text, "dma-map");
  if (SINGLE_UNMAPS.has(event)) return singleOf(text, "dma-unmap");
  switch (event) {
    case "map":
    case "unmap":
      // Other subsystems have events of these names too.
      return text.startsWith("IOMMU:") ? (iommuRange(event, text) ?? null) : undefined;
    case "dma_map_sg":
      return listsOf(text, "dma-map");
    case "dma_unmap_sg":
      return listsOf(text, "dma-unmap");
    case "qi_submit":
      return commandOf(text);
    case "attach_device_to_domain":
    case "detach_device_from_domain": {
      const found = ATTACH.exec(text);
      return found && { kind: "iommu-attach", device: found[1]!, detached: event.startsWith("detach") };
    }
    case "add_device_to_group": {
      const found = ADD_GROUP.exec(text);
      return found && { kind: "iommu-group", device: found[2]!, group: Number(found[1]) };
    }
    case "io_page_fault":
      return faultOf(text);
    case "cache_tag_assign":
    case "cache_tag_unassign":
      return tagOf(text, event === "cache_tag_assign");
    case "cache_tag_flush_range":
    case "cache_tag_flush_range_np":
    case "cache_tag_flush_all": {
      const found = FLUSH.exec(text);
      return found && { kind: "vtd-flush", iommu: found[1]!, domain: Number(found[2]) };
    }
    default:
      return OTHER.test(event) ? { kind: "other", name: event } : undefined;
  }
}

function iommuRange(event: "map" | "unmap", text: string): SoftwareEvent | undefined {
  const found = IOMMU_RANGE.exec(text);
  if (found === null) return undefined;
  const addr = hexWord(found[1])!;
  // What was unmapped counts, not what was asked for.
  const size = BigInt(found[5] ?? found[4]!);
  const range = { addr, size, pa: hexWord(found[3]) };
  return event === "map" ? { kind: "iommu-map", range } : { kind: "iommu-unmap", range };
}

function singleOf(text: string, kind: "dma-map" | "dma-unmap"): SoftwareEvent | null {
  const found = DMA_SINGLE.exec(text);
  if (found === null) return null;
  const ranges = [{ addr: hexWord(found[3])!, size: BigInt(found[4]!), pa: hexWord(found[5]) }];
  const base = { device: found[1]!, access: ACCESS[found[2]!], ranges, phys: [] };
  return kind === "dma-map" ? { kind, ...base, truncated: false } : { kind, ...base };
}

function listsOf(text: string, kind: "dma-map" | "dma-unmap"): SoftwareEvent | null {
  const found = DMA_LISTS.exec(text);
  const phys = listOf(text, "phys_addrs");
  if (found === null || phys === undefined) return null;
  const addrs = listOf(text, "dma_addrs") ?? [];
  const sizes = listOf(text, "sizes") ?? [];
  if (addrs.length !== sizes.length || (kind === "dma-map" && addrs.length === 0)) return null;
  // Entries that the IOMMU joined have no physical address of their own.
  const paired = phys.length === addrs.length;
  const ranges = addrs.map((addr, i) => ({ addr, size: sizes[i]!, pa: paired ? phys[i] : undefined }));
  const base = { device: found[1]!, access: ACCESS[found[2]!], ranges, phys };
  return kind === "dma-map" ? { kind, ...base, truncated: text.includes("[TRUNCATED]") } : { kind, ...base };
}

/** The numbers of `name={0x1,0x2}`; undefined where there is no such list, or it is torn. */
function listOf(text: string, name: string): bigint[] | undefined {
  const found = new RegExp(`(?:^|\\s)${name}=\\{([0-9a-fx,]*)\\}`, "i").exec(text);
  if (found === null) return undefined;
  const numbers = found[1] === "" ? [] : found[1]!.split(",").map((item) => hexWord(item));
  return numbers.every((n) => n !== undefined) ? (numbers as bigint[]) : undefined;
}

function commandOf(text: string): SoftwareEvent | null {
  const found = QI.exec(text);
  return (
    found && {
      kind: "vtd-command",
      iommu: found[2]!,
      name: found[1]!,
      words: found.slice(3, 7).map((word) => hexWord(word)!),
    }
  );
}

function tagOf(text: string, assigned: boolean): SoftwareEvent | null {
  const found = TAG.exec(text);
  return (
    found && {
      kind: "vtd-tag",
      iommu: found[1]!,
      device: found[2]!,
      domain: Number(found[3]),
      pasid: Number(found[4]),
      assigned,
    }
  );
}

function faultOf(text: string): SoftwareEvent | null {
  const found = PAGE_FAULT.exec(text);
  return (
    found && {
      kind: "iommu-fault",
      driver: found[1]!,
      device: found[2]!,
      addr: hexWord(found[3])!,
      flags: hexWord(found[4])!,
    }
  );
}
