/** What is known of a RISC-V IOMMU, where it does several things at once (RISC-V IOMMU 1.0, 2.1 to 2.3; Privileged specification, Sv39). */
import { expect, it } from "vitest";
import { askAgain } from "../pipeline/fuzz/ask-again.ts";
import { ExpectedDepartures } from "../pipeline/fuzz/expected-departures.ts";
import { LocalDevice } from "../pipeline/fuzz/local-device.ts";
import { asKnown, signaturesOf } from "../pipeline/fuzz/signature.ts";
import { NO_LIMITS, type WorldRecord } from "../walkers/fuzz/world.ts";
import { RISCV_BUGS } from "../walkers/riscv/fuzz/bugs.ts";
import { DeviceContextLayout } from "../walkers/riscv/layouts.ts";

const CONTEXT = 0x81400600n;
const TC_V = 1n;
const PDTV = 0x20n;
const PD8 = 1n << 60n;
const SV39 = 8n << 60n;
/** A bit of msi_addr_pattern beyond its 52. */
const RESERVED = 1n << 63n;
const NO_ALIASES = new Map();

const mem = (addr: bigint, ...words: bigint[]): WorldRecord => {
  const bytes = Buffer.alloc(8 * words.length);
  for (const [i, word] of words.entries()) bytes.writeBigUInt64LE(word, 8 * i);
  return { type: "mem", addr: `0x${addr.toString(16)}`, data: bytes.toString("hex") };
};
const context = (tc: bigint, fsc: bigint, pattern = 0n) => mem(CONTEXT, tc, 0n, 0n, fsc, 0n, 0n, pattern, 0n);
const dma = (seq: number, rest: object): WorldRecord => ({
  ...{ type: "dma", seq, iommu: "iommu0", dev: "did:24", addr: "0x1000", len: 1, access: "r" },
  ...rest,
});
const fault = (code: string) => ({ result: "fault", code });
/** One level of device directory; every scheme of both stages, PD8 and MSI page tables. */
const world = (...records: WorldRecord[]): WorldRecord[] => [
  { type: "ram", addr: "0x80000000", size: "0x4000000" },
  {
    ...{ type: "iommu", id: "iommu0", model: "riscv" },
    regs: { capabilities: "0x78c2cf4f10", fctl: "0x0", ddtp: "0x20500002" },
  },
  ...records,
];
const places = {
  entryAt: (address: bigint) =>
    address === CONTEXT ? { layout: DeviceContextLayout, littleEndian: true, uses: [] } : undefined,
};
const bugs = (...names: string[]) => RISCV_BUGS.filter(({ name }) => names.includes(name));

/** What departures are called: by what is known, where something is. */
function named(records: WorldRecord[], made: string[], isKnown: (text: string) => boolean): string[] {
  const expected = new ExpectedDepartures({ codeAliases: NO_ALIASES, bugs: bugs(...made) }, NO_LIMITS);
  const departures = expected.judge(records, places);
  return signaturesOf(records, departures).map((signature) => asKnown(signature, isKnown).text);
}

it("what is left where a known mistake is made is known by its own name", () => {
  // A process_id of 9 bits, and reserved bits in the context before it: its low bits are looked up.
  const records = world(
    context(TC_V | PDTV, PD8 | 0x81403n, RESERVED),
    dma(1, { pasid: 0x1ff, observed: fault("0x10a") }),
  );
  const left = "Extended-format device context: mismatch: Transaction type disallowed (0x104) → 0x10a";
  const known = (text: string) => text === left;
  expect(named(records, ["device-context-reserved"], known)).toEqual([left]);
  const whole = ["Extended-format device context: mismatch: DDT entry misconfigured (0x103) → 0x10a"];
  expect(named(records, [], known)).toEqual(whole);
  expect(named(records, ["device-context-reserved"], () => false)).toEqual(whole);
});

it("what an older context is known for is no other field of the new one", () => {
  // Without SXL's scheme in the process context the new one is right; the old one had 0x10b, and gives 0x103 for it.
  const records = (...between: WorldRecord[]) =>
    world(
      mem(0x81403010n, 1n, 5n << 60n),
      context(TC_V | PDTV, PD8 | 0x81403n),
      dma(1, { pasid: 1, observed: fault("0x103") }),
      mem(0x81403010n, 1n, 0n),
      ...between,
      dma(2, { pasid: 1, observed: fault("0x103") }),
    );
  const known = (text: string) => text.includes("PDT entry misconfigured (0x10b) → 0x103");
  expect(named(records(), [], known).every(known)).toBe(true);
  expect(named(records(), [], () => false)[1]).toMatch(/\.EN_\w+: mismatch: ok → 0x103$/);
  // IODIR.INVAL_PDT of the device and its process.
  const gone = { type: "cmd", iommu: "iommu0", data: ["0x1800021083", "0x0"] };
  expect(named(records(gone), [], known)[1]).not.toMatch(/0x10b/);
});

it("a kept trace is explained by mistakes in entries that only who makes others of them comes to", async () => {
  const made = ["device-context-reserved", "accessed"];
  const [V, R, U] = [1n, 2n, 0x10n];
  const records = world(
    mem(0x81401000n, (0x81402n << 10n) | V),
    mem(0x81402000n, (0x81403n << 10n) | V),
    mem(0x81403008n, (0x81404n << 10n) | V | R | U),
    context(TC_V, SV39 | 0x81401n, RESERVED),
    dma(1, {}),
  );
  const port = new LocalDevice("riscv", { bugs: bugs(...made), habits: new Set() });
  expect(await askAgain(port, records, { codeAliases: NO_ALIASES, bugs: bugs(...made) })).toMatchObject({
    ...{ excused: 1, signatures: [] },
  });
  const [one] = made;
  const { signatures } = await askAgain(port, records, { codeAliases: NO_ALIASES, bugs: bugs(one!) });
  expect(signatures).toEqual([expect.stringMatching(/DDT entry misconfigured \(0x103\) → ok$/)]);
});

it("a page of which the frame's low 32 bits alone are put out is one whose frame is looked at in part", () => {
  const frame = (1n << 39n) | (1n << 31n) | 0x1_0000n;
  const [pa, cut] = [frame << 12n, (frame & 0xffff_ffffn) << 12n].map((at) => `0x${at.toString(16)}`);
  const records = (observed: string | undefined) =>
    world(
      mem(0x81401000n, (0x81402n << 10n) | 1n),
      mem(0x81402000n, (0x81403n << 10n) | 1n),
      mem(0x81403008n, (frame << 10n) | 0x53n),
      context(TC_V, SV39 | 0x81401n),
      dma(1, { addr: "0x1000", observed: { result: "ok", pa: observed } }),
    );
  expect(named(records(pa), [], () => false)).toEqual([]);
  expect(named(records(cut), [], () => false)).toEqual([
    "RISC-V Sv39/Sv48/Sv57 page-table entry.PPN: mismatch: ok → ok",
  ]);
});
