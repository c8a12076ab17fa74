import { pointer, RiscvTable, SBE, type Scheme, SV39, SXL, TC_V } from "./riscv-builder.ts";
import { RiscvIommu, type RiscvOptions, type Seen } from "./riscv-iommu.ts";

/** A device behind a first stage, a second stage, or both; `null` is Bare. */
interface Stages {
  readonly iommu: RiscvIommu;
  readonly first: RiscvTable;
  readonly second: RiscvTable;
  readonly walk: (addr: bigint, access?: "r" | "w" | "rw" | "x") => Seen;
}

interface Wanted {
  readonly first?: Scheme | null;
  readonly second?: Scheme | null;
  readonly tc?: bigint;
  readonly options?: RiscvOptions;
  /** Where the first stage's tables are in guest memory, one page behind the other; in host memory, anywhere. */
  readonly guest?: bigint;
}

const GUEST_TABLES = 0x3000_0000n;

export function stages({ first = null, second = null, tc = 0n, options = {}, guest }: Wanted): Stages {
  const narrow = first?.narrow === true || second?.narrow === true;
  const fctl = (options.fctl ?? 0n) | (second?.narrow ? 4n : 0n);
  const iommu = new RiscvIommu({ ...options, fctl });
  const allocate = iommu.allocate;
  const hostTable = new RiscvTable(iommu.memory, second ?? SV39, { x4: true, big: iommu.big, allocate });
  const hosts = new Map<bigint, bigint>();
  let next = guest ?? GUEST_TABLES;
  const allocateGuest = () => {
    const address = next;
    next += 4096n;
    const host = iommu.allocate(4096);
    hosts.set(address, host);
    if (!hostTable.map(address, host))
      throw new Error(`a page is in the way of the first stage's table at 0x${address.toString(16)}`);
    return address;
  };
  const where = (address: bigint) => hosts.get(address & ~0xfffn)! + (address & 0xfffn);
  const big = (tc & SBE) !== 0n;
  const firstTable = new RiscvTable(
    iommu.memory,
    first ?? SV39,
    second === null ? { big, allocate } : { big, allocate: allocateGuest, where },
  );
  iommu.device(1, {
    tc: TC_V | tc | (narrow ? SXL : 0n),
    iohgatp: second === null ? 0n : pointer(second.mode, hostTable.root) | (0x1234n << 44n),
    ta: 0x54321n << 12n,
    fsc: first === null ? 0n : pointer(first.mode, firstTable.root),
  });
  return {
    iommu,
    first: firstTable,
    second: hostTable,
    walk: (addr, access = "r") => iommu.walk(1, addr, { access }),
  };
}
