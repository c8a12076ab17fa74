import { EmulatedDevice } from "../../pipeline/emulator/emulated-device.ts";
import type { DevicePort } from "../../pipeline/fuzz/port.ts";
import { ProcessDevice } from "../../pipeline/fuzz/process-device.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { CliError } from "../errors.ts";
import type { ExitStatus } from "../exit-status.ts";
import type { Output } from "../output.ts";
import { onInterrupt } from "../signals.ts";
import { fuzzAgainst } from "./compare-text.ts";
import { type FuzzSettings, fuzzDevice, startFailure } from "./fuzz-device.ts";
import { askAboutTraces } from "./kept-traces.ts";
import { knownOfQemu } from "./known-of-qemu.ts";

/** Which devices to look at: one of `dut` and `qemu` is given. */
export interface DeviceChoice {
  /** A command that speaks the protocol. */
  readonly dut: string | undefined;
  /** Path of a QEMU, and which IOMMU of it. */
  readonly qemu: string | undefined;
  readonly model: IommuModel;
  /** What is known of that QEMU's version is expected. */
  readonly known: boolean;
  /** Another one of the same sort. */
  readonly against: string | undefined;
  /** How long one may be silent, in milliseconds. */
  readonly timeout: number;
}

/**
 * Fuzzes a device, or two of them against each other.
 * @param traces kept worlds to ask the device about, in the place of new ones
 */
export async function fuzzDevices(
  choice: DeviceChoice,
  settings: FuzzSettings,
  traces: readonly string[],
  out: Output,
): Promise<ExitStatus> {
  const ports: DevicePort[] = [];
  const close = async () => {
    await Promise.all(ports.map((port) => port.close()));
  };
  const cancel = onInterrupt(close);
  try {
    for (const given of [choice.dut ?? choice.qemu!, choice.against])
      if (given !== undefined) ports.push(await started(given, choice));
    const [first, second] = ports;
    if (choice.known && first instanceof EmulatedDevice)
      settings.known.read(knownOfQemu(first.version, choice.model));
    if (traces.length > 0) return await askAboutTraces(first!, traces, settings.known, out);
    return second === undefined
      ? await fuzzDevice(first!, settings, out)
      : await fuzzAgainst(first!, second, settings, out);
  } catch (error) {
    throw startFailure(error);
  } finally {
    cancel();
    await close();
    await out.finish();
  }
}

async function started(given: string, { dut, model, timeout }: DeviceChoice): Promise<DevicePort> {
  if (dut !== undefined) return ProcessDevice.start(given, timeout);
  const fuzzing = await VENDORS[model].fuzzing();
  if (fuzzing.emulator === undefined)
    throw new CliError(`--model: expected an IOMMU that a QEMU is driven with, found ${model}`, true);
  return EmulatedDevice.start(given, model, () => fuzzing.emulator!(), timeout);
}
