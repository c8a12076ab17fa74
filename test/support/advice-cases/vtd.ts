import { Radix, Scenario, VTD_SECOND, X86_64 } from "../cache-scenario.ts";
import {
  A,
  type Cases,
  entryCase,
  NEW,
  nestedCases,
  OLD,
  ofFirst,
  ofSecond,
  pageCase,
  prefixed,
  tableCases,
  X,
} from "./case.ts";

const ROOT = 0x10_0000n;
const CONTEXTS = 0x10_1000n;
const DEV = "00:03.0";

function legacy(cap?: bigint) {
  const s = new Scenario("intel", { rtaddr: ROOT, ...(cap === undefined ? {} : { cap }) });
  const table = new Radix(s, VTD_SECOND);
  const context = (to: Radix, domain: bigint) => s.put(CONTEXTS + 0x180n, to.root | 1n, (domain << 8n) | 2n);
  s.put(ROOT, CONTEXTS | 1n);
  context(table, 9n);
  return { s, table, context, dma: { dev: DEV } };
}

/** RID_PASID 7; the PASID entry's types: 1 first stage, 2 second, 3 nested. */
function scalable(pasid: number, kind: 1 | 2 | 3) {
  const s = new Scenario("intel", { rtaddr: ROOT | 0x400n });
  const [directory, pasids] = [s.allocate(), s.allocate()];
  const first = new Radix(s, X86_64);
  const second = new Radix(s, VTD_SECOND);
  const entry = (fs: Radix) =>
    s.put(
      pasids + BigInt(pasid) * 64n,
      (kind === 1 ? 0n : second.root) | (BigInt(kind) << 6n) | 9n,
      9n,
      kind === 2 ? 0n : fs.root,
      0n,
    );
  s.put(ROOT, CONTEXTS | 1n).put(CONTEXTS + 0x18n * 32n, directory | 9n, 7n, 0n, 0n);
  s.put(directory, pasids | 1n);
  entry(first);
  return { s, first, second, entry, dma: { dev: DEV, ...(pasid === 7 ? {} : { pasid }) } };
}

const iotlb = (am: number) => `IOTLB invalidate: page-selective, DID 9, addr 0x10000000, AM ${am}, IH 0`;
const pasidIotlb = (pasid: number, am: number) =>
  `PASID-based-IOTLB invalidate: page-selective-within-PASID, DID 9, PASID ${pasid}, addr 0x10000000, AM ${am}, IH 0`;

const SECOND_STAGE = { page: iotlb(0), large: iotlb(9), table: iotlb(9) };
const FIRST_STAGE = { page: pasidIotlb(5, 0), large: pasidIotlb(5, 9), table: pasidIotlb(5, 9) };

/** CAP_REG: ND 6 (16-bit domain ids), SAGAW for 3 to 5 levels, MGAW 48, and no PSI. */
const WITHOUT_PSI = (0xen << 8n) | (47n << 16n) | 6n;

export const INTEL: Cases = {
  ...prefixed("legacy", tableCases(legacy, SECOND_STAGE)),
  "legacy without PSI: a page": pageCase(
    () => legacy(WITHOUT_PSI),
    "IOTLB invalidate: domain-selective, DID 9",
  ),
  "legacy: a context entry": entryCase(
    legacy,
    VTD_SECOND,
    ({ context }, to) => context(to, 8n),
    "context-cache invalidate: device-selective, DID 9, SID 0x18, FM 0",
  ),
  ...prefixed(
    "first stage",
    tableCases(
      ofFirst(() => scalable(5, 1)),
      FIRST_STAGE,
    ),
  ),
  "first stage without PASID: a page": pageCase(
    ofFirst(() => scalable(7, 1)),
    pasidIotlb(7, 0),
  ),
  ...prefixed(
    "second stage of a PASID",
    tableCases(
      ofSecond(() => scalable(5, 2)),
      SECOND_STAGE,
    ),
  ),
  ...nestedCases(
    () => scalable(5, 3),
    { first: "the first stage", second: "the second stage" },
    { first: pasidIotlb(5, 0), second: "IOTLB invalidate: domain-selective, DID 9" },
  ),
  "a PASID entry": entryCase(
    ofFirst(() => scalable(5, 1)),
    X86_64,
    ({ entry }, to) => entry(to),
    "PASID-cache invalidate: PASID-selective, DID 9, PASID 5",
  ),
  "a scalable-mode context entry": () => {
    const { s, first, dma } = scalable(5, 1);
    first.map(A, OLD);
    const [directory, pasids] = [s.allocate(), s.allocate()];
    const other = new Radix(s, X86_64).map(X, NEW);
    // Of another domain: the same tags must not mean two things.
    s.put(directory, pasids | 1n).put(pasids + 5n * 64n, 0x49n, 8n, other.root, 0n);
    return {
      s,
      request: { ...dma, addr: X },
      change: () => s.put(CONTEXTS + 0x18n * 32n, directory | 9n, 7n, 0n, 0n),
      expected: [
        "context-cache invalidate: device-selective, DID 0, SID 0x18, FM 0",
        "PASID-cache invalidate: PASID-selective, DID 9, PASID 5",
      ],
    };
  },
};
