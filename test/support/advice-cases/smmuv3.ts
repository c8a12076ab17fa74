import { type Format, Radix, Scenario } from "../cache-scenario.ts";
import { cdWords, type SteFields, steWords } from "../smmuv3-machine.ts";
import {
  A,
  type Cases,
  entryCase,
  nestedCases,
  OLD,
  ofFirst,
  ofSecond,
  pageCase,
  prefixed,
  tableCases,
  X,
} from "./case.ts";

const STREAMS = 0x1_0000n;
const vmsa = (levels: number, flags: bigint): Format => ({
  levels,
  bits: 9,
  pageBits: 12,
  table: (next) => next | 3n,
  leaf: (pa, level) => pa | (level === 1 ? 3n : 1n) | flags,
});
// AF, AP[1], nG; AF and S2AP.
// Read-only: what is written to needs break-before-make to be moved.
const S1 = vmsa(4, 0xcc0n);
const S1_GLOBAL = vmsa(4, 0x4c0n);
const S2 = vmsa(3, 0x440n);
const STAGE2: SteFields = { S2T0SZ: 25, S2TG: 0, S2SL0: 1, S2PS: 5, S2AA64: 1, S2R: 1 };

function stream(ste: SteFields, format = S1, regs: Readonly<Record<string, bigint>> = {}) {
  const s = new Scenario("arm-smmuv3", { strtab_base: STREAMS, strtab_base_cfg: 8n, ...regs });
  const [first, second] = [new Radix(s, format), new Radix(s, S2)];
  const at = s.allocate(64n);
  const cd = (to: Radix) =>
    s.put(
      at,
      ...cdWords({ V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, TBI0: 1, ASID: 5, TTB0: to.root }),
    );
  const config = (more: SteFields = {}) =>
    s.put(
      STREAMS + 64n,
      ...steWords({
        V: 1,
        Config: 5,
        S1ContextPtr: at,
        S2VMID: 3,
        S2TTB: second.root,
        ...STAGE2,
        ...ste,
        ...more,
      }),
    );
  cd(first);
  config();
  return { s, first, second, cd, config, dma: { dev: "sid:1" } };
}

const stage1 = (name: string, ste: SteFields, format: Format, page: string, table: string, cr2?: bigint) =>
  prefixed(
    name,
    tableCases(
      ofFirst(() => stream(ste, format, cr2 === undefined ? {} : { cr2 })),
      {
        page: `${page} addr 0x10000000`,
        large: `${page} addr 0x10013000`,
        table,
      },
    ),
  );

export const ARM: Cases = {
  ...stage1("stage 1", {}, S1, "CMD_TLBI_NH_VA VMID 3 ASID 5", "CMD_TLBI_NH_ASID VMID 3 ASID 5"),
  ...stage1("global", {}, S1_GLOBAL, "CMD_TLBI_NH_VAA VMID 3", "CMD_TLBI_NH_ALL VMID 3"),
  ...stage1("EL2", { STRW: 2 }, S1, "CMD_TLBI_EL2_VAA", "CMD_TLBI_EL2_ALL", 0n),
  ...stage1("EL2-E2H", { STRW: 2 }, S1, "CMD_TLBI_EL2_VA ASID 5", "CMD_TLBI_EL2_ASID ASID 5", 1n),
  "stage 1: a page under a tagged address": pageCase(
    ofFirst(() => stream({})),
    "CMD_TLBI_NH_VA VMID 3 ASID 5 addr 0x10000000",
    0x5an << 56n,
  ),
  ...prefixed(
    "stage 2",
    tableCases(
      ofSecond(() => stream({ Config: 6 })),
      {
        page: "CMD_TLBI_S2_IPA VMID 3 addr 0x10000000",
        large: "CMD_TLBI_S2_IPA VMID 3 addr 0x10013000",
        table: "CMD_TLBI_S12_VMALL VMID 3",
      },
    ),
  ),
  ...nestedCases(
    () => stream({ Config: 7 }),
    { first: "stage 1", second: "stage 2" },
    { first: "CMD_TLBI_NH_VA VMID 3 ASID 5 addr 0x10000000", second: "CMD_TLBI_S12_VMALL VMID 3" },
  ),
  "a CD": entryCase(
    ofFirst(() => stream({})),
    S1,
    ({ cd }, to) => cd(to),
    "CMD_CFGI_CD SID 0x1 SSID 0x0",
  ),
  "an STE": () => {
    const { s, first, config, dma } = stream({});
    first.map(A, OLD);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => config({ Config: 4 }),
      expected: "CMD_CFGI_STE SID 0x1",
    };
  },
};
