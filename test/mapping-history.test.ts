import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { durationText, historyText } from "../pipeline/mappings/history-text.ts";
import { MappingHistory, type MapRecord, type RefusedRequest } from "../pipeline/mappings/mapping-history.ts";

const DEV = "0000:02:00.0";
const BUFFER: MapRecord = { dev: DEV, addr: 0xfff0_0800n, size: 0x1800n, pa: 0x1234_0800n, access: "w" };
const moment = (line: number, seconds?: number) => ({ line, seconds });
const request = (fields: Partial<RefusedRequest> = {}): RefusedRequest => ({
  dev: DEV,
  addr: 0xfff0_1000n,
  span: 16n,
  access: "w",
  ...fields,
});

function historyOf(...records: [kind: "map" | "unmap", record: MapRecord][]): MappingHistory {
  const history = new MappingHistory();
  records.forEach(([kind, record], i) => {
    history[kind](record, moment(i + 1, 10 + i));
  });
  return history;
}

describe("what came before a fault", () => {
  it.each([
    ["mapped", [["map", BUFFER]], {}],
    ["mapped", [["map", { ...BUFFER, access: undefined }]], { access: "r" }],
    ["wrong-direction", [["map", BUFFER]], { access: "r" }],
    ["wrong-direction", [["map", { ...BUFFER, access: "r" }]], { access: "w" }],
    ["mapped", [["map", { ...BUFFER, access: "rw" }]], { access: "r" }],
    [
      "use-after-unmap",
      [
        ["map", BUFFER],
        ["unmap", BUFFER],
      ],
      {},
    ],
    // Mapped anew: what has ended no longer tells.
    [
      "mapped",
      [
        ["map", BUFFER],
        ["unmap", BUFFER],
        ["map", BUFFER],
      ],
      {},
    ],
    ["beyond-buffer", [["map", BUFFER]], { addr: 0xfff0_2000n }],
    ["never-mapped", [["map", BUFFER]], { addr: 0xfff0_3001n }],
    ["never-mapped", [["map", BUFFER]], { addr: 0x1000n }],
    ["other-device", [["map", BUFFER]], { dev: "0000:03:00.0" }],
    ["not-traced", [["map", BUFFER]], { dev: "0000:03:00.0", addr: 0x1000n }],
    // A log's address of a page, of which the buffer has a part.
    ["mapped", [["map", BUFFER]], { addr: 0xfff0_0000n, span: 4096n }],
    // Page tables that name no device.
    ["mapped", [["map", { ...BUFFER, dev: undefined, access: undefined }]], {}],
    [
      "use-after-unmap",
      [
        ["map", { ...BUFFER, dev: undefined }],
        ["unmap", { ...BUFFER, dev: undefined }],
      ],
      {},
    ],
  ] as const)("%s", (cause, records, fields) => {
    const history = historyOf(...(records as unknown as Parameters<typeof historyOf>));
    expect(history.of(request(fields), moment(99)).cause).toBe(cause);
  });

  it("a device is the same with its segment and without", () => {
    expect(historyOf(["map", { ...BUFFER, dev: "02:00.0" }]).of(request(), moment(99)).cause).toBe("mapped");
  });

  it("what is unmapped in part stands on beside it", () => {
    const history = historyOf(["map", BUFFER], ["unmap", { dev: DEV, addr: 0xfff0_1000n, size: 0x400n }]);
    const cause = (addr: bigint) => history.of(request({ addr, span: 1n }), moment(99)).cause;
    expect([0xfff0_0fffn, 0xfff0_1000n, 0xfff0_13ffn, 0xfff0_1400n].map(cause)).toEqual([
      "mapped",
      "use-after-unmap",
      "use-after-unmap",
      "mapped",
    ]);
    expect(history.of(request({ addr: 0xfff0_1400n, span: 1n }), moment(99)).mapping).toMatchObject({
      pa: 0x1234_1400n,
    });
  });

  it("what happened after the fault does not count", () => {
    const history = historyOf(["map", BUFFER], ["unmap", BUFFER], ["map", { ...BUFFER, access: "r" }]);
    const cause = (seconds: number) => history.of(request(), moment(99, seconds)).cause;
    // Mapped at 10 s, unmapped at 11 s, mapped for reading at 12 s.
    expect([9.9, 10.5, 11.5, 12.5].map(cause)).toEqual([
      "never-mapped",
      "mapped",
      "use-after-unmap",
      "wrong-direction",
    ]);
  });

  it("is said in a sentence", () => {
    const text = (history: MappingHistory, fields: Partial<RefusedRequest>, at = moment(9, 12.0031)) =>
      historyText(history.of(request(fields), at), request(fields), at);
    const unmapped = historyOf(["map", BUFFER], ["unmap", BUFFER]);
    expect(text(unmapped, {}, moment(9, 11.0031))).toBe(
      "use after unmap: 0xfff00800-0xfff01fff was mapped DMA_FROM_DEVICE for 0000:02:00.0 until 3.1 ms before the fault, then unmapped",
    );
    expect(text(unmapped, {}, moment(9))).toContain("until line 2, before the fault");
    expect(text(historyOf(["map", BUFFER]), { access: "r" })).toBe(
      "wrong direction: 0xfff00800-0xfff01fff is mapped DMA_FROM_DEVICE, and the device reads",
    );
    expect(text(historyOf(["map", BUFFER]), { addr: 0xfff0_2040n })).toBe(
      "beyond the buffer: 64 bytes past the end of 0xfff00800-0xfff01fff, which is mapped DMA_FROM_DEVICE",
    );
  });

  it("durations have the unit that fits", () => {
    expect([2.5, 31, 0.0031, 0.25, 0.000012].map(durationText)).toEqual([
      "2.5 s",
      "31 s",
      "3.1 ms",
      "250 ms",
      "12 µs",
    ]);
  });
});

describe("any mappings and unmappings", () => {
  const PAGES = 24;
  const range = fc.record({ first: fc.nat(PAGES - 1), pages: fc.integer({ min: 1, max: 6 }) });
  const step = fc.record({ map: fc.boolean(), range });

  it("a byte is mapped exactly where the steps, one by one, leave it so", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const history = new MappingHistory();
        /** How often each page is mapped at the moment. */
        const standing = new Array<number>(PAGES + 6).fill(0);
        const ever = new Set<number>();
        steps.forEach(({ map, range: { first, pages } }, i) => {
          const record = { dev: DEV, addr: BigInt(first) << 21n, size: BigInt(pages) << 21n };
          if (map) history.map(record, moment(i));
          else history.unmap(record, moment(i));
          for (let page = first; page < first + pages; page++) {
            standing[page] = map ? standing[page]! + 1 : 0;
            if (map) ever.add(page);
          }
        });
        standing.forEach((count, page) => {
          const { cause } = history.of(
            request({ addr: (BigInt(page) << 21n) + 0x2000n, span: 1n }),
            moment(99),
          );
          expect(cause === "mapped").toBe(count > 0);
          expect(cause === "use-after-unmap").toBe(count === 0 && ever.has(page));
        });
      }),
    );
  });
});
