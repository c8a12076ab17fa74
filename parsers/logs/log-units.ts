import type { IommuModel } from "../../walkers/models.ts";
import { hex } from "../../walkers/word64.ts";
import type { LogOutput } from "./format.ts";
import { LogIommu } from "./log-iommu.ts";

/** What a vendor's unit is called where nothing names it. */
const UNNAMED: Readonly<Record<IommuModel, string>> = {
  intel: "dmar",
  "arm-smmuv3": "smmuv3",
  amd: "amd-iommu",
  riscv: "riscv-iommu",
};
/** Machines have a few dozen: more names are noise in a damaged log. */
const MAX_UNITS = 1024;
const MAX_DEVICES = 1 << 16;

interface Unit {
  readonly unit: LogIommu;
  /** Fields of a record that the log does not say. */
  readonly assumed: readonly string[];
}

/** The IOMMUs of one machine, by their names in its logs; and which of them a device sits behind, where a log shows it. */
export class LogUnits {
  readonly #output: LogOutput;
  readonly #units = new Map<string, LogIommu>();
  readonly #byDevice = new Map<string, string>();
  /** Registers and properties that hold for all units of a vendor. */
  readonly #common = new Map<
    IommuModel,
    { regs: Readonly<Record<string, bigint>>; props: Readonly<Record<string, number>> }
  >();

  constructor(output: LogOutput) {
    this.#output = output;
  }

  /** What a log says of a unit, or of all of a vendor's. */
  know(
    model: IommuModel,
    name: string | undefined,
    regs: Readonly<Record<string, bigint>>,
    props: Readonly<Record<string, number>>,
  ): void {
    if (name !== undefined) {
      this.#apply(this.#named(model, name), regs, props);
      return;
    }
    this.#common.set(model, { regs, props });
    for (const unit of this.#units.values()) if (unit.model === model) this.#apply(unit, regs, props);
  }

  /** The unit of this name, or the one that the device is known to sit behind, or the only one there is. */
  of(model: IommuModel, name: string | undefined, dev: string | undefined): Unit {
    if (name !== undefined) {
      if (dev !== undefined && this.#byDevice.size < MAX_DEVICES) this.#byDevice.set(keyOf(model, dev), name);
      return { unit: this.#named(model, name), assumed: [] };
    }
    const known = dev === undefined ? undefined : this.#byDevice.get(keyOf(model, dev));
    if (known !== undefined) return { unit: this.#named(model, known), assumed: ["iommu"] };
    const own = [...this.#units.values()].filter((unit) => unit.model === model);
    const unnamed = UNNAMED[model];
    if (own.length === 1) return { unit: own[0]!, assumed: own[0]!.id === unnamed ? [] : ["iommu"] };
    return { unit: this.#named(model, unnamed), assumed: own.length === 0 ? [] : ["iommu"] };
  }

  #named(model: IommuModel, name: string): LogIommu {
    const key = keyOf(model, name);
    const known = this.#units.get(key);
    if (known !== undefined) return known;
    const unit = new LogIommu(this.#output, name, model);
    const common = this.#common.get(model);
    if (common !== undefined) this.#apply(unit, common.regs, common.props);
    if (this.#units.size < MAX_UNITS) this.#units.set(key, unit);
    return unit;
  }

  #apply(
    unit: LogIommu,
    regs: Readonly<Record<string, bigint>>,
    props: Readonly<Record<string, number>>,
  ): void {
    for (const [name, value] of Object.entries(regs)) unit.set(name, hex(value));
    for (const [name, value] of Object.entries(props)) unit.property(name, value);
  }
}

function keyOf(model: IommuModel, name: string): string {
  return `${model}/${name}`;
}
