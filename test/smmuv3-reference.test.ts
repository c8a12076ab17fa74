import { expect, it } from "vitest";
import { WalkEngine } from "../walkers/engine.ts";
import { IommuState } from "../walkers/registers.ts";
import { NO_PASID, WalkRequest } from "../walkers/request.ts";
import type { WalkResult } from "../walkers/result.ts";
import { SmmuV3Walker } from "../walkers/smmuv3/index.ts";
import { Dice, KINDS, type Kind, RandomMemory } from "./support/random-machine.ts";
import {
  type CdFields,
  cdWords,
  describeResult,
  outputOf,
  type SteFields,
  steWords,
} from "./support/smmuv3-machine.ts";
import { type ReferenceAsk, type ReferenceSmmu, referenceTranslate } from "./support/smmuv3-reference.ts";

const STE = 0x1_0000n;
const MACHINES = 3500;
const ASKS = 10;

/** A descriptor that leads on more often than not; its low and high half. */
function descriptor({ random }: Dice, view: DataView, at: number, bigEndian: boolean): void {
  const n = random(0x1_0000_0000);
  const rare = random(1000);
  let lo = (random(0x400) << 16) | (n & 0x3c);
  lo |= (rare < 20 ? 0 : 1) | ((n & 0xf00) === 0 ? 0 : 2);
  lo |= (n & 0x7000) === 0 ? (n >>> 20) & 0xc0 : 0xc0;
  lo |= (n & 0x3_0000) === 0 ? 0 : 0x400;
  if ((n & 0x70_0000) === 0) lo |= random(16) << 12;
  let hi = random(16) === 0 ? random(0x1_0000_0000) : 0;
  hi |= (n & 0x0300_0000) === 0 ? random(32) << 27 : 0;
  hi |= (n & 0x0c00_0000) === 0 ? random(8) << 19 : 0;
  hi &= rare < 30 ? ~0 : ~0x3_ffff;
  if (bigEndian) {
    view.setUint32(at, hi);
    view.setUint32(at + 4, lo);
  } else {
    view.setUint32(at, lo, true);
    view.setUint32(at + 4, hi, true);
  }
}

/** A CD that is mostly legal on an SMMU with these registers. */
function contextDescriptor(dice: Dice, { idr0 }: Registers): bigint[] {
  const httu = Number((idr0 >> 6n) & 3n);
  const wide = dice.random(3) === 0;
  const bit = (n = 2) => (dice.once(n) ? 1 : 0);
  const slip = () => (dice.slip(40) ? 1 : 0);
  const txsz = () => (dice.slip(40) ? dice.random(64) : (wide ? 12 : 16) + dice.random(30));
  const stall = Number((idr0 >> 24n) & 3n);
  const ha = httu > 0 ? bit() : slip();
  const fields: CdFields = {
    V: dice.slip(60) ? 0 : 1, AA64: dice.slip(80) ? 0 : 1, IPS: dice.pick([6, 6, 5, 5, 4, 2, 1, 7]),
    T0SZ: txsz(), TG0: dice.slip(60) ? 3 : dice.random(3), EPD0: bit(12), TTB0: dice.address() & ~0xfn,
    T1SZ: txsz(), TG1: dice.slip(60) ? 0 : 1 + dice.random(3), EPD1: bit(4), TTB1: dice.address() & ~0xfn,
    ENDI: bigEndian(idr0) ? 1 : 0, DS: wide ? 1 : 0, TBI0: bit(), TBI1: bit(), PAN: bit(), EPAN: bit(), WXN: bit(3),
    HA: ha, HD: httu > 1 ? bit() : slip(), HAFT: httu === 3 && ha === 1 ? bit() : slip(), AFFD: bit(),
    S: stall === 2 || (stall === 0 && dice.once(6)) ? 1 : 0, R: dice.once(4) ? 0 : 1, A: dice.slip(20) ? 0 : 1,
    ASID: dice.slip(8) ? dice.bits(16) : dice.bits(8), HAD0: bit(), HAD1: bit(), E0PD0: bit(12), E0PD1: bit(12),
  }; // biome-ignore format: a table
  return cdWords(fields);
}

