/** A riscv-iommu-pci from power-on: its registers are found as soon as the guest has mapped them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TableFollower } from "../cli/record/follower.ts";
import type { MachineIommu } from "../cli/record/machine.ts";
import { PageMap } from "../cli/record/page-map.ts";
import { askedRegisters, type PlacedMachine, Placement } from "../cli/record/placement.ts";
import { QEMU_IOMMUS } from "../parsers/logs/qemu-iommus.ts";
import { configSpaceOf, functionsOf } from "../parsers/qemu/monitor-text.ts";

const kind = QEMU_IOMMUS.find(({ model }) => model === "riscv")!;
const CONFIG = 0x30008000n;
const BASE = 0x400000000n;

describe("what the monitor says", () => {
  test("of PCI functions with an id: those on bus 0", () => {
    const text = [
      "  Bus  0, device   0, function 0:",
      "    Host bridge: PCI device 1b36:0008",
      "  Bus  0, device   1, function 0:",
      "    Class 2054: PCI device 1b36:0014",
      "      PCI subsystem 1b36:0014",
      "      BAR0: 64 bit memory (not mapped)",
      "  Bus  0, device  17, function 3:",
      "    Class 2054: PCI device 1b36:0014",
      "  Bus  2, device   4, function 0:",
      "    Class 2054: PCI device 1b36:0014",
      "",
    ].join("\r\n");
    expect(functionsOf(text, "1b36:0014")).toEqual([
      { slot: 1, fn: 0 },
      { slot: 17, fn: 3 },
    ]);
  });

  test("of the place of configuration space, where memory has it", () => {
    const line =
      "    0000000030000000-000000003fffffff (prio 0, container): alias pcie-ecam @pcie-mmcfg-mmio 0000000000000000-000000000fffffff owner:{dev path=/machine/unattached/device[15]}\r\n";
    expect(configSpaceOf(`address-space: memory\r\n${line}`)).toBe(0x30000000n);
    expect(configSpaceOf("address-space: memory\r\n")).toBe(null);
  });
});

describe("registers without a place", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "placement-"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("are read when the guest gives them one, and asked about from then on", async () => {
    let mapped = false;
    let looked = 0;
    const known: MachineIommu = { kind, id: "riscv-iommu", base: 0x3010000n, config: null };
    const machine: PlacedMachine & { isMemory: () => boolean; pageNow: () => null } = {
      iommus: [known, { kind, id: "00:01.0", base: null, config: CONFIG }],
      place: async () => {
        looked++;
        if (!mapped) return [];
        const placed = { kind, id: "00:01.0", base: BASE, config: CONFIG };
        Object.assign(machine, { iommus: [known, placed] });
        return [placed];
      },
      registers: async () => new Map([["capabilities", 0x10n]]),
      isMemory: () => false,
      pageNow: () => null,
    };
    expect(askedRegisters(machine)).toEqual([0x3010008n, 0x3010010n, CONFIG, CONFIG + 0x10n]);
    const map = new PageMap(join(folder, "map"), 1n << 36n);
    const iommus = ["riscv-iommu", "00:01.0"].map((id) => ({
      ...{ id, model: "riscv" as const, registers: new Map([["ddtp", 5n]]) },
    }));
    const start = { iommus, pages: new Map(), tables: new Map(), spent: false };
    const follower = new TableFollower(machine, map, iommus);
    const placement = new Placement(machine, map, follower, start);
    const store = (address: bigint) => placement.stored({ address, bytes: 4, value: 0n });
    await store(0x3010010n);
    expect(looked).toBe(0);
    await store(CONFIG + 0x14n);
    expect([looked, placement.iommus]).toEqual([1, iommus]);
    mapped = true;
    await store(CONFIG + 4n);
    expect(placement.iommus.map(({ registers }) => [...registers])).toEqual([
      [["ddtp", 5n]],
      [["capabilities", 0x10n]],
    ]);
    expect(askedRegisters(machine)).toEqual([0x3010008n, 0x3010010n, BASE + 8n, BASE + 0x10n]);
    const bytes = readFileSync(map.path).subarray(0, 4096);
    expect(bytes.includes(Buffer.from(BigUint64Array.of(BASE + 0x10n).buffer))).toBe(true);
    expect(bytes.readBigUInt64LE(32)).toBe(4n);
    // The guest moves nothing any more that anybody waits for.
    await store(CONFIG + 4n);
    expect(looked).toBe(2);
    // What it writes there is known by its name.
    expect(follower.stored({ address: BASE + 0x10n, bytes: 8, value: 1n })).toBe(
      "iotab_register 00:01.0 ddtp 0x1\n",
    );
    map.close();
  });
});
