import { reference } from "../../support/amd-reference.ts";
import { ADDRESS_TYPES, deviceId, ok, type ReferenceDevice, rights } from "./device.ts";

export const amdDevice: ReferenceDevice = {
  hello: {
    type: "hello",
    protocol: 1,
    name: "AMD-Vi reference",
    model: "amd",
    window: 64,
    supports: { at: ADDRESS_TYPES },
  },
  ask(machine, request, address) {
    const unit = {
      read: (at: bigint) => machine.read(at) ?? null,
      deviceTable: machine.reg("dev_tab_base"),
      control: machine.reg("control"),
      exclusionBase: machine.reg("excl_base"),
      exclusionLimit: machine.reg("excl_limit"),
      features: machine.reg("efr"),
      features2: machine.reg("efr2"),
      addressBits: Number(machine.props.get("output_bits") ?? 52),
    };
    const answer = reference(unit, {
      device: BigInt(deviceId(request.dev)),
      pasid: request.pasid === undefined ? null : BigInt(request.pasid),
      address,
      ...rights(request.access),
      priv: request.priv === true,
      ...(request.at === undefined ? {} : { at: request.at }),
    });
    if (answer === "msi") return { result: "msi" };
    if ("pa" in answer) return ok(answer.pa);
    const [code, , stage] = answer.event.split(" ");
    return {
      result: "fault",
      code: `0x${Number(code).toString(16)}`,
      ...(stage === "0" ? {} : { stage: Number(stage) }),
      recorded: answer.recorded,
    };
  },
};
