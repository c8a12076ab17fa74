/**
 * The slow reference walkers of `test/support/` as devices under test, which share nothing with the walkers but the
 * specifications: `pasid-replay fuzz --dut 'npx tsx test/fuzz/reference-device.ts arm-smmuv3'`; or `amd`, `intel`, `riscv`. They cache
 * nothing, so that every answer is to be of memory as it is. What a reference does not model is skipped.
 */
import { createInterface } from "node:readline";
import { amdDevice } from "./references/amd.ts";
import type { ReferenceDevice, ReferenceMachine, TraceRequest } from "./references/device.ts";
import { riscvDevice } from "./references/riscv.ts";
import { smmuv3Device } from "./references/smmuv3.ts";
import { vtdDevice } from "./references/vtd.ts";

const DEVICES: Readonly<Record<string, ReferenceDevice>> = {
  "arm-smmuv3": smmuv3Device,
  amd: amdDevice,
  intel: vtdDevice,
  riscv: riscvDevice,
};
const PAGE = 4096n;

/** Guest memory, and the registers of the one IOMMU. */
class Machine implements ReferenceMachine {
  readonly regs = new Map<string, bigint>();
  readonly props = new Map<string, unknown>();
  readonly #frames = new Map<bigint, Uint8Array>();
  readonly #ram: { readonly from: bigint; readonly to: bigint }[] = [];

  reg(name: string): bigint {
    return this.regs.get(name) ?? 0n;
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

function take(machine: Machine, record: TraceRecord): void {
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

/** Every page of a request is asked for: the first one that faults decides, otherwise where the first byte went. */
function answer(device: ReferenceDevice, machine: Machine, request: TraceRequest): object {
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

const device = DEVICES[process.argv[2] ?? ""];
if (device === undefined) {
  console.error(
    `expected one of ${Object.keys(DEVICES).join(", ")}, found ${JSON.stringify(process.argv[2] ?? "")}`,
  );
  process.exit(2);
}
let machine = new Machine();
for await (const line of createInterface({ input: process.stdin })) {
  const record = JSON.parse(line);
  if (record.type === "hello") console.log(JSON.stringify(device.hello));
  else if (record.type === "reset") {
    machine = new Machine();
    console.log('{"type":"reset"}');
  } else if (record.type === "dma")
    console.log(JSON.stringify({ type: "observed", seq: record.seq, ...answer(device, machine, record) }));
  else take(machine, record);
}
