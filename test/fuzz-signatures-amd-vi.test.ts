import { describe, expect, it } from "vitest";
import type { DeviceAnswer } from "../pipeline/device/answer.ts";
import { fuzz } from "../pipeline/fuzz/campaign.ts";
import { judgeWorld, observedRecords } from "../pipeline/fuzz/judge.ts";
import { LocalDevice } from "../pipeline/fuzz/local-device.ts";
import { signaturesOf } from "../pipeline/fuzz/signature.ts";
import { NO_ALIASES } from "../pipeline/verdicts/comparison.ts";
import { DeviceTableEntry } from "../walkers/amd-vi/device-table-entry.ts";
import type { WorldRecord } from "../walkers/fuzz/world.ts";
import { AmdV1Directory, AmdV1Entry } from "../walkers/page-tables/amd-v1.ts";
import { VENDORS } from "../walkers/registry.ts";

const DTE = 0x300;
const ROOT = 0x5000;
const TABLE = 0x6000;
const LEAF = 0x7000;
const RIGHTS = { IR: 1, IW: 1 };

function mem(addr: number, bytes: Uint8Array): WorldRecord {
  return { type: "mem", addr: `0x${addr.toString(16)}`, data: Buffer.from(bytes).toString("hex") };
}

const PLAIN_DTE = { V: 1, TV: 1, MODE: 3, HPTROOT: ROOT >> 12, ...RIGHTS };
const leaf = (values = {}) => AmdV1Entry.build({ PR: 1, ADDR: 0x9, ...RIGHTS, ...values });
const directory = (table: number, level: number, values = {}) =>
  AmdV1Directory.build({ PR: 1, NEXT_LEVEL: level, ADDR: table >> 12, ...RIGHTS, ...values });

/** A device 00:03.0 with one page at 0, and 3 levels. */
function world(...changes: WorldRecord[]): WorldRecord[] {
  return [
    { type: "ram", addr: "0x0", size: "0x10000" },
    mem(DTE, DeviceTableEntry.build(PLAIN_DTE)),
    mem(ROOT, directory(TABLE, 2)),
    mem(TABLE, directory(LEAF, 1)),
    mem(LEAF, leaf()),
    ...changes,
    { type: "iommu", id: "iommu0", model: "amd" },
  ];
}

const read = (seq = 1, access = "r"): WorldRecord => ({
  ...{ type: "dma", seq, iommu: "iommu0", dev: "00:03.0", addr: "0x0", len: 1, access },
});
const PAGE: DeviceAnswer = { result: "ok", pa: "0x9000" };
const event = (code: string): DeviceAnswer => ({ result: "fault", code, recorded: true });
const UNRECORDED: DeviceAnswer = { result: "fault", recorded: false };

async function signatures(records: readonly WorldRecord[], ...answers: DeviceAnswer[]): Promise<string[]> {
  const observed = observedRecords(records, answers);
  const fuzzing = await VENDORS.amd.fuzzing();
  return signaturesOf(observed, judgeWorld(observed), NO_ALIASES, false, fuzzing).map(({ text }) => text);
}

describe("the signature of a departure", () => {
  it("says what the one code of AMD-Vi is for", async () => {
    const denying = world(
      mem(TABLE, directory(LEAF, 1, { IR: 0 })),
      mem(DTE, DeviceTableEntry.build(PLAIN_DTE)),
    );
    expect(await signatures([...denying, read()], PAGE)).toEqual([
      "AMD-Vi v1 page directory entry.IR: mismatch: IO_PAGE_FAULT (0x2), PERMISSION → ok",
    ]);
  });

  it("names reserved bits that are set, and that the specification lets pass, before fields", async () => {
    const bytes = DeviceTableEntry.build(PLAIN_DTE);
    bytes[24] = 1;
    expect(await signatures([...world(mem(DTE, bytes)), read()], event("0x1"))).toEqual([
      "Device table entry.reserved bits: mismatch: ok → 0x1",
    ]);
  });

  it("names the level that skips others, where they are walked", async () => {
    const skipping = world(mem(ROOT, directory(LEAF, 1)));
    // At level 2, the entry at 0 is taken for a page of 2 MiB: its address loses bits 20:12.
    expect(await signatures([...skipping, read()], { result: "ok", pa: "0x0" })).toEqual([
      "AMD-Vi v1 page directory entry.NEXT_LEVEL: mismatch: ok → ok",
    ]);
  });

  it("names no field that would suppress a record which is missing", async () => {
    const without = world(mem(DTE, DeviceTableEntry.build({ ...PLAIN_DTE, TV: 0 })));
    expect(await signatures([...without, read()], UNRECORDED)).toEqual([
      "Device table entry: mismatch: IO_PAGE_FAULT (0x2), BAD_DEVICE_CONTEXT → fault (record)",
    ]);
  });

  it("is that of the mistake by which a cache was filled", async () => {
    const reserved = leaf();
    reserved[7]! |= 1;
    const [first, second, ...more] = await signatures(
      [...world(mem(LEAF, reserved)), read(1), mem(LEAF, new Uint8Array(8)), read(2)],
      PAGE,
      PAGE,
    );
    expect(first).toBe(
      "AMD-Vi v1 page translation entry.reserved bits: mismatch: IO_PAGE_FAULT (0x2), BAD_PTE → ok",
    );
    expect([second, ...more]).toEqual([first]);
  });

  it("is another one where a translation that was right is used after its invalidation", async () => {
    const cleared = mem(LEAF, new Uint8Array(8));
    const invalidation = { type: "cmd", iommu: "iommu0", data: ["0x8000000000000000", "0x0"] };
    expect(await signatures([...world(), read(1), cleared, invalidation, read(2)], PAGE, PAGE)).toEqual([
      expect.stringContaining("stale-after-invalidation"),
    ]);
  });
});

it("shrinks a departure to one of the same field", async () => {
  const bugs = (await VENDORS.amd.fuzzing()).bugs.filter(({ name }) => name === "skipped-levels");
  const found: string[] = [];
  const report = await fuzz(new LocalDevice("amd", { bugs, habits: new Set() }), {
    seed: 5,
    worlds: 200,
    goesOn: () => found.length === 0,
    isKnown: () => false,
    shrinks: true,
    onFinding: ({ signature, records }) => {
      found.push(signature.where);
      expect(records.length).toBeLessThanOrEqual(12);
    },
    onFailure: (failure) => {
      throw failure;
    },
  });
  expect(report.findings.length).toBeGreaterThan(0);
  expect(found).toContain("AMD-Vi v1 page directory entry.NEXT_LEVEL");
});
