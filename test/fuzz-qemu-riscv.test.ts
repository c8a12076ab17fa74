/** How a QEMU with a RISC-V IOMMU is driven, on a machine that only keeps what is written (RISC-V IOMMU 1.0, chapters 3 to 5). */
import { beforeEach, describe, expect, it } from "vitest";
import { EDU_BYTES } from "../pipeline/emulator/edu.ts";
import type { EmulatedRequest, EmulatorDriver } from "../walkers/fuzz/emulator.ts";
import { VENDORS } from "../walkers/registry.ts";
import { FakeMachine } from "./support/fake-machine.ts";

const UNIT = 0x4100_0000n;
const FQT = UNIT + 0x34n;
const TR_REQ_CTL = UNIT + 0x260n;
const TR_RESPONSE = UNIT + 0x268n;
const REQUEST: EmulatedRequest = {
  device: 0x1_2345,
  pasid: undefined,
  address: 0x7f12_3456n,
  bytes: 8,
  access: "r",
  priv: false,
};

let driver: EmulatorDriver;
let machine: FakeMachine;
beforeEach(async () => {
  driver = (await VENDORS.riscv.fuzzing()).emulator!();
  machine = new FakeMachine();
  await driver.reset(machine);
  machine.written.length = 0;
});

/** The queue that a base register points to: PPN in bits 53:10. */
const queueAt = async (register: bigint) => ((await machine.read64(UNIT + register)) >> 10n) << 12n;

it("worlds begin with translation off, fresh queues, and after everything was invalidated", async () => {
  await driver.reset(machine);
  expect(machine.written[0]).toBe("41000010 = 0");
  const commands = await queueAt(0x18n);
  const words = [0n, 16n, 32n].map((offset) => machine.read64(commands + offset));
  // IODIR.INVAL_DDT, IOTINVAL.VMA, IOTINVAL.GVMA: opcode in bits 6:0, function in 9:7.
  expect((await Promise.all(words)).map((word) => [word & 0x7fn, (word >> 7n) & 7n])).toEqual([
    [3n, 0n],
    [1n, 0n],
    [1n, 1n],
  ]);
  driver.configure(machine, { ddtp: 0x2050_0003n });
  expect(machine.written.at(-1)).toBe("41000010 = 20500003");
});

it("has a fault queue that takes a record of each byte of the longest copy", async () => {
  await driver.reset(machine);
  // fqb: LOG2SZ - 1 in bits 4:0; the queue is full with one record less.
  const records = 2 ** (Number((await machine.read64(UNIT + 0x28n)) & 0x1fn) + 1) - 1;
  expect(records).toBeGreaterThanOrEqual(EDU_BYTES);
  expect((await queueAt(0x28n)) % BigInt(32 * (records + 1))).toBe(0n);
});

it("is asked nothing that it takes for something else: execution, process_id 0", () => {
  expect(driver.limits.accesses).not.toContain("x");
  expect(driver.limits.leastPasid).toBe(1);
});

