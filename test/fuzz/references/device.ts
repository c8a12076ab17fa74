/** What makes a reference walker a device under test. */

/** A `dma` record, as far as references look at it. */
export interface TraceRequest {
  readonly dev: string;
  readonly pasid?: number;
  readonly addr: string;
  readonly len?: number;
  readonly access?: "r" | "w" | "rw" | "x";
  readonly priv?: boolean;
  readonly at?: (typeof ADDRESS_TYPES)[number];
}

/** Memory and registers as the records before have left them. */
export interface ReferenceMachine {
  /** A register. @param absent what it reads as where it was not given, by default 0 */
  reg(name: string, absent?: bigint): bigint;
  readonly props: ReadonlyMap<string, unknown>;
  /** 64-bit word at a physical address; undefined: there is no memory. */
  read(address: bigint, bigEndian?: boolean): bigint | undefined;
}

/** `observed` of a trace, or that the reference does not model what is asked. */
export type ReferenceAnswer =
  | { readonly result: "ok"; readonly pa: string }
  | { readonly result: "fault"; readonly code?: string; readonly stage?: number; readonly recorded?: boolean }
  | { readonly result: "msi" }
  | { readonly result: "skipped" };

export interface ReferenceDevice {
  /** The first line that it says (docs/dut-protocol.md). */
  readonly hello: object;
  /** @param address of one page of the request */
  ask(machine: ReferenceMachine, request: TraceRequest, address: bigint): ReferenceAnswer;
}

/** Of requests of ATS too (`supports.at`). */
export const ADDRESS_TYPES = ["untranslated", "translation-request", "translated"] as const;

export const SKIPPED: ReferenceAnswer = { result: "skipped" };

export function ok(pa: bigint): ReferenceAnswer {
  return { result: "ok", pa: `0x${pa.toString(16)}` };
}

/** The id of a device by its name: "02:18.0", "sid:5", "did:0x1". */
export function deviceId(dev: string): number {
  const [, number] = /^[a-z]+:(\w+)$/.exec(dev) ?? [];
  if (number !== undefined) return Number(number);
  const [bus, slot, fn] = dev.split(/[:.]/).map((part) => Number.parseInt(part, 16)) as [
    number,
    number,
    number,
  ];
  return (bus << 8) | (slot << 3) | fn;
}

export function rights(access: TraceRequest["access"] = "r") {
  return { read: access.includes("r"), write: access.includes("w"), execute: access === "x" };
}
