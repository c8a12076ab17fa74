import { describe, expect, it } from "vitest";
import { type Answer, replaySmmuV3 } from "./support/smmuv3-recording.ts";

const sample = (name: string) => replaySmmuV3(new URL(`../samples/arm/${name}`, import.meta.url));

function differences(answers: readonly Answer[]): string[] {
  return answers.flatMap(({ seq, ours, theirs }) =>
    ours === theirs ? [] : [`${seq}: ${ours}; seen ${theirs}`],
  );
}

/** The kinds of answer, so that a recording that has become meaningless is noticed. */
function kinds(answers: readonly Answer[]): Set<string> {
  return new Set(answers.map(({ kind }) => kind.replace(/ 0x.*| L-?\d/, "")));
}

describe("recordings: result, address and the whole event record", () => {
  it("QEMU 11.1, both stages, 4 KiB", () => {
    const answers = sample("arm-11.1-nested-4k-1.ndjson.gz");
    expect(answers).toHaveLength(618);
    expect(differences(answers)).toEqual([]);
    const kindsSeen = kinds(answers);
    for (const kind of [
      "ok",
      "C_BAD_STE",
      "F_STE_FETCH",
      "F_CD_FETCH",
      "F_WALK_EABT S1 TT",
      "GBPA.ABORT unrecorded",
    ])
      expect(kindsSeen).toContain(kind);
    for (const fault of ["F_TRANSLATION", "F_PERMISSION", "F_ADDR_SIZE"])
      for (const stage of ["S1 IN", "S2 IN"]) expect(kindsSeen).toContain(`${fault} ${stage}`);
  });

  it("QEMU 10.0, stage 1, 16 KiB", () => {
    const answers = sample("arm-10.0-s1-16k-1.ndjson.gz");
    expect(answers).toHaveLength(618);
    expect(differences(answers)).toEqual([]);
    for (const kind of [
      "ok",
      "C_BAD_CD",
      "STE.Config unrecorded",
      "F_ACCESS S1 IN",
      "F_PERMISSION S1 IN unrecorded",
    ])
      expect(kinds(answers)).toContain(kind);
  });

  it("QEMU 11.1, stage 2, 64 KiB", () => {
    const answers = sample("arm-11.1-s2-64k-1.ndjson.gz");
    expect(answers).toHaveLength(618);
    expect(differences(answers)).toEqual([]);
    for (const kind of ["ok", "F_TRANSLATION S2 IN", "F_PERMISSION S2 IN", "F_ACCESS S2 IN"])
      expect(kinds(answers)).toContain(kind);
    expect(new Set(answers.map((a) => a.pageShift))).toEqual(new Set([0, 16, 29]));
  });

  it("Linux 6.12, stage 1", () => {
    const answers = sample("linux-smmu.ndjson");
    const faults = answers.filter(({ theirs }) => theirs === "fault");
    expect(answers.length).toBeGreaterThan(80);
    // The log of these faults has no event record; the kernel's CD has R set.
    expect(faults.map(({ kind }) => kind)).toEqual(Array(5).fill("F_TRANSLATION S1 IN L0"));
    expect(differences(answers.filter(({ theirs }) => theirs !== "fault"))).toEqual([]);
  });
});