function streamTableEntry(dice: Dice, { idr0, idr1, idr5 }: Registers): bigint[] {
  const httu = Number((idr0 >> 6n) & 3n);
  const stall = Number((idr0 >> 24n) & 3n);
  const bit = (n = 2) => (dice.once(n) ? 1 : 0);
  const slip = () => (dice.slip(40) ? 1 : 0);
  const tg = dice.random(3);
  const granule = [12, 16, 14][tg]!;
  const start = granule === 12 ? dice.pick([-1, 0, 1, 2, 3]) : 3 - dice.random(granule === 14 ? 4 : 3);
  const sl = granule === 12 ? { "-1": 4, 0: 2, 1: 1, 2: 0, 3: 3 }[start]! : 3 - start;
  const oas = [32, 36, 40, 42, 44, 48, 52, 56][Number(idr5 & 7n)]!;
  const least = (3 - start) * (granule - 3) + granule + 1;
  const inputBits = dice.slip(20) ? 20 + dice.random(40) : Math.min(least + dice.random(granule + 1), oas);
  const substreams = Number((idr1 >> 6n) & 0x1fn);
  const fields: SteFields = {
    V: dice.slip(60) ? 0 : 1, Config: dice.slip(30) ? dice.random(4) : dice.pick([4, 5, 5, 5, 6, 7, 7, 7]),
    S1Fmt: dice.random(4), S1ContextPtr: dice.address() & ~(dice.calm ? 0x3ffn : 0x3fn), S1DSS: dice.random(4),
    S1CDMax: dice.slip(2) ? dice.random(Math.min(substreams + 2, 32)) : 0, S2FWB: bit(), S1STALLD: slip(),
    EATS: dice.slip(3) ? dice.random(4) : 0, STRW: dice.slip(20) ? 1 : dice.pick([0, 0, 2]), PRIVCFG: dice.random(4),
    INSTCFG: dice.random(4), S2VMID: dice.slip(8) ? dice.bits(16) : dice.bits(8),
    S2TG: dice.slip(60) ? 3 : tg, S2T0SZ: 64 - inputBits, S2SL0: sl & 3, S2SL0_2: sl >> 2, S2PS: dice.pick([6, 6, 6, 5, 4, 2, 7]),
    S2AA64: dice.slip(80) ? 0 : 1, S2ENDI: bigEndian(idr0) ? 1 : 0, S2AFFD: bit(4), S2PTW: bit(4),
    S2HA: httu > 0 ? bit() : slip(), S2HD: httu > 1 ? bit() : slip(), S2HAFT: slip(),
    S2S: stall === 2 || (stall === 0 && dice.once(8)) ? 1 : 0, S2R: dice.once(4) ? 0 : 1, S2DS: bit(),
    S2TTB: dice.address() & ~0xfn,
  }; // biome-ignore format: a table
  return steWords(fields);
}

interface Registers {
  readonly idr0: bigint;
  readonly idr1: bigint;
  readonly idr3: bigint;
  readonly idr5: bigint;
  readonly e2h: boolean;
}

/** Everything that the reference knows: 52-bit addresses, both endiannesses, HTTU, no substreams. */
const COMPLETE = {
  idr0: 0b11n | (2n << 2n) | (3n << 6n) | (3n << 9n) | (1n << 12n) | (3n << 18n),
  idr1: 8n | (1n << 26n),
  idr5: 0x4f6n,
};

/** IDR0.TTENDIAN. */
const bigEndian = (idr0: bigint) => ((idr0 >> 21n) & 3n) === 3n;

/** Registers of an SMMU of version 3.1 or later, which may lack anything. */
function registers(dice: Dice): Registers {
  if (dice.calm) return { ...COMPLETE, idr3: dice.bits(24), e2h: dice.once(2) };
  const ENDIAN = dice.pick([0n, 0n, 2n, 3n]) << 21n;
  const STALL = dice.pick([0n, 0n, 0n, 1n, 2n]) << 24n;
  let idr0 = 0b11n | (2n << 2n) | (dice.bits(2) << 6n) | (dice.bits(3) << 9n) | (7n << 18n) | ENDIAN | STALL;
  idr0 |= (dice.once(4) ? 1n << 26n : 0n) | (dice.once(10) ? 1n << 2n : 0n);
  if (dice.once(6)) idr0 ^= 1n << dice.pick([0n, 1n, 12n, 18n, 19n]);
  const idr1 = 8n | (dice.pick([0n, 4n, 8n, 20n]) << 6n) | (dice.once(5) ? 0n : 1n << 26n);
  const idr3 = dice.bits(24);
  const granules = dice.once(8) ? dice.bits(3) : 7n;
  const idr5 =
    dice.pick([2n, 4n, 5n, 6n, 6n, 6n]) | (granules << 4n) | (dice.bits(1) << 7n) | (dice.bits(1) << 10n);
  return { idr0, idr1, idr3, idr5, e2h: dice.once(2) };
}

function inputAddress(dice: Dice): bigint {
  const address = dice.bits(dice.pick([18, 18, 18, 25, 30, 36, 44, 52, 64]));
  const upper = dice.once(4) ? BigInt.asUintN(64, -1n << BigInt(dice.pick([18, 30, 40, 48, 52]))) : 0n;
  return address | upper;
}

