/** What the record of a second-stage fault says beside its code: the address between the stages, and RISC-V's flags. */
import { describe, expect, it } from "vitest";
import { type Format, Radix, Scenario } from "./support/cache-scenario.ts";
import { cdWords, steWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0123n;
const IPA = 0x5_5123n;

const arm = (levels: number, attributes: bigint): Format => ({
  levels,
  bits: 9,
  pageBits: 12,
  table: (next) => next | 3n,
  leaf: (pa) => pa | attributes,
});
const sv39 = (topBits: number): Format => ({
  levels: 3,
  bits: 9,
  pageBits: 12,
  topBits,
  table: (next) => ((next >> 12n) << 10n) | 1n,
  leaf: (pa) => ((pa >> 12n) << 10n) | 0xdfn,
});
/** Where everything stands that a scenario allocates. */
const mapOwn = (second: Radix) => {
  for (let at = 0x100_0000n; at < 0x102_0000n; at += 0x1000n) second.map(at, at);
};

/** A leads to an address that stage 2 does not map. */
function smmu(): Scenario {
  const s = new Scenario("arm-smmuv3", { strtab_base: 0x1_0000n, strtab_base_cfg: 8n });
  const [first, second] = [new Radix(s, arm(4, 0xc43n)), new Radix(s, arm(3, 0x4c3n))];
  first.map(A & ~0xfffn, IPA & ~0xfffn);
  mapOwn(second);
  const cd = s.allocate();
  s.put(cd, ...cdWords({ V: 1, AA64: 1, A: 1, R: 1, IPS: 5, EPD1: 1, T0SZ: 16, TTB0: first.root }));
  const stage2 = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: second.root, S2R: 1 };
  s.put(0x1_0040n, ...steWords({ V: 1, Config: 7, S1ContextPtr: cd, ...stage2 }));
  return s;
}

function riscv(): Scenario {
  const s = new Scenario("riscv", {
    capabilities: 0x1f2_c7fe_4e10n & ~(1n << 22n),
    fctl: 0n,
    ddtp: ((0x10_0000n >> 12n) << 10n) | 2n,
  });
  const [first, second] = [new Radix(s, sv39(0)), new Radix(s, sv39(2))];
  first.map(A & ~0xfffn, IPA & ~0xfffn);
  mapOwn(second);
  const root = (table: Radix) => (8n << 60n) | (table.root >> 12n);
  s.put(0x10_0020n, 1n, root(second), 0n, root(first));
  return s;
}

async function asked(s: Scenario, dev: string, observed: object) {
  s.add({ type: "dma", dev, addr: "0x10000123", observed: { result: "fault", ...observed } });
  const run = await s.run();
  expect(run.of("outcome")[0]).toMatchObject({ stage: 2, fault_addr: "0x55123", verdict: "match" });
  return run.of("finding").map(({ rule, message }) => [rule, message]);
}

describe("the record of a second-stage fault", () => {
  it("SMMUv3: IPA bits 55:12", async () => {
    const event = { code: "0x10", stage: 2, class: "IN" };
    for (const ipa of ["0x55000", "0x55fff"])
      expect(await asked(smmu(), "sid:1", { ...event, ipa })).toEqual([]);
    expect(await asked(smmu(), "sid:1", event)).toEqual([]);
    expect(await asked(smmu(), "sid:1", { ...event, ipa: "0x10000000" })).toEqual([
      [
        "fault-record-differs",
        "the record of F_TRANSLATION gives the intermediate address 0x10000000, expected 0x55000",
      ],
    ]);
  });

  it("RISC-V: iotval2, bits 63:2 and two flags", async () => {
    expect(await asked(riscv(), "did:1", { code: "0x15", ipa: "0x55120", flags: "0x0" })).toEqual([]);
    const wrong = await asked(riscv(), "did:1", { code: "0x15", ipa: "0x55000", flags: "0x1" });
    expect(wrong).toEqual([
      [
        "fault-record-differs",
        "the record of Read guest-page fault gives the intermediate address 0x55000, expected 0x55120, and flags 0x1, expected 0x0",
      ],
    ]);
  });
});
