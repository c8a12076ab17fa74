import { RecordTeller } from "../../parsers/trace/record-teller.ts";
import { NO_LIMITS, type WorldRecord } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { DeviceError, type Mistakes, TestDevice } from "../device/device.ts";
import { DeviceFailure, type DeviceIdentity, type DevicePort } from "./port.ts";

/** Our own device, in this process. */
export class LocalDevice implements DevicePort {
  readonly identity: DeviceIdentity;
  readonly #mistakes: Mistakes;

  constructor(model: IommuModel, mistakes: Mistakes) {
    this.identity = { name: "pasid-replay", model, limits: NO_LIMITS };
    this.#mistakes = mistakes;
  }

  async run(records: readonly WorldRecord[]): Promise<readonly (DeviceAnswer | undefined)[]> {
    const device = new TestDevice(this.#mistakes);
    try {
      const teller = new RecordTeller(device.names, device);
      const answers: (DeviceAnswer | undefined)[] = [];
      records.forEach((record, i) => {
        teller.parsed(i + 1, record);
        if (record.type === "dma") answers.push(device.answer ?? undefined);
      });
      return answers;
    } catch (error) {
      if (error instanceof DeviceError) throw new DeviceFailure("died", error.message);
      throw error;
    } finally {
      device.close();
    }
  }

  async close(): Promise<void> {
    // It lives as long as a run.
  }
}
