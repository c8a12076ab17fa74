import { describe, expect, it } from "vitest";
import { Radix, Scenario } from "./support/cache-scenario.ts";

const DEV = "00:03.0";
const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const MAPPED = 0x1000_0000n;
const UNMAPPED = 0x1000_1000n;
const READ_ONLY = 0x1000_2000n;
/** VT-d legacy mode, Table 30: no write permission, no read permission. */
const NO_WRITE = "0x5";
const NO_READ = "0x6";

/** Legacy mode, device 00:03.0 behind a second stage with a page, one that may only be read, and a hole. */
function machine(): Scenario {
  const s = new Scenario("intel", { rtaddr: ROOT });
  const format = { levels: 4, bits: 9, pageBits: 12, table: (next: bigint) => next | 3n };
  const table = new Radix(s, { ...format, leaf: (pa) => pa | (pa === 0x9000_0000n ? 1n : 3n) });
  s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x180n, table.root | 1n, 0x902n);
  table.map(MAPPED, 0x8000_0000n).map(READ_ONLY, 0x9000_0000n);
  return s;
}

const log = (s: Scenario, fields: object) => s.add({ type: "fault", iommu: "unit", dev: DEV, ...fields });
const line = (s: Scenario) => s.lines.length;
async function findings(s: Scenario) {
  return (await s.run()).of("finding").map(({ line, rule, message, request_line }) => ({
    ...{ line, rule, message },
    ...(request_line === undefined ? {} : { request_line }),
  }));
}

describe("faults that were logged on their own", () => {
  it("are paired by device and page, each request once", async () => {
    const s = machine();
    s.dma({ dev: DEV, addr: UNMAPPED + 0x123n });
    log(s, { addr: "0x10001000", code: NO_READ, access: "r" });
    expect(await findings(s)).toEqual([]);
    log(s, { addr: "0x10001000", code: NO_READ });
    const [finding] = await findings(s);
    expect(finding).toMatchObject({ line: line(s), rule: "unexplained-fault" });
    expect(finding!.message).toMatch(
      /found that the .*line \d+ faults with code 0x6 .*, and is logged already$/,
    );
  });

  it.each([
    ["its code is another", { code: "0x3" }],
    ["its reason is another", { reason: "PERMISSION" }],
    ["it was a write", { access: "w" }],
    ["it was a read for execute", { access: "x" }],
    ["both, and the code decides", { code: "0x3", reason: "PTE_FETCH" }],
  ])("are not explained by a request where %s", async (_, fields) => {
    const s = machine();
    s.dma({ dev: DEV, addr: UNMAPPED, access: "r" });
    const request = line(s);
    log(s, { addr: "0x10001000", ...fields });
    expect(await findings(s)).toEqual([
      {
        line: line(s),
        rule: "unexplained-fault",
        message: `expected a request before it that faults like this, found that the read of line ${request} faults with code 0x6 (PTE_FETCH)`,
        request_line: request,
      },
      expect.objectContaining({ line: request, rule: "unlogged-fault" }),
    ]);
  });

  it.each([
    ["reason", { reason: "PTE_FETCH" }],
    ["code, whatever the reason", { code: NO_READ, reason: "PERMISSION" }],
    ["access", { access: "r" }],
    ["device", { addr: undefined }],
  ])("are explained by a request of the same %s", async (_, fields) => {
    const s = machine();
    s.dma({ dev: DEV, addr: UNMAPPED, access: "r" });
    log(s, { addr: "0x10001000", ...fields });
    expect(await findings(s)).toEqual([]);
  });

  it("an atomic is logged as a write, a read for execute as a read", async () => {
    const s = machine();
    s.dma({ dev: DEV, addr: READ_ONLY, access: "rw" });
    s.dma({ dev: DEV, addr: UNMAPPED, access: "x" });
    log(s, { addr: "0x10002000", access: "w", code: NO_WRITE });
    log(s, { addr: "0x10001000", access: "r" });
    expect(await findings(s)).toEqual([]);
  });

  it("seq says which of several requests it was", async () => {
    const s = machine();
    const seqs = [s.dma({ dev: DEV, addr: UNMAPPED }), s.dma({ dev: DEV, addr: UNMAPPED + 8n })];
    const first = line(s) - 1;
    log(s, { seq: seqs[1] });
    expect(await findings(s)).toEqual([expect.objectContaining({ line: first, rule: "unlogged-fault" })]);
  });

  it("say so where no request faults, or none there", async () => {
    const s = machine();
    s.dma({ dev: DEV, addr: MAPPED });
    log(s, { addr: "0x10000000", code: NO_READ });
    const text = "expected a request before it that faults like this, found none";
    expect((await findings(s)).map(({ message }) => message)).toEqual([`${text} that faults`]);
    s.dma({ dev: DEV, addr: UNMAPPED });
    log(s, { addr: "0x10007000" });
    expect((await findings(s)).map(({ message }) => message)).toContain(
      `${text}: the last request that faults is not of this device, PASID and address`,
    );
  });

  it("requests that should have been logged are missed only where there is a log", async () => {
    const s = machine();
    s.dma({ dev: DEV, addr: UNMAPPED });
    expect(await findings(s)).toEqual([]);
  });
});
