import { execFileSync } from "node:child_process";
import { show } from "../../parsers/trace/show.ts";
import type { EmulatorDriver } from "../../walkers/fuzz/emulator.ts";
import { type Limits, NO_LIMITS, type WorldRecord } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { DeviceFailure, type DeviceIdentity, type DevicePort } from "../fuzz/port.ts";
import { EDU_BYTES } from "./edu.ts";
import { commandOf, declaredRegisters, RunningEmulator } from "./running-emulator.ts";

/** A device under test that is a QEMU, driven by qtest: its IOMMU, and `edu` devices behind it. */
export class EmulatedDevice implements DevicePort {
  readonly identity: DeviceIdentity;
  readonly #newDriver: () => EmulatorDriver;
  readonly #path: string;
  readonly #timeout: number;
  /** Tells machines apart. */
  readonly #driver: EmulatorDriver;
  /** Major and minor: 7.2. */
  readonly version: number;
  /** By what each cannot forget; "": nothing yet. */
  readonly #machines: Map<string, RunningEmulator>;

  private constructor(
    path: string,
    newDriver: () => EmulatorDriver,
    timeout: number,
    version: number,
    identity: DeviceIdentity,
    running: RunningEmulator,
  ) {
    this.#path = path;
    this.#newDriver = newDriver;
    this.#timeout = timeout;
    this.version = version;
    this.#driver = newDriver();
    this.identity = identity;
    this.#machines = new Map([["", running]]);
  }

  /** @param path of the program, or a command */
  static async start(
    path: string,
    model: IommuModel,
    newDriver: () => EmulatorDriver,
    timeout: number,
  ): Promise<EmulatedDevice> {
    const { version, text } = versionOf(path);
    const driver = newDriver();
    if (version < (driver.since ?? 0))
      throw new DeviceFailure(
        "start",
        `${path}: expected QEMU ${driver.since} or later, the first with ${driver.name}, found ${text}`,
      );
    const running = await RunningEmulator.start(path, driver, version, timeout);
    try {
      const regs = await driver.identify(running.machine);
      const limits: Limits = {
        ...NO_LIMITS,
        // An `edu` device has no ATS.
        addressTypes: ["untranslated"],
        regs,
        props: driver.props(version),
        devices: driver.devices,
        memory: driver.memory,
        ram: driver.ram,
        pagesInMemory: true,
        accesses: ["r", "w"],
        pasid: false,
        priv: false,
        len: EDU_BYTES,
        unlogged: driver.logsFaults?.(version) === false,
        ...driver.limits,
        untold: driver.untold?.(version) ?? [],
      };
      const identity = { name: `qemu ${text}, ${driver.name}`, model, limits };
      return new EmulatedDevice(path, newDriver, timeout, version, identity, running);
    } catch (error) {
      await running.close();
      throw error;
    }
  }

  async run(records: readonly WorldRecord[]): Promise<readonly (DeviceAnswer | undefined)[]> {
    const imprint = this.#driver.imprint?.(declaredRegisters(records)) ?? "";
    const machine = this.#machines.get(imprint) ?? this.#machines.get("") ?? (await this.#start());
    this.#machines.delete("");
    this.#machines.set(imprint, machine);
    try {
      const answers = await machine.run(records, this.identity.model);
      return this.identity.limits.unlogged ? answers.map((answer) => answer && unlogged(answer)) : answers;
    } catch (error) {
      this.#machines.delete(imprint);
      await machine.close();
      throw machine.failure(error);
    }
  }

  #start(): Promise<RunningEmulator> {
    return RunningEmulator.start(this.#path, this.#newDriver(), this.version, this.#timeout);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#machines.values()].map((machine) => machine.close()));
    this.#machines.clear();
  }
}

/** What nobody has looked at is not said. */
function unlogged({ recorded: _unknown, ...answer }: DeviceAnswer): DeviceAnswer {
  return answer;
}

function versionOf(path: string): { readonly version: number; readonly text: string } {
  let said: string;
  try {
    const [program, ...words] = commandOf(path);
    said = execFileSync(program!, [...words, "--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    throw new DeviceFailure(
      "start",
      code === "ENOENT" ? `${path}: expected a QEMU, found no such program` : message.trim(),
    );
  }
  const [, text, number] = /version ((\d+\.\d+)\S*)/.exec(said) ?? [];
  if (text === undefined)
    throw new DeviceFailure(
      "start",
      `${path} --version: expected a QEMU, found ${show(said.split("\n")[0])}`,
    );
  return { version: Number(number), text };
}
