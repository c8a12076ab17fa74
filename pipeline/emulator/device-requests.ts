import type { EmulatedAnswer, EmulatorDriver } from "../../walkers/fuzz/emulator.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import { deviceName, type IommuModel } from "../../walkers/models.ts";
import { hex } from "../../walkers/word64.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { EDU_BYTES, EduDevice } from "./edu.ts";
import type { Qtest } from "./qtest.ts";
import { DEVICE_BYTE, type WorldMemory } from "./world-memory.ts";

const BAR_BYTES = 0x10_0000n;
const PAGE = 4096n;

/** What `edu` devices ask of the IOMMU of an emulator, and what became of it. */
export class DeviceRequests {
  readonly #machine: Qtest;
  readonly #driver: EmulatorDriver;
  readonly #memory: WorldMemory;
  /** Time goes on by command; else by itself. */
  readonly #steps: boolean;
  /** Lines of the log since the last call. */
  readonly #lines: () => string[];
  readonly #devices: readonly EduDevice[];

  constructor(
    machine: Qtest,
    driver: EmulatorDriver,
    memory: WorldMemory,
    steps: boolean,
    lines: () => string[],
  ) {
    this.#machine = machine;
    this.#driver = driver;
    this.#memory = memory;
    this.#steps = steps;
    this.#lines = lines;
    this.#devices = driver.devices.map((id, i) => new EduDevice(id, driver.window + BAR_BYTES * BigInt(i)));
  }

