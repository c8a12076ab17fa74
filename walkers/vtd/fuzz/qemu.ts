/** QEMU's intel-iommu, driven by its registers (Intel VT-d 5.10, 11.4); its trace events are those of 7.2 to 11.1. */
import {
  type EmulatedAnswer,
  type EmulatedMachine,
  type EmulatorDriver,
  FUNCTIONS,
} from "../../fuzz/emulator.ts";
import {
  haltingFirmware,
  X86_FOREIGN,
  X86_MEMORY,
  X86_OWN,
  X86_RAM,
  X86_WINDOW,
} from "../../fuzz/x86-machine.ts";
import {
  ExtendedCapabilityRegister,
  GlobalCommandRegister,
  GlobalStatusRegister,
  RootTableAddressRegister,
  TTM_SCALABLE,
} from "../registers.ts";

const NAME = "intel-iommu";
const UNIT = 0xfed9_0000n;
const CAP = UNIT + 0x8n;
const ECAP = UNIT + 0x10n;
const GCMD = UNIT + 0x18n;
const RTADDR = UNIT + 0x20n;
const FSTS = UNIT + 0x34n;
const IQT = UNIT + 0x88n;
const IQA = UNIT + 0x90n;

/** All that software clears in FSTS_REG by writing ones, and IQE among it. */
const FSTS_CLEAR = 0x7f;
const IQE = 1 << 4;
/** IQA_REG.DW: descriptors of 256 bits. */
const DW = 1n << 11n;
/** The queue: 4 KiB of memory that is no world's, and where a wait writes that it is complete. */
const QUEUE = X86_OWN.base;
const QUEUE_BYTES = 4096;
const STATUS = QUEUE + 0x1_0000n;
/** An invalidation wait that writes its status. */
const WAIT = [0x25n, STATUS] as const;

const HOST_BITS = 48;
const PAGE_SHIFT = 12n;
const { QIE, SRTP, TE } = GlobalCommandRegister.mask;

/** The invalidation queue of one machine. */
class Queue {
  /** Bytes of a descriptor; 0: there is no queue yet. */
  #bytes = 0;
  #tail = 0;

