import { describe, expect, it } from "vitest";
import { Scenario } from "./support/cache-scenario.ts";

const DDT = 0x8000_0000n;
const PDT = 0x8000_1000n;
const PAGE = 0x8001_0000n;
const FIRST_ROOT = 0x8000_2000n;
const SECOND_ROOT = 0x8000_5000n;
const ADDR = 0x1010n;
/** tc: V, PDTV and DPE. */
const DEFAULT_PROCESS = 0x221n;

/** A device whose requests without process_id are of process 0, with tables of three levels at two roots. */
class DefaultProcess extends Scenario {
  constructor(tc = DEFAULT_PROCESS) {
    super("riscv", { capabilities: 0x1f8_0000_0210n, fctl: 0n, ddtp: ((DDT >> 12n) << 10n) | 2n });
    this.put(DDT + 3n * 32n, tc, 0n, 0n, (1n << 60n) | (PDT >> 12n));
    this.#tables(FIRST_ROOT, PAGE);
    this.#tables(SECOND_ROOT, PAGE + 0x10_0000n);
    this.process(FIRST_ROOT, 5n);
  }

  process(root: bigint, pscid: bigint, index = 0n): void {
    this.put(PDT + 16n * index, 1n | (pscid << 12n), (8n << 60n) | (root >> 12n));
  }

  #tables(root: bigint, page: bigint): void {
    this.put(root, ((root + 0x1000n) >> 2n) | 1n);
    this.put(root + 0x1000n, ((root + 0x2000n) >> 2n) | 1n);
    this.put(root + 0x2000n, 0n, (page >> 2n) | 0xd7n);
  }

  ask(pasid: number | undefined, observed?: bigint): number {
    return this.dma({ dev: "did:3", addr: ADDR, pasid }, observed);
  }
}

const NEW = PAGE + 0x10_0010n;
const OLD = PAGE + 0x10n;

describe("one process context for requests without process_id and for those that name the default", () => {
  it.each([
    ["used without process_id", undefined, 0],
    ["used with process_id 0", 0, undefined],
  ])("%s, the other way is answered from it until it is invalidated", async (_, user, other) => {
    const s = new DefaultProcess();
    s.ask(user, OLD);
    s.process(SECOND_ROOT, 6n);
    const stale = s.ask(other, OLD);
    // IODIR.INVAL_PDT of device 3, process 0; IOFENCE.C. What the old context translated is not covered (6.3.2).
    s.cmd(0x302_0000_0083n, 0n).cmd(2n, 0n);
    const left = s.ask(other, OLD);
    // IOTINVAL.VMA of PSCID 5; IOFENCE.C.
    s.cmd(0x1_0000_5001n, 0n).cmd(2n, 0n);
    const after = s.ask(other, OLD);
    const right = s.ask(other, NEW);
    const run = await s.run();
    expect([stale, left, after, right].map((seq) => run.verdict(seq))).toEqual([
      "stale",
      "stale",
      "stale-after-invalidation",
      "match",
    ]);
  });

  it("owes the invalidation whichever way it was used", async () => {
    const s = new DefaultProcess();
    s.ask(undefined);
    s.process(SECOND_ROOT, 6n);
    const seq = s.ask(0);
    const run = await s.run();
    expect(run.verdict(seq)).toBe("hazard");
    expect(run.rules()).toContain("missing-invalidation");
  });

  it("another process_id, or a device without default process, has no part in it", async () => {
    const other = new DefaultProcess();
    other.process(FIRST_ROOT, 5n, 1n);
    other.ask(undefined, OLD);
    other.process(SECOND_ROOT, 6n, 1n);
    const one = other.ask(1, OLD);
    expect((await other.run()).verdict(one)).toBe("mismatch");

    const bare = new DefaultProcess(0x21n);
    bare.ask(undefined, ADDR);
    bare.process(SECOND_ROOT, 6n);
    const zero = bare.ask(0, NEW);
    const wrong = bare.ask(0, OLD);
    const run = await bare.run();
    expect([run.verdict(zero), run.verdict(wrong)]).toEqual(["match", "mismatch"]);
  });
});
