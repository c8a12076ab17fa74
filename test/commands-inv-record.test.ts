import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Devices } from "../parsers/trace/devices.ts";
import { fromInvRecord } from "../parsers/trace/inv-record.ts";
import type { RecordOf } from "../parsers/trace/schema.ts";
import {
  ANY,
  BOTH_STAGES,
  CONTEXT_CACHE,
  coversDevice,
  DEVICE_TLB,
  IOTLB,
  PAGING_STRUCTURES,
  PASID_CACHE,
} from "../walkers/invalidation.ts";
import { MAX64, rangeOf, word } from "./support/command-words.ts";

const devices = new Devices();
const dev = devices.parse("00:03.0");
if (typeof dev === "string") throw new Error(dev);

type Inv = RecordOf<"inv">;
const convert = (record: Omit<Inv, "type">) => fromInvRecord({ type: "inv", ...record } as Inv);
const converted = (record: Omit<Inv, "type">) => {
  const out = convert(record);
  if (typeof out === "string") throw new Error(out);
  return out;
};

describe("fromInvRecord", () => {
  it.each([
    ["all", CONTEXT_CACHE | PASID_CACHE | IOTLB | PAGING_STRUCTURES | DEVICE_TLB],
    ["context", CONTEXT_CACHE],
    ["pasid", PASID_CACHE],
    ["iotlb", IOTLB | PAGING_STRUCTURES],
    ["devtlb", DEVICE_TLB],
  ] as const)("cache %s", (cache, caches) => {
    expect(converted({ cache, granularity: "global" })).toMatchObject({ caches, stage: BOTH_STAGES });
  });

  it("uses the tags of its granularity and no others", () => {
    const tags = { domain: 5, asid: 6, pasid: 7, dev, addr: word(0x1000n), size: word(0x2000n) };
    const at = (granularity: Inv["granularity"]) => converted({ cache: "iotlb", granularity, ...tags });
    expect(at("global")).toMatchObject({
      domain: ANY,
      asid: ANY,
      pasid: ANY,
      anyDevice: true,
      hasAddress: false,
    });
    expect(at("domain")).toMatchObject({
      domain: 5,
      asid: ANY,
      pasid: ANY,
      anyDevice: true,
      hasAddress: false,
    });
    expect(at("device")).toMatchObject({ domain: 5, asid: ANY, pasid: ANY, anyDevice: false, device: 0x18 });
    expect(at("pasid")).toMatchObject({ domain: 5, asid: 6, pasid: 7, device: 0x18, hasAddress: false });
    expect(at("page")).toMatchObject({ domain: 5, asid: 6, pasid: 7, device: 0x18, hasAddress: true });
    expect(coversDevice(at("device"), 0x19)).toBe(false);
  });

  it("global entries are covered by address, not by ASID alone", () => {
    expect(converted({ cache: "iotlb", granularity: "pasid", asid: 6 }).global).toBe(false);
    expect(converted({ cache: "iotlb", granularity: "page", asid: 6, addr: word(0n) }).global).toBe(true);
  });

  it("leaf spares paging structures", () => {
    expect(converted({ cache: "iotlb", granularity: "global", leaf: true })).toMatchObject({
      caches: IOTLB,
      leafOnly: true,
    });
  });

  it("ranges are taken as they are, and end with the address space", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, MAX64), fc.bigInt(1n, MAX64), (addr, size) => {
        const inv = converted({ cache: "iotlb", granularity: "page", addr: word(addr), size: word(size) });
        const last = addr + size - 1n;
        expect(rangeOf(inv)).toEqual([addr, last > MAX64 ? MAX64 : last]);
      }),
    );
    expect(rangeOf(converted({ cache: "iotlb", granularity: "page", addr: word(0x5000n) }))).toEqual([
      0x5000n,
      0x5fffn,
    ]);
    expect(
      rangeOf(converted({ cache: "iotlb", granularity: "page", addr: word(0n), size: word(1n << 32n) })),
    ).toEqual([0n, 0xffff_ffffn]);
  });

  it.each([
    ["domain", 'inv: expected domain with granularity "domain", found none'],
    ["device", 'inv: expected dev with granularity "device", found none'],
    ["pasid", 'inv: expected pasid or asid with granularity "pasid", found neither'],
    ["page", 'inv: expected addr with granularity "page", found none'],
  ] as const)("refuses granularity %s without its tag", (granularity, message) => {
    expect(convert({ cache: "iotlb", granularity })).toBe(message);
  });

  it("refuses an empty range", () => {
    expect(convert({ cache: "iotlb", granularity: "page", addr: word(0n), size: word(0n) })).toBe(
      "inv.size: expected at least 1 byte, found 0",
    );
  });
});