  /** Places the devices and fills their buffers, while nothing is translated. */
  async prepare(): Promise<void> {
    const machine = this.#machine;
    const { base } = this.#driver.memory;
    for (const device of this.#devices) device.enable(machine);
    machine.write(base, DEVICE_BYTE.toString(16).repeat(EDU_BYTES));
    for (const device of this.#devices) await device.fill(machine, base, this.#steps);
    machine.clear(base, BigInt(EDU_BYTES));
  }

  /** @returns undefined: it cannot be asked, or nobody can tell what became of it */
  async ask(record: WorldRecord, model: IommuModel): Promise<DeviceAnswer | undefined> {
    const device = this.#devices.find(({ id }) => deviceName(model, id) === record.dev);
    const { access } = record;
    const address = BigInt(record.addr as string);
    const bytes = (record.len as number | undefined) ?? 1;
    const plain = record.pasid === undefined && record.priv === undefined;
    if (device === undefined || !plain || (access !== "r" && access !== "w"))
      return this.#askIommu(record, model, address, bytes);
    const write = access === "w";
    const answer = await this.#answer(device, address, bytes, write);
    if (answer === null) return undefined;
    if (answer.result === "fault") return faultAnswer(answer);
    for (const unsure of answer.unsure ?? []) if (await this.#denied(record, model, unsure)) return NOT_THERE;
    const places = answer.places ?? [];
    const pa = answer.pa ?? (await this.#found(device, address, write, places));
    // Where it may have gone out of memory, nobody can tell.
    if (pa === undefined)
      return places.length > 0 && places.every((place) => this.#memory.has(place)) ? NOT_THERE : undefined;
    if (write) {
      const arrived = this.#memory.has(pa) && (await this.#machine.read8(pa)) === DEVICE_BYTE;
      await this.#restore(pa, address, bytes, answer.furtherPages ?? []);
      if (answer.cached === true && !this.#memory.has(pa)) return undefined;
      if (answer.cached === true && !arrived) return NOT_THERE;
    }
    return { result: "ok", pa: hex(pa) };
  }

  /** What no device can ask. */
  async #askIommu(
    record: WorldRecord,
    model: IommuModel,
    address: bigint,
    bytes: number,
  ): Promise<DeviceAnswer | undefined> {
    const { ask, limits } = this.#driver;
    const device = (limits.devices ?? []).find((id) => deviceName(model, id) === record.dev);
    if (ask === undefined || device === undefined) return undefined;
    const answer = await ask(this.#machine, {
      device,
      pasid: record.pasid as number | undefined,
      address,
      bytes,
      access: record.access as string,
      priv: record.priv === true,
    });
    if (answer === null) return undefined;
    if (answer.result === "fault") return faultAnswer(answer);
    return { result: "ok", ...(answer.pa === undefined ? {} : { pa: hex(answer.pa) }) };
  }

  /** Whether the IOMMU refuses what a device has asked for. */
  async #denied(record: WorldRecord, model: IommuModel, address: bigint): Promise<boolean> {
    // It may be asked for no write alone; who may write may read, in the tables of all vendors that can be asked.
    const access = record.access === "w" ? "rw" : record.access;
    const answer = await this.#askIommu({ ...record, access }, model, address, 1);
    return answer?.result === "fault";
  }

  async #answer(
    device: EduDevice,
    address: bigint,
    bytes: number,
    write: boolean,
  ): Promise<EmulatedAnswer | null> {
    const machine = this.#machine;
    await device.request(machine, address, bytes, write, this.#steps);
    const { faultRecord } = this.#driver;
    // Whoever has read the fault log has waited for the request as well.
    const record = faultRecord === undefined ? null : await faultRecord(machine);
    if (faultRecord === undefined) await machine.flush();
    const lines = this.#lines();
    const answer = this.#driver.answer(lines, address, record, write);
    if (write && answer?.result !== "ok") await this.#restoreReached(lines, address);
    return answer;
  }

  /** A fault on one page keeps no device from writing the others: what it leaves would be taken for another write's. */
  async #restoreReached(lines: readonly string[], address: bigint): Promise<void> {
    for (const place of this.#driver.reached?.(lines, address) ?? [])
      await this.#memory.restore(place & ~(PAGE - 1n), Number(PAGE));
  }

  /** Puts back what a device has written over: the bytes of each page where they went. */
  async #restore(pa: bigint, address: bigint, bytes: number, furtherPages: readonly bigint[]): Promise<void> {
    const first = Number(PAGE - (address & (PAGE - 1n)));
    await this.#memory.restore(pa, Math.min(bytes, first));
    for (const [i, page] of furtherPages.entries()) {
      const left = bytes - first - Number(PAGE) * i;
      if (left > 0) await this.#memory.restore(page, Math.min(left, Number(PAGE)));
    }
  }

  /**
   * Which of several places a request of one byte has reached.
   * @returns undefined: none of them
   */
  async #found(
    device: EduDevice,
    address: bigint,
    write: boolean,
    places: readonly bigint[],
  ): Promise<bigint | undefined> {
    const reachable = places.filter((place) => this.#memory.has(place));
    if (!write) return this.#fetched(device, address, reachable);
    const bytes = await Promise.all(reachable.map((place) => this.#machine.read8(place)));
    return reachable[bytes.indexOf(DEVICE_BYTE)];
  }

  /** The same of a read: each place has another byte for a while, and what the device has then is looked at. */
  async #fetched(device: EduDevice, address: bigint, places: readonly bigint[]): Promise<bigint | undefined> {
    const machine = this.#machine;
    const { base, bytes } = this.#driver.memory;
    const scratch = base + bytes - PAGE;
    for (const [i, place] of places.entries()) machine.write(place, (i + 1).toString(16).padStart(2, "0"));
    await this.#answer(device, address, 1, false);
    this.#driver.forward!(machine, true);
    await device.drain(machine, scratch, this.#steps);
    this.#driver.forward!(machine, false);
    const byte = await machine.read8(scratch);
    for (const place of [...places, scratch]) await this.#memory.restore(place, 1);
    this.#lines();
    return places[byte - 1];
  }
}

/** An entry that was found without a word about rights denies it. */
const NOT_THERE: DeviceAnswer = { result: "fault", recorded: false };

function faultAnswer({ code, stage, faultClass, recorded }: EmulatedAnswer): DeviceAnswer {
  return {
    result: "fault",
    ...(code === undefined ? {} : { code: hex(code) }),
    ...(stage === undefined ? {} : { stage }),
    ...(faultClass === undefined ? {} : { class: faultClass }),
    ...(recorded === undefined ? {} : { recorded }),
  };
}
