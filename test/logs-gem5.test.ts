import { expect, test } from "vitest";
import { importLog, replayed } from "./support/logs.ts";

/** Made after the messages of src/dev/arm/smmu_v3_transl.cc: StreamID 5, SubstreamID 3, ASID 7, one page of 4 KiB. */
const LOG = `
 100: system.realview.smmu: writeControl: addr=2b400080 size=8 data=           80000
 110: system.realview.smmu: writeControl: addr=2b400088 size=4 data=               4
 120: system.realview.smmu: writeControl: addr=2b400020 size=4 data=               d
 130: system.realview.smmu: CMD_CFGI_ALL
1000: system.realview.smmu.dev: [t] req from dma addr=0x1234 size=64
1001: system.realview.smmu.proc: micro TLB miss vaddr=0x1234 sid=0x5 ssid=0x3
1002: system.realview.smmu.proc: SLAVE Interface TLB miss vaddr=0x1234 sid=0x5 ssid=0x3
1003: system.realview.smmu.proc: Config miss sid=0x5 ssid=0x3
1004: system.realview.smmu.proc: Read STE at 0x80140
1005: system.realview.smmu.proc: Got STE at 0x80140 [0]: 0x200000000009000b
${[1, 2, 3, 4, 5, 6, 7].map((n) => `1005: system.realview.smmu.proc:     STE at 0x80140 [${n}]: 0x0000000000000000`).join("\n")}
1006: system.realview.smmu.proc: Got CD at 0x900c0 [0]: 0x00076205c0000010
1006: system.realview.smmu.proc:     CD at 0x900c0 [1]: 0x00000000000a0000
${[2, 3, 4, 5, 6, 7].map((n) => `1006: system.realview.smmu.proc:     CD at 0x900c0 [${n}]: 0x0000000000000000`).join("\n")}
1007: system.realview.smmu.proc: Config upd  sid=0x5 ssid=0x3
1008: system.realview.smmu.proc: SMMU TLB miss vaddr=0x1234 asid=0x7 vmid=0
1009: system.realview.smmu.proc: Fetching S1 L0 PTE from pa=0x0a0000
1010: system.realview.smmu.proc: Got S1 L0 PTE=0xa1003 from pa=0x0a0000
1011: system.realview.smmu.proc: Got S1 L1 PTE=0xa2003 from pa=0x0a1000
1012: system.realview.smmu.proc: Got S1 L2 PTE=0xa3003 from pa=0x0a2000
1013: system.realview.smmu.proc: Got S1 L3 PTE=0x55743 from pa=0x0a3008
1014: system.realview.smmu.proc: Translated vaddr 0x1234 to paddr 0x55234
1020: system.realview.smmu.proc: micro TLB hit vaddr=0x1ff8 amask=0xfffffffffffff000 sid=0x5 ssid=0x3 paddr=0x55000
1021: system.realview.smmu.proc: micro TLB miss vaddr=0x1100 sid=0x5 ssid=0x3
1022: system.realview.smmu.proc: SMMU TLB hit vaddr=0x1100 amask=0xfffffffffffff000 asid=0x7 vmid=0 paddr=0x55000
1030: system.realview.smmu: CMD_TLBI_NH_VA va=0x001000 asid=0x7 vmid=0
`.slice(1);

test("gem5's log rebuilds tables, and has requests of a SubstreamID", async () => {
  const { texts, report } = importLog(LOG);
  const records = texts.map((text) => JSON.parse(text));
  expect(records.find(({ type }) => type === "iommu").regs).toEqual({
    strtab_base: "0x80000",
    strtab_base_cfg: "0x4",
    cr0: "0xd",
  });
  expect(records.filter(({ type }) => type === "cmd").map(({ data }) => data)).toEqual([
    ["0x4", "0x1f"],
    ["0x7000000000012", "0x1000"],
  ]);
  expect([...report.ignored.counts.keys()].every((kind) => !kind.startsWith("unknown"))).toBe(true);
  const outcomes = (await replayed(LOG)).filter(({ type }) => type === "outcome");
  expect(outcomes).toMatchObject([
    {
      line: 33,
      ts: 1014,
      dev: "sid:0x5",
      pasid: 3,
      addr: "0x1234",
      pa: "0x55234",
      asid: 7,
      verdict: "match",
    },
    { line: 34, ts: 1020, pasid: 3, addr: "0x1ff8", pa: "0x55ff8", verdict: "match" },
    { line: 36, ts: 1022, pasid: 3, addr: "0x1100", pa: "0x55100", verdict: "match" },
  ]);
});

test("of a SubstreamID 0 it is assumed that there was none", () => {
  const line = "1: system.smmu: micro TLB hit vaddr=0x8 amask=0xfffffffffffff000 sid=0x5 ssid=0 paddr=0x7000";
  const dma = JSON.parse(importLog(line).texts.at(-1)!);
  expect(dma).toMatchObject({ type: "dma", addr: "0x8", observed: { pa: "0x7008" } });
  expect(dma.pasid).toBeUndefined();
  expect(dma.assumed).toEqual(["access", "len", "pasid"]);
});
