/**
 * What a RISC-V IOMMU answers, said as plainly as possible and once more than in the walker: BigInt arithmetic on whole
 * doublewords, the steps of "Process to translate an IOVA" (RISC-V IOMMU, 3.3) one after the other, no layouts. An oracle
 * for random tables. It caches nothing and leaves A and D bits as they are.
 */

export interface ReferenceIommu {
  readonly capabilities: bigint;
  readonly fctl: bigint;
  readonly ddtp: bigint;
  /** Whether fctl.BE can be written, and fctl.GXL. */
  readonly beWritable: boolean;
  readonly gxlWritable: boolean;
  /** Bits of physical addresses; undefined: what capabilities.PAS says. */
  readonly addressBits?: number | undefined;
  /** The text of 2026 recommends to refuse an MSI page table without a second stage; 1.0 has none of it. */
  readonly refusesMsiWithoutStage: boolean;
  /** A word of 4 or 8 bytes at a physical address; undefined: there is no memory. */
  readonly read: (address: bigint, bytes: 4 | 8, bigEndian: boolean) => bigint | undefined;
}

export interface ReferenceAsk {
  readonly device: bigint;
  /** Undefined: a transaction without process_id. */
  readonly process: bigint | undefined;
  readonly address: bigint;
  readonly access: "r" | "w" | "rw" | "x";
  readonly supervisor: boolean;
  readonly at: "untranslated" | "translation-request" | "translated";
}

export type ReferenceOutcome =
  | { readonly pa: bigint }
  | "msi"
  | { readonly cause: number; readonly recorded: boolean };

/** Ends a translation with a cause (4.2, Fault record CAUSE field encodings). */
class Stop extends Error {
  readonly code: number;
  constructor(cause: number) {
    super();
    this.code = cause;
  }
}

