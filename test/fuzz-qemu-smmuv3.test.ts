/** How a QEMU with an SMMUv3 is driven, on a machine that only keeps what is written (IHI 0070, 6.3, 4.4, 7.3). */
import { beforeEach, describe, expect, it } from "vitest";
import type { EmulatorDriver } from "../walkers/fuzz/emulator.ts";
import { VENDORS } from "../walkers/registry.ts";
import { FakeMachine } from "./support/fake-machine.ts";

const SMMU = 0x905_0000n;
const CMDQ_PROD = SMMU + 0x98n;
const EVENTQ_PROD = SMMU + 0x1_00a8n;
const WORLD = { cr0: 0xdn, strtab_base: 0x4040_0000n, strtab_base_cfg: 6n };

let driver: EmulatorDriver;
let machine: FakeMachine;
beforeEach(async () => {
  driver = (await VENDORS["arm-smmuv3"].fuzzing()).emulator!();
  machine = new FakeMachine();
  driver.machine(11.1);
  await driver.reset(machine);
  machine.written.length = 0;
});

const queueAt = async (register: bigint) => (await machine.read64(SMMU + register)) & ~0x1fn;

describe("worlds", () => {
  it("have their stream table before translation is on", () => {
    driver.configure(machine, WORLD);
    const order = ["9050080 = 40400000", "9050088 = 6", "9050020 = d"];
    expect(machine.written.filter((line) => order.includes(line))).toEqual(order);
  });

  it("begin with empty queues, no error, and after all caches were invalidated", async () => {
    machine.set(SMMU + 0x60n, 1n, 4);
    await driver.reset(machine);
    expect(await machine.read32(SMMU + 0x64n)).toBe(1);
    const commands = await queueAt(0x90n);
    const opcodes = [await machine.read64(commands), await machine.read64(commands + 16n)];
    expect(opcodes.map((word) => word & 0xffn)).toEqual([0x04n, 0x30n]);
    expect(await machine.read64(commands + 8n)).toBe(31n);
    expect(machine.written.at(-1)).toBe("9050020 = 0");
  });

  it("with a linear stream table share no machine with those of two levels", () => {
    expect(driver.imprint!(WORLD)).not.toBe(driver.imprint!({ ...WORLD, strtab_base_cfg: 0x1_0188n }));
    expect(driver.imprint!(WORLD)).toBe(driver.imprint!({ ...WORLD, strtab_base_cfg: 0x188n }));
    // A reserved format does not make it take two levels (6.3.25).
    expect(driver.imprint!(WORLD)).toBe(driver.imprint!({ ...WORLD, strtab_base_cfg: 0x2_0188n }));
  });

  it("have all that a trace says nothing of enabled", () => {
    driver.configure(machine, {});
    expect(machine.written).toContain("905002c = 3");
    expect(machine.written.at(-1)).toBe("9050020 = d");
  });
});

it("commands go around the queue, whose index has a bit that says so", async () => {
  const commands = await queueAt(0x90n);
  for (let i = 0; i < 300; i++) driver.command(machine, [0x46n | (BigInt(i) << 32n), 0n]);
  // Two of them are those of the reset.
  expect(await machine.read32(CMDQ_PROD)).toBe(302);
  expect((await machine.read64(commands + 16n * BigInt(301 - 256))) >> 32n).toBe(299n);
});

describe("what became of a request", () => {
  const TIME = "77@1700000000.000000:";
  const MISS = `${TIME}smmuv3_config_cache_miss Config cache MISS for sid=0x18 (hits=0, misses=1, hit rate=0)`;
  const OK =
    "smmuv3_translate_success smmuv3-iommu-memory-region-24-1 sid=0x18 iova=0x1234 translated=0x40409234 perm=0x3 stage=1";
  const BYPASS =
    "smmuv3_translate_bypass smmuv3-iommu-memory-region-24-1 sid=0x18 STE bypass iova:0x1234 is_write=0";
  const ABORT =
    "smmuv3_translate_abort smmuv3-iommu-memory-region-24-1 sid=0x18 abort on iova:0x1234 is_write=0";

  it.each([
    ["a translation", [MISS, OK], { result: "ok", pa: 0x4040_9234n, furtherPages: [] }],
    ["a bypass", [MISS, BYPASS], { result: "ok", pa: 0x1234n, furtherPages: [] }],
    ["an abort, which has no event", [MISS, ABORT], { result: "fault", recorded: false }],
    [
      "a second page of which nothing is said: CD.R is 0",
      [MISS, OK, MISS],
      { result: "fault", recorded: false },
    ],
    ["nothing: it did not come to the SMMU", [], null],
  ])("%s", (_name, lines, answer) => {
    expect(driver.answer(lines, 0x1234n, null, false)).toEqual(answer);
  });

  it.each([
    // Records of QEMU 11.1, as they were recorded.
    [
      "1000000040000000000000008802000040d41fce0500000040d41f4e00000000",
      { code: 0x10, stage: 2, faultClass: "IN" },
    ],
    [
      "0b000000500000000000000008010000c08ea0e41c0000002809b6a75e000000",
      { code: 0xb, stage: 1, faultClass: "TT" },
    ],
    ["0200000080000000000000000000000000000000000000000000000000000000", { code: 0x2 }],
  ])("the event %s", async (event, answer) => {
    const events = await queueAt(0xa0n);
    machine.put(events, event);
    machine.put(events + 32n, "ff".repeat(32));
    // Of two pages that fault, the first one counts.
    machine.set(EVENTQ_PROD, 2n, 4);
    const record = await driver.faultRecord!(machine);
    expect(driver.answer([MISS, OK], 0x1234n, record, false)).toEqual({
      result: "fault",
      recorded: true,
      ...answer,
    });
    expect(machine.written).toContain("90600ac = 2");
    expect(await driver.faultRecord!(machine)).toBeNull();
  });
});
