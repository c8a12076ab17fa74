import { ProcessDevice } from "../../pipeline/fuzz/process-device.ts";
import type { ExitStatus } from "../exit-status.ts";
import type { Output } from "../output.ts";
import { onInterrupt } from "../signals.ts";
import { fuzzAgainst } from "./compare-text.ts";
import { type FuzzSettings, fuzzDevice, startFailure } from "./fuzz-device.ts";

/**
 * Fuzzes the device that a command is, or two of them against each other.
 * @param timeout how long one may be silent, in milliseconds
 */
export async function fuzzCommands(
  commands: readonly string[],
  timeout: number,
  settings: FuzzSettings,
  out: Output,
): Promise<ExitStatus> {
  const ports: ProcessDevice[] = [];
  const close = async () => {
    await Promise.all(ports.map((port) => port.close()));
  };
  const cancel = onInterrupt(close);
  try {
    for (const command of commands) ports.push(await ProcessDevice.start(command, timeout));
    const [first, second] = ports;
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
