import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decompressLzo1x } from "../parsers/memory/lzo1x.ts";
import { blockLength, decompressSnappy, maskedChecksum } from "../parsers/memory/snappy.ts";
import { lzoBlock, type Step, snappyBlock, type Written } from "./support/lz-writers.ts";

/** A page of a page table with a string in it. */
function tablePage(): Buffer {
  const page = Buffer.alloc(4096);
  for (let i = 0; i < 40; i++)
    page.writeBigUInt64LE(0x8000_0000_0000_0063n + BigInt(0x12_3456 + i * i) * 4096n, 8 * ((i * 7) % 512));
  page.write("swapper/0 root=/dev/vda1 r", 4000, "latin1");
  return page;
}

const FAR = Buffer.from("far away, long ago");
const far = () => Buffer.concat([FAR, Buffer.alloc(20_000), FAR]);

/** The page of `tablePage`, by libsnappy 1.1.9. */
const SNAPPY_PAGE = Buffer.from(
  "802020636045230100008000ba0100046370da380000a0da380000f0da3800046046d6e00000f0da380004a047d670000470" +
    "48d63800046049d6380004704ad6380004a04bd6380004f04cd6380004604ed6380004f04fd6380004a051d63800047053d6" +
    "3800046055d63800047057d6380004a059d6380004f05bd6380004605ed6380004f060d6380004a063d63800047066d63800" +
    "046069d6380004706cd6380004a06fd6380004f072d63800046076d6380004f079d6380004a07dd63800047081d638000460" +
    "85d63800047089d6380004a08dd6380004f091d63800046096d6380004f09ad6380004a09fd638000470a4d23800fe0100fe" +
    "0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100" +
    "fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe0100fe01007e010064737761707065722f3020726f6f743d2f646576" +
    "2f766461312072fefa06c9fa",
  "hex",
);
/** The same, by lzo1x_1_compress of liblzo2 2.10. */
const LZO_PAGE = Buffer.from(
  "06636045230100008000200e00000263704523012013dd00a02016dd00f02016de00604620159d02f02016de00a0472015be" +
    "0170482015de0060492015de00704a2015de00a04b2015de00f04c2015de00604e2015de00f04f2015de00a0512015de0070" +
    "532015de0060552015de0070572015de00a0592015de00f05b2015de00605e2015de00f0602015de00a0632015de00706620" +
    "15de0060692015de00706c2015de00a06f2015de00f0722015de0060762015de00f0792015de00a07d2015de0070812015de" +
    "0060852015de0070892015de00a08d2015de00f0912015de0060962015de00f09a2015de00a09f2015de0070a42014dc0020" +
    "0ed8222000000000000096b8000008737761707065722f3020726f6f743d2f6465762f7664613120722013281b0f00000000" +
    "0000000000000000000000000000110000",
  "hex",
);
/** What `far` gives, by its lzo1x_999_compress. */
const LZO_FAR = Buffer.from(
  "2466617220617761792c206c6f6e672061676f002000000000000000e600002000000000000000e600002000000000000000" +
    "e600002000000000000000e600002000000000000000e600002000000000000000e600002000000000000000e60000200000" +
    "0000000000e600002000000000000000e60000200000000000000400001009c838110000",
  "hex",
);

/** Steps whose copies lie within what is there. */
const steps = (maxDistance: number) =>
  fc
    .array(
      fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 5 }).map((literals) => ({ literals })),
        fc.uint8Array({ minLength: 1, maxLength: 600 }).map((literals) => ({ literals })),
        fc.record({
          distance: fc.oneof(
            fc.integer({ min: 1, max: 40 }),
            fc.integer({ min: 1, max: 4000 }),
            fc.integer({ min: 1, max: maxDistance }),
          ),
          length: fc.oneof(
            fc.integer({ min: 2, max: 12 }),
            fc.integer({ min: 2, max: 900 }),
            fc.constant(20_000),
          ),
        }),
      ),
      { minLength: 1, maxLength: 20 },
    )
    .map((parts) => {
      const out: Step[] = [];
      let length = 0;
      for (const part of parts) {
        const step =
          "literals" in part ? part : { ...part, distance: 1 + ((part.distance - 1) % Math.max(1, length)) };
        if (!("literals" in step) && length === 0) continue;
        out.push(step);
        length += "literals" in step ? step.literals.length : step.length;
      }
      return out.length > 0 ? out : [{ literals: Uint8Array.of(1) }];
    });

interface Decoder {
  readonly name: string;
  readonly decode: (packed: Uint8Array, maxBytes: number) => Uint8Array;
  readonly write: (steps: readonly Step[]) => Written;
  readonly maxDistance: number;
}

const DECODERS: Decoder[] = [
  { name: "snappy", decode: decompressSnappy, write: snappyBlock, maxDistance: 100_000 },
  {
    name: "snappy, 16-bit copies",
    decode: decompressSnappy,
    write: (s) => snappyBlock(s, 1),
    maxDistance: 60_000,
  },
  {
    name: "snappy, 32-bit copies",
    decode: decompressSnappy,
    write: (s) => snappyBlock(s, 2),
    maxDistance: 100_000,
  },
  { name: "LZO1X", decode: decompressLzo1x, write: lzoBlock, maxDistance: 49_151 },
];

