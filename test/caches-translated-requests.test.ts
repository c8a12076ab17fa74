/**
 * Requests that devices with ATS have translated: what they show of the device's own TLB, and of a second stage that
 * translates them once more.
 */
import { describe, expect, it } from "vitest";
import { Radix, Scenario, VTD_SECOND, x86 } from "./support/cache-scenario.ts";
import { ALL_CAPABILITIES } from "./support/riscv-iommu.ts";
import { steWords } from "./support/smmuv3-machine.ts";

const A = 0x1000_0000n;
const B = 0x1000_1000n;
const PA = 0x8000_0000n;
const ELSEWHERE = 0x9000_0000n;

const RIGHTS = 3n << 61n;

interface Subject {
  readonly s: Scenario;
  readonly table: Radix;
  readonly dev: string;
  /** Drops all that the IOMMU holds, and waits. */
  drop(): void;
  wait(): void;
}

function ask({ s, dev }: Subject, at: string, addr: bigint, pa: bigint): number {
  const type = { dev, addr, at };
  return s.dma(type, pa);
}

describe("the address of a translated request is what the device was told", () => {
  /** One page at A, which the device has been told of. @param devtlb drops it from the device's TLB */
  const SUBJECTS: [string, () => Subject & { devtlb(): void }][] = [
    [
      "VT-d",
      () => {
        const s = new Scenario("intel", { rtaddr: 0x10_0000n });
        const table = new Radix(s, VTD_SECOND);
        s.put(0x10_0000n, 0x10_1001n).put(0x10_1180n, table.root | 5n, (9n << 8n) | 2n);
        const wait = () => s.cmd(0x25n, 0n);
        const drop = () => {
          s.cmd(0x12n, 0n);
          wait();
        };
        return { s, table, dev: "00:03.0", wait, drop, devtlb: () => s.cmd(0x18_0000_0003n, A) };
      },
    ],
    [
      "AMD-Vi",
      () => {
        const s = new Scenario("amd", { dev_tab_base: 0x10_0001n });
        const table = new Radix(s, {
          ...x86(0n, 0n),
          table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
          leaf: (pa) => pa | 1n | RIGHTS,
        });
        s.put(0x10_0020n, 3n | (4n << 9n) | table.root | RIGHTS, 7n | (1n << 32n), 0n, 0n);
        const wait = () => s.cmd(1n << 60n, 0n);
        const drop = () => {
          s.cmd(8n << 60n, 0n);
          wait();
        };
        return { s, table, dev: "devid:1", wait, drop, devtlb: () => s.cmd((4n << 60n) | 1n, A) };
      },
    ],
  ];

  describe.each(SUBJECTS)("%s", (_name, make) => {
    it("an entry was changed, and the device's TLB not invalidated", async () => {
      const subject = make();
      const { s, table, drop, wait } = subject;
      wait();
      table.map(A, PA);
      ask(subject, "translation-request", A, PA);
      ask(subject, "translated", PA + 8n, PA + 8n);
      s.put(table.entry(A), 0n);
      const changed = s.lines.length;
      drop();
      ask(subject, "translated", PA + 0x10n, PA + 0x10n);
      const [finding, ...others] = (await s.run()).of("finding");
      expect(others).toEqual([]);
      expect(finding).toMatchObject({
        line: s.lines.length,
        rule: "missing-device-tlb-invalidation",
        changed_line: changed,
        cache: "devtlb",
      });
      expect(finding!.message).toContain("has used the old one: a translated request to 0x80000010");
    });

    it("it was invalidated, and the device has not heeded that; before it is complete it need not", async () => {
      const subject = make();
      const { s, table, drop, wait, devtlb } = subject;
      wait();
      table.map(A, PA);
      ask(subject, "translation-request", A, PA);
      s.put(table.entry(A), 0n);
      drop();
      devtlb();
      ask(subject, "translated", PA, PA);
      expect((await s.run()).rules()).toEqual(["missing-completion"]);
      wait();
      ask(subject, "translated", PA, PA);
      const found = (await s.run()).of("finding");
      expect(found).toMatchObject([{ line: s.lines.length, rule: "invalidated-device-tlb-used" }]);
      expect(found[0]).not.toHaveProperty("command");
    });

    it("the device's TLB is invalidated before what the IOMMU holds, and not again", async () => {
      const played = async (...order: ("devtlb" | "drop" | "wait")[]) => {
        const subject = make();
        const { s, table, wait } = subject;
        wait();
        table.map(A, PA);
        ask(subject, "translation-request", A, PA);
        s.put(table.entry(A), 0n);
        for (const what of order) subject[what]();
        wait();
        return (await s.run()).rules();
      };
      expect(await played("devtlb", "drop")).toEqual(["device-tlb-invalidated-first"]);
      expect(await played("devtlb", "wait", "drop")).toEqual(["device-tlb-invalidated-first"]);
      for (const order of [
        ["drop", "devtlb"],
        ["devtlb", "drop", "devtlb"],
        ["devtlb", "wait", "drop", "devtlb"],
      ] as const)
        expect(await played(...order)).toEqual([]);
    });

    it("another address still leads there, or nobody knows of it", async () => {
      const subject = make();
      const { s, table, drop } = subject;
      table.map(A, PA).map(B, PA);
      ask(subject, "translation-request", B, PA);
      ask(subject, "translation-request", A, PA);
      s.put(table.entry(A), 0n);
      drop();
      ask(subject, "translated", PA, PA);
      ask(subject, "translated", ELSEWHERE, ELSEWHERE);
      expect((await s.run()).rules()).toEqual([]);
    });
  });
});

