import type { IommuState, Word64 } from "../../../walkers/registers.ts";

/** A register that says where tables are got another value. */
export interface RootChange {
  /** Its name in traces. */
  readonly register: string;
  readonly line: number;
  readonly old: Word64;
  readonly now: Word64;
}

/** Changes that are kept: who writes such a register more often than that has other troubles. */
const MAX_CHANGES = 64;

/** When the registers of one IOMMU that say where its tables are have changed. */
export class RootChanges {
  readonly #registers: readonly string[];
  readonly #changes: (RootChange & { readonly time: number })[] = [];

  /** @param registers their names in traces */
  constructor(registers: readonly string[]) {
    this.#registers = registers;
  }

  /** Registers have changed at a tick. One that was not known before has not moved. */
  note(before: IommuState, after: IommuState, time: number, line: number): void {
    for (const register of this.#registers) {
      const old = before.registers.get(register);
      const now = after.registers.get(register);
      if (old === undefined || now === undefined || (old.hi === now.hi && old.lo === now.lo)) continue;
      this.#changes.push({ register, line, old, now, time });
      if (this.#changes.length > MAX_CHANGES) this.#changes.shift();
    }
  }

  /** The first change after a tick; null where there is none. */
  since(time: number): RootChange | null {
    return this.#changes.find((change) => change.time > time) ?? null;
  }
}
