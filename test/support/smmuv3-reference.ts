/**
 * A slow and obvious SMMUv3 on whole 64-bit words, written from IHI 0070 (3.4, 5.2.2, 5.4.2, 7.3.22, 13.1.2) and the
 * Arm ARM's VMSAv8-64 alone: what the walker is compared with. Nothing of the walker is used.
 */

export interface ReferenceSmmu {
  readonly idr0: bigint;
  readonly idr1: bigint;
  readonly idr3: bigint;
  readonly idr5: bigint;
  /** CR2.E2H. */
  readonly e2h: boolean;
  /** CR0.ATSCHK. */
  readonly atsChecked?: boolean;
  /** 64-bit word at a physical address; undefined: a hole. */
  read(address: bigint, bigEndian?: boolean): bigint | undefined;
}

export interface ReferenceAsk {
  readonly ssid: number | undefined;
  readonly address: bigint;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly privileged: boolean;
  /** Absent: untranslated. */
  readonly at?: "untranslated" | "translation-request" | "translated";
}

class Refused extends Error {}

/** Bits hi:lo of a structure, counted from its first word. */
type Bits = (hi: number, lo?: number) => bigint;
interface Rights {
  readonly r: boolean;
  readonly w: boolean;
  readonly x: boolean;
}
type Wants = Pick<ReferenceAsk, "read" | "write" | "execute">;
interface Tables {
  readonly granule: number;
  readonly inputBits: number;
  readonly start: number;
  readonly base: bigint;
  readonly outputBits: number;
  readonly ds: boolean;
  readonly bigEndian: boolean;
  /** HAFT: access flags of table descriptors are set. */
  readonly haft: boolean;
}
interface Leaf {
  readonly descriptor: bigint;
  readonly level: number;
  readonly output: bigint;
  readonly size: number;
  /** Table descriptors on the way, or-ed. */
  readonly above: bigint;
  /** Address of the descriptor before stage 2. */
  readonly at: bigint;
  /** Stage 2 lets that address be written. */
  readonly writable: boolean;
}
interface Mapped extends Rights {
  readonly output: bigint;
  readonly size: number;
}
type Fail = (event: string, level?: number) => never;

const SIZES = [32, 36, 40, 42, 44, 48, 52, 56];
const TG0 = [12, 16, 14, 0];
const TG1 = [0, 14, 12, 16];

const bitsOf =
  (words: readonly bigint[]): Bits =>
  (hi, lo = hi) => {
    const word = words[Math.floor(lo / 64)]!;
    return (word >> BigInt(lo % 64)) & ((1n << BigInt(hi - lo + 1)) - 1n);
  };
const beyond = (address: bigint, bits: number) => address >> BigInt(bits) !== 0n;
const aligned = (address: bigint, bits: number) => (address >> BigInt(bits)) << BigInt(bits);
const least = (address: bigint, bits: number) => address & ((1n << BigInt(bits)) - 1n);

class Reference {
  readonly smmu: ReferenceSmmu;
  readonly ask: ReferenceAsk;
  readonly idr0: Bits;
  readonly idr1: Bits;
  readonly idr3: Bits;
  readonly idr5: Bits;
  readonly oas: number;
  readonly ias: number;
  ste: Bits = bitsOf([]);
  stage2: Tables | undefined;
  privileged = false;

  constructor(smmu: ReferenceSmmu, ask: ReferenceAsk) {
    this.smmu = smmu;
    this.ask = ask;
    this.idr0 = bitsOf([smmu.idr0]);
    this.idr1 = bitsOf([smmu.idr1]);
    this.idr3 = bitsOf([smmu.idr3]);
    this.idr5 = bitsOf([smmu.idr5]);
    this.oas = SIZES[Number(this.idr5(2, 0))]!;
    this.ias = Math.max(this.idr0(2) === 1n ? 40 : 0, this.idr0(3) === 1n ? this.oas : 0);
  }

  get config(): bigint {
    return this.ste(3, 1);
  }
  get first(): boolean {
    return (this.config & 5n) === 5n;
  }
  get second(): boolean {
    return (this.config & 6n) === 6n;
  }
  get world(): bigint {
    const used = this.idr0(1) === 1n && this.idr0(9) === 1n && this.config === 5n;
    return used ? this.ste(95, 94) : 0n;
  }

