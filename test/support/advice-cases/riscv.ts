import { type Format, Radix, Scenario } from "../cache-scenario.ts";
import { ALL_CAPABILITIES } from "../riscv-iommu.ts";
import {
  type Cases,
  entryCase,
  nestedCases,
  ofFirst,
  ofSecond,
  pageCase,
  prefixed,
  tableCases,
} from "./case.ts";

const DEVICES = 0x10_0000n;
const sv39 = (flags: bigint, topBits = 0): Format => ({
  levels: 3,
  bits: 9,
  pageBits: 12,
  topBits,
  table: (next) => ((next >> 12n) << 10n) | 1n,
  leaf: (pa) => ((pa >> 12n) << 10n) | flags,
});
/** D, A, U, X, W, R, V; G with it. */
const LEAF = 0xdfn;
const GLOBAL_LEAF = 0xffn;
/** An address of 39 bits that shares no table entry with the others but the root's. */
const X39 = 0x20_5000_0000n;

function device(kind: "first" | "second" | "nested" | "process", flags = LEAF) {
  const s = new Scenario("riscv", {
    capabilities: ALL_CAPABILITIES | (3n << 42n),
    fctl: 0n,
    ddtp: ((DEVICES >> 12n) << 10n) | 2n,
  });
  const [first, second, directory] = [new Radix(s, sv39(flags)), new Radix(s, sv39(LEAF, 2)), s.allocate()];
  const dc = (to: Radix) => {
    const iohgatp =
      kind === "first" || kind === "process" ? 0n : (8n << 60n) | (3n << 44n) | (second.root >> 12n);
    const fsc = kind === "process" ? (1n << 60n) | (directory >> 12n) : (8n << 60n) | (to.root >> 12n);
    const tc = kind === "process" ? 0x21n : 1n;
    const ta = kind === "process" ? 0n : 5n << 12n;
    s.put(DEVICES + 64n, tc, iohgatp, ta, kind === "second" ? 0n : fsc, 0n, 0n, 0n, 0n);
  };
  const pc = (to: Radix) => s.put(directory + 9n * 16n, 1n | (5n << 12n), (8n << 60n) | (to.root >> 12n));
  dc(first);
  pc(first);
  return { s, first, second, dc, pc, dma: { dev: "did:1", ...(kind === "process" ? { pasid: 9 } : {}) } };
}

const stage = (command: string) => ({
  page: `${command} addr 0x10000000`,
  large: `${command} addr 0x10013000`,
  table: command,
});

export const RISCV: Cases = {
  ...prefixed(
    "first stage",
    tableCases(
      ofFirst(() => device("first")),
      stage("IOTINVAL.VMA PSCID 0x5"),
    ),
  ),
  "first stage: a global page": pageCase(
    ofFirst(() => device("first", GLOBAL_LEAF)),
    "IOTINVAL.VMA addr 0x10000000",
  ),
  ...prefixed(
    "second stage",
    tableCases(
      ofSecond(() => device("second")),
      stage("IOTINVAL.GVMA GSCID 0x3"),
    ),
  ),
  ...nestedCases(
    () => device("nested"),
    { first: "the first stage", second: "the second stage" },
    { first: "IOTINVAL.VMA GSCID 0x3 PSCID 0x5 addr 0x10000000", second: "IOTINVAL.GVMA GSCID 0x3" },
  ),
  "a process context": entryCase(
    ofFirst(() => device("process")),
    sv39(LEAF),
    ({ pc }, to) => pc(to),
    "IODIR.INVAL_PDT DID 0x1 PID 0x9",
    X39,
  ),
  "a device context": entryCase(
    ofFirst(() => device("first")),
    sv39(LEAF),
    ({ dc }, to) => dc(to),
    "IODIR.INVAL_DDT DID 0x1",
    X39,
  ),
};
