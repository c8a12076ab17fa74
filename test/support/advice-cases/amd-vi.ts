import { gcr3Pieces } from "../amd-iommu.ts";
import { type Format, Radix, Scenario, X86_64 } from "../cache-scenario.ts";
import { type Cases, entryCase, nestedCases, ofFirst, ofSecond, prefixed, tableCases } from "./case.ts";

const DEVICES = 0x10_0000n;
const RIGHTS = 3n << 61n;
const V1: Format = {
  levels: 4,
  bits: 9,
  pageBits: 12,
  table: (next, level) => next | (BigInt(level - 1) << 9n) | 1n | RIGHTS,
  leaf: (pa) => pa | 1n | RIGHTS,
};

/** The guest's tables are the first stage, the host's the second. */
function device(kind: "host" | "guest" | "nested") {
  const s = new Scenario("amd", { dev_tab_base: DEVICES | 1n });
  const [second, first, table] = [new Radix(s, V1), new Radix(s, X86_64), s.allocate()];
  const dte = (to: Radix) => {
    const [low, high] = kind === "host" ? [0n, 0n] : gcr3Pieces(table);
    const mode = kind === "guest" ? 0n : (4n << 9n) | to.root;
    const gv = kind === "host" ? 0n : 1n << 55n;
    s.put(DEVICES + 32n, 3n | mode | low | gv | RIGHTS, 7n | high, 0n, 0n);
  };
  const gcr3 = (to: Radix) => s.put(table + 5n * 8n, to.root | 1n);
  dte(second);
  gcr3(first);
  return { s, first, second, dte, gcr3, dma: { dev: "devid:1", ...(kind === "host" ? {} : { pasid: 5 }) } };
}

const host = (size: string) => `INVALIDATE_IOMMU_PAGES DomainID 0x7 addr ${size} PDE`;
const guest = (size: string) => `INVALIDATE_IOMMU_PAGES DomainID 0x7 PASID 0x5 GN addr ${size} PDE`;
const PAGE = "0x10000000";
/** Zero at bit 20, ones below: 2 MiB. */
const LARGE = "0x100ff000 S";
const EVERYTHING = "0x7ffffffffffff000 S";

export const AMD: Cases = {
  ...prefixed(
    "host",
    tableCases(
      ofSecond(() => device("host")),
      { page: host(PAGE), large: host(LARGE), table: host(LARGE) },
    ),
  ),
  ...prefixed(
    "guest",
    tableCases(
      ofFirst(() => device("guest")),
      {
        page: guest(PAGE),
        large: guest(LARGE),
        table: guest(LARGE),
      },
    ),
  ),
  ...nestedCases(
    () => device("nested"),
    { first: "the guest", second: "the host" },
    { first: guest(PAGE), second: host(EVERYTHING) },
  ),
  "a guest CR3 table entry": entryCase(
    ofFirst(() => device("guest")),
    X86_64,
    ({ gcr3 }, to) => gcr3(to),
    guest(EVERYTHING),
  ),
  "a device table entry": entryCase(
    ofSecond(() => device("host")),
    V1,
    ({ dte }, to) => dte(to),
    "INVALIDATE_DEVTAB_ENTRY DeviceID 0x1",
  ),
};