  translate(steAt: bigint): string {
    this.ste = bitsOf(this.structure(steAt, 8, "F_STE_FETCH"));
    if (this.ste(0) === 0n) throw new Refused("C_BAD_STE");
    if (this.config < 4n) throw new Refused("STE.Config unrecorded");
    if (this.steIllegal()) throw new Refused("C_BAD_STE");
    const { at = "untranslated" } = this.ask;
    const eats = this.eats;
    if (at !== "untranslated" && eats === 0n)
      throw new Refused(at === "translated" ? "F_TRANSL_FORBIDDEN" : "F_BAD_ATS_TREQ");
    if (at === "translated" && this.idr3(16) === 0n) return this.passed(eats);
    const { ssid } = this.ask;
    const substreams = this.first && this.idr1(10, 6) !== 0n ? Number(this.ste(63, 59)) : 0;
    if (ssid !== undefined && (substreams === 0 || ssid >= 2 ** substreams))
      throw new Refused("C_BAD_SUBSTREAMID");
    const dss = this.ste(65, 64);
    if (substreams > 0 && (ssid === undefined ? dss === 0n || dss === 3n : ssid === 0 && dss === 2n))
      throw new Refused("F_STREAM_DISABLED");
    if (at === "translated") return this.passed(eats);
    const overridden = this.idr1(26) === 1n ? this.ste(113, 112) : 0n;
    this.privileged = overridden > 1n ? overridden === 3n : ssid !== undefined && this.ask.privileged;
    const bypass = !this.first || (substreams > 0 && ssid === undefined && dss === 1n);
    return bypass ? this.bypass() : this.translated(substreams, ssid ?? 0);
  }

  /** 5.2 EATS: what counts of it. */
  get eats(): bigint {
    const eats = this.idr0(10) === 1n && this.config !== 4n ? this.ste(93, 92) : 0n;
    const checked = this.smmu.atsChecked === true;
    if (eats === 2n) return checked ? eats : 0n;
    return eats === 3n && !(checked && this.idr3(15) === 1n) ? 0n : eats;
  }

  /** 3.9.1.3, 13.6.3: what has been translated; of split-stage ATS, to an IPA. */
  passed(eats: bigint): string {
    const { address, ssid, privileged, execute } = this.ask;
    if (eats !== 2n) return `ok 0x${least(address, this.oas).toString(16)} rwx`;
    const attributed = this.idr3(16) === 1n && ssid !== undefined;
    const overridden = this.idr1(26) === 1n ? this.ste(113, 112) : 0n;
    this.privileged = overridden > 1n ? overridden === 3n : attributed && privileged;
    if (beyond(address, this.ias)) throw new Refused("F_ADDR_SIZE S1 IN");
    const need = this.wanted(
      attributed || !execute ? this.ask : { read: true, write: false, execute: false },
    );
    return answer(this.translate2(address, need, "IN"));
  }

  structure(address: bigint, count: number, event: string): bigint[] {
    return Array.from({ length: count }, (_, i) => {
      const word = this.smmu.read(address + BigInt(8 * i));
      if (word === undefined) throw new Refused(event);
      return word;
    });
  }

  /** What is asked for after STE.INSTCFG. */
  wanted({ read, write, execute }: Wants = this.ask): Rights {
    if (!read && !write && !execute) return { r: false, w: false, x: false };
    const cfg = this.idr1(26) === 1n && !write ? this.ste(115, 114) : 0n;
    if (cfg === 2n) return { r: true, w: false, x: false };
    if (cfg === 3n) return { r: false, w: false, x: true };
    return { r: read, w: write, x: execute };
  }

