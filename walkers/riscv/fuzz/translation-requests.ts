/** The translation-request interface of QEMU's RISC-V IOMMU (RISC-V IOMMU 1.0, tr_req_iova, tr_req_ctl and tr_response). */
import type { EmulatedAnswer, EmulatedMachine, EmulatedRequest } from "../../fuzz/emulator.ts";
import { RISCV_FAULT_RECORD } from "../fault-record.ts";

const TR_REQ_IOVA = 0x258n;
const TR_REQ_CTL = 0x260n;
const TR_RESPONSE = 0x268n;

/** tr_req_ctl: Go, Priv, NW, PID, PV, DID. */
const GO = 1n;
const PRIV = 1n << 1n;
const NW = 1n << 3n;
const PID_SHIFT = 12n;
const PV = 1n << 32n;
const DID_SHIFT = 40n;
/** tr_response: fault, and the PPN from bit 10 on. */
const FAULT = 1n;
const PPN_SHIFT = 10n;
const PPN_MASK = (1n << 44n) - 1n;
const PA_BITS = 56;
/** log2 of the pages larger than 4 KiB: Svnapot's, and those of Sv32 and of the others. */
const LARGE_SHIFTS = [16n, 21n, 22n, 30n, 39n, 48n] as const;
const LARGE_OFFSET = (1n << LARGE_SHIFTS[0]) - 1n;
const PAGE = 0xfffn;

/**
 * @param unit address of its registers
 * @param tells tr_response.PPN can be relied on
 * @param fault the first fault since it was last called
 * @returns null: it cannot be asked for that
 */
export async function askForTranslation(
  machine: EmulatedMachine,
  unit: bigint,
  request: EmulatedRequest,
  tells: boolean,
  fault: () => Promise<DataView | null>,
): Promise<EmulatedAnswer | null> {
  const control = controlOf(request);
  if (control === null) return null;
  const { address } = request;
  const [response, record] = await Promise.all([responseTo(machine, unit, control, address), fault()]);
  // "tr_response": whether the fault queue has a record of it is not said.
  if ((response & FAULT) !== 0n)
    return { result: "fault", ...(record === null ? {} : { code: RISCV_FAULT_RECORD.code(record) }) };
  if (!tells) return { result: "ok" };
  const page = pageOf(response);
  if ((page & LARGE_OFFSET) !== 0n) return { result: "ok", pa: whole(page | (address & PAGE), address) };
  const offset = await offsetBits(machine, unit, control, address, response);
  // Of what was asked beside it nobody is to be told.
  await fault();
  if (offset === null) return { result: "ok" };
  return { result: "ok", pa: whole(page | (address & offset), address) };
}

/** Asks the translation-request interface, with the next read. */
function responseTo(
  machine: EmulatedMachine,
  unit: bigint,
  control: bigint,
  address: bigint,
): Promise<bigint> {
  machine.write64(unit + TR_REQ_IOVA, address);
  machine.write64(unit + TR_REQ_CTL, control);
  return machine.read64(unit + TR_RESPONSE);
}

const pageOf = (response: bigint) => ((response >> PPN_SHIFT) & PPN_MASK) << 12n;

/** tr_response.PPN has no room for more than 56 bits: what passes has lost those above. */
const whole = (pa: bigint, address: bigint) => (BigInt.asUintN(PA_BITS, address) === pa ? address : pa);

/**
 * Where a page is larger than 4 KiB, tr_response tells where it begins, without S: the specification has the PPN of the
 * address, or S. How large it is shows in what is answered for other addresses in it.
 * @returns the bits of an address that are an offset in its page; null: it may be one of 64 KiB whose other entries are not
 * as this one
 */
async function offsetBits(
  machine: EmulatedMachine,
  unit: bigint,
  control: bigint,
  address: bigint,
  response: bigint,
): Promise<bigint | null> {
  const others = await Promise.all(
    LARGE_SHIFTS.map((shift) => responseTo(machine, unit, control, address ^ (1n << (shift - 1n)))),
  );
  const smaller = others.findIndex((other) => other !== response);
  const shift = smaller < 0 ? LARGE_SHIFTS.at(-1)! : LARGE_SHIFTS[smaller - 1];
  return shift === undefined ? null : (1n << shift) - 1n;
}

/** The operands of a request of one page, or null where there are none for it: writes alone. */
function controlOf({ device, pasid, address, bytes, access, priv }: EmulatedRequest): bigint | null {
  if (access === "w" || (address & PAGE) + BigInt(bytes) > PAGE + 1n) return null;
  return (
    GO |
    (access === "rw" ? 0n : NW) |
    (priv ? PRIV : 0n) |
    (pasid === undefined ? 0n : PV | (BigInt(pasid) << PID_SHIFT)) |
    (BigInt(device) << DID_SHIFT)
  );
}