describe.each(DECODERS)("$name", ({ decode, write, maxDistance }) => {
  it("gives back what was written", () => {
    fc.assert(
      fc.property(steps(maxDistance), (given) => {
        const { packed, plain } = write(given);
        expect(Buffer.from(decode(packed, plain.length)).equals(plain)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it("takes no more than there may be, and no less than there is", () => {
    fc.assert(
      fc.property(steps(maxDistance), fc.nat(), (given, at) => {
        const { packed, plain } = write(given);
        expect(() => decode(packed, plain.length - 1)).toThrow(/larger than/);
        expect(() => decode(packed.subarray(0, at % packed.length), plain.length)).toThrow();
      }),
      { numRuns: 200 },
    );
  });

  it("says of any bytes what is wrong, or gives at most what may be", () => {
    fc.assert(
      fc.property(
        steps(maxDistance),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
        (given, changes) => {
          const { packed } = write(given);
          for (const [at, value] of changes) packed[at % packed.length] = value;
          try {
            expect(decode(packed, 4096).length).toBeLessThanOrEqual(4096);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
            expect((error as Error).constructor).toBe(Error);
            expect((error as Error).message).not.toMatch(/NaN|undefined/);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("what the libraries themselves write", () => {
  it("snappy 1.1.9: a page table", () => {
    const packed = SNAPPY_PAGE;
    expect(Buffer.from(decompressSnappy(packed, 4096)).equals(tablePage())).toBe(true);
  });

  it.each([
    ["lzo1x_1_compress", () => LZO_PAGE, tablePage],
    ["lzo1x_999_compress, from 16 KiB before", () => LZO_FAR, far],
  ])("liblzo2 2.10, %s", (_, packed, plain) => {
    expect(Buffer.from(decompressLzo1x(packed(), 65_536)).equals(plain())).toBe(true);
  });

  it("checksums: CRC-32C of RFC 3720, B.4, masked", () => {
    const unmasked = (sum: number) => {
      const rotated = (sum - 0xa282_ead8) >>> 0;
      return ((rotated << 15) | (rotated >>> 17)) >>> 0;
    };
    expect(unmasked(maskedChecksum(new Uint8Array(32)))).toBe(0x8a91_36aa);
    expect(unmasked(maskedChecksum(new Uint8Array(32).fill(0xff)))).toBe(0x62a8_ab43);
    expect(unmasked(maskedChecksum(Uint8Array.from({ length: 32 }, (_, i) => i)))).toBe(0x46dd_794e);
  });
});

describe("hostile data", () => {
  const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

  it.each([
    ["nothing", "", /^no length$/],
    ["a length without end", "ffffffffffff", /^no length$/],
    ["a length of 2^35 - 1", "ffffffff7f", /^no length$/],
    ["a length of 4 GiB", "ffffffff0f 00", /^a length of 4294967295, larger than 4096 bytes$/],
    ["less than it says", "05 00 61", /^1 of the 5 bytes that it says$/],
    ["more than it says", "01 04 6161", /^more than the 1 bytes that it says$/],
    ["a copy that is longer than it says", "05 00 61 fe 0100", /^more than the 5 bytes/],
    ["a literal beyond the end", "08 1c 6161", /within a literal$/],
    ["a literal of 4 GiB", "08 fc ffffffff 61", /within a literal$/],
    ["a copy cut in its offset", "08 00 61 02 01", /within an element$/],
    ["a copy from nowhere", "08 01 01", /^a copy from 1 bytes before byte 0$/],
    ["a copy from before the beginning", "08 00 61 0e 0200", /^a copy from 2 bytes before byte 1$/],
    ["a copy of distance 0", "08 00 61 0e 0000", /^a copy from 0 bytes/],
    ["a copy from 4 GiB before", "08 00 61 0f ffffffff", /^a copy from 4294967295 bytes/],
  ])("snappy: %s", (_, text, message) => {
    expect(() => decompressSnappy(hex(text), 4096)).toThrow(message);
  });

  it.each([
    ["nothing", "", /before its end mark$/],
    ["no end mark", "15 61616161", /before its end mark$/],
    ["an end mark cut short", "15 61616161 11 00", /before its end mark$/],
    ["bytes behind the end mark", "110000 00", /^1 bytes behind the end mark$/],
    ["a first copy", "10 01 0400 110000", /^a copy from 16385 bytes before byte 0$/],
    ["a copy from before the beginning", "12 61 20 01 0400 110000", /^a copy from 2 bytes before byte 1$/],
    ["literals beyond the end", "ff 6161 110000", /before its end mark$/],
    ["a length without end", `00${"00".repeat(40)}`, /before its end mark$/],
    [
      "a length of more than a page",
      `12 61 20${"00".repeat(20)}01 0000 110000`,
      /^data larger than 4096 bytes$/,
    ],
    [
      "literals of more than a page",
      `00${"00".repeat(20)}01${"61".repeat(6000)}110000`,
      /^data larger than 4096/,
    ],
  ])("LZO1X: %s", (_, text, message) => {
    expect(() => decompressLzo1x(hex(text), 4096)).toThrow(message);
  });

  it("an empty LZO1X block is the end mark alone, and a snappy one its length", () => {
    expect(decompressLzo1x(hex("110000"), 4096)).toHaveLength(0);
    expect(decompressSnappy(hex("00"), 4096)).toHaveLength(0);
    expect(blockLength(hex("8020"))).toEqual({ length: 4096, bytes: 2 });
  });
});
