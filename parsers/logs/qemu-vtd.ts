/**
 * VT-d of QEMU 7.2 to 11.1 by its trace events vtd_* (hw/i386/trace-events).
 *
 * They show context entries and leaf entries as they are read, invalidation descriptors (their lower 128 bits), faults and
 * answers; not the tables between, the direction of a request that is granted, lengths or PASIDs. Without memory beside the
 * log the tables between stand at addresses of our own (qemu-vtd-tables.ts).
 */

import { pciName } from "../../walkers/pci.ts";
import { LGN_2, LGN_3 } from "../../walkers/vtd/faults/legacy.ts";
import { SFS_2 } from "../../walkers/vtd/faults/stages.ts";
import type { LogFormat, LogLine, LogOutput, LogReader, Loss } from "./format.ts";
import { LogIommu } from "./log-iommu.ts";
import { UNKNOWN_TABLES } from "./losses.ts";
import { Pending } from "./pending.ts";
import { EventReader, hexField, numberField, partsOf } from "./qemu-events.ts";
import { VtdMemory } from "./qemu-vtd-memory.ts";
import { PlacedVtdTables } from "./qemu-vtd-tables.ts";
import { cmdText, dmaText, observedFault, observedOk, timed } from "./record-text.ts";
import { hexOfBig, TableBuilder } from "./table-builder.ts";

export const QEMU_VTD: LogFormat = {
  name: "qemu-vtd",
  title: "QEMU 7.2 to 11.1: trace events vtd_* of the log backend (Intel VT-d)",
  model: "intel",
  needles: ["vtd_"],
  detect: (text) => /^vtd_[a-z]/.test(text),
  open: (output) => new VtdEvents(output),
};

const VTD_ID = "dmar0";
/** Registers by their offset (VT-d 5.10, 11.4); reads show no value. */
const IQA = 0x90;
/** IQA_REG.DW: descriptors have 256 bits. */
const IQA_DW = 1n << 11n;
const LOW_HALF = 0xffff_ffffn;
const HIGH_HALF = LOW_HALF << 32n;
const IQA_ADDRESS = 0xffff_ffff_ffff_f000n;
/** RTADDR_REG.TTM: scalable mode. */
const TTM_SCALABLE = 1n << 10n;
/** GSTS_REG: TES, RTPS. */
const ENABLED = "0xc0000000";
const DISABLED = "0x0";

const ASSUMED = '["access","len"]';
const ASSUMED_ADDRESS = '["access","addr","len"]';
const ASSUMED_FAULT = '["len"]';

const SILENT: Loss = {
  what: "silent-commands",
  severity: "warning",
  message:
    "QEMU executes PASID-cache invalidations before 11.1, and PASID-based IOTLB invalidations in 7.2, without an event: these commands are not in the trace, and what they invalidate looks stale",
};
/** A request of which the line of its page has been seen. */
interface Request {
  readonly sid: number;
  /** The exact address. */
  readonly iova: bigint;
  /** Leaf entry, 0x and hex digits; "" for a request that passes through. */
  readonly leaf: string;
  readonly domain: number;
  /** The entry came from the IOTLB. */
  readonly hit: boolean;
}

class VtdEvents implements LogReader {
  readonly #reader: EventReader;
  readonly #output: LogOutput;
  readonly #iommu: LogIommu;
  readonly #builder: TableBuilder;
  readonly #tables: PlacedVtdTables;
  /** Where memory is given. */
  readonly #memory: VtdMemory | null;
  readonly #requests = new Pending<Request>();
  /** Threads that have read the head of the queue, and of which no descriptor has been shown since. */
  readonly #fetching = new Set<string>();
  /** Descriptors have 256 bits; undefined where the log does not show. */
  #wide: boolean | undefined;

