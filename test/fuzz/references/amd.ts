import { reference } from "../../support/amd-reference.ts";
import { ok, type ReferenceDevice, requesterId, rights, SKIPPED } from "./device.ts";

/** AMD 48882, 3.4: all that the reference has, with 6 host levels, 5 guest levels, 3 levels of GCR3 tables, 20 PASID bits. */
const EFR = "0x5003300009858";
/** Control: IommuEn, EventLogEn, Coherent, CmdBufEn, GTEn, GCR3TRPMode: the reference finds GCR3 tables by guest addresses. */
const CONTROL = "0x400000000011405";
const EFR2 = "0x808";
const TABLE = 0xf_ffff_ffff_f000n;

export const amdDevice: ReferenceDevice = {
  hello: {
    type: "hello",
    protocol: 1,
    name: "AMD-Vi reference",
    model: "amd",
    window: 64,
    supports: { regs: { efr: EFR, control: CONTROL, efr2: EFR2 }, props: { output_bits: 52 } },
  },
  ask(machine, request, address) {
    // Interrupts are not in the reference.
    if (address >> 20n === 0xfeen) return SKIPPED;
    const base = machine.reg("dev_tab_base");
    const device = requesterId(request.dev);
    if (BigInt(device) * 32n >= ((base & 0x1ffn) + 1n) * 4096n) return SKIPPED;
    const answer = reference((at) => machine.read(at) ?? null, base & TABLE, {
      device: BigInt(device),
      pasid: request.pasid === undefined ? null : BigInt(request.pasid),
      address,
      ...rights(request.access),
      priv: request.priv === true,
    });
    if (typeof answer !== "string") return ok(answer.pa);
    const [code, , stage] = answer.split(" ");
    return {
      result: "fault",
      code: `0x${Number(code).toString(16)}`,
      ...(stage === "0" ? {} : { stage: Number(stage) }),
    };
  },
};
