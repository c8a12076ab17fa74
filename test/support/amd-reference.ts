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
}

export type Answer = { readonly pa: bigint; readonly page: bigint } | string;

/** Reads a doubleword of system memory; null outside it. */
export type Read = (address: bigint) => bigint | null;

const bits = (word: bigint, hi: number, lo: number): bigint =>
  (word >> BigInt(lo)) & ((1n << BigInt(hi - lo + 1)) - 1n);
const bit = (word: bigint, n: number): boolean => bits(word, n, n) === 1n;
const addressOf = (word: bigint): bigint => bits(word, 51, 12) << 12n;

/** @returns an address and its page size (0: untranslated), or "code reason stage" */
export function reference(read: Read, deviceTable: bigint, request: ReferenceRequest): Answer {
  const dte: bigint[] = [];
  for (let i = 0n; i < 4n; i++) {
    const word = read(deviceTable + request.device * 32n + i * 8n);
    if (word === null) return "3 DEVICE_CONTEXT_FETCH 0";
    dte.push(word);
  }
  const [q0, q1, q2] = dte as [bigint, bigint, bigint, bigint];
  if (!bit(q0, 0)) return { pa: request.address, page: 0n };
  if (bits(q0, 6, 2) !== 0n || bit(q0, 63) || bits(q1, 36, 35) === 3n) return "1 BAD_DEVICE_CONTEXT 0";
  const guestValid = bit(q0, 55);
  const mode = Number(bits(q0, 11, 9));
  const glx = Number(bits(q0, 57, 56));
  if (bit(q0, 1)) {
    if (mode === 7) return "1 BAD_DEVICE_CONTEXT 0";
    if (guestValid && (glx === 3 || bits(q2, 55, 54) > 1n)) return "1 BAD_DEVICE_CONTEXT 0";
  } else return "2 BAD_DEVICE_CONTEXT 0";

  const dteRead = bit(q0, 61);
  const dteWrite = bit(q0, 62);
  const host = (gpa: bigint, needRead: boolean, needWrite: boolean) =>
    hostWalk(read, addressOf(q0), mode, gpa, dteRead, dteWrite, needRead, needWrite);

  let pasid = request.pasid;
  if (pasid !== null && !guestValid) return "8 PASID_INVALID 0";
  if (pasid === null && guestValid && bit(q0, 54)) pasid = 0n;
  const needRead = request.read || request.execute;
  if (pasid === null) return host(request.address, needRead, request.write);
  if (pasid >= 1n << BigInt(Math.min(9 * (glx + 1), 20))) return "2 PASID_INVALID 0";

  /** Reads a doubleword at a guest-physical address. */
  const guestRead = (gpa: bigint): bigint | null | string => {
    if (mode === 0) return read(gpa);
    const at = host(gpa, true, false);
    return typeof at === "string" ? at : read(at.pa);
  };

  let table = (bits(q1, 63, 43) << 31n) | (bits(q1, 31, 16) << 15n) | (bits(q0, 60, 58) << 12n);
  for (let level = glx; level >= 0; level--) {
    const entry = guestRead(table + ((pasid >> BigInt(9 * level)) & 511n) * 8n);
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
    writable &&= bit(entry, 1);
    user &&= bit(entry, 2);
    noExecute ||= bit(entry, 63);
    const large = level > 1 && bit(entry, 7);
    if (large && (level > 3 || bits(entry, Number(shift) - 1, 13) !== 0n)) return "2 BAD_PTE 1";
    if (level > 1 && !large) {
      table = addressOf(entry);
      continue;
    }
    const privileged = request.priv && request.pasid !== null;
    if ((request.write && !writable) || (!user && !privileged) || (request.execute && noExecute))
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
  root: bigint,
  mode: number,
  gpa: bigint,
  dteRead: boolean,
  dteWrite: boolean,
  needRead: boolean,
  needWrite: boolean,
): Answer {
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
    if (bits(entry, leaf ? 58 : 60, 52) !== 0n) return "2 BAD_PTE 2";
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
