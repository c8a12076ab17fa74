import { describe, expect, it } from "vitest";
import { Scenario } from "./support/cache-scenario.ts";

const ADDR = 0x4000_0000n;
const READ_ONLY = 1n;
const READ_WRITE = 3n;
/** Beyond the host address width of 48 bits. */
const RESERVED = 1n << 48n;

/** Legacy mode, a second stage of four levels; what stands in the last two entries decides. */
function ask(directory: bigint, page: bigint, code: bigint, access: "r" | "w" = "w"): [Scenario, number] {
  const s = new Scenario(
    "intel",
    { cap: 0xd2_008c_222f_0606n, ecap: 0xf0_0f4bn, rtaddr: 0x1000n, gsts: 0xc000_0000n },
    { output_bits: 48 },
  );
  s.put(0x1000n, 0x2001n, 0n);
  s.put(0x2180n, 0x1_0001n, 0x102n);
  s.put(0x1_0000n, 0x1_1000n | READ_WRITE);
  s.put(0x1_1008n, 0x1_2000n | READ_WRITE);
  s.put(0x1_2000n, 0x1_3000n | directory);
  s.put(0x1_3000n, 0x20_0000n | page);
  return [s, s.dma({ dev: "00:03.0", addr: ADDR, access }, { code })];
}

describe("a right that is missing and reserved bits that are set: the specification names no order", () => {
  it.each([
    ["in the same entry", READ_WRITE, READ_ONLY | RESERVED],
    ["the right is missing above", READ_ONLY, READ_WRITE | RESERVED],
  ])("%s: either code is right", async (_, directory, page) => {
    for (const [code, verdict] of [
      [0xcn, "match"],
      [0x5n, "match"],
      [0x6n, "mismatch"],
    ] as const) {
      const [s, seq] = ask(directory, page, code);
      const run = await s.run();
      expect(run.outcome(seq)).toMatchObject({ code: "0xc", other_code: "0x5", verdict });
    }
  });

  it.each([
    ["all rights are there", READ_WRITE, READ_WRITE | RESERVED, "w", "0xc", 0x5n],
    ["the access is allowed", READ_WRITE, READ_ONLY | RESERVED, "r", "0xc", 0x5n],
    ["no reserved bit is set", READ_WRITE, READ_ONLY, "w", "0x5", 0xcn],
    ["the entry is not present", READ_WRITE, RESERVED, "w", "0x5", 0xcn],
  ] as const)("%s: one code is", async (_, directory, page, access, code, observed) => {
    const [s, seq] = ask(directory, page, observed, access);
    const outcome = (await s.run()).outcome(seq);
    expect(outcome).toMatchObject({ code, verdict: "mismatch", diff: "code" });
    expect(outcome).not.toHaveProperty("other_code");
  });
});

describe("a first stage: what is wrong with an entry, and a right that entries above it withhold", () => {
  const [PRESENT, WRITABLE, USER] = [1n, 2n, 4n];
  const OPEN = PRESENT | WRITABLE | USER;

  /** Scalable mode, four levels of a first stage; what stands in the last two entries decides. */
  async function outcomeOf(directory: bigint, page: bigint, code: bigint, access: "r" | "w" = "w") {
    const s = new Scenario("intel", { rtaddr: 0x10_0400n }, { output_bits: 48 });
    s.put(0x10_0000n, 0x10_1001n).put(0x10_1300n, 0x10_2001n, 0n, 0n, 0n).put(0x10_2000n, 0x10_3001n);
    s.put(0x10_3000n, 0x41n, 1n, 0x11_0000n, 0n, 0n, 0n, 0n, 0n);
    s.put(0x11_0000n, 0x11_1000n | OPEN).put(0x11_1008n, 0x11_2000n | OPEN);
    s.put(0x11_2000n, 0x11_3000n | directory).put(0x11_3000n, page);
    const seq = s.dma({ dev: "00:03.0", addr: ADDR, access }, { code });
    return (await s.run()).outcome(seq);
  }

  // 3.6.1, 3.7.1, 7.1.3 (SGN.2, SGN.6): rights are those of a translation that is there and valid.
  it.each([
    ["SFS.2, and not a user's", PRESENT | WRITABLE, 0n, 0x71n, 0x81n],
    ["SFS.2, and not writable", PRESENT | USER, 0n, 0x71n, 0x85n],
    ["SFS.3, and its own rights", OPEN, RESERVED | PRESENT | USER, 0x72n, 0x85n],
    ["SFS.3, and neither a user's nor writable", PRESENT, RESERVED | OPEN, 0x72n, 0x81n],
    ["SGN.2, and not writable above", PRESENT | USER, PRESENT | WRITABLE, 0x81n, 0x85n],
  ])("%s: the first one alone is right", async (_, directory, page, first, second) => {
    for (const [code, verdict] of [
      [first, "match"],
      [second, "mismatch"],
    ] as const) {
      const outcome = await outcomeOf(directory, page, code);
      expect(outcome).toMatchObject({ code: `0x${first.toString(16)}`, verdict });
      expect(outcome).not.toHaveProperty("other_code");
    }
  });

  it.each([
    ["SFS.2 where all is granted", OPEN, 0n, "w", 0x71n],
    ["SFS.2 of a read", PRESENT | USER, 0n, "r", 0x71n],
    ["SFS.2, whose own rights are none", OPEN, WRITABLE, "w", 0x71n],
    ["SGN.2 of a read", OPEN, PRESENT, "r", 0x81n],
    ["SGN.6 alone", OPEN, PRESENT | USER, "w", 0x85n],
  ] as const)("%s: one code is", async (_, directory, page, access, code) => {
    const outcome = await outcomeOf(directory, page, code, access);
    expect(outcome).toMatchObject({ code: `0x${code.toString(16)}`, verdict: "match" });
    expect(outcome).not.toHaveProperty("other_code");
  });
});