  /** 5.2.2: SteIllegal of a Non-secure stream that translates or bypasses. */
  steIllegal(): boolean {
    const { idr0, ste, first, second } = this;
    const stalls = ste(185) === 1n;
    if ((first && idr0(1) === 0n) || (second && idr0(0) === 0n)) return true;
    if (idr0(10) === 1n && this.config !== 4n) {
      const eats = ste(93, 92);
      if (eats === 2n && (this.config !== 7n || stalls || idr0(11) === 1n)) return true;
      if (eats === 1n && stalls && second) return true;
      if (eats === 3n && this.idr3(15) === 1n && (this.world !== 0n || (stalls && second))) return true;
    }
    if ((this.world & 1n) === 1n) return true;
    if (first) {
      if (ste(91) === 1n && idr0(25, 24) !== 0n) return true;
      if (this.idr1(10, 6) !== 0n && ste(63, 59) > this.idr1(10, 6)) return true;
      const twoLevel = ste(5, 4) === 1n || ste(5, 4) === 2n;
      if (this.idr1(10, 6) !== 0n && ste(63, 59) !== 0n && twoLevel && idr0(19) === 0n) return true;
      // 3.4.3: an address too wide for stage 2 is left to stage 2.
      if (!second && beyond(ste(55, 6) << 6n, this.oas)) return true;
    }
    if (second && this.stage2Illegal()) return true;
    const tagged = idr0(0) === 1n && this.config !== 4n && this.world === 0n;
    return tagged && idr0(18) === 0n && ste(143, 136) !== 0n;
  }

  stage2Illegal(): boolean {
    const { idr0, ste, oas } = this;
    if (ste(185) === 1n ? idr0(25, 24) === 1n : idr0(25, 24) === 2n) return true;
    if (ste(179) === 0n || idr0(3) === 0n) return true;
    if (this.updatesIllegal(ste(184), ste(183), ste(187))) return true;
    if (this.endianIllegal(ste(180))) return true;
    const granule = TG0[Number(ste(175, 174))]!;
    if (!this.granule(granule)) return true;
    const ds = this.idr5(7) === 1n && ste(195) === 1n;
    const wide = granule === 16 || ds;
    const outputBits = Math.min(SIZES[Number(ste(178, 176))]!, oas);
    const base = ste(247, 196) << 4n;
    if (beyond(base, outputBits) || beyond(base, wide ? 52 : 48)) return true;
    const inputBits = 64 - Number(ste(165, 160));
    if (inputBits > Math.min(wide ? 52 : 48, this.ias) || inputBits < 64 - this.largestTxsz(granule))
      return true;
    const sl = Number(ste(167, 166)) + (granule === 12 && ds ? 4 * Number(ste(194)) : 0);
    const start = this.stage2Start(granule, sl, ds);
    if (start === undefined) return true;
    // At least one bit for the first table, at most a whole table's and four for concatenated ones.
    const stride = granule - 3;
    const below = (3 - start) * stride + granule;
    if (inputBits < below + 1 || inputBits > below + stride + 4) return true;
    this.stage2 = {
      granule,
      inputBits,
      start,
      base,
      outputBits,
      ds,
      bigEndian: ste(180) === 1n,
      haft: false,
    };
    return false;
  }

  /** AArch64.S2InvalidSL, and the level that a legal one means. */
  stage2Start(granule: number, sl: number, ds: boolean): number | undefined {
    const { oas } = this;
    if (granule === 12)
      return [2, 1, oas < 44 ? undefined : 0, this.idr3(9) === 1n ? 3 : undefined, oas < 52 ? undefined : -1][
        sl
      ];
    if (granule === 14) return [3, 2, oas < 42 ? undefined : 1, ds && oas >= 52 ? 0 : undefined][sl];
    return [3, 2, oas < 44 ? undefined : 1][sl];
  }

  largestTxsz(granule: number): number {
    if (this.idr3(9) === 0n) return 39;
    return granule === 16 ? 47 : 48;
  }

  granule(log2: number): boolean {
    return log2 !== 0 && this.idr5({ 12: 4, 14: 5, 16: 6 }[log2]!) === 1n;
  }

  updatesIllegal(ha: bigint, hd: bigint, haft: bigint): boolean {
    const httu = this.idr0(7, 6);
    return (httu === 0n && (ha | hd) === 1n) || (httu === 1n && hd === 1n) || (httu === 3n && haft > ha);
  }

  endianIllegal(big: bigint): boolean {
    return this.idr0(22, 21) === (big === 1n ? 2n : 3n);
  }

