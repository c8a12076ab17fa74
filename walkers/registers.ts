import type { Layout } from "./layout.ts";

/** A 64-bit register value as two 32-bit halves. */
export interface Word64 {
  readonly hi: number;
  readonly lo: number;
}

/**
 * A register's name as traces have it, from the specification's in whatever case: without the prefix or suffix that all
 * names of a specification share.
 */
export function registerKey(name: string): string {
  return name.toLowerCase().replace(/^smmu_|_reg$/, "");
}

/** A published capability: `iommu.props` of the trace contract. */
export type PropertyValue = number | boolean | string | readonly string[];

/**
 * What is known of one IOMMU: its registers by the specification's name in lower case, and the properties that
 * its host publishes. A property overrides what a register says; a register that is not given reads as:
 * translation enabled, and every feature the walker knows present.
 */
export class IommuState {
  readonly registers = new Map<string, Word64>();
  readonly props = new Map<string, PropertyValue>();
  /** A command has come through the IOMMU's queue. */
  queueUsed = false;
  readonly #scratch = new DataView(new ArrayBuffer(8));

  /** A copy, to tell later what has changed. */
  clone(): IommuState {
    const copy = new IommuState();
    copy.queueUsed = this.queueUsed;
    for (const [name, value] of this.registers) copy.registers.set(name, value);
    for (const [name, value] of this.props) copy.props.set(name, value);
    return copy;
  }

  /** High half of a register, or `absent` where it is not given. */
  hi(register: string, absent = 0): number {
    return this.registers.get(register)?.hi ?? absent;
  }

  /** Low half of a register, or `absent` where it is not given. */
  lo(register: string, absent = 0): number {
    return this.registers.get(register)?.lo ?? absent;
  }

  setRegister(register: string, value: bigint): void {
    this.registers.set(register, { hi: Number(value >> 32n) | 0, lo: Number(value & 0xffff_ffffn) | 0 });
  }

  has(register: string): boolean {
    return this.registers.has(register);
  }

  /** A numeric or boolean property as a number; undefined where it is absent or of another kind. */
  property(name: string): number | undefined {
    const value = this.props.get(name);
    if (typeof value === "number") return value;
    if (typeof value === "boolean") return value ? 1 : 0;
    return undefined;
  }

  /**
   * A field of a capability register.
   * @param absent its value where neither a property of the field's name nor the register is given
   */
  capability<F extends string>(register: string, layout: Layout<F>, field: F, absent: number): number {
    const property = this.property(field.toLowerCase());
    if (property !== undefined) return property;
    return this.field(register, layout, field, absent);
  }

  /** A field of a register, whatever the properties say. */
  field<F extends string>(register: string, layout: Layout<F>, field: F, absent: number): number {
    const value = this.registers.get(register);
    if (value === undefined) return absent;
    this.#scratch.setInt32(0, value.lo, true);
    this.#scratch.setInt32(4, value.hi, true);
    return Number(layout.extract(field, this.#scratch, 0));
  }
}
