/** Reference walkers with memory and registers, fed with the records of a world. */

import type { DeviceAnswer } from "../../../pipeline/device/answer.ts";
import type { DeviceIdentity, DevicePort } from "../../../pipeline/fuzz/port.ts";
import { readHello } from "../../../pipeline/fuzz/protocol.ts";
import type { WorldRecord } from "../../../walkers/fuzz/world.ts";
import { amdDevice } from "./amd.ts";
import type { ReferenceAnswer, ReferenceDevice, ReferenceMachine, TraceRequest } from "./device.ts";
import { riscvDevice } from "./riscv.ts";
import { smmuv3Device } from "./smmuv3.ts";
import { vtdDevice } from "./vtd.ts";

export const REFERENCES: Readonly<Record<string, ReferenceDevice>> = {
  "arm-smmuv3": smmuv3Device,
  amd: amdDevice,
  intel: vtdDevice,
  riscv: riscvDevice,
};
const PAGE = 4096n;

/** Guest memory, and the registers of the one IOMMU. */
export class Machine implements ReferenceMachine {
  readonly regs = new Map<string, bigint>();
  readonly props = new Map<string, unknown>();
  readonly #frames = new Map<bigint, Uint8Array>();
  readonly #ram: { readonly from: bigint; readonly to: bigint }[] = [];

  reg(name: string, absent = 0n): bigint {
    return this.regs.get(name) ?? absent;
  }

  ram(from: bigint, size: bigint): void {
    this.#ram.push({ from, to: from + size });
  }

  write(address: bigint, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = address + BigInt(done);
      const offset = Number(at % PAGE);
      const part = bytes.subarray(done, done + Number(PAGE) - offset);
      const frame = this.#frames.get(at / PAGE) ?? new Uint8Array(Number(PAGE));
      this.#frames.set(at / PAGE, frame);
      frame.set(part, offset);
      done += part.length;
    }
  }

  read(address: bigint, bigEndian = false): bigint | undefined {
    if (!this.#ram.some(({ from, to }) => address >= from && address + 8n <= to)) return undefined;
    const frame = this.#frames.get(address / PAGE);
    if (frame === undefined) return 0n;
    return new DataView(frame.buffer).getBigUint64(Number(address % PAGE), !bigEndian);
  }
}

type TraceRecord = Readonly<Record<string, string>> & {
  readonly regs?: Readonly<Record<string, string>>;
  readonly props?: Readonly<Record<string, unknown>>;
};

export function take(machine: Machine, record: TraceRecord): void {
  switch (record.type) {
    case "ram":
      machine.ram(BigInt(record.addr!), BigInt(record.size!));
      break;
    case "mem":
      machine.write(BigInt(record.addr!), Buffer.from(record.data!, "hex"));
      break;
    case "iommu":
      for (const [name, value] of Object.entries(record.regs ?? {})) machine.regs.set(name, BigInt(value));
      for (const [name, value] of Object.entries(record.props ?? {})) machine.props.set(name, value);
      break;
    case "reg":
      machine.regs.set(record.name!, BigInt(record.value!));
  }
}

/** Records after which what was kept may not be used: commands, and settings. */
const CHANGES: readonly string[] = ["cmd", "reg", "iommu"];

/** Every page of a request is asked for: the first one that faults decides, otherwise where the first byte went. */
export function answer(device: ReferenceDevice, machine: Machine, request: TraceRequest): ReferenceAnswer {
  const start = BigInt(request.addr);
  const end = start + BigInt(request.len ?? 1) - 1n;
  const first = device.ask(machine, request, start);
  for (
    let page = start / PAGE + 1n;
    first.result !== "fault" && first.result !== "skipped" && page <= end / PAGE;
    page++
  ) {
    const next = device.ask(machine, request, page * PAGE);
    if (next.result !== "ok") return next;
  }
  return first;
}

/**
 * A reference in this process.
 * Where it keeps what it has translated, it answers a request as it did before, as long as nothing is invalidated and no
 * register changes, whatever becomes of tables: no specification forbids that.
 */
export class ReferencePort implements DevicePort {
  readonly identity: DeviceIdentity;
  readonly #device: ReferenceDevice;
  readonly #keeps: boolean;

  constructor(device: ReferenceDevice, keeps = false) {
    this.#device = device;
    this.#keeps = keeps;
    this.identity = readHello(JSON.stringify(device.hello));
  }

  async run(records: readonly WorldRecord[]): Promise<readonly (DeviceAnswer | undefined)[]> {
    const machine = new Machine();
    const answers: (DeviceAnswer | undefined)[] = [];
    const kept = new Map<string, ReferenceAnswer>();
    for (const record of records) {
      if (record.type !== "dma") {
        if (CHANGES.includes(record.type)) kept.clear();
        take(machine, record as unknown as TraceRecord);
        continue;
      }
      const key = JSON.stringify({ ...record, seq: 0 });
      const given = kept.get(key) ?? answer(this.#device, machine, record as unknown as TraceRequest);
      if (this.#keeps && given.result === "ok") kept.set(key, given);
      answers.push(given.result === "skipped" ? undefined : (given as DeviceAnswer));
    }
    return answers;
  }

  async close(): Promise<void> {
    // It lives as long as a run.
  }
}