  bypass(): string {
    const { address } = this.ask;
    if (beyond(address, this.config === 4n ? this.oas : this.ias)) throw new Refused("F_ADDR_SIZE S1 IN");
    if (!this.second) return `ok 0x${least(address, this.oas).toString(16)} rwx`;
    return answer(this.completed(address, this.translate2(address, this.wanted(), "IN")));
  }

  /** A walk of either stage; `through` is the stage below. */
  walk(tables: Tables, input: bigint, fail: Fail, through?: (at: bigint) => Mapped): Leaf {
    const { granule, ds } = tables;
    const stride = granule - 3;
    const shift = (level: number) => granule + stride * (3 - level);
    const tableShift = tables.inputBits - shift(tables.start) + 3;
    let table = aligned(tables.base, tables.outputBits >= 52 ? Math.max(tableShift, 6) : tableShift);
    let index = least(input, tables.inputBits) >> BigInt(shift(tables.start));
    let above = 0n;
    for (let level = tables.start; ; level++) {
      const at = table + 8n * index;
      const below = through?.(at);
      const descriptor = this.smmu.read(below?.output ?? at, tables.bigEndian);
      if (descriptor === undefined) return fail("F_WALK_EABT", level);
      const d = bitsOf([descriptor]);
      if (d(0) === 0n) return fail("F_TRANSLATION", level);
      const isTable = level < 3 && d(1) === 1n;
      const firstBlock = granule === 12 ? 1 : 2;
      const wide = granule === 16 ? this.oas >= 52 : ds;
      if (level === 3 ? d(1) === 0n : !isTable && level < firstBlock - (wide ? 1 : 0))
        return fail("F_TRANSLATION", level);
      const size = isTable ? granule : shift(level);
      let output = aligned(d(47, 0), size);
      if (wide) output |= granule === 16 ? d(15, 12) << 48n : (d(9, 8) << 50n) | (d(49, 48) << 48n);
      if (beyond(output, tables.outputBits)) return fail("F_ADDR_SIZE", level);
      if (!isTable) {
        const writable = below?.w ?? true;
        return { descriptor, level, output: output | least(input, size), size, above, at, writable };
      }
      const readOnly = below !== undefined && !below.w;
      if (tables.haft && d(10) === 0n && readOnly) this.translate2(at, { r: false, w: true, x: false }, "TT");
      above |= descriptor;
      table = output;
      index = least(input >> BigInt(shift(level + 1)), stride);
    }
  }

  translate2(ipa: bigint, need: Rights, cls: string): Mapped {
    const { ste } = this;
    const tables = this.stage2!;
    const unrecorded = ste(186) === 0n && ste(185) === 0n;
    const fail: Fail = (event, level) => {
      throw new Refused(words(event, "S2", cls, level, unrecorded));
    };
    if (beyond(ipa, tables.inputBits)) fail("F_TRANSLATION");
    const { descriptor, level, output, size } = this.walk(tables, ipa, fail);
    const d = bitsOf([descriptor]);
    if (d(10) === 0n && ste(184) === 0n && ste(181) === 0n) fail("F_ACCESS", level);
    const r = d(6) === 1n;
    const w = d(7) === 1n || (ste(184) === 1n && ste(183) === 1n && d(51) === 1n);
    const xn = this.idr3(4) === 1n ? d(54, 53) : d(54) << 1n;
    const x = [true, !this.privileged, false, this.privileged][Number(xn)]!;
    if ((need.r && !r) || (need.w && !w) || (need.x && !x)) fail("F_PERMISSION", level);
    const fwb = this.idr3(8) === 1n && ste(89) === 1n;
    const device = fwb ? d(4) === 0n : d(5, 4) === 0n;
    if (cls !== "IN" && ste(182) === 1n && device) fail("F_PERMISSION", level);
    return { output, size, r, w, x };
  }

  /** Reads a CD or its level 1 descriptor. */
  descriptor(address: bigint, count: number): bigint[] {
    const read: Rights = { r: true, w: false, x: false };
    const at = this.second ? this.translate2(address, read, "CD").output : address;
    return this.structure(at, count, "F_CD_FETCH");
  }