function words(r: WalkResult): string {
  if (r.status !== 0) return describeResult(r);
  const rights = ["r", "w", "x"].map((c, i) => ((r.perm >> i) & 1 ? c : "-")).join("");
  return `ok 0x${outputOf(r).toString(16)} ${rights}${r.pageShift === 0 ? "" : ` ${r.pageShift}`}`;
}

it("agrees with the reference on random registers, STEs, CDs and tables", () => {
  const seen = new Map<string, number>();
  const different: string[] = [];
  for (let seed = 1; seed <= MACHINES; seed++) {
    const dice = new Dice(seed);
    const regs = registers(dice);
    const memory = new RandomMemory(dice, (view) => {
      for (let at = 0; at < 4096; at += 8) descriptor(dice, view, at, bigEndian(regs.idr0));
      const stride = !dice.calm && dice.once(2) ? 64 : 1024;
      for (let at = 0; at < 4096; at += stride)
        contextDescriptor(dice, regs).forEach((word, i) => {
          view.setBigUint64(at + 8 * i, word, true);
        });
    });
    streamTableEntry(dice, regs).forEach((word, i) => {
      memory.write64(STE + BigInt(8 * i), word);
    });
    const walker = new SmmuV3Walker(memory);
    const state = new IommuState();
    const cr2 = regs.e2h ? 3n : 2n;
    const given = { ...regs, e2h: 0n, aidr: 1n, cr0: 5n, cr2, strtab_base: STE, strtab_base_cfg: 0n };
    for (const [name, value] of Object.entries(given))
      state.registers.set(name, { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 });
    walker.configure(state);
    const engine = new WalkEngine(walker);
    const smmu: ReferenceSmmu = {
      ...regs,
      read: (address, big = false) =>
        memory.fetch(Number(address >> 12n), 0, 1) ? memory.read64(address, !big) : undefined,
    };
    for (let i = 0; i < ASKS; i++) {
      const kind = dice.pick(Object.keys(KINDS) as Kind[]);
      const ssid = dice.calm || dice.once(2) ? undefined : dice.random(dice.once(4) ? 100 : 3);
      const ask: ReferenceAsk = {
        ssid,
        address: inputAddress(dice),
        read: kind === "r" || kind === "rw",
        write: kind === "w" || kind === "rw",
        execute: kind === "x",
        privileged: dice.once(2),
      };
      const request = new WalkRequest();
      request.pasid = ssid ?? NO_PASID;
      request.addrHi = Number(ask.address >> 32n) | 0;
      request.addrLo = Number(ask.address & 0xffff_ffffn) | 0;
      request.access = KINDS[kind];
      request.priv = ask.privileged;
      const ours = words(engine.walk(request));
      const expected = referenceTranslate(smmu, STE, ask);
      if (ours !== expected)
        different.push(
          `seed ${seed}, ${kind} 0x${ask.address.toString(16)}: ${ours}; reference: ${expected}`,
        );
      const ending = expected.replace(/ 0x.*| L-?\d/, "").replace(" unrecorded", "");
      seen.set(ending, (seen.get(ending) ?? 0) + 1);
    }
  }
  expect(different).toEqual([]);
  // The comparison is worth something only if translations end in many ways, and each of them often.
  const missing = [
    ...["ok", "STE.Config", "C_BAD_STE", "C_BAD_SUBSTREAMID", "F_STREAM_DISABLED", "F_CD_FETCH", "C_BAD_CD"],
    ...[
      "F_TRANSLATION S1 IN",
      "F_ADDR_SIZE S1 IN",
      "F_ACCESS S1 IN",
      "F_PERMISSION S1 IN",
      "F_WALK_EABT S1 TT",
    ],
    ...[
      "F_TRANSLATION S2 IN",
      "F_ADDR_SIZE S2 IN",
      "F_ACCESS S2 IN",
      "F_PERMISSION S2 IN",
      "F_WALK_EABT S2 IN",
    ],
    ...[
      "F_TRANSLATION S2 CD",
      "F_ADDR_SIZE S2 CD",
      "F_ACCESS S2 CD",
      "F_PERMISSION S2 CD",
      "F_WALK_EABT S2 CD",
    ],
    ...[
      "F_TRANSLATION S2 TT",
      "F_ADDR_SIZE S2 TT",
      "F_ACCESS S2 TT",
      "F_PERMISSION S2 TT",
      "F_WALK_EABT S2 TT",
    ],
  ].filter((ending) => (seen.get(ending) ?? 0) < 5);
  expect(missing).toEqual([]);
});