const bits = (word: bigint, hi: number, lo: number): bigint =>
  (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const bit = (word: bigint, n: number): boolean => bits(word, n, n) === 1n;
const PAGE = 4096n;

/** Access fault, page fault and guest-page fault of an instruction fetch, a load, and a store or AMO. */
const CAUSES = { access: [1, 5, 7], page: [12, 13, 15], guestPage: [20, 21, 23] } as const;
/** 4.2: what is reported although DTF is 1. */
const IN_SPITE_OF_DTF = [256, 257, 258, 259, 268, 272, 273];
/** 3.6: what a translation request is told by Success with R = W = 0, and no record has. */
const SUCCESS_WITHOUT_RIGHTS = [12, 13, 15, 20, 21, 23, 266, 262];

interface Scheme {
  readonly levels: number;
  readonly entryBytes: 4 | 8;
  readonly indexBits: number;
}
const SV32: Scheme = { levels: 2, entryBytes: 4, indexBits: 10 };
const SV39: Scheme = { levels: 3, entryBytes: 8, indexBits: 9 };
const SV48: Scheme = { levels: 4, entryBytes: 8, indexBits: 9 };
const SV57: Scheme = { levels: 5, entryBytes: 8, indexBits: 9 };
const widthOf = ({ levels, indexBits }: Scheme) => 12 + levels * indexBits;

/** 3.1.3.2, 3.1.3.4: schemes by MODE, with the capability's bit (first stage; the second stage's is 8 higher). */
const WIDE_MODES: Readonly<Record<string, { readonly scheme: Scheme; readonly capability: number }>> = {
  8: { scheme: SV39, capability: 9 },
  9: { scheme: SV48, capability: 10 },
  10: { scheme: SV57, capability: 11 },
};
const NARROW_MODES: typeof WIDE_MODES = { 8: { scheme: SV32, capability: 8 } };

/** What of an access has to be allowed. */
interface Needs {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
}
const IMPLICIT_READ: Needs = { read: true, write: false, execute: false };

/** A leaf entry: what is behind it, and whether a store to the page is possible. */
interface Leaf {
  readonly address: bigint;
  readonly writable: boolean;
}

export function reference(iommu: ReferenceIommu, ask: ReferenceAsk): ReferenceOutcome {
  return new Translation(iommu, ask).outcome();
}

class Translation {
  readonly #iommu: ReferenceIommu;
  readonly #ask: ReferenceAsk;
  readonly #big: boolean;
  /** Index into CAUSES. A translation request asks for what there is; what it meets is what a read meets. */
  readonly #kind: 0 | 1 | 2;
  readonly #needs: Needs;
  /** Doublewords of the device context, once it is located. */
  #dc: readonly bigint[] = [];

  constructor(iommu: ReferenceIommu, ask: ReferenceAsk) {
    this.#iommu = iommu;
    this.#ask = ask;
    this.#big = bit(iommu.fctl, 0);
    const access = ask.at === "translation-request" ? "r" : ask.access;
    this.#kind = access === "x" ? 0 : access === "r" ? 1 : 2;
    this.#needs = {
      read: access === "r" || access === "rw",
      write: access === "w" || access === "rw",
      execute: access === "x",
    };
  }

  outcome(): ReferenceOutcome {
    try {
      return this.#translate();
    } catch (stop) {
      if (!(stop instanceof Stop)) throw stop;
      const { code: cause } = stop;
      const dtf = this.#dc.length > 0 && bit(this.#dc[0]!, 4) && !IN_SPITE_OF_DTF.includes(cause);
      const told = this.#ask.at === "translation-request" && SUCCESS_WITHOUT_RIGHTS.includes(cause);
      return { cause, recorded: !dtf && !told };
    }
  }

  #can(capability: number): boolean {
    return bit(this.#iommu.capabilities, capability);
  }

  #stop(kind: keyof typeof CAUSES): never {
    throw new Stop(CAUSES[kind][this.#kind]);
  }

  // ── 3.3, steps 1 to 16 ──

  #translate(): { pa: bigint } | "msi" {
    const { device, process, address, at, supervisor } = this.#ask;
    const mode = bits(this.#iommu.ddtp, 3, 0);
    // 1. A reserved mode cannot be written; of what is, nothing is allowed.
    if (mode === 0n || mode > 4n) throw new Stop(256);
    // 2.
    if (mode === 1n) {
      if (at !== "untranslated") throw new Stop(260);
      return { pa: address };
    }
    // 3 to 5.
    const low = this.#can(22) ? 6 : 7;
    const ddi = [bits(device, low - 1, 0), bits(device, low + 8, low), device >> BigInt(low + 9)] as const;
    if ((mode === 3n && ddi[2] !== 0n) || (mode === 2n && (ddi[2] !== 0n || ddi[1] !== 0n)))
      throw new Stop(260);
    // 6.
    this.#dc = this.#deviceContext(ddi, Number(mode) - 2);
    const [tc, , , fsc] = this.#dc as [bigint, bigint, bigint, bigint];
    const pdtv = bit(tc, 5);
    const pdtpMode = Number(bits(fsc, 63, 60));
    // 7.
    if (at !== "untranslated" && !bit(tc, 1)) throw new Stop(260);
    if (process !== undefined) {
      if (!pdtv) throw new Stop(260);
      const width = [20, 8, 17, 20][pdtpMode]!;
      if (process >> BigInt(width) !== 0n) throw new Stop(260);
    }
    // 8 and 9.
    if (at === "translated") return bit(tc, 3) ? this.#secondStage(address) : { pa: address };
    // 10.
    if (!pdtv) return this.#bothStages(fsc, false, false);
    // 11 to 13.
    const number = process ?? (bit(tc, 9) ? 0n : undefined);
    if (number === undefined || pdtpMode === 0) return this.#secondStage(address);
    // 14 to 16. Privilege is of requests with a process_id.
    const [attributes, first] = this.#processContext(number, pdtpMode);
    const asSupervisor = supervisor && process !== undefined;
    if (asSupervisor && !bit(attributes, 1)) throw new Stop(260);
    return this.#bothStages(first, asSupervisor, bit(attributes, 2));
  }

  // ── 3.3.1: the device context ──

  #deviceContext(ddi: readonly bigint[], deepest: number): readonly bigint[] {
    let table = bits(this.#iommu.ddtp, 53, 10) * PAGE;
    for (let i = deepest; i > 0; i--) {
      const [entry] = this.#words(table + ddi[i]! * 8n, 1, this.#big, 257) as [bigint];
      if (!bit(entry, 0)) throw new Stop(258);
      if (bits(entry, 9, 1) !== 0n || bits(entry, 63, 54) !== 0n) throw new Stop(259);
      table = bits(entry, 53, 10) * PAGE;
    }
    const size = this.#can(22) ? 64n : 32n;
    const context = this.#words(table + ddi[0]! * size, Number(size) / 8, this.#big, 257);
    if (!bit(context[0]!, 0)) throw new Stop(258);
    if (this.#misconfigured(context)) throw new Stop(259);
    return context;
  }

  /** 3.1.4. */
  #misconfigured([
    tc,
    iohgatp,
    ta,
    fsc,
    msiptp = 0n,
    mask = 0n,
    pattern = 0n,
    last = 0n,
  ]: readonly bigint[]): boolean {
    const { fctl, beWritable, gxlWritable } = this.#iommu;
    const [ats, pri, t2gpa, pdtv, prpr] = [1, 2, 3, 5, 6].map((n) => bit(tc!, n));
    const [gade, sade, dpe, sbe, sxl] = [7, 8, 9, 10, 11].map((n) => bit(tc!, n));
    const gxl = bit(fctl, 2);
    const second = bits(iohgatp!, 63, 60);
    const first = bits(fsc!, 63, 60);
    const guestPageBits = this.#guestPageBits();
    const qos = this.#can(41) ? 0n : bits(ta!, 63, 40);
    const reserved = [
      bits(tc!, 23, 12) | bits(tc!, 63, 32),
      bits(ta!, 11, 0) | bits(ta!, 39, 32) | qos,
      bits(fsc!, 59, 44),
      bits(msiptp, 59, 44) | last,
      (mask | pattern) >> BigInt(guestPageBits),
    ];
    const pdtpSupported = [true, this.#can(38), this.#can(39), this.#can(40)][Number(first)] ?? false;
    return (
      reserved.some((word) => word !== 0n) ||
      (!this.#can(25) && (ats! || pri! || prpr!)) ||
      (!ats && (t2gpa! || pri!)) ||
      (!pri && prpr!) ||
      (t2gpa! && (!this.#can(26) || second === 0n)) ||
      (pdtv! ? !pdtpSupported : !this.#supported(first, sxl!, 0)) ||
      (!pdtv && dpe!) ||
      !this.#supported(second, gxl, 8) ||
      bits(msiptp, 63, 60) > 1n ||
      (second !== 0n && bits(iohgatp!, 1, 0) !== 0n) ||
      (!this.#can(24) && (sade! || gade!)) ||
      ((!this.#can(27) || !beWritable) && sbe !== this.#big) ||
      (gxl ? !sxl : sxl! && !gxlWritable) ||
      (this.#iommu.refusesMsiWithoutStage && second === 0n && bits(msiptp, 63, 60) !== 0n)
    );
  }

  /** Bits of a guest's page numbers: MGPAW - 12 (3.1.3.6). */
  #guestPageBits(): number {
    if (this.#can(19)) return 59 - 12;
    if (this.#can(18)) return 50 - 12;
    if (this.#can(17)) return 41 - 12;
    return (this.#can(16) ? 34 : this.#addressBits()) - 12;
  }

  #addressBits(): number {
    return this.#iommu.addressBits ?? Number(bits(this.#iommu.capabilities, 37, 32));
  }

  #supported(mode: bigint, narrow: boolean, offset: 0 | 8): boolean {
    if (mode === 0n) return true;
    const known = (narrow ? NARROW_MODES : WIDE_MODES)[String(mode)];
    return known !== undefined && this.#can(known.capability + offset);
  }

  // ── 3.3.2: the process context ──

  #processContext(number: bigint, mode: number): readonly [bigint, bigint] {
    const [tc, , , fsc] = this.#dc as [bigint, bigint, bigint, bigint];
    const sbe = bit(tc, 10);
    const pdi = [bits(number, 7, 0), bits(number, 16, 8), bits(number, 19, 17)] as const;
    let table = bits(fsc, 43, 0) * PAGE;
    for (let i = mode - 1; i > 0; i--) {
      const at = this.#implicit(table + pdi[i]! * 8n, 265).address;
      const [entry] = this.#words(at, 1, sbe, 265) as [bigint];
      if (!bit(entry, 0)) throw new Stop(266);
      if (bits(entry, 9, 1) !== 0n || bits(entry, 63, 54) !== 0n) throw new Stop(267);
      table = bits(entry, 53, 10) * PAGE;
    }
    const at = this.#implicit(table + pdi[0]! * 16n, 265).address;
    const [ta, first] = this.#words(at, 2, sbe, 265) as [bigint, bigint];
    if (!bit(ta, 0)) throw new Stop(266);
    // 3.2.4.
    const reserved = bits(ta, 11, 3) | bits(ta, 63, 32) | bits(first, 59, 44);
    if (reserved !== 0n || !this.#supported(bits(first, 63, 60), bit(tc, 11), 0)) throw new Stop(267);
    return [ta, first];
  }

  // ── 3.3, steps 17 to 20 ──

  /** @param iosatp MODE and PPN of the first stage */
  #bothStages(iosatp: bigint, supervisor: boolean, sum: boolean): { pa: bigint } | "msi" {
    const [tc] = this.#dc as [bigint];
    const mode = bits(iosatp, 63, 60);
    if (mode === 0n) return this.#secondStage(this.#ask.address);
    const { scheme } = (bit(tc, 11) ? NARROW_MODES : WIDE_MODES)[String(mode)]!;
    const width = widthOf(scheme);
    const { address } = this.#ask;
    // Privileged ISA, Sv32: 32 bits there are (3.1.3.1, SXL); Sv39 to Sv57: those above are copies of the highest.
    const fits =
      scheme === SV32 ? address >> 32n === 0n : BigInt.asUintN(64, BigInt.asIntN(width, address)) === address;
    if (!fits) this.#stop("page");
    const leaf = this.#walk({
      scheme,
      root: bits(iosatp, 43, 0) * PAGE,
      wide: false,
      address: BigInt.asUintN(width, address),
      big: bit(tc, 10),
      updates: bit(tc, 8),
      needs: this.#needs,
      lets: (user, needs) => (supervisor ? !user || (sum && !needs.execute) : user),
      where: (at) => this.#implicit(at),
      unreadable: () => this.#stop("access"),
      refuse: () => this.#stop("page"),
    });
    return this.#secondStage(leaf.address);
  }

  /** Steps 18 to 20. @param gpa A */
  #secondStage(gpa: bigint): { pa: bigint } | "msi" {
    const [tc, , , , msiptp = 0n, mask = 0n, pattern = 0n] = this.#dc as [bigint];
    const spa =
      bits(msiptp, 63, 60) !== 0n && ((gpa >> 12n) & ~mask) === (pattern & ~mask)
        ? this.#interruptFile(gpa, bits(msiptp, 43, 0) * PAGE, mask)
        : this.#guest(gpa, this.#needs).address;
    // 3.1.3.1: with T2GPA the device is told the guest's address.
    if (this.#ask.at === "translation-request" && bit(tc, 3) && spa !== "msi") return { pa: gpa };
    return spa === "msi" ? spa : { pa: spa };
  }

  /** 3.3.3. */
  #interruptFile(gpa: bigint, table: bigint, mask: bigint): bigint | "msi" {
    let number = 0n;
    let place = 0n;
    for (let n = 0; n < 52; n++) if (bit(mask, n)) number |= bits(gpa, n + 12, n + 12) << place++;
    const [first, second] = this.#words(table | (number * 16n), 2, this.#big, 261) as [bigint, bigint];
    if (!bit(first, 0)) throw new Stop(262);
    const mode = bits(first, 2, 1);
    // A custom entry (C) is not known to the reference, and refused as the other encodings are.
    if (bit(first, 63) || mode === 0n || mode === 2n) throw new Stop(263);
    // AIA, MSI PTE in basic translate mode, and in MRIF mode.
    if (mode === 3n) {
      if (bits(first, 9, 3) !== 0n || bits(first, 62, 54) !== 0n) throw new Stop(263);
    } else {
      const reserved = bits(first, 6, 3) | bits(first, 62, 54) | bits(second, 59, 54) | bits(second, 63, 61);
      if (!this.#can(23) || reserved !== 0n) throw new Stop(263);
    }
    if (this.#needs.execute) throw new Stop(1);
    return mode === 1n ? "msi" : bits(first, 53, 10) * PAGE + bits(gpa, 11, 0);
  }

  /** An address that the IOMMU itself reads for the first stage or the process directory. */
  #implicit(gpa: bigint, unreadable?: number): Leaf {
    return this.#guest(gpa, IMPLICIT_READ, unreadable);
  }

  /** Guest Physical Address Translation of the Privileged ISA. @param unreadable the cause of an access fault */
  #guest(gpa: bigint, needs: Needs, unreadable?: number): Leaf {
    const [tc, iohgatp] = this.#dc as [bigint, bigint];
    const mode = bits(iohgatp, 63, 60);
    if (mode === 0n) return { address: gpa, writable: true };
    const { scheme } = (bit(this.#iommu.fctl, 2) ? NARROW_MODES : WIDE_MODES)[String(mode)]!;
    // 3.1.3.1: where SXL is 1, 34 bits.
    const width = bit(tc, 11) ? 34 : widthOf(scheme) + 2;
    if (gpa >> BigInt(width) !== 0n) this.#stop("guestPage");
    return this.#walk({
      scheme,
      root: bits(iohgatp, 43, 0) * PAGE,
      wide: true,
      address: gpa,
      big: this.#big,
      updates: bit(tc, 7),
      needs,
      lets: (user) => user,
      where: (address) => ({ address, writable: true }),
      unreadable: () => {
        if (unreadable !== undefined) throw new Stop(unreadable);
        return this.#stop("access");
      },
      refuse: () => this.#stop("guestPage"),
    });
  }

  /** The Virtual Address Translation Process of the Privileged ISA. */
  #walk(table: Table): Leaf {
    const { scheme, address, needs } = table;
    let base = table.root;
    for (let i = scheme.levels - 1; ; i--) {
      // 2.
      const shift = 12 + i * scheme.indexBits;
      const widest = i === scheme.levels - 1 && table.wide ? 2 : 0;
      const index = bits(address, shift + scheme.indexBits + widest - 1, shift);
      const at = table.where(base + index * BigInt(scheme.entryBytes));
      const entry = this.#read(at.address, scheme.entryBytes, table.big);
      if (entry === undefined) return table.unreadable();
      const [v, r, w, x, u, , a, d] = [0, 1, 2, 3, 4, 5, 6, 7].map((n) => bit(entry, n));
      // 3.
      if (!v || (!r && w) || this.#reservedBits(entry, scheme)) return table.refuse();
      const ppn = scheme === SV32 ? bits(entry, 31, 10) : bits(entry, 53, 10);
      const napot = bit(entry, 63);
      // 4.
      if (!r && !x) {
        if (a || d || u || bits(entry, 62, 61) !== 0n || napot || i === 0) return table.refuse();
        base = ppn * PAGE;
        continue;
      }
      // 5, with Svnapot: 64 KiB at the lowest level.
      const below = i * scheme.indexBits;
      if (napot && (i > 0 || bits(ppn, 3, 0) !== 0b1000n)) return table.refuse();
      if (bits(ppn, Math.max(below - 1, 0), 0) !== 0n && i > 0) return table.refuse();
      const free = BigInt(12 + (napot ? 4 : below));
      // 6 to 8.
      if (!table.lets(u!, needs)) return table.refuse();
      if ((needs.read && !r) || (needs.write && !w) || (needs.execute && !x)) return table.refuse();
      // 9.
      if (!a || (needs.write && !d)) {
        if (!table.updates) return table.refuse();
        if (!at.writable) this.#stop("guestPage");
      }
      return {
        address: (((ppn * PAGE) >> free) << free) | BigInt.asUintN(Number(free), address),
        writable: w! && (d! || table.updates),
      };
    }
  }

  /** Sv39, Svnapot, Svpbmt and Svrsw60t59b; an entry of Sv32 has no reserved bits. */
  #reservedBits(entry: bigint, scheme: Scheme): boolean {
    if (scheme === SV32) return false;
    if (bits(entry, 58, 54) !== 0n || (!this.#can(14) && bits(entry, 60, 59) !== 0n)) return true;
    const type = bits(entry, 62, 61);
    return type === 3n || (!this.#can(15) && type !== 0n);
  }

  #words(address: bigint, count: number, big: boolean, cause: number): readonly bigint[] {
    return Array.from({ length: count }, (_, i) => {
      const word = this.#read(address + BigInt(8 * i), 8, big);
      if (word === undefined) throw new Stop(cause);
      return word;
    });
  }

  /** Undefined: no memory, or beyond the physical addresses that there are. */
  #read(address: bigint, bytes: 4 | 8, big: boolean): bigint | undefined {
    if (address >> BigInt(this.#addressBits()) !== 0n) return undefined;
    return this.#iommu.read(address, bytes, big);
  }
}

/** One stage's tables, and what is done where a walk of them ends. */
interface Table {
  readonly scheme: Scheme;
  readonly root: bigint;
  /** The x4 form: the root has four times as many entries. */
  readonly wide: boolean;
  readonly address: bigint;
  readonly big: boolean;
  /** Hardware sets A and D. */
  readonly updates: boolean;
  readonly needs: Needs;
  /** Whether the U bit of a leaf lets the access in. */
  readonly lets: (user: boolean, needs: Needs) => boolean;
  /** Where an entry is in physical memory. */
  readonly where: (address: bigint) => Leaf;
  readonly unreadable: () => never;
  readonly refuse: () => never;
}