describe("a second stage that translates translated requests may be held", () => {
  const SUBJECTS: [string, () => Subject & { page(): void }][] = [
    [
      "SMMUv3, split-stage ATS",
      () => {
        const s = new Scenario("arm-smmuv3", { cr0: 0x15n, strtab_base: 0x1_0000n, strtab_base_cfg: 8n });
        const table = new Radix(s, { ...x86(3n, 0x4c3n), levels: 3, leaf: (pa) => pa | 0x4c3n });
        table.map(B, B);
        const stage2 = { S2AA64: 1, S2T0SZ: 25, S2SL0: 1, S2PS: 5, S2TTB: table.root, S2R: 1, S2VMID: 3 };
        s.put(0x1_0040n, ...steWords({ V: 1, Config: 7, EATS: 2, S1ContextPtr: B, ...stage2 }));
        const wait = () => s.cmd(0x46n, 0n);
        // CMD_TLBI_S2_IPA, CMD_TLBI_NSNH_ALL.
        const done = (...words: bigint[]) => {
          s.cmd(...words);
          wait();
        };
        const page = () => done(0x2an | (3n << 32n), A);
        return { s, table, dev: "sid:1", wait, page, drop: () => done(0x30n, 0n) };
      },
    ],
    [
      "RISC-V, T2GPA",
      () => {
        const s = new Scenario("riscv", {
          capabilities: ALL_CAPABILITIES,
          fctl: 0n,
          ddtp: ((0x10_0000n >> 12n) << 10n) | 2n,
        });
        const table = new Radix(s, {
          levels: 3,
          bits: 9,
          pageBits: 12,
          topBits: 2,
          table: (next) => ((next >> 12n) << 10n) | 1n,
          leaf: (pa) => ((pa >> 12n) << 10n) | 0xdfn,
        });
        // V, EN_ATS, T2GPA; Sv39x4, GSCID 3.
        s.put(0x10_0040n, 11n, (8n << 60n) | (3n << 44n) | (table.root >> 12n), 0n, 0n, 0n, 0n, 0n, 0n);
        const wait = () => s.cmd(2n, 0n);
        const gvma = 1n | (1n << 7n);
        const done = (...words: bigint[]) => {
          s.cmd(...words);
          wait();
        };
        // IOTINVAL.GVMA by GSCID and address; of everything.
        const page = () => done(gvma | (1n << 10n) | (1n << 33n) | (3n << 44n), (A >> 12n) << 10n);
        return { s, table, dev: "did:1", wait, page, drop: () => done(gvma, 0n) };
      },
    ],
  ];

  describe.each(SUBJECTS)("%s", (_name, make) => {
    /** A page at A is used, and then leads elsewhere. */
    function changed() {
      const subject = make();
      const { table, wait } = subject;
      wait();
      table.map(A, PA);
      ask(subject, "translated", A, PA);
      table.map(A, ELSEWHERE);
      return subject;
    }

    it("an old answer is stale, and owes an invalidation of the second stage", async () => {
      const subject = changed();
      const old = ask(subject, "translated", A, PA);
      const run = await subject.s.run();
      expect(run.verdict(old)).toBe("stale");
      const owed = run.of("finding").find(({ rule }) => rule === "missing-invalidation")!;
      expect(owed).toMatchObject({ cache: "iotlb", answered: 1 });
      const again = changed();
      again.s.cmd(...(owed.data as string[]).map(BigInt));
      again.wait();
      const late = ask(again, "translated", A, PA);
      const now = ask(again, "translated", A, ELSEWHERE);
      const paid = await again.s.run();
      expect(paid.verdict(late)).toBe("stale-after-invalidation");
      expect(paid.verdict(now)).toBe("match");
      expect(paid.rules()).not.toContain("missing-invalidation");
    });

    it("so is one by way of a table that was taken away, and what no answer shows is latent", async () => {
      const subject = make();
      const { s, table, wait, drop } = subject;
      wait();
      table.map(A, PA).map(B, B);
      ask(subject, "translated", A, PA);
      s.put(table.entry(A, 2), 0n);
      const old = ask(subject, "translated", B, B);
      drop();
      table.map(A + 0x4000_0000n, PA);
      ask(subject, "translated", A + 0x4000_0000n, PA);
      table.map(A + 0x4000_0000n, ELSEWHERE);
      ask(subject, "translated", A + 0x4000_0000n, ELSEWHERE);
      const run = await s.run();
      expect(run.verdict(old)).toBe("stale");
      expect(run.of("finding").filter(({ rule }) => /invalidation$/.test(String(rule)))).toMatchObject([
        { rule: "late-invalidation", cache: "paging-structures" },
        { rule: "missing-invalidation", latent: true },
      ]);
    });

    it("by page, it is the page", async () => {
      const subject = changed();
      subject.page();
      const old = ask(subject, "translated", A, PA);
      expect((await subject.s.run()).verdict(old)).toBe("stale-after-invalidation");
    });
  });
});
