/**
 * Questions of "does this table belong on this IOMMU?", from what a test writes: JSON or C bytes, and hosts whose
 * registers are made of raw bit numbers, so that a field that slid in a layout is noticed.
 */
import { readRequest } from "../../parsers/bind/read-request.ts";
import { stateOf } from "../../parsers/caps/host.ts";
import { checkBind } from "../../pipeline/bind-check/check-bind.ts";
import type { BoundTable } from "../../pipeline/bind-check/memory-checks.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { BindFinding } from "../../walkers/pasid-tables/bind-findings.ts";
import type { PropertyValue } from "../../walkers/registers.ts";
import type { TableMemory } from "./table-memory.ts";

export interface TestHost {
  readonly model: IommuModel;
  readonly regs?: Readonly<Record<string, bigint>>;
  readonly props?: Readonly<Record<string, PropertyValue>>;
}

export interface TestCase {
  /** A JSON value, or C bytes. */
  readonly request: object | Uint8Array;
  readonly host: TestHost;
  readonly memory?: TableMemory;
  readonly others?: readonly BoundTable[];
}

const bit = (n: number) => 1n << BigInt(n);

/** A VT-d unit with scalable mode and all that a PASID table could ask for. */
const CAP = 6n | (0b1110n << 8n) | (56n << 16n) | bit(56) | bit(60);
const ECAP =
  bit(6) |
  bit(7) |
  bit(26) |
  bit(31) |
  bit(34) |
  (19n << 35n) |
  bit(40) |
  bit(43) |
  bit(46) |
  bit(47) |
  bit(49);

export function intel(without: readonly number[] = [], capWithout: readonly number[] = []): TestHost {
  const clear = (value: bigint, bits: readonly number[]) => bits.reduce((v, n) => v & ~bit(n), value);
  return { model: "intel", regs: { cap: clear(CAP, capWithout), ecap: clear(ECAP, without) } };
}

/** An SMMU of both stages with VMSAv8-64, 16 SubstreamID bits, 48-bit addresses, 4 and 64 KiB granules. */
export function smmu(change: Readonly<Record<string, bigint>> = {}): TestHost {
  const idr0 = bit(0) | bit(1) | (2n << 2n) | (2n << 6n) | bit(10) | bit(12) | bit(19);
  const idr1 = 16n | (16n << 6n);
  const idr5 = 5n | bit(4) | bit(6);
  return { model: "arm-smmuv3", regs: { idr0, idr1, idr5, ...change } };
}

export function amdvi(efr = bit(4) | (2n << 10n) | (1n << 12n) | (2n << 14n) | (15n << 32n)): TestHost {
  return { model: "amd", regs: { efr, efr2: bit(3) } };
}

/** With Sv39, Sv48, their x4 forms, and all process directories. */
export function riscv(without: readonly number[] = []): TestHost {
  const bits = [4, 9, 10, 17, 18, 38, 39, 40].filter((n) => !without.includes(n));
  return { model: "riscv", regs: { capabilities: bits.reduce((v, n) => v | bit(n), 56n << 32n) } };
}

/** Bytes of a request, as a file holds them. */
export function bytesOf(request: object | Uint8Array): Uint8Array {
  return request instanceof Uint8Array ? request : Buffer.from(JSON.stringify(request));
}

/** Little-endian words as C bytes: [value, bytes] pairs. */
export function packed(...words: readonly (readonly [number | bigint, 1 | 4 | 8])[]): Uint8Array {
  const parts = words.map(([value, bytes]) => {
    const part = Buffer.alloc(8);
    part.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
    return part.subarray(0, bytes);
  });
  return Buffer.concat(parts);
}

/** @throws Error where the request cannot be read */
export function findingsOf({ request, host, memory, others = [] }: TestCase): readonly BindFinding[] {
  return answerOf({ request, host, ...(memory && { memory }), others }).findings;
}

export function answerOf({ request, host, memory, others = [] }: TestCase) {
  const read = readRequest(bytesOf(request));
  if (typeof read === "string") throw new Error(read);
  const state = stateOf(host.regs ?? {});
  for (const [name, value] of Object.entries(host.props ?? {})) state.props.set(name, value);
  return checkBind({
    request: read,
    model: host.model,
    state,
    memory: memory ?? null,
    others,
    dev: "00:03.0",
    maxEntries: 2 ** 21,
  });
}

export function ruleIds(question: TestCase): string[] {
  return findingsOf(question).map(({ rule }) => rule.id);
}