describe("the translation-request interface", () => {
  it.each<[string, Partial<EmulatedRequest>, bigint]>([
    ["a read", {}, 0x0123_4500_0000_0009n],
    ["an atomic", { access: "rw" }, 0x0123_4500_0000_0001n],
    ["a privileged read", { priv: true, pasid: 5 }, 0x0123_4501_0000_500bn],
    ["a read with a process_id", { pasid: 0xabcde }, 0x0123_4501_abcd_e009n],
  ])("%s", async (_name, given, control) => {
    machine.set(TR_RESPONSE, 0x12345n << 10n, 8);
    await driver.ask!(machine, { ...REQUEST, ...given });
    expect(await machine.read64(TR_REQ_CTL)).toBe(control);
    expect(await machine.read64(UNIT + 0x258n)).toBe(REQUEST.address);
  });

  it("cannot ask for a write alone, nor of two pages", async () => {
    expect(await driver.ask!(machine, { ...REQUEST, access: "w" })).toBeNull();
    expect(await driver.ask!(machine, { ...REQUEST, address: 0xffcn })).toBeNull();
    expect(await driver.ask!(machine, { ...REQUEST, address: 0xff8n })).not.toBeNull();
  });

  it("gives a page", async () => {
    machine.set(TR_RESPONSE, 0x12345n << 10n, 8);
    expect(await driver.ask!(machine, REQUEST)).toEqual({ result: "ok", pa: 0x1234_5456n });
  });

  it("gives where a large page begins: how large it is shows in what is answered around the address", async () => {
    const ADDRESS = 0x12_3456_7abcn;
    for (const [shift, pa] of [
      // It could be one of 64 KiB whose other entries are not there.
      [12n, undefined],
      [16n, 0x8000_7abcn],
      [21n, 0x8016_7abcn],
      [22n, 0x8016_7abcn],
      [30n, 0xb456_7abcn],
    ] as const) {
      const mapped = new (class extends FakeMachine {
        override async read64(address: bigint): Promise<bigint> {
          const asked = await super.read64(UNIT + 0x258n);
          if (address !== TR_RESPONSE) return super.read64(address);
          return asked >> shift === ADDRESS >> shift ? 0x8_0000n << 10n : 1n;
        }
      })();
      await driver.reset(mapped);
      expect(await driver.ask!(mapped, { ...REQUEST, address: ADDRESS, bytes: 1 })).toEqual({
        result: "ok",
        ...(pa === undefined ? {} : { pa }),
      });
    }
  });

  it("before 10.1 does not tell where it leads", async () => {
    expect(driver.untold!(10)).toEqual([expect.stringContaining("tr_response")]);
    expect(driver.untold!(11.1)).toEqual([]);
    driver.machine(10);
    machine.set(TR_RESPONSE, 0x12345n << 10n, 8);
    expect(await driver.ask!(machine, REQUEST)).toEqual({ result: "ok" });
    driver.machine(11.1);
    expect(await driver.ask!(machine, REQUEST)).toEqual({ result: "ok", pa: 0x1234_5456n });
  });

  it("gives 56 bits: an address that passes is the same above them", async () => {
    machine.set(TR_RESPONSE, (0xff12_3456_7123_4000n >> 2n) & 0x3f_ffff_ffff_fc00n, 8);
    for (const [address, pa] of [
      [0xff12_3456_7123_4010n, 0xff12_3456_7123_4010n],
      [0xff99_3456_7123_4010n, 0x12_3456_7123_4010n],
    ] as const)
      expect(await driver.ask!(machine, { ...REQUEST, address })).toEqual({ result: "ok", pa });
  });

  it("gives a fault, whose cause is in the queue where there is a record", async () => {
    machine.set(TR_RESPONSE, 1n, 8);
    expect(await driver.ask!(machine, REQUEST)).toEqual({ result: "fault" });
    machine.set(await queueAt(0x28n), 0x0001_2345_0000_0102n, 8);
    machine.set(FQT, 1n, 4);
    expect(await driver.ask!(machine, REQUEST)).toEqual({ result: "fault", code: 0x102 });
    expect(await driver.ask!(machine, REQUEST)).toEqual({ result: "fault" });
  });
});

describe("what became of a device's request", () => {
  const line = (iova: string, output: string) =>
    `7@1700000000.000000:riscv_iommu_dma riscv-iommu: translate 0000:03.0 #0 RO ${iova} -> ${output}`;

  it.each([
    [
      "two pages",
      [line("0x7f123456", "0x81450000"), line("0x7f124000", "0x81471000")],
      {
        result: "ok",
        pa: 0x8145_0456n,
        furtherPages: [0x8147_1000n],
        cached: true,
        unsure: [0x7f12_3456n, 0x7f12_4000n],
      },
    ],
    [
      "a second page at the same address",
      [line("0x7f123ffc", "0x81450ffc"), line("0x7f124000", "0x7f124000")],
      {
        result: "ok",
        pa: 0x8145_0ffcn,
        furtherPages: [0x7f12_4000n],
        cached: true,
        unsure: [0x7f12_3ffcn, 0x7f12_4000n],
      },
    ],
    [
      "the same address: passed, or refused without a record",
      [line("0x7f123456", "0x7f123456")],
      { result: "ok", pa: 0x7f12_3456n, furtherPages: [], cached: true, unsure: [0x7f12_3456n] },
    ],
    ["one that leads nowhere: a fault without a record", [line("0x7f123456", "0x0")], null],
    ["nothing: it did not come to the IOMMU", [], null],
  ])("%s", (_name, lines, answer) => {
    expect(driver.answer(lines, REQUEST.address, null, false)).toEqual(answer);
  });

  it("a write: the IOMMU is asked only where it would write over its own address", () => {
    const lines = [line("0x7f123ffc", "0x81450ffc"), line("0x7f124000", "0x7f124000")];
    expect(driver.answer(lines, REQUEST.address, null, true)).toMatchObject({ unsure: [0x7f12_4000n] });
  });

  it("a fault with its record", async () => {
    machine.set(await queueAt(0x28n), 0x0000_1800_0000_000dn, 8);
    machine.set(FQT, 1n, 4);
    const record = await driver.faultRecord!(machine);
    expect(driver.answer([line("0x7f123456", "0x0")], REQUEST.address, record, false)).toEqual({
      result: "fault",
      code: 0xd,
      recorded: true,
    });
  });
});

it("what is read as a table in registers, flash or a window of PCIe is not known, nor what it boots from", () => {
  const isForeign = (address: bigint) =>
    driver.limits.foreign!.some(({ base, bytes }) => address >= base && address < base + bytes);
  const foreign = [0x1000n, 0x200_0840n, 0x3fff_f000n, 0x7fff_f000n, 0x8010_0000n, 0x4_8140_0000n];
  expect(foreign.map(isForeign)).not.toContain(false);
  // Memory, and what no device answers for: a load there fails, as it should.
  expect([0n, 0x8000_0000n, 0x2_8140_8000n, 0x10_8142_c000n].map(isForeign)).not.toContain(true);
});
