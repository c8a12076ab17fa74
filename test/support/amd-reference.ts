/**
 * What an AMD IOMMU answers, said as plainly as possible and once more than in the walker: BigInt arithmetic on whole
 * doublewords, rules in the order in which AMD 48882 applies them, no layouts. An oracle for random tables.
 */

export interface ReferenceRequest {
  readonly device: bigint;
  readonly pasid: bigint | null;
  readonly address: bigint;
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly priv: boolean;
  readonly at?: "untranslated" | "translation-request" | "translated";
}

/** Reads a doubleword of system memory; null outside it. */
type Read = (address: bigint) => bigint | null;

/** Registers, by their MMIO offsets: 0000h, 0018h, 0020h, 0028h, 0030h, 01A0h. */
export interface ReferenceUnit {
  readonly read: Read;
  readonly deviceTable: bigint;
  readonly control: bigint;
  readonly exclusionBase: bigint;
  readonly exclusionLimit: bigint;
  readonly features: bigint;
  readonly features2: bigint;
  /** Bits of system-physical addresses, at most 52. */
  readonly addressBits: number;
}

/** Everything that the reference knows: six host levels, five guest levels, three of GCR3 tables, PASIDs of 20 bits. */
export const COMPLETE: Omit<ReferenceUnit, "read"> = {
  deviceTable: 0x1ffn,
  control: (1n << 0n) | (1n << 2n) | (1n << 16n) | (1n << 45n) | (1n << 58n),
  exclusionBase: 0n,
  exclusionLimit: 0n,
  features:
    (1n << 3n) |
    (1n << 4n) |
    (1n << 31n) |
    (2n << 10n) |
    (1n << 12n) |
    (2n << 14n) |
    (19n << 32n) |
    (1n << 37n) |
    (5n << 48n),
  features2: (1n << 3n) | (1n << 11n),
  addressBits: 52,
};

interface Translation {
  readonly pa: bigint;
  readonly page: bigint;
}
/** "code reason stage" of an event. */
type Event = string;

/** An address and its page size (0: untranslated), an interrupt, or an event, which may have no record. */
export type Answer = Translation | "msi" | { readonly event: Event; readonly recorded: boolean };

