import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteWriter, Piece, piece } from "../pipeline/output/byte-writer.ts";

function written(write: (out: ByteWriter) => void): string {
  const out = new ByteWriter(64);
  out.reserve(64);
  // What is written leaves a trace of nothing in what stood there before, and is right at any alignment.
  out.put(piece("<"));
  write(out);
  out.put(piece(">"));
  return out.take().toString("utf8");
}

describe("ByteWriter", () => {
  it("writes numbers in decimal", () => {
    const edges = [
      0,
      9,
      10,
      99,
      100,
      999,
      1000,
      9999,
      10_000,
      10_001,
      99_999_999,
      1e8,
      1e8 + 1,
      1e12,
      2 ** 53 - 1,
    ];
    for (const n of edges) expect(written((out) => out.decimal(n))).toBe(`<${n}>`);
    fc.assert(
      fc.property(fc.maxSafeInteger(), (n) => {
        expect(written((out) => out.integer(n))).toBe(`<${n}>`);
      }),
    );
  });

  it("writes 64-bit values in hex, without padding", () => {
    const edges = [
      0n,
      1n,
      0xfn,
      0x10n,
      0xffff_ffffn,
      0x1_0000_0000n,
      0xabc_dead_beefn,
      2n ** 63n,
      2n ** 64n - 1n,
    ];
    const check = (value: bigint) => {
      const hi = Number(BigInt.asIntN(32, value >> 32n));
      const lo = Number(BigInt.asIntN(32, value));
      expect(written((out) => out.hex(hi, lo))).toBe(`<${value.toString(16)}>`);
    };
    edges.forEach(check);
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.integer({ min: 0, max: 63 }),
        (value, shift) => {
          check(value >> BigInt(shift));
        },
      ),
    );
  });

  it("writes the address of an offset in a frame", () => {
    expect(written((out) => out.address(2 ** 40 + 5, 0xabc))).toBe("<10000000005abc>");
    expect(written((out) => out.address(0, 7))).toBe("<7>");
  });

  it("copies any well-formed text, whatever its length", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary", maxLength: 40 }), { maxLength: 20 }), (texts) => {
        const out = new ByteWriter(16);
        for (const text of texts) {
          const constant = new Piece(Buffer.from(text, "utf8"));
          out.reserve(constant.length);
          out.put(constant);
        }
        expect(out.take()).toEqual(Buffer.from(texts.join(""), "utf8"));
      }),
    );
    const bits = "\x7f\u{10ffff}\x7f\x7f\x7f\x7f\x7f\u{10000}\x7f\x7f";
    expect(written((out) => out.put(piece(bits)))).toBe(`<${bits}>`);
  });

  it("hands out what was written, and uses a returned buffer again", () => {
    const out = new ByteWriter(32);
    out.text("first\n");
    const first = out.take();
    expect(first.toString()).toBe("first\n");
    out.text("second\n");
    expect(first.toString()).toBe("first\n");
    out.recycle();
    expect(out.take().toString()).toBe("second\n");
    expect(out.length).toBe(0);
    expect(out.total).toBe(13);
  });
});
