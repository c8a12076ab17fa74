import { reference } from "../../support/riscv-reference.ts";
import { ADDRESS_TYPES, deviceId, ok, type ReferenceDevice, type ReferenceMachine } from "./device.ts";

/** Release of the specification from which on an MSI page table without a second stage is refused. */
const RELEASE_2026 = 20260222;
/** Causes of a first and of a second stage; of the others the stage is not said. */
const STAGES: Readonly<Record<number, 1 | 2>> = { 12: 1, 13: 1, 15: 1, 20: 2, 21: 2, 23: 2 };

/** A half of the doubleword that it lies in. */
function read32(machine: ReferenceMachine, address: bigint, bigEndian: boolean): bigint | undefined {
  const word = machine.read(address & ~7n, bigEndian);
  if (word === undefined) return undefined;
  const upper = ((address & 4n) !== 0n) !== bigEndian;
  return upper ? word >> 32n : word & 0xffff_ffffn;
}

export const riscvDevice: ReferenceDevice = {
  hello: {
    type: "hello",
    protocol: 1,
    name: "RISC-V reference",
    model: "riscv",
    window: 64,
    supports: { at: ADDRESS_TYPES },
  },
  ask(machine, request, address) {
    const number = (name: string, absent: number) => Number(machine.props.get(name) ?? absent);
    const outcome = reference(
      {
        capabilities: machine.reg("capabilities"),
        fctl: machine.reg("fctl"),
        ddtp: machine.reg("ddtp"),
        beWritable: number("be_writable", 1) !== 0,
        gxlWritable: number("gxl_writable", 1) !== 0,
        refusesMsiWithoutStage: number("spec_release", 0) >= RELEASE_2026,
        read: (at, bytes, bigEndian) =>
          bytes === 8 ? machine.read(at, bigEndian) : read32(machine, at, bigEndian),
      },
      {
        device: BigInt(deviceId(request.dev)),
        process: request.pasid === undefined ? undefined : BigInt(request.pasid),
        address,
        access: request.access ?? "r",
        supervisor: request.priv === true,
        at: request.at ?? "untranslated",
      },
    );
    if (outcome === "msi") return { result: "msi" };
    if ("pa" in outcome) return ok(outcome.pa);
    const stage = STAGES[outcome.cause];
    return {
      result: "fault",
      code: `0x${outcome.cause.toString(16)}`,
      ...(stage === undefined ? {} : { stage }),
      recorded: outcome.recorded,
    };
  },
};
