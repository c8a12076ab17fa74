import type { IommuModel } from "../../walkers/models.ts";
import { IommuState } from "../../walkers/registers.ts";
import type { LogOutput } from "./format.ts";
import { recordText } from "./record-text.ts";

/** The IOMMU of a log: its registers as far as the log shows them, declared before the first record that needs it. */
export class LogIommu {
  readonly id: string;
  readonly model: IommuModel;
  readonly state = new IommuState();
  /** Changes whenever a register does. */
  version = 0;
  /** Called when it is declared, and when a register changes after that. */
  changed: (() => void) | null = null;
  readonly #output: LogOutput;
  readonly #values = new Map<string, string>();
  /** What of its declaration was derived: registers, the model. */
  readonly #assumed: Set<string>;
  #declared = false;

  /**
   * An IOMMU of the vendor whose capabilities were given beside the log lends them.
   * @param assumed what of `id` and `model` was derived
   */
  constructor(output: LogOutput, id: string, model: IommuModel, assumed: readonly string[] = []) {
    this.#assumed = new Set(assumed);
    this.#output = output;
    const host = output.hosts.find((each) => each.id === id && each.model === model) ?? hostOf(output, model);
    this.id = host?.id || id;
    this.model = model;
    for (const [name, { hi, lo }] of host?.state.registers ?? []) {
      const value = (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
      this.#values.set(name, `0x${value.toString(16)}`);
      this.state.setRegister(name, value);
    }
    for (const [name, value] of host?.state.props ?? []) this.state.props.set(name, value);
  }

  get declared(): boolean {
    return this.#declared;
  }

  /** The value of a register, or undefined where it is not known. */
  register(name: string): string | undefined {
    return this.#values.get(name);
  }

  /** A register has this value from here on. @param value 0x and hex digits */
  set(name: string, value: string, assumed = false): void {
    if (this.#values.get(name) === value) return;
    this.#values.set(name, value);
    this.state.setRegister(name, BigInt(value));
    this.version++;
    if (assumed) this.#assumed.add(name);
    else this.#assumed.delete(name);
    if (!this.#declared) return;
    const fields = assumed ? { assumed: ["value"] } : {};
    this.#output.record("reg", recordText("reg", { iommu: this.id, name, value, ...fields }));
    this.changed?.();
  }

  /** A capability that the log gives by itself; what was given beside the log goes before it. */
  property(name: string, value: number): void {
    if (this.#declared || this.state.props.has(name)) return;
    this.state.props.set(name, value);
  }

  /** Before a record that refers to it. */
  declare(): void {
    if (this.#declared) return;
    this.#declared = true;
    const props = Object.fromEntries(this.state.props);
    this.#output.record(
      "iommu",
      recordText("iommu", {
        id: this.id,
        model: this.model,
        ...(this.#values.size > 0 ? { regs: Object.fromEntries(this.#values) } : {}),
        ...(this.state.props.size > 0 ? { props } : {}),
        ...(this.#assumed.size > 0 ? { assumed: [...this.#assumed] } : {}),
      }),
    );
    this.changed?.();
  }
}

/** The only one of the vendor, where there is no other. */
function hostOf(output: LogOutput, model: IommuModel) {
  const hosts = output.hosts.filter((host) => host.model === model);
  return hosts.length === 1 && hosts[0]!.exact !== true ? hosts[0] : undefined;
}