  contextDescriptor(substreams: number, ssid: number): Bits {
    const pointer = this.ste(55, 6) << 6n;
    const format = substreams === 0 ? 0n : this.ste(5, 4);
    if (format === 0n || format === 3n)
      return bitsOf(this.descriptor(aligned(pointer, 6 + substreams) + 64n * BigInt(ssid), 8));
    const split = format === 1n ? 6 : 10;
    const table = aligned(pointer, Math.max(6, substreams - split + 3));
    const l1 = bitsOf(this.descriptor(table + 8n * BigInt(ssid >> split), 1));
    const leaf = l1(55, 12) << 12n;
    if (l1(0) === 0n || (!this.second && beyond(leaf, this.oas))) throw new Refused("C_BAD_SUBSTREAMID");
    return bitsOf(this.descriptor(aligned(leaf, split + 6) + 64n * BigInt(ssid % 2 ** split), 8));
  }

  /** 5.4.2: CdIllegal; the tables of both halves, undefined where EPDx disables one. */
  halves(cd: Bits, one: boolean): [Tables | undefined, Tables | undefined] {
    const bad = () => new Refused("C_BAD_CD");
    const stall = this.idr0(25, 24);
    if (cd(31) === 0n || (this.ste(91) === 1n && cd(44) === 1n)) throw bad();
    if (this.idr0(26) === 1n && cd(46) === 0n) throw bad();
    if (cd(44) === 1n ? stall === 1n : stall === 2n) throw bad();
    const low = one || cd(14) === 0n;
    const high = !one && cd(30) === 0n;
    if ((low || high) && this.endianIllegal(cd(15))) throw bad();
    if (cd(41) === 0n || this.idr0(3) === 0n) throw bad();
    if (this.updatesIllegal(cd(43), cd(42), cd(67))) throw bad();
    if (!one && this.idr0(12) === 0n && cd(63, 56) !== 0n) throw bad();
    const ds = this.idr5(7) === 1n && cd(186) === 1n;
    const haft = this.idr0(7, 6) === 3n && cd(67) === 1n;
    const outputBits = Math.min(SIZES[Number(cd(34, 32))]!, this.oas);
    const half = (granule: number, txsz: number, base: bigint): Tables => {
      const wide = granule === 16 || ds;
      const smallest = this.idr5(11, 10) !== 0n && wide ? 12 : 16;
      if (!this.granule(granule) || txsz < smallest || txsz > this.largestTxsz(granule)) throw bad();
      if (beyond(base, outputBits) || beyond(base, wide ? 52 : 48)) throw bad();
      // The start level: as many levels as it takes to resolve the input.
      let start = 3;
      while (granule + (granule - 3) * (4 - start) < 64 - txsz) start--;
      return { granule, inputBits: 64 - txsz, start, base, outputBits, ds, bigEndian: cd(15) === 1n, haft };
    };
    return [
      low ? half(TG0[Number(cd(7, 6))]!, Number(cd(5, 0)), cd(119, 68) << 4n) : undefined,
      high ? half(TG1[Number(cd(23, 22))]!, Number(cd(21, 16)), cd(183, 132) << 4n) : undefined,
    ];
  }

