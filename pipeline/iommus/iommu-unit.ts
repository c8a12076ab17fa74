import type { Coherence } from "../../walkers/coherence.ts";
import { CommandDecoder } from "../../walkers/commands/command.ts";
import { WalkEngine } from "../../walkers/engine.ts";
import type { GuestMemory } from "../../walkers/memory.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { IommuState, type PropertyValue, type Word64 } from "../../walkers/registers.ts";
import { VENDORS } from "../../walkers/registry.ts";
import type { Binding } from "../../walkers/request.ts";
import type { Vendor } from "../../walkers/vendor.ts";
import type { IommuWalker, PasidTableConfig } from "../../walkers/walker.ts";
import type { CachedIommu } from "../caches/history/cached-iommu.ts";
import type { UnitCaches } from "../caches/unit-caches.ts";

const ZERO: Word64 = { hi: 0, lo: 0 };

/** One IOMMU of a trace: what is known of it now, its walker and its bindings. */
export class IommuUnit {
  /** Undefined for the IOMMU that a `bind` without any `iommu` record implies. */
  readonly id: string | undefined;
  readonly model: IommuModel;
  readonly vendor: Vendor;
  readonly walker: IommuWalker;
  readonly engine: CachedIommu["engine"];
  readonly state = new IommuState();
  /** What its registers and properties say of its walks. */
  coherence: Coherence;
  /** What the caches of the recorded IOMMU may hold; null where nobody keeps track. */
  caches: UnitCaches | null = null;
  readonly #bindings = new Map<number, Binding>();
  #commands: CommandDecoder | null = null;
  /** By the register. */
  readonly #registerCommands = new Map<string, CommandDecoder>();

  constructor(id: string | undefined, model: IommuModel, memory: GuestMemory) {
    this.id = id;
    this.model = model;
    this.vendor = VENDORS[model];
    this.walker = this.vendor.walker(memory);
    this.engine = new WalkEngine(this.walker);
    this.walker.configure(this.state);
    this.coherence = this.vendor.coherence(this.state);
  }

  /** Decodes the commands of its queue. */
  get commands(): CommandDecoder {
    this.#commands ??= new CommandDecoder(this.model, this.state);
    return this.#commands;
  }

  /** Decodes what a register asks for, of those that may ask for something (`vendor.registerCommands`). */
  commandsOf(register: string): CommandDecoder {
    let decoder = this.#registerCommands.get(register);
    if (decoder === undefined) {
      decoder = new CommandDecoder(this.model, this.state, register);
      this.#registerCommands.set(register, decoder);
    }
    return decoder;
  }

  /** Sets registers and properties; those not named keep what they have. */
  configure(registers: Iterable<[string, Word64]>, props: Iterable<[string, PropertyValue]>): void {
    for (const [name, value] of registers) this.state.registers.set(name, value);
    for (const [name, value] of props) this.state.props.set(name, value);
    this.#configured("");
  }

  /** A register is written: to some IOMMUs, that says more than its new value. */
  write(name: string, value: Word64): void {
    if (this.vendor.writeRegister === undefined) this.state.registers.set(name, value);
    else this.vendor.writeRegister(this.state, name, value);
    this.#configured(name);
  }

  #configured(written: string): void {
    this.walker.configure(this.state);
    this.coherence = this.vendor.coherence(this.state);
    this.#commands?.configure(this.state);
    for (const decoder of this.#registerCommands.values()) decoder.configure(this.state);
    this.engine.drop();
    this.caches?.configured(written);
  }

  /**
   * The command that a value asks for which has been written to a register.
   * @returns its words: the register's value, and those of others that say what is meant; null: it asks for none
   */
  registerCommand(name: string, value: Word64): readonly Word64[] | null {
    const command = Object.hasOwn(this.vendor.registerCommands, name)
      ? this.vendor.registerCommands[name]!
      : undefined;
    if (!command?.requested(value)) return null;
    return command.registers.map((register) => this.state.registers.get(register) ?? ZERO);
  }

  /**
   * Binds a PASID table to a device.
   * @param device number of the device in the trace
   * @returns what is wrong with the binding, or undefined
   */
  bind(device: number, config: PasidTableConfig): string | undefined {
    const binding = this.walker.bind(config);
    if (typeof binding === "string") return binding;
    this.#bindings.set(device, binding);
    this.engine.drop();
    return undefined;
  }

  /** @returns false where the device has no binding */
  unbind(device: number): boolean {
    this.engine.drop();
    return this.#bindings.delete(device);
  }

  /** By number of the device in the trace, in order of the first binding. */
  get bindings(): ReadonlyMap<number, Binding> {
    return this.#bindings;
  }

  binding(device: number): Binding | null {
    return this.#bindings.get(device) ?? null;
  }
}