const bits = (word: bigint, hi: number, lo: number): bigint =>
  (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const bit = (word: bigint, n: number): boolean => bits(word, n, n) === 1n;
const addressOf = (word: bigint): bigint => bits(word, 51, 12) << 12n;

export function reference(unit: ReferenceUnit, request: ReferenceRequest): Answer {
  // 2.1.2: FEEx_xxxxh is the interrupts'.
  const outcome = request.address >> 20n === 0xfeen ? interrupt(unit, request) : memoryRequest(unit, request);
  if (typeof outcome !== "string" || outcome === "msi") return outcome;
  const [code, reason] = outcome.split(" ");
  // 2.2.2, table 7, SA; what a translation request is told has no event.
  const suppressed = code === "2" && suppresses(unit, request);
  const told =
    request.at === "translation-request" &&
    (code === "8" || reason === "PTE_FETCH" || reason === "PERMISSION");
  return { event: outcome, recorded: bit(unit.control, 2) && !suppressed && !told };
}

function interrupt(
  { control }: ReferenceUnit,
  { address, read, write, pasid }: ReferenceRequest,
): Translation | Event {
  const posted = write && !read;
  if (!bit(control, 0)) return posted ? "msi" : { pa: address, page: 0n };
  if (!posted) return "8 BAD_REQUEST 0";
  return pasid === null ? "msi" : "2 PASID_INVALID 0";
}

/** The four doublewords of a device's entry; an event where there is none. */
function deviceEntry({ read, deviceTable }: ReferenceUnit, device: bigint): bigint[] | Event {
  if (device * 32n >= (bits(deviceTable, 8, 0) + 1n) * 4096n) return "2 SOURCEID_INVALID 0";
  const entry: bigint[] = [];
  for (let i = 0n; i < 4n; i++) {
    const word = read(addressOf(deviceTable) + device * 32n + i * 8n);
    if (word === null) return "3 DEVICE_CONTEXT_FETCH 0";
    entry.push(word);
  }
  return entry;
}

function suppresses(unit: ReferenceUnit, { device, address, pasid }: ReferenceRequest): boolean {
  if (address >> 20n === 0xfeen && pasid !== null) return false;
  const entry = deviceEntry(unit, device);
  return typeof entry !== "string" && bit(entry[0]!, 0) && bit(entry[1]!, 34);
}

/** 2.2.2, table 7: what bits 127:0 may not say, and levels that there are none of. */
function illegal({ control, features }: ReferenceUnit, [q0, q1, q2]: [bigint, bigint, bigint]): boolean {
  const guests = bit(features, 4);
  const reserved = [
    bits(q0, 6, 2) !== 0n || bit(q0, 63),
    // PPR and GPRP, GIOV, the guest's fields, SATS.
    bits(q0, 53, 52) !== 0n && !(bit(features, 50) && bit(control, 45)),
    bit(q0, 54) && !bit(features, 48),
    !guests && (bits(q0, 60, 55) !== 0n || bits(q1, 31, 16) !== 0n || bits(q1, 63, 43) !== 0n),
    bit(q1, 42) && !bit(features, 31),
    bits(q1, 36, 35) === 3n,
  ];
  if (reserved.some((set) => set)) return true;
  if (!bit(q0, 1)) return false;
  // With HATS = 3 there are no host tables.
  if (bits(q0, 11, 9) > [4n, 5n, 6n, 0n][Number(bits(features, 11, 10))]!) return true;
  if (!bit(q0, 55) || !guests || !bit(control, 16)) return false;
  const levels = bits(features, 15, 14);
  const glx = bits(q0, 57, 56);
  return glx === 3n || glx > levels || bits(q2, 55, 54) > (bits(features, 13, 12) === 0n ? 0n : 1n);
}

/** 2.1.2, table 3: what becomes of a request to the HyperTransport range; null: it is translated. */
function hyperTransport(request: ReferenceRequest, q1: bigint): Translation | Event | null {
  const { address, read, write } = request;
  const posted = write && !read;
  const forwarded = { pa: address, page: 0n };
  const refused = "8 BAD_REQUEST 0";
  const offset = address - 0xfd_0000_0000n;
  if (offset < 0xf910_0000n) {
    const delivers = offset >= 0xf800_0000n && offset < 0xf900_0000n && posted;
    return delivers ? "msi" : refused;
  }
  if (offset < 0xf920_0000n) {
    const control = bits(q1, 41, 40);
    if (control === 3n) return null;
    return control === 1n && posted ? forwarded : refused;
  }
  if (offset >= 0xfc00_0000n && offset < 0xfe00_0000n) {
    const control = bits(q1, 36, 35);
    return control === 2n ? null : control === 1n ? forwarded : refused;
  }
  return refused;
}

function memoryRequest(unit: ReferenceUnit, request: ReferenceRequest): Translation | Event {
  const { address, at = "untranslated" } = request;
  const { control, features } = unit;
  const untranslated = { pa: address, page: 0n };
  if (!bit(control, 0)) return untranslated;
  const entry = deviceEntry(unit, request.device);
  if (typeof entry === "string") return entry;
  const [q0, q1, q2] = entry as [bigint, bigint, bigint, bigint];
  const valid = bit(q0, 0);
  if (valid && illegal(unit, [q0, q1, q2])) return "1 BAD_DEVICE_CONTEXT 0";
  // I: without it, nothing of ATS is allowed.
  if (at !== "untranslated" && !(valid && bit(q1, 32))) return "8 BAD_REQUEST 0";
  if (!valid || at === "translated") return untranslated;
  if (request.pasid === null) {
    if (!bit(unit.features2, 11) && address >> 32n >= 0xfdn && address >> 32n <= 0xffn) {
      const answer = hyperTransport(request, q1);
      if (answer !== null) return answer;
    }
    const excluding = bit(unit.exclusionBase, 0) && (bit(unit.exclusionBase, 1) || bit(q1, 39));
    const page = address >> 12n;
    if (excluding && page >= bits(unit.exclusionBase, 51, 12) && page <= bits(unit.exclusionLimit, 51, 12))
      return untranslated;
  }
  if (!bit(q0, 1)) return "2 BAD_DEVICE_CONTEXT 0";
  const guestValid = bit(q0, 55) && bit(features, 4) && bit(control, 16);
  const glx = Number(bits(q0, 57, 56));
  let pasid = request.pasid;
  if (pasid !== null && !guestValid) return "8 PASID_INVALID 0";
  const limit = 1n << BigInt(Math.min(9 * (glx + 1), 20, Number(bits(features, 36, 32)) + 1));
  if (pasid !== null && pasid >= limit) return "2 PASID_INVALID 0";
  if (pasid === null && guestValid && bit(q0, 54)) pasid = 0n;
  const walk = (needs: Needs) => tableWalk(unit, { ...request, ...needs }, [q0, q1, q2], pasid);
  if (at !== "translation-request") return walk(request);
  // What is granted: reading or writing.
  const reading = walk({ read: true, write: false, execute: false });
  if (typeof reading !== "string") return reading;
  const writing = walk({ read: false, write: true, execute: false });
  return typeof writing === "string" ? reading : writing;
}

type Needs = Pick<ReferenceRequest, "read" | "write" | "execute">;

/** @param pasid whose guest tables translate first; null: none */
function tableWalk(
  unit: ReferenceUnit,
  request: ReferenceRequest,
  [q0, q1, q2]: [bigint, bigint, bigint],
  pasid: bigint | null,
): Translation | Event {
  const { read } = unit;
  const beyond = ((1n << 52n) - 1n) & ~((1n << BigInt(unit.addressBits)) - 1n);
  const mode = Number(bits(q0, 11, 9));
  const dteRead = bit(q0, 61);
  const dteWrite = bit(q0, 62);
  const host = (gpa: bigint, needRead: boolean, needWrite: boolean) =>
    hostWalk(read, beyond, addressOf(q0), mode, gpa, dteRead, dteWrite, needRead, needWrite);
  const needRead = request.read || request.execute;
  if (pasid === null) return host(request.address, needRead, request.write);

  /** Reads a doubleword at a guest-physical address. */
  const guestRead = (gpa: bigint): bigint | null | string => {
    if (mode === 0) return read(gpa);
    const at = host(gpa, true, false);
    return typeof at === "string" ? at : read(at.pa);
  };

  let table = (bits(q1, 63, 43) << 31n) | (bits(q1, 31, 16) << 15n) | (bits(q0, 60, 58) << 12n);
  const glx = Number(bits(q0, 57, 56));
  // GCR3TRPMode: otherwise the root's address is the system's.
  const rootIsGuests = bit(unit.control, 58) && bit(unit.features2, 3);
  for (let level = glx; level >= 0; level--) {
    const at = table + ((pasid >> BigInt(9 * level)) & 511n) * 8n;
    const entry = level < glx || rootIsGuests ? guestRead(at) : read(at);
    if (typeof entry === "string") return entry;
    if (entry === null) return "4 PASID_FETCH 0";
    if (!bit(entry, 0)) return "2 PASID_INVALID 0";
    table = addressOf(entry);
  }

  const levels = bits(q2, 55, 54) === 1n ? 5 : 4;
  const width = BigInt(12 + 9 * levels);
  // Without PASID the highest bit is an address bit like the others.
  const whole = request.pasid === null ? BigInt.asUintN : signExtended;
  if (whole(Number(width), request.address) !== request.address) return "2 OOR_ADDRESS 1";
  let writable = true;
  let user = true;
  let noExecute = false;
  for (let level = levels; ; level--) {
    const shift = BigInt(12 + 9 * (level - 1));
    const entry = guestRead(table + ((request.address >> shift) & 511n) * 8n);
    if (typeof entry === "string") return entry;
    if (entry === null) return level === levels ? "4 PGD_FETCH 1" : "4 WALK_EABT 1";
    if (!bit(entry, 0)) return "2 PTE_FETCH 1";
    // Addresses of the guest's are as wide as the host's tables have them.
    if (mode === 0 && (entry & beyond) !== 0n) return "2 BAD_PTE 1";
    writable &&= bit(entry, 1);
    user &&= bit(entry, 2);
    noExecute ||= bit(entry, 63);
    const large = level > 1 && bit(entry, 7);
    if (large && (level > 3 || bits(entry, Number(shift) - 1, 13) !== 0n)) return "2 BAD_PTE 1";
    if (level > 1 && !large) {
      table = addressOf(entry);
      continue;
    }
    const privileged = request.priv && request.pasid !== null && bit(unit.features, 37);
    if (
      (request.write && !writable) ||
      (!user && !privileged) ||
      (request.execute && noExecute && bit(unit.features, 3))
    )
      return "2 PERMISSION 1";
    const size = 1n << shift;
    const gpa = (addressOf(entry) & -size) | (request.address & (size - 1n));
    const data = host(gpa, needRead, request.write);
    if (typeof data === "string") return data;
    return { pa: data.pa, page: data.page === 0n || size < data.page ? size : data.page };
  }
}

function hostWalk(
  read: Read,
  beyond: bigint,
  root: bigint,
  mode: number,
  gpa: bigint,
  dteRead: boolean,
  dteWrite: boolean,
  needRead: boolean,
  needWrite: boolean,
): Translation | Event {
  const allowed = (r: boolean, w: boolean) => (!needRead || r) && (!needWrite || w);
  if (mode === 0) return allowed(dteRead, dteWrite) ? { pa: gpa, page: 0n } : "2 PERMISSION 0";
  if (gpa >> BigInt(12 + 9 * mode) !== 0n) return "2 OOR_ADDRESS 2";
  if (!allowed(dteRead, dteWrite)) return "2 PERMISSION 2";
  let table = root;
  let level = mode;
  for (;;) {
    const shift = 12 + 9 * (level - 1);
    const entry = read(table + ((gpa >> BigInt(shift)) & 511n) * 8n);
    if (entry === null) return level === mode ? "4 PGD_FETCH 2" : "4 WALK_EABT 2";
    if (!bit(entry, 0)) return "2 PTE_FETCH 2";
    const next = Number(bits(entry, 11, 9));
    const leaf = next === 0 || next === 7;
    if (bits(entry, leaf ? 58 : 60, 52) !== 0n || (entry & beyond) !== 0n) return "2 BAD_PTE 2";
    let page = BigInt(shift);
    if (leaf) {
      if (level === 6) return "2 BAD_PTE 2";
      if (next === 7) {
        let zero = 12;
        while (zero < 52 && bit(entry, zero)) zero++;
        page = BigInt(zero + 1);
        if (zero === 52 || page <= BigInt(shift) || page >= BigInt(shift + 9)) return "2 BAD_PTE 2";
      }
    } else {
      if (next >= level) return "2 BAD_PTE 2";
      const skipped = gpa & ((1n << BigInt(shift)) - 1n) & ~((1n << BigInt(12 + 9 * next)) - 1n);
      if (skipped !== 0n) return "2 BAD_PTE 2";
    }
    if (!allowed(bit(entry, 61), bit(entry, 62))) return "2 PERMISSION 2";
    if (leaf) {
      const size = 1n << page;
      return { pa: (addressOf(entry) & -size) | (gpa & (size - 1n)), page: size };
    }
    table = addressOf(entry);
    level = next;
  }
}

function signExtended(width: number, address: bigint): bigint {
  return BigInt.asUintN(64, BigInt.asIntN(width, address));
}