  put(machine: EmulatedMachine, words: readonly bigint[]): void {
    machine.write(QUEUE + BigInt(this.#tail), descriptorHex(words, this.#bytes));
    this.#tail = (this.#tail + this.#bytes) % QUEUE_BYTES;
    // IQT_REG counts bytes, whatever a descriptor has.
    machine.write64(IQT, BigInt(this.#tail));
  }

  /** Begins anew. @param wide descriptors have 256 bits @param kept of GCMD_REG */
  begin(machine: EmulatedMachine, wide: boolean, kept: number): void {
    this.#bytes = wide ? 32 : 16;
    this.#tail = 0;
    machine.write64(IQT, 0n);
    machine.write64(IQA, QUEUE | (wide ? DW : 0n));
    machine.write32(GCMD, QIE.lo | kept);
  }

  /** Comes to its end, whatever it has stopped at: only then can it be disabled. */
  async end(machine: EmulatedMachine): Promise<void> {
    if (this.#bytes === 0) return;
    const stopped = ((await machine.read32(FSTS)) & IQE) !== 0;
    if (stopped) machine.write(QUEUE, descriptorHex(WAIT, this.#bytes).repeat(QUEUE_BYTES / this.#bytes));
    machine.write32(FSTS, FSTS_CLEAR);
    if (stopped) machine.write64(IQT, BigInt(this.#tail));
    this.put(machine, WAIT);
  }
}

/** The bytes of a descriptor. */
function descriptorHex(words: readonly bigint[], bytes: number): string {
  const view = new DataView(new ArrayBuffer(bytes));
  for (let i = 0; i < bytes / 8; i++) view.setBigUint64(8 * i, words[i] ?? 0n, true);
  return Buffer.from(view.buffer).toString("hex");
}

export function qemuVtd(): EmulatorDriver {
  const queue = new Queue();
  const readable = new ReadablePages();
  /** TE of GCMD_REG as it was given last: changing it costs QEMU more than the whole of a world. */
  let translates = 0;
  return {
    architecture: "x86_64",
    name: NAME,
    machine(version) {
      const scalable = version >= 11 ? "scalable-mode=on" : "x-scalable-mode=on";
      const common = `intremap=off,aw-bits=${HOST_BITS},snoop-control=off`;
      // Scalable mode has one of both stages. Whoever starts it may say that it is to be the second.
      const first = version >= 11 ? "fsts" : "x-flts";
      const globals = version >= 10 ? ["-global", `${NAME}.${first}=on`] : [];
      return ["-M", "q35", ...globals, "-device", `${NAME},${common},${scalable}`];
    },
    /** Before 11, RID_PASID is used although ECAP_REG.RPS is clear. */
    props: (version) => ({ output_bits: HOST_BITS, ...(version < 11 ? { rps: 1 } : {}) }),
    limits: {
      untranslated: false,
      foreign: X86_FOREIGN,
      // What is larger stops the queue from 11 on, though CAP_REG.MAMV is none of this command's (11.4.2).
      commands: { "PASID-based-IOTLB invalidate": { AM: 18 } },
    },
    events: ["vtd_dmar_translate", "vtd_dmar_fault", "vtd_fault_disabled", "vtd_iotlb_page_hit"],
    devices: FUNCTIONS,
    memory: X86_MEMORY,
    firstByte: 0n,
    ram: X86_RAM,
    ecam: null,
    window: X86_WINDOW,
    firmware: haltingFirmware(),

    async identify(machine) {
      return { cap: await machine.read64(CAP), ecap: await machine.read64(ECAP) };
    },

    async reset(machine) {
      await queue.end(machine);
      machine.write32(GCMD, translates);
    },

    configure(machine, { rtaddr = 0n, gsts = 0n, ecap = 0n }) {
      const view = new DataView(new ArrayBuffer(8));
      view.setBigUint64(0, rtaddr, true);
      const scalable = RootTableAddressRegister.reader("TTM")(view, 0) === TTM_SCALABLE;
      view.setBigUint64(0, ecap, true);
      readable.begin(scalable && ExtendedCapabilityRegister.reader("FSTS")(view, 0) !== 0);
      view.setBigUint64(0, gsts, true);
      queue.begin(machine, scalable, translates);
      machine.write64(RTADDR, rtaddr);
      // Setting the root table pointer drops all that was cached.
      machine.write32(GCMD, QIE.lo | SRTP.lo | translates);
      translates = GlobalStatusRegister.reader("TES")(view, 0) !== 0 ? TE.lo : 0;
      machine.write32(GCMD, QIE.lo | translates);
    },

    command: (machine, words) => queue.put(machine, words),
    reached: (lines, address) => placesOf(eventsOf(lines), address),
    answer: (lines, address, _record, write) => readable.told(answer(lines, address), lines, write),
  };
}

const TRANSLATED = /^vtd_dmar_translate dev \S+ iova 0x(\w+) -> gpa 0x(\w+) mask 0x(\w+)/;
const FAULTED = /^vtd_dmar_fault sid 0x\w+ fault (\d+) addr 0x(\w+) /;
const TRANSLATED_PAGE = /vtd_dmar_translate (dev \S+ iova 0x\w+) -> gpa 0x\w+ (mask 0x\w+)/;

/**
 * Pages that may be read. An answer from the cache does not say whether its rights let a read pass, and no read leaves a
 * trace: what has read a page before, from memory, does.
 */
class ReadablePages {
  /** A page that is there lets every user read it. */
  #all = false;
  readonly #pages = new Set<string>();

  begin(all: boolean): void {
    this.#all = all;
    this.#pages.clear();
  }

  /** @returns an answer that can be relied on; null: nobody can tell */
  told(answered: EmulatedAnswer | null, lines: readonly string[], write: boolean): EmulatedAnswer | null {
    if (this.#all) return answered;
    const pages = pagesOf(lines);
    // What a write has brought there need not let a read pass, whatever the page said before it was invalidated.
    if (write && answered?.cached !== true) for (const page of pages) this.#pages.delete(page);
    if (write || answered?.result !== "ok") return answered;
    if (answered.cached === true && pages.some((page) => !this.#pages.has(page))) return null;
    for (const page of pages) this.#pages.add(page);
    return answered;
  }
}

/** What was translated, by device and size. */
function pagesOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const [, start, mask] = TRANSLATED_PAGE.exec(line) ?? [];
    return start === undefined ? [] : [`${start} ${mask}`];
  });
}

/** A fault ends a request; else the first page says where it went. */
function answer(lines: readonly string[], address: bigint): EmulatedAnswer | null {
  const events = eventsOf(lines);
  const cached = events.some((event) => event.startsWith("vtd_iotlb_page_hit"));
  const fault = events.map((event) => FAULTED.exec(event)).find((match) => match !== null);
  if (fault) {
    // What a page before that has come to, whose rights are in the cache, nobody can tell.
    if (cached && BigInt(`0x${fault[2]}`) >> PAGE_SHIFT !== address >> PAGE_SHIFT) return null;
    return { result: "fault", code: Number(fault[1]), recorded: true };
  }
  if (events.some((event) => event.startsWith("vtd_fault_disabled")))
    return { result: "fault", recorded: false };
  const [pa, ...furtherPages] = placesOf(events, address);
  return pa === undefined ? null : { result: "ok", pa, furtherPages, cached };
}

function eventsOf(lines: readonly string[]): string[] {
  return lines.map((line) => line.replace(/^.*?(?=vtd_)/, ""));
}

/** Where each page of a request was translated to, those after one that was refused as well. */
function placesOf(events: readonly string[], address: bigint): bigint[] {
  const translated = events.map((event) => TRANSLATED.exec(event)).filter((match) => match !== null);
  return translated.map(([, iova, page, mask]) => {
    const bits = BigInt(`0x${mask}`);
    const input = BigInt(`0x${iova}`);
    return (BigInt(`0x${page}`) & ~bits) | ((address > input ? address : input) & bits);
  });
}
