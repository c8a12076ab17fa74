import { describe, expect, it } from "vitest";
import { type Answer, replayRiscv } from "./support/riscv-recording.ts";

const sample = (name: string) => replayRiscv(new URL(`../samples/riscv/${name}`, import.meta.url));

/** What a recorded system answered, and what the walker says in the same words. */
function differences(answers: readonly Answer[]): string[] {
  return answers.flatMap(({ seq, seen, observed }) => {
    const ours =
      seen.result === "ok"
        ? `ok 0x${seen.pa!.toString(16)}`
        : seen.result === "fault"
          ? `fault${observed.result === "fault" && observed.code === undefined ? "" : ` 0x${seen.code!.toString(16)}`}`
          : "msi";
    const theirs = [observed.result, observed.pa ?? observed.code]
      .filter((part) => part !== undefined)
      .join(" ");
    return ours === theirs ? [] : [`${seq}: ${ours}, observed ${theirs}`];
  });
}

describe("recordings", () => {
  it("the reference model, three-level process directories: no difference", () => {
    const answers = sample("riscv-ref-pd20-s1.ndjson.gz");
    expect(answers).toHaveLength(1000);
    expect(differences(answers)).toEqual([]);
    // Enough of every kind to mean something.
    const codes = new Set(answers.map(({ seen }) => seen.code ?? seen.result));
    for (const code of ["ok", 13, 15, 12, 258, 259, 260, 266, 267]) expect(codes).toContain(code);
  });

  it("QEMU: the three known departures from the specification", () => {
    const answers = sample("riscv-qemu-11.1-mix-s1.ndjson.gz");
    expect(answers).toHaveLength(1000);
    expect(differences(answers)).toEqual([
      "494: fault 0xd, observed fault 0x15",
      "816: fault 0xf, observed ok 0xa809c000",
      "950: fault 0xf, observed fault 0x17",
    ]);
  });

  it("Linux 7.2 with Sv57, 2 MiB leaves and Svnapot: no difference", () => {
    const answers = sample("linux-riscv-paging.ndjson");
    expect(answers).toHaveLength(200);
    expect(differences(answers)).toEqual([]);
    const pages = new Set(answers.map(({ seen }) => seen.page));
    for (const page of [0n, 0x1000n, 0x1_0000n, 0x20_0000n]) expect(pages).toContain(page);
  });
});
