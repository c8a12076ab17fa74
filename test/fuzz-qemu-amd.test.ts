/** How a QEMU with an AMD IOMMU is driven, on a machine that only keeps what is written (AMD 48882, 2.4, 2.5, 3.4). */
import { beforeEach, describe, expect, it } from "vitest";
import type { EmulatorDriver } from "../walkers/fuzz/emulator.ts";
import { VENDORS } from "../walkers/registry.ts";
import { FakeMachine } from "./support/fake-machine.ts";

const UNIT = 0xfed8_0000n;
const EVENT_LOG_TAIL = UNIT + 0x2018n;
const ADDRESS = 0x7f12_3456n;

let driver: EmulatorDriver;
let machine: FakeMachine;
beforeEach(async () => {
  driver = (await VENDORS.amd.fuzzing()).emulator!();
  machine = new FakeMachine();
  await driver.reset(machine);
  machine.written.length = 0;
});

const ringAt = async (register: bigint) => (await machine.read64(UNIT + register)) & 0xf_ffff_ffff_f000n;

it("a machine translates where its version has to be asked for it", () => {
  expect(driver.machine(11.1).join(" ")).toContain("dma-remap=on");
  expect(driver.machine(7.2).join(" ")).not.toContain("dma-remap");
});

it("worlds have their device table before translation is on, and devices are told of it", async () => {
  driver.configure(machine, { control: 0x1005n, dev_tab_base: 0x140_0001n });
  expect(machine.written.slice(0, 2)).toEqual(["fed80000 = 1400001", "fed80018 = 1005"]);
  const commands = await ringAt(0x8n);
  // Behind the one of the reset: INVALIDATE_DEVTAB_ENTRY of each device, and INVALIDATE_IOMMU_ALL.
  const words: bigint[] = [];
  for (let i = 1n; i < 6n; i++) words.push(await machine.read64(commands + 16n * i));
  expect(words.map((word) => word >> 60n)).toEqual([2n, 2n, 2n, 2n, 8n]);
  expect(words.slice(0, 4).map((word) => word & 0xffffn)).toEqual([0x18n, 0x20n, 0x21n, 0xf0n]);
});

it("lets requests through without the bit that enables, and then translates as before", () => {
  driver.configure(machine, { control: 0x1405n });
  machine.written.length = 0;
  driver.forward!(machine, true);
  driver.forward!(machine, false);
  expect(machine.written).toEqual(["fed80018 = 0", "fed80018 = 1405"]);
});

describe("what became of a request", () => {
  const result = (hpa: string) =>
    `9@1700000000.000000:amdvi_translation_result devid: 00:03.0 gpa 0x7f123456 hpa ${hpa}`;
  const cached = "amdvi_cache_update update iotlb domid 0x2 devid: 00:03.0 gpa 0x7f123456 hpa 0x1450000";

  it.each([
    ["nothing: it did not come to the IOMMU", [], null],
    [
      "a page that can be of 4 KiB alone",
      [cached, result("0x1451000")],
      { result: "ok", places: [0x145_1456n] },
    ],
    [
      "a page of 4 to 128 KiB",
      [cached, result("0x1460000")],
      { result: "ok", places: [0x146_0456n, 0x146_1456n, 0x146_3456n] },
    ],
    ["where it came from", [result("0x7f123000")], { result: "ok", places: [0x7f12_3456n] }],
    ["nothing was found", [result("0x0")], { result: "fault", recorded: false }],
    [
      "a denial without an event",
      ["amdvi_page_fault error: page fault accessing guest physical address 0x7f123456", result("0x0")],
      { result: "fault", recorded: false },
    ],
  ])("%s", (_name, lines, answer) => {
    expect(driver.answer(lines, ADDRESS, null, false)).toEqual(answer);
  });

  it("events of commands are passed over; of several the first one counts", async () => {
    const events = await ringAt(0x10n);
    // ILLEGAL_COMMAND_ERROR, IO_PAGE_FAULT, ILLEGAL_DEV_TABLE_ENTRY.
    for (const [i, code] of [5n, 2n, 1n].entries()) machine.set(events + 16n * BigInt(i), code << 60n, 8);
    machine.set(EVENT_LOG_TAIL, 48n, 8);
    const record = await driver.faultRecord!(machine);
    expect(driver.answer([], ADDRESS, record, false)).toEqual({ result: "fault", code: 2, recorded: true });
    expect(machine.written.at(-1)).toBe("fed82010 = 30");
    expect(await driver.faultRecord!(machine)).toBeNull();
  });
});
