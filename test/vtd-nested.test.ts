import { describe, expect, it } from "vitest";
import {
  AW4,
  chain,
  FS,
  IOVA,
  NEST,
  OPEN,
  PASIDS,
  pasidEntry,
  SS,
  scalableMachine,
  slot,
} from "./support/vtd-machine.ts";

/** Guest-physical page of the buffer, and where the second stage puts things. */
const GPA = 0x8000_0000n;
const HPA = 0x9_8765_4000n;

/**
 * Guest tables at guest-physical FS, which the second stage maps 4 KiB by 4 KiB to FS + 0x100_0000, and a guest
 * page at GPA, mapped to HPA.
 */
function nestedMachine(third = 0n, first = AW4) {
  const m = scalableMachine(pasidEntry(NEST, third, first));
  const shift = 0x100_0000n;
  for (let i = 0n; i < 4n; i++) {
    const at = FS + 0x1000n * i;
    chain(m, SS, 4, at, 3n, (at + shift) | 3n);
  }
  // The buffer's page is under another SS-PDPE: chain() would reuse the tables above.
  m.put(SS + 0x1000n + slot(3, GPA), (SS + 0x8000n) | 3n)
    .put(SS + 0x8000n + slot(2, GPA), (SS + 0x9000n) | 3n)
    .put(SS + 0x9000n + slot(1, GPA), HPA | 3n);
  let table = FS + shift;
  for (let level = 4; level > 1; level--) {
    const next = FS + 0x1000n * BigInt(5 - level);
    m.put(table + slot(level, IOVA), next | OPEN);
    table = next + shift;
  }
  const leaf = table + slot(1, IOVA);
  m.put(leaf, GPA | 0x67n);
  /** Entry of the second stage that maps a guest-physical frame below 1 GiB. */
  const secondLeaf = (gpa: bigint) => SS + 0x3000n + slot(1, gpa);
  return { m, leaf, secondLeaf, shift };
}

