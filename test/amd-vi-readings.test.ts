/** Where AMD's specification can be read in two ways: the answer is by one, and what the other gives is as right. */
import { describe, expect, it } from "vitest";
import { type Observed, Scenario } from "./support/cache-scenario.ts";

const DEVICES = 0x1000n;
const RIGHTS = 3n << 61n;
const IO_PAGE_FAULT = { code: 2n };

/** V, TV, 2 levels at 0x5000; a directory entry with more bits set, and a page. */
async function directory(more: bigint, observed?: Observed) {
  const s = new Scenario("amd", { efr: 0n, control: 0x1405n, dev_tab_base: DEVICES });
  s.put(DEVICES + 0x18n * 32n, 3n | (2n << 9n) | 0x5000n | RIGHTS, 1n, 0n, 0n);
  s.put(0x5000n, 0x6201n | RIGHTS | more).put(0x6000n, 0x20_0001n | RIGHTS);
  const seq = s.dma({ dev: "00:03.0", addr: 0x10n }, observed);
  return (await s.run()).outcome(seq);
}

describe("bits 60:59 of a page directory entry", () => {
  it.each([59n, 60n])("bit %d: reserved, or passed over", async (bit) => {
    const fault = { result: "fault", code: "0x2", reason: "BAD_PTE", flags: "0x90", entry_addr: "0x5000" };
    expect(await directory(1n << bit)).toMatchObject({ ...fault, other_result: "ok" });
    for (const [observed, verdict] of [
      [IO_PAGE_FAULT, "match"],
      [0x20_0010n, "match"],
      [0x30_0010n, "mismatch"],
    ] as const)
      expect(await directory(1n << bit, observed)).toMatchObject({ ...fault, verdict });
  });

  it("bit 58 is reserved by either reading, and without any there is one answer", async () => {
    for (const more of [1n << 58n, (1n << 58n) | (1n << 60n)]) {
      const outcome = await directory(more, 0x20_0010n);
      expect(outcome).toMatchObject({ result: "fault", verdict: "mismatch" });
      expect(outcome).not.toHaveProperty("other_result");
    }
    const plain = await directory(0n, IO_PAGE_FAULT);
    expect(plain).toMatchObject({ result: "ok", pa: "0x200010", verdict: "mismatch", diff: "result" });
    expect(plain).not.toHaveProperty("other_result");
  });
});

const OLD = 0x20_0010n;
const WAIT = [1n << 60n, 0n] as const;
/** INVALIDATE_IOMMU_PAGES of all pages of domain 1. */
const FORGET = [(3n << 60n) | (1n << 32n), 0x7fff_ffff_ffff_f003n] as const;

/** As `directory`, a request to it, what happens then, and the same request again: what is told of that, and of all. */
async function twice(first: Observed, then: (s: Scenario) => unknown, second?: Observed) {
  const s = new Scenario("amd", { efr: 0n, control: 0x1405n, dev_tab_base: DEVICES });
  s.put(DEVICES + 0x18n * 32n, 3n | (2n << 9n) | 0x5000n | RIGHTS, 1n, 0n, 0n);
  s.put(0x5000n, 0x6201n | RIGHTS | (1n << 60n)).put(0x6000n, 0x20_0001n | RIGHTS);
  s.cmd(...WAIT).dma({ dev: "00:03.0", addr: 0x10n }, first);
  then(s);
  const seq = s.dma({ dev: "00:03.0", addr: 0x10n }, second);
  const run = await s.run({ stats: true });
  return { outcome: run.outcome(seq), stats: run.of("stats")[0], rules: run.rules() };
}