  translated(substreams: number, ssid: number): string {
    const { address } = this.ask;
    const one = this.world === 2n && !this.smmu.e2h;
    const cd = this.contextDescriptor(substreams, ssid);
    const upper = !one && bitsOf([address])(55) === 1n;
    const tables = this.halves(cd, one)[upper ? 1 : 0];
    const unrecorded = cd(45) === 0n && cd(44) === 0n;
    const fail: Fail = (event, level) => {
      throw new Refused(words(event, "S1", event === "F_WALK_EABT" ? "TT" : "IN", level, unrecorded));
    };
    if (tables === undefined) return fail("F_TRANSLATION");
    const top = cd(upper ? 39 : 38) === 1n ? 55 : 63;
    const sign = bitsOf([address])(top, tables.inputBits);
    if (sign !== (upper ? (1n << BigInt(top - tables.inputBits + 1)) - 1n : 0n)) fail("F_TRANSLATION");
    const e0pd = this.idr3(13) === 1n && cd(upper ? 130 : 66) === 1n;
    if (e0pd && !one && !this.privileged) fail("F_TRANSLATION");

    const read: Rights = { r: true, w: false, x: false };
    const through = this.second ? (at: bigint) => this.translate2(at, read, "TT") : undefined;
    const leaf = this.walk(tables, address, fail, through);
    const d = bitsOf([leaf.descriptor]);
    const ha = cd(43) === 1n;
    const hd = ha && cd(42) === 1n;
    if (d(10) === 0n && !ha && cd(35) === 0n) fail("F_ACCESS", leaf.level);
    const flat = this.idr3(2) === 1n && cd(upper ? 129 : 65) === 1n;
    const rights = this.stage1Rights(d, bitsOf([flat ? 0n : leaf.above]), cd, one, hd);
    const need = this.wanted();
    if ((need.r && !rights.r) || (need.w && !rights.w) || (need.x && !rights.x))
      fail("F_PERMISSION", leaf.level);
    if (!this.second) return answer({ ...rights, output: leaf.output, size: leaf.size });
    // 3.13.5: an update of the descriptor is a write to its address.
    const update = (ha && d(10) === 0n) || (hd && need.w && d(7) === 1n && d(51) === 1n);
    if (update && !leaf.writable) this.translate2(leaf.at, { r: false, w: true, x: false }, "TT");
    const under = this.translate2(leaf.output, need, "IN");
    return answer(
      this.completed(leaf.output, {
        output: under.output,
        size: Math.min(leaf.size, under.size),
        r: rights.r && under.r,
        w: rights.w && under.w,
        x: rights.x && under.x,
      }),
    );
  }

  /** 13.6.3, 13.6.5: split-stage ATS tells the IPA. */
  completed(ipa: bigint, mapped: Mapped): Mapped {
    const split = this.ask.at === "translation-request" && this.eats === 2n;
    return split ? { ...mapped, output: ipa } : mapped;
  }

  /** AArch64.S1DirectBasePermissions; PAN is of data accesses, WXN of what the page allows. */
  stage1Rights(d: Bits, table: Bits, cd: Bits, one: boolean, hd: boolean): Rights {
    const readOnly = (d(7) === 1n && !(hd && d(51) === 1n)) || table(62) === 1n;
    const wxn = cd(36) === 1n;
    const uxn = d(54) === 1n || table(60) === 1n;
    if (one) return { r: true, w: !readOnly, x: !uxn && !(wxn && !readOnly) };
    const ur = d(6) === 1n && table(61) === 0n;
    const uw = ur && !readOnly;
    if (!this.privileged) return { r: ur, w: uw, x: !uxn && !(wxn && uw) };
    const pxn = d(53) === 1n || table(59) === 1n || uw;
    const epan = this.idr3(17) === 1n && cd(123) === 1n;
    const never = cd(40) === 1n && (ur || (epan && !uxn));
    return { r: !never, w: !readOnly && !never, x: !pxn && !(wxn && !readOnly) };
  }
}

/** External aborts are recorded whatever R says (5.5). */
function words(event: string, stage: string, cls: string, level: number | undefined, quiet: boolean): string {
  const unrecorded = quiet && event !== "F_WALK_EABT" ? " unrecorded" : "";
  return `${event} ${stage} ${cls}${level === undefined ? "" : ` L${level}`}${unrecorded}`;
}

function answer({ output, size, r, w, x }: Mapped): string {
  return `ok 0x${output.toString(16)} ${r ? "r" : "-"}${w ? "w" : "-"}${x ? "x" : "-"} ${size}`;
}

/** "ok", address, rights and log2 of the page; or event, stage, class and level. */
export function referenceTranslate(smmu: ReferenceSmmu, steAt: bigint, ask: ReferenceAsk): string {
  if (ask.at !== "translation-request") return attempt(smmu, steAt, ask);
  // 3.9.1.2: it asks for what is granted; where that is neither reading nor writing, for why a read is refused.
  const granted = attempt(smmu, steAt, { ...ask, read: false, write: false, execute: false });
  if (/^ok \S+ (?:r.|.w)/.test(granted)) return granted;
  return attempt(smmu, steAt, { ...ask, read: true, write: false, execute: false });
}

function attempt(smmu: ReferenceSmmu, steAt: bigint, ask: ReferenceAsk): string {
  try {
    return new Reference(smmu, ask).translate(steAt);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return error.message;
  }
}
