/** Changes of one field, by its declaration: legal values, reserved ones, boundaries, what no capability allows. */
import type { Random } from "../../walkers/fuzz/random.ts";
import type { VendorFuzzing } from "../../walkers/fuzz/vendor-fuzzing.ts";
import { allOnes, type World, type WorldEntry, widthOf } from "../../walkers/fuzz/world.ts";
import type { Layout } from "../../walkers/layout.ts";
import { type FuzzCoverage, fieldOfRule } from "./coverage.ts";
import { classOf, fieldClasses, reservedBitsOf } from "./field-classes.ts";
import { roleOf, type Tries } from "./tries.ts";

const FRAME = 12n;
/** What is changed where that is no field. */
const RESERVED = null;

/** Changes something in a structure's bytes, unless it is not defined what that means. */
export function mutateEntry(
  world: World,
  entry: WorldEntry,
  fuzzing: VendorFuzzing,
  coverage: FuzzCoverage,
  random: Random,
  tries: Tries,
): void {
  const { layout, littleEndian } = entry;
  const bytes = Uint8Array.from(world.bytes(entry));
  const view = new DataView(bytes.buffer);
  if (fuzzing.ambiguous?.(layout, view, littleEndian)) return;
  const role = roleOf(entry);
  const field = changedField(layout, role, world, coverage, random, tries);
  if (field === RESERVED) flip(layout, view, random.pick(reservedBitsOf(layout)), littleEndian);
  else {
    const now = layout.extract(field, view, 0, littleEndian);
    const value = tries.choose(
      () => otherValue(layout, field, now, world, random, landmarksOf(world, entry)),
      (drawn) => `${role}.${field}=${classOf(layout, field, drawn)}`,
    );
    encode(layout, field, value, view, littleEndian);
  }
  if (!fuzzing.ambiguous?.(layout, view, littleEndian)) world.setBytes(entry, bytes);
}

/** What of a structure to change: rather what breaks a rule that none has broken yet, and what was changed least. */
function changedField(
  layout: Layout,
  role: string,
  world: World,
  coverage: FuzzCoverage,
  random: Random,
  tries: Tries,
): string | typeof RESERVED {
  const broken = coverage.missing("rule").map((name) => fieldOfRule(layout, name));
  const wanted = layout.names().filter((name) => broken.includes(name));
  if (reservedBitsOf(layout).length > 0 && random.oneIn(8)) return RESERVED;
  // Most fields are of no use to most worlds: what was never tried is not what matters most.
  const usual = random.oneIn(4) ? layout.names() : world.named(layout);
  const fields = wanted.length > 0 && random.oneIn(2) ? wanted : usual;
  return tries.choose(
    () => random.pick(fields),
    (field) => `${role}.${field}`,
  );
}

/** Addresses that are not as others, and that an entry may lead to: a page everywhere, a table where memory would be. */
function landmarksOf(
  { landmarks, limits: { foreign = [] } }: World,
  { uses }: WorldEntry,
): readonly bigint[] {
  if (uses.length > 0 && uses.every(({ table, whole }) => !table && !whole)) return landmarks;
  return landmarks.filter((at) => !foreign.some(({ base, bytes }) => at >= base && at < base + bytes));
}

function otherValue(
  layout: Layout,
  field: string,
  now: bigint,
  world: World,
  random: Random,
  landmarks: readonly bigint[] = world.landmarks,
): bigint {
  const ones = allOnes(layout, field);
  const { kind } = layout.fields[field]!;
  if (kind === "frame" || kind === "address")
    return otherPointer(layout, field, now, world, random, landmarks);
  const classes = fieldClasses(layout, field);
  if (!classes.includes("other")) return (now + 1n + BigInt(random.below(classes.length - 1))) & ones;
  switch (random.below(6)) {
    case 0:
      return 0n;
    case 1:
      return ones;
    case 2:
      return (now + 1n) & ones;
    case 3:
      return (now - 1n) & ones;
    case 4:
      return random.bits(widthOf(layout, field)) & ones;
    default:
      return now ^ (1n << BigInt(random.below(widthOf(layout, field))));
  }
}

/** A pointer: to another table, out of memory, beyond a width, not aligned. */
function otherPointer(
  layout: Layout,
  field: string,
  now: bigint,
  world: World,
  random: Random,
  landmarks: readonly bigint[],
): bigint {
  const ones = allOnes(layout, field);
  const { kind, parts } = layout.fields[field]!;
  // An address field holds the bits of the address from its lowest one on.
  const shift = kind === "address" ? BigInt(parts[0]![1] % 64) : FRAME;
  switch (random.below(7)) {
    case 0:
      return landmarks.length > 0 ? (random.pick(landmarks) >> shift) & ones : 0n;
    case 1:
      return (random.pick(world.tables) >> shift) & ones;
    case 2:
      return ((world.limits.memory.base + world.limits.memory.bytes) >> shift) & ones;
    case 3:
      return (now + 1n) & ones;
    default:
      return now ^ (1n << BigInt(random.below(widthOf(layout, field))));
  }
}

function flip(layout: Layout, view: DataView, bit: number, littleEndian: boolean): void {
  if (layout.bytes === 4) {
    view.setUint32(0, view.getUint32(0, littleEndian) ^ (1 << bit), littleEndian);
    return;
  }
  const at = 8 * (bit >> 6);
  view.setBigUint64(at, view.getBigUint64(at, littleEndian) ^ (1n << BigInt(bit & 63)), littleEndian);
}

function idOf({ register, field }: { readonly register: string; readonly field: string }): string {
  return `${register}.${field}`;
}

/** Writes the bits of a field. */
export function encode(
  layout: Layout,
  field: string,
  value: bigint,
  view: DataView,
  littleEndian: boolean,
): void {
  const { kind, parts } = layout.fields[field]!;
  const shift = kind === "address" ? BigInt(parts[0]![1] % 64) : 0n;
  layout.encode({ [field]: value << shift }, view, 0, littleEndian);
}

/**
 * Changes a field of one of the registers that are not fixed: rather one that the world was built upon.
 * @returns its name; undefined: all are fixed
 */
export function mutateRegister(
  world: World,
  names: readonly string[],
  layouts: Readonly<Record<string, Layout>>,
  random: Random,
  tries: Tries,
): string | undefined {
  const free = names.filter((name) => !world.isFixed(name) && world.registers.has(name));
  if (free.length === 0) return undefined;
  const needed = world.needed.filter(({ register }) => free.includes(register));
  const anyOf = (register: string) => {
    const names = random.oneIn(3) ? layouts[register]!.names() : world.named(layouts[register]!);
    return { register, field: random.pick(names) };
  };
  const { register, field } =
    needed.length > 0 && !random.oneIn(4)
      ? tries.choose(() => random.pick(needed), idOf)
      : anyOf(random.pick(free));
  const layout = layouts[register]!;
  const view = new DataView(new ArrayBuffer(8));
  view.setBigUint64(0, world.registers.get(register)!, true);
  const now = layout.extract(field, view, 0);
  encode(layout, field, otherValue(layout, field, now, world, random), view, true);
  const value = layout.bytes > 4 ? view.getBigUint64(0, true) : BigInt(view.getUint32(0, true));
  world.setRegister(register, value);
  return register;
}