  constructor(output: LogOutput) {
    this.#output = output;
    this.#iommu = new LogIommu(output, VTD_ID, "intel");
    this.#builder = new TableBuilder(output);
    this.#tables = new PlacedVtdTables(this.#builder, this.#iommu);
    this.#memory = output.memory ? new VtdMemory(output, this.#iommu, this.#builder) : null;
    const page = (hit: boolean) => (args: string) => this.#page(args, hit);
    const context = (args: string) => this.#context(args);
    this.#reader = new EventReader(output, {
      vtd_reg_write: (args) => this.#register(args),
      vtd_reg_dmar_root: (args) => this.#root(args),
      vtd_dmar_enable: (args) => this.#enable(args),
      vtd_inv_qi_head: (args, line) => this.#head(args, line),
      vtd_inv_qi_tail: (_args, line) => this.#settle(line),
      vtd_inv_desc: (args, line) => this.#descriptor(args, line),
      vtd_iotlb_cc_update: context,
      vtd_iotlb_cc_hit: context,
      vtd_iotlb_page_update: page(false),
      vtd_iotlb_page_hit: page(true),
      vtd_translate_pt: (args) => this.#passThrough(args),
      vtd_dmar_translate: (args, line) => this.#translate(args, line),
      vtd_dmar_fault: (args, line) => this.#fault(args, line),
    });
  }

  line(line: LogLine): boolean {
    return this.#reader.line(line);
  }

  memoryReplaced(): void {
    this.#builder.forget();
    this.#memory?.replaced();
  }

  #register(args: string): void {
    const offset = numberField(args, "addr ");
    const value = BigInt(hexField(args, "value "));
    if (offset === IQA) this.#wide = (value & IQA_DW) !== 0n;
    if (offset !== IQA && offset !== IQA + 4) this.#output.ignored("vtd_reg_write of another register");
    else if (this.#output.known?.complete === true) {
      const old = BigInt(this.#iommu.register("iqa") ?? "0x0");
      const half = numberField(args, "size ") === 4;
      const now = !half
        ? value
        : offset === IQA
          ? (old & HIGH_HALF) | value
          : (old & LOW_HALF) | (value << 32n);
      this.#iommu.set("iqa", hexOfBig(now));
    }
  }

  #root(args: string): void {
    const scalable = numberField(args, "scalable ") === 1;
    const root = BigInt(hexField(args, "addr "));
    this.#iommu.set("rtaddr", hexOfBig(root | (scalable ? TTM_SCALABLE : 0n)));
    this.#tables.root(root, scalable);
  }

  #enable(args: string): void {
    this.#iommu.set("gsts", numberField(args, "enable ") === 1 ? ENABLED : DISABLED);
  }

  /** QEMU reads the next descriptor; before, it was done with the last one. */
  #head(args: string, line: LogLine): void {
    if (this.#queued(numberField(args, "read head "))) return;
    this.#settle(line);
    // Threads come and go with vCPUs: there are never more than a few.
    if (this.#fetching.size > MAX_THREADS) this.#fetching.clear();
    this.#fetching.add(line.origin);
  }

  /** The descriptor itself, where all stores to the queue are known. */
  #queued(head: number): boolean {
    const { known } = this.#output;
    const iqa = this.#iommu.register("iqa");
    if (known?.complete !== true || iqa === undefined) return false;
    const bytes = (BigInt(iqa) & IQA_DW) !== 0n ? 32 : 16;
    const words = known.words((BigInt(iqa) & IQA_ADDRESS) + BigInt(head * bytes), bytes / 8);
    if (words === null) return false;
    this.#iommu.declare();
    this.#output.record("cmd", cmdText(this.#iommu.id, words));
    return true;
  }

  #settle({ origin }: LogLine): void {
    if (this.#fetching.delete(origin)) this.#output.lost(SILENT);
  }

  #descriptor(args: string, line: LogLine): void {
    if (this.#output.known?.complete === true && this.#iommu.register("iqa") !== undefined) {
      this.#output.ignored("vtd_inv_desc of a descriptor that is known");
      return;
    }
    this.#fetching.delete(line.origin);
    const words = [hexField(args, "low "), hexField(args, "high ")];
    this.#iommu.declare();
    // The upper half of a 256-bit descriptor is in no event; all of it is reserved.
    const assumed = this.#wide === undefined || this.#wide ? '["data"]' : "";
    this.#output.record(
      "cmd",
      cmdText(this.#iommu.id, this.#wide ? [...words, "0x0", "0x0"] : words, assumed),
    );
  }

  #context(args: string): void {
    const bus = byteField(args, "bus ");
    const devfn = byteField(args, "devfn ");
    const high = hexField(args, "high ");
    const low = hexField(args, "low ");
    if (this.#memory === null) this.#tables.context((bus << 8) | devfn, low, high);
  }

  #page(args: string, hit: boolean): void {
    const sid = numberField(args, "sid ");
    const iova = BigInt(hexField(args, "iova "));
    const leaf = hexField(args, "slpte ");
    const domain = numberField(args, "domain ");
    this.#requests.add({ sid, iova, leaf, domain, hit });
  }

  #passThrough(args: string): void {
    // "source id 0x18, iova 0x1000"
    const sid = numberField(args, "source id ");
    const iova = BigInt(hexField(args, "iova "));
    this.#requests.add({ sid, iova, leaf: "", domain: 0, hit: false });
  }

  /** A request was translated: page addresses alone; the line of the page before it has the rest. */
  #translate(args: string, line: LogLine): void {
    const [, bus, slot, fn, page, gpa, mask] = partsOf(
      /^dev ([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-9a-f]{1,2}) iova (0x[0-9a-f]+) -> gpa (0x[0-9a-f]+) mask (0x[0-9a-f]+)$/,
      args,
    );
    const sid =
      (Number.parseInt(bus!, 16) << 8) |
      ((Number.parseInt(slot!, 16) & 0x1f) << 3) |
      (Number.parseInt(fn!, 16) & 7);
    const low = BigInt(mask!);
    const request = this.#requests.take(
      (each) => each.sid === sid && (each.iova & ~low) === (BigInt(page!) & ~low),
    );
    const { iova, leaf, domain, hit } = request ?? { iova: BigInt(page!), leaf: "", domain: 0, hit: false };
    const bits = low.toString(2).length;
    const level = Math.max(1, Math.floor((bits - PAGE_BITS) / INDEX_BITS) + 1);
    if (this.#memory !== null) {
      if (!this.#memory.leaf(sid, iova, level, leaf, hit)) return;
    } else if (!this.#tables.leaf(sid, iova, level, leaf, domain)) {
      this.#output.lost(UNKNOWN_TABLES);
      return;
    }
    const pa = hexOfBig((BigInt(gpa!) & ~low) | (iova & low));
    // Leaf entries have read and write in bits 0 and 1; what grants writes alone is written.
    const access = leaf !== "" && (BigInt(leaf) & 3n) === 2n ? "w" : "r";
    this.#dma(sid, iova, access, observedOk(pa), request !== undefined ? ASSUMED : ASSUMED_ADDRESS, line);
  }

  #fault(args: string, line: LogLine): void {
    const sid = numberField(args, "sid ");
    const code = byteField(args, "fault ");
    const iova = BigInt(hexField(args, "addr "));
    const access = numberField(args, "write ") === 1 ? "w" : "r";
    const unmapped = NOT_PRESENT.has(code);
    if (this.#memory !== null && !this.#memory.fault(sid, iova, access, unmapped)) return;
    if (this.#memory !== null || (unmapped && this.#tables.unmapped(sid, iova, access))) {
      this.#dma(sid, iova, access, observedFault(code), ASSUMED_FAULT, line);
      return;
    }
    this.#iommu.declare();
    const fields = {
      iommu: this.#iommu.id,
      dev: pciName(sid),
      addr: hexOfBig(iova),
      access,
      code: `0x${code.toString(16)}`,
    };
    this.#output.record("fault", timed("fault", fields, line.ts));
  }

  #dma(
    sid: number,
    iova: bigint,
    access: "r" | "w",
    observed: string,
    assumed: string,
    { ts }: LogLine,
  ): void {
    this.#iommu.declare();
    const { id: iommu } = this.#iommu;
    const addr = hexOfBig(iova);
    this.#output.record("dma", dmaText({ iommu, dev: pciName(sid), addr, access, ts, observed, assumed }));
  }
}

/** @throws RangeError for what is no byte */
function byteField(args: string, key: string): number {
  const value = numberField(args, key);
  if (value < 0 || value > 0xff) throw new RangeError(key);
  return value;
}

const MAX_THREADS = 4096;
const PAGE_BITS = 12;
const INDEX_BITS = 9;
/** Faults of an address that is simply not mapped: tables that hold no entry for it say the same. */
const NOT_PRESENT: ReadonlySet<number> = new Set([LGN_2.code, LGN_3.code, SFS_2.code]);
