import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CommandDecoder,
  commandCoverage,
  commandSetOf,
  decodeCommand,
  encodeCommand,
  formatCommand,
} from "../walkers/commands/command.ts";
import { DEVICE_TLB, REJECTED } from "../walkers/invalidation.ts";
import { IOMMU_MODELS } from "../walkers/models.ts";
import { MAX64, state, unsigned, word, words } from "./support/command-words.ts";

const all = IOMMU_MODELS.flatMap((model) =>
  commandSetOf(model).specs.map((spec) => ({ model, spec, name: spec.name })),
);

describe.each(all)("$model $name", ({ model, spec }) => {
  it("has fields that lie inside it and do not overlap", () => {
    const taken = new Set<number>();
    for (const name of spec.layout.names())
      for (const [high, low] of spec.layout.fields[name]!.parts) {
        expect(high).toBeGreaterThanOrEqual(low);
        expect(high).toBeLessThan(8 * spec.layout.bytes);
        expect(high >> 6).toBe(low >> 6);
        for (let bit = low; bit <= high; bit++) {
          expect(taken.has(bit), `bit ${bit} of ${name}`).toBe(false);
          taken.add(bit);
        }
      }
  });

  it("decodes to what was encoded, with nothing refused but what its own rules refuse", () => {
    const names = spec.layout
      .names()
      .filter((n) => spec.fixed[n] === undefined && spec.layout.fields[n]!.kind !== "ignored");
    const widths = names.map((n) =>
      spec.layout.fields[n]!.parts.reduce((sum, [high, low]) => sum + high - low + 1, 0),
    );
    fc.assert(
      fc.property(fc.tuple(...widths.map((w) => fc.bigInt(0n, 2n ** BigInt(w) - 1n))), (values) => {
        const bytes = names.map((n, i): [string, bigint] => {
          const field = spec.layout.fields[n]!;
          // An address is given in whole.
          const low = field.kind === "address" ? BigInt(field.parts[0]![1] % 64) : 0n;
          return [n, values[i]! << low];
        });
        const command = decodeCommand(model, encodeCommand(model, spec.name, Object.fromEntries(bytes)));
        // A range of 31 makes CMD_CFGI_STE_RANGE another command.
        if (spec.name !== "CMD_CFGI_STE_RANGE") expect(command.name).toBe(spec.name);
        const found = Object.fromEntries(command.fields.map((f) => [f.name, f.value]));
        names.forEach((n, i) => {
          expect(found[n]).toBe(values[i]);
        });
        expect(command.problems.filter((p) => p.field === "" && p.bits !== "")).toEqual([]);
        expect(formatCommand(command).startsWith(command.name)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it("is in the table of coverage, with its source", () => {
    const row = commandCoverage(model).find((r) => r.command === spec.name);
    expect(row?.source).toMatch(/^(VT-d 5\.10|IHI 0070|AMD 48882|RISC-V IOMMU 1\.0), \S/);
    for (const text of [row!.covers, row!.doesNotCover]) expect(text).toMatch(/^[A-Z].*\.$/);
  });
});

describe("commandCoverage", () => {
  it.each(IOMMU_MODELS)("names every command of %s once", (model) => {
    const names = commandCoverage(model).map((row) => row.command);
    expect(new Set(names).size).toBe(names.length);
  });

  it("only what says so reaches devices' own caches", () => {
    const reaching = all.filter(({ model, spec }) => {
      const fields = "G" in spec.layout.fields && model === "intel" ? { G: 1 } : {};
      const inv = decodeCommand(model, encodeCommand(model, spec.name, fields)).invalidation;
      return inv !== null && (inv.caches & DEVICE_TLB) !== 0;
    });
    expect(reaching.map(({ name }) => name)).toEqual([
      "device-TLB invalidate",
      "PASID-based-device-TLB invalidate",
      "CMD_ATC_INV",
      "INVALIDATE_IOTLB_PAGES",
      "ATS.INVAL",
    ]);
  });
});

describe("CommandDecoder", () => {
  it.each(IOMMU_MODELS)("finds for %s what decodeCommand finds, in whatever order commands come", (model) => {
    const decoder = new CommandDecoder(model);
    const opcodes = commandSetOf(model).specs.map((s) => encodeCommand(model, s.name)[0]!);
    const low = fc.oneof(
      fc.bigInt(0n, MAX64),
      fc.tuple(fc.constantFrom(...opcodes), fc.bigInt(0n, MAX64)).map(([op, rest]) => {
        const value = unsigned(op.hi, op.lo);
        return model === "amd" ? (rest >> 4n) | (value & (15n << 60n)) : (rest & ~0x3ffn) | (value & 0x3ffn);
      }),
    );
    fc.assert(
      fc.property(low, fc.bigInt(0n, MAX64), (w0, w1) => {
        const command = decodeCommand(model, words(w0, w1));
        const inv = decoder.invalidation(words(w0, w1));
        expect(inv).toEqual(command.invalidation);
        expect(decoder.completion).toBe(command.completion);
        // The status is that of the worst problem.
        const illegal = command.problems.some((p) => p.kind === "illegal");
        expect(decoder.status === REJECTED).toBe(illegal);
        if (command.problems.length === 0) expect(decoder.status).toBe(0);
        if (inv !== null) expect(inv.status).toBe(decoder.status);
      }),
      { numRuns: 400 },
    );
  });

  it("reuses one invalidation", () => {
    const decoder = new CommandDecoder("amd");
    const first = decoder.invalidation(words(8n << 60n, 0n));
    expect(decoder.invalidation(words((2n << 60n) | 5n, 0n))).toBe(first);
    expect(first?.device).toBe(5);
  });

  it("does not take the words of the command before", () => {
    const decoder = new CommandDecoder("intel");
    decoder.invalidation(words(0x12n, 0n, MAX64, MAX64));
    expect(decoder.status).toBe(REJECTED);
    decoder.invalidation(words(0x12n, 0n));
    expect(decoder.status).toBe(0);
  });

  it("learns of registers that change", () => {
    const decoder = new CommandDecoder("arm-smmuv3");
    const sync = words(0x40n, 0n);
    decoder.invalidation(sync);
    expect(decoder.status).toBe(0);
    decoder.configure(state({ idr0: 0x3n }));
    decoder.invalidation(sync);
    expect(decoder.status).toBe(REJECTED);
  });

  it("takes properties over registers", () => {
    const registers = { idr0: 0x3n | (1n << 12n) | (1n << 18n), idr1: 0n };
    const cd = words(0x5005n, 0n);
    expect(decodeCommand("arm-smmuv3", cd, state(registers)).problems).toHaveLength(1);
    expect(decodeCommand("arm-smmuv3", cd, state(registers, { ssid_bits: 5 })).problems).toEqual([]);
  });
});

describe("printing", () => {
  it("an unknown command shows its words", () => {
    expect(formatCommand(decodeCommand("amd", words(0xf000000000000001n, 0x2n)))).toBe(
      "unknown command, opcode 0xf: 0xf000000000000001 0x2",
    );
    expect(formatCommand(decodeCommand("riscv", [word(0x7fn)]))).toBe("unknown command, opcode 0x7f: 0x7f");
    // Too few words, but the opcode is there: IOTINVAL (RISC-V IOMMU 1.0, 3.1.1).
    expect(decodeCommand("riscv", [word(1n)]).name).toMatch(/^IOTINVAL/);
  });
});