describe("nested translation (3.8)", () => {
  it("fetches every first-stage entry, and the page, through the second stage", () => {
    const { m } = nestedMachine();
    expect(m.ask(IOVA, { access: "w" })).toEqual({
      result: "ok",
      model: "intel",
      pa: HPA | (IOVA & 0xfffn),
      page: 4096,
      perm: "rw-",
      domain: 9,
      // Root, context, directory, PASID entry; 4 first-stage entries of 4 + 1 reads; 4 for the page.
      reads: 4 + 4 * 5 + 4,
    });
  });

  it("maps what both stages map: the smaller page, the rights of both", () => {
    const { m, leaf, secondLeaf } = nestedMachine();
    m.put(SS + 0x1000n + slot(3, GPA), 0xc000_0083n);
    expect(m.ask(IOVA)).toMatchObject({ pa: 0xc000_0890n, page: 4096 });
    // A 2 MiB first-stage page over the 1 GiB second-stage one.
    const pde = leaf - slot(1, IOVA) - 0x1000n + slot(2, IOVA);
    m.put(pde, GPA | 0xe7n);
    expect(m.ask(IOVA)).toMatchObject({ pa: 0xc000_0000n + (IOVA & 0x1f_ffffn), page: 0x20_0000 });
    m.put(SS + 0x1000n + slot(3, GPA), 0xc000_0081n);
    expect(m.ask(IOVA)).toMatchObject({ perm: "r--" });
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({
      name: "SGN.6",
      stage: 2,
      level: 3,
      faultAddr: GPA + (IOVA & 0x1f_ffffn),
    });
    m.put(pde, GPA | 0xe5n).put(SS + 0x1000n + slot(3, GPA), 0xc000_0083n);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "SGN.6", stage: 1, level: 2, entry: pde });
    expect(m.ask(IOVA, { access: "w" }).faultAddr).toBeUndefined();
    expect(secondLeaf(FS)).toBe(SS + 0x3000n + 0n);
  });

  it.each([
    ["r", 0n, "SSS.2", "PTE_FETCH"],
    ["r", HPA | 2n, "SGN.7", "PERMISSION"],
    ["w", HPA | 1n, "SGN.6", "PERMISSION"],
    ["r", HPA | (1n << 62n) | 3n, "SSS.3", "BAD_PTE"],
  ] as const)("the page itself: %s, second-stage entry %s: %s", (access, word, name, reason) => {
    const { m } = nestedMachine();
    m.put(SS + 0x9000n + slot(1, GPA), word);
    expect(m.ask(IOVA, { access })).toMatchObject({
      name,
      reason,
      stage: 2,
      level: 1,
      entry: SS + 0x9000n + slot(1, GPA),
      value: word,
      faultAddr: GPA | (IOVA & 0xfffn),
    });
  });

  it.each([4, 3, 2, 1])("a first-stage table of level %i that may not be read", (level) => {
    const { m, secondLeaf, shift } = nestedMachine();
    const gpa = FS + 0x1000n * BigInt(4 - level);
    m.put(secondLeaf(gpa), (gpa + shift) | 2n);
    expect(m.ask(IOVA)).toMatchObject({
      name: level === 4 ? "SFS.6" : "SFS.7",
      reason: level === 4 ? "PGD_FETCH" : "WALK_EABT",
      stage: 2,
      level: 1,
      entry: secondLeaf(gpa),
      faultAddr: gpa + slot(level, IOVA),
    });
    m.put(secondLeaf(gpa), 0n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SSS.2", stage: 2, faultAddr: gpa + slot(level, IOVA) });
  });

  it("a first-stage entry that is absent is the first stage's fault", () => {
    const { m, leaf } = nestedMachine();
    m.put(leaf, 0n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.2", stage: 1, level: 1, entry: leaf });
  });

  it("flags of first-stage entries need a writable mapping, unless they are set already", () => {
    const { m, leaf, secondLeaf, shift } = nestedMachine();
    const gpa = FS + 0x3000n;
    m.put(secondLeaf(gpa), (gpa + shift) | 1n);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ result: "ok" });
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", perm: "rw-" });
    m.put(leaf, GPA | 0x27n); // D clear: only writing needs it
    expect(m.ask(IOVA)).toMatchObject({ result: "ok", perm: "r--" });
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ name: "SFS.8", level: 1, entry: leaf });
    m.put(leaf, GPA | 0x47n); // A clear
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.8", code: 0x77, level: 1, entry: leaf });
    m.put(secondLeaf(gpa), (gpa + shift) | 3n);
    expect(m.ask(IOVA, { access: "w" })).toMatchObject({ result: "ok" });
  });

  it("under SSADE a first-stage table has to be writable to be read", () => {
    const { m, secondLeaf, shift } = nestedMachine(0n, AW4 | 0x200n);
    expect(m.ask(IOVA)).toMatchObject({ result: "ok" });
    m.put(secondLeaf(FS), (FS + shift) | 1n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.8", stage: 2, faultAddr: FS + slot(4, IOVA) });
  });

  it("guest-physical addresses end at the smaller of MGAW and AW", () => {
    const { m, leaf } = nestedMachine();
    m.put(leaf, (1n << 48n) | 0x67n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SFS.5", code: 0x74, stage: 1, level: 1, entry: leaf });
    m.put(leaf, (1n << 40n) | 0x67n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SSS.2" });
    expect(m.set({}, { input_bits: 40 }).ask(IOVA)).toMatchObject({ name: "SFS.5" });
    m.put(PASIDS + 16n, FS | (1n << 40n));
    expect(m.ask(IOVA)).toMatchObject({ name: "SPT.4.4", entry: PASIDS });
  });

  it("the page may not come out in the interrupt address range, wherever the first stage puts it", () => {
    const { m } = nestedMachine();
    m.put(SS + 0x9000n + slot(1, GPA), 0xfee0_0003n);
    expect(m.ask(IOVA)).toMatchObject({ name: "SGN.8.1" });
  });

  it("5-level guest tables over a 3-level second stage", () => {
    const m = scalableMachine(pasidEntry(NEST, 4n, 4n));
    m.put(SS, 0x83n).put(SS + slot(3, GPA), 0xc000_0083n);
    chain(m, FS, 5, IOVA, OPEN, GPA | 0x67n);
    expect(m.ask(IOVA, { access: "rw" })).toMatchObject({ pa: 0xc000_0890n, reads: 4 + 5 * 2 + 1 });
  });
});