describe("what a cache holds of a page by the reading that the recorded IOMMU shows", () => {
  it.each([
    ["page", 0x6000n, [0n]],
    ["device", DEVICES + 0x18n * 32n, [1n, 1n, 0n, 0n]],
  ] as const)("is used when the %s has changed, until it is invalidated", async (_name, place, words) => {
    const change = (s: Scenario) => s.put(place, ...words);
    const forgotten = (s: Scenario) => {
      change(s);
      // INVALIDATE_DEVTAB_ENTRY
      s.cmd((2n << 60n) | 0x18n, 0n)
        .cmd(...FORGET)
        .cmd(...WAIT);
    };
    const old = await twice(OLD, change, OLD);
    expect(old.outcome).toMatchObject({ result: "fault", verdict: "stale" });
    const kept = await twice(OLD, forgotten, OLD);
    expect(kept.outcome).toMatchObject({ verdict: "stale-after-invalidation" });
    expect((await twice(OLD, change, 0x30_0010n)).outcome).toMatchObject({ verdict: "mismatch" });
    // Whoever takes the bit for a reserved one has cached nothing.
    expect((await twice(IO_PAGE_FAULT, change, OLD)).outcome).toMatchObject({ verdict: "mismatch" });
  });

  it("may be used until the invalidation has completed", async () => {
    const issued = (s: Scenario) => s.put(0x6000n, 0n).cmd(...FORGET);
    expect((await twice(OLD, issued, OLD)).outcome).toMatchObject({ verdict: "stale" });
    const completed = (s: Scenario) => issued(s).cmd(...WAIT);
    const late = await twice(OLD, completed, OLD);
    expect(late.outcome).toMatchObject({ verdict: "stale-after-invalidation" });
  });

  it("is owed nothing that no answer shows, and counts for nothing", async () => {
    const change = (s: Scenario) => s.put(0x6000n, 0n);
    const [other, own] = [await twice(OLD, change), await twice(IO_PAGE_FAULT, change)];
    expect(other.outcome).not.toHaveProperty("verdict");
    expect(other).toEqual(own);
  });
});

/** GV, GIOV: guest tables of 4 levels at 0x30000, with pages at 0x1000, and at bit 47 and 0x1000. */
async function guest(addr: bigint, pasid?: number, observed?: Observed) {
  const s = new Scenario("amd", { efr: 0x1_000f_0000_1810n, control: 0x1_1401n, dev_tab_base: DEVICES });
  s.put(DEVICES + 0x18n * 32n, 3n | (0x60c0n << 48n), 5n | (4n << 16n), 0n, 0n);
  s.put(0x2_0000n, 0x3_0001n);
  s.put(0x3_0800n, 0x3_1007n).put(0x3_1000n, 0x3_2007n).put(0x3_2000n, 0x3_3007n).put(0x3_3008n, 0x20_0067n);
  s.put(0x3_0000n, 0x3_4007n).put(0x3_4000n, 0x3_5007n).put(0x3_5000n, 0x3_6007n).put(0x3_6008n, 0x30_0067n);
  const seq = s.dma({ dev: "00:03.0", addr, pasid }, observed);
  return (await s.run()).outcome(seq);
}

describe("the sign of an address that guest tables translate without PASID", () => {
  const UPPER = 0x8000_0000_1000n;
  const SIGNED = 0xffff_8000_0000_1000n;

  it("is none: bit 47 is an address bit, and those above are to be zero; or it is extended", async () => {
    for (const observed of [undefined, 0x20_0000n, IO_PAGE_FAULT]) {
      const verdict = observed === undefined ? {} : { verdict: "match" };
      const low = { result: "ok", pa: "0x200000", other_result: "fault" };
      expect(await guest(UPPER, undefined, observed)).toMatchObject({ ...low, ...verdict });
      const high = { result: "fault", reason: "OOR_ADDRESS", other_result: "ok" };
      expect(await guest(SIGNED, undefined, observed)).toMatchObject({ ...high, ...verdict });
    }
    expect(await guest(UPPER, undefined, 0x30_0000n)).toMatchObject({ verdict: "mismatch" });
  });

  it("matters to no other address, and with PASID it is extended", async () => {
    expect(await guest(0x1000n, undefined, 0x30_0000n)).toMatchObject({ verdict: "match" });
    for (const [addr, pasid] of [
      [0x1000n, undefined],
      [0x1_0000_0000_1000n, undefined],
      [UPPER, 0],
      [SIGNED, 0],
    ] as const)
      expect(await guest(addr, pasid)).not.toHaveProperty("other_result");
    expect(await guest(SIGNED, 0)).toMatchObject({ result: "ok", pa: "0x200000" });
  });
});
