import { describe, expect, it } from "vitest";
import { TraceMemory } from "../parsers/memory/guest-memory.ts";

const hex = (memory: TraceMemory, frame: number, offset: number, bytes: number): string | null =>
  memory.fetch(frame, offset, bytes)
    ? Buffer.from(memory.view.buffer, memory.view.byteOffset + memory.at, bytes).toString("hex")
    : null;

const writeHex = (memory: TraceMemory, hi: number, lo: number, digits: string) => {
  const text = Buffer.from(`"${digits}"`);
  return memory.writeHex(text, 1, text.length - 1, hi, lo);
};

/** Frame numbers of addresses whose byte address no double can hold. */
const TOP_FRAME = 2 ** 52 - 1;

describe("ram", () => {
  it("exists, is zero, and costs nothing until it is written", () => {
    const memory = new TraceMemory();
    expect(memory.ram(0, 0, 0x4_0000, 0)).toBeNull();
    expect(hex(memory, 2 ** 38 - 1, 4088, 8)).toBe("0000000000000000");
    expect(hex(memory, 2 ** 38, 0, 8)).toBeNull();
    expect(memory.pages).toBe(0);
    for (let frame = 0; frame < 2000; frame++) memory.fetch(frame * 1001, 0, 8);
    expect(memory.pages).toBe(0);
    memory.write(0, 0x7000, Uint8Array.of(1));
    expect(hex(memory, 7, 0, 8)).toBe("0100000000000000");
    expect(memory.pages).toBe(1);
  });

  it("takes no page for a few bytes that nobody reads", () => {
    const memory = new TraceMemory();
    for (let n = 0; n < 6000; n++) memory.write(0, (n % 2000) * 4096 + n * 8, Uint8Array.of(n >> 8, n));
    expect(memory.pages).toBe(0);
    memory.ram(0, 0, 0, 0x1000);
    // In the order of the writes, over RAM that came later, and nothing but they where there is none.
    memory.write(0, 0x2001, Uint8Array.of(0xaa));
    expect([hex(memory, 0, 0, 4), hex(memory, 2, 16, 2), hex(memory, 2, 18, 1)]).toEqual([
      "00000000",
      "0002",
      null,
    ]);
    expect(memory.peek(2, 0, 2)).toBe(false);
    expect(memory.peek(2, 1, 1)).toBe(true);
    expect(memory.peek(3, 24, 2)).toBe(true);
    expect(memory.pages).toBe(3);
    // More than a few.
    memory.write(0, 0x5000, new Uint8Array(64).fill(1));
    memory.write(0, 0x5000, new Uint8Array(64).fill(2));
    expect(memory.pages).toBe(4);
    expect([hex(memory, 5, 40, 2), hex(memory, 5, 62, 2)]).toEqual(["0202", "0202"]);
  });

  it("says that bytes change where a page that was read before has them, and nowhere else", () => {
    const memory = new TraceMemory();
    memory.ram(0, 0, 0, 0x10000);
    memory.write(0, 0x1000, Uint8Array.of(1));
    const before = memory.generation;
    hex(memory, 1, 0, 8);
    memory.write(0, 0x2000, Uint8Array.of(1));
    expect(memory.generation).toBe(before);
    memory.write(0, 0x1007, Uint8Array.of(1));
    expect(memory.generation).toBeGreaterThan(before);
  });

  it("may end at 2^64 exactly, and not beyond", () => {
    const memory = new TraceMemory();
    expect(memory.ram(-1, 0xffff_f000 | 0, 0, 0x1001)).toEqual({
      code: "range",
      message: "ram at 0xfffffffffffff000: expected it to end at 2^64 at most, found size 0x1001",
    });
    expect(memory.ram(-1, -1, -1, -1)?.code).toBe("range");
    expect(hex(memory, TOP_FRAME, 0, 8)).toBeNull();
    expect(memory.ram(-1, 0xffff_f000, 0, 0x1000)).toBeNull();
    expect(hex(memory, TOP_FRAME, 4088, 8)).toBe("0000000000000000");
    expect(hex(memory, 0, 0, 8)).toBeNull();
    expect(memory.ram(0, 0, -1, -1)).toBeNull();
    expect(hex(memory, 0x8_0000_0000_00, 0, 64)).not.toBeNull();
  });

  it("takes thousands of records in any order", () => {
    const memory = new TraceMemory();
    // 1060 is prime to 337: every second frame once, out of order.
    for (let i = 0; i < 1060; i++) memory.ram(0x10, ((i * 337) % 1060) * 0x2000, 0, 0x1000);
    for (let i = 0; i < 1060; i++) {
      expect(memory.fetch(0x100_0000 + 2 * i, 4088, 8)).toBe(true);
      expect(memory.fetch(0x100_0000 + 2 * i + 1, 0, 8)).toBe(false);
    }
    memory.ram(0x10, 0x1000, 0, 1060 * 0x2000);
    for (let i = 0; i < 2 * 1060; i++) expect(memory.fetch(0x100_0000 + i, 0, 8)).toBe(true);
  });

  it("of size 0 is nothing", () => {
    const memory = new TraceMemory();
    expect(memory.ram(0, 0x1000, 0, 0)).toBeNull();
    expect(hex(memory, 1, 0, 8)).toBeNull();
  });
});

describe("mem", () => {
  it("makes its own bytes exist, and only them", () => {
    const memory = new TraceMemory();
    expect(writeHex(memory, 0, 0x1008, "0123456789abcdef")).toBeNull();
    expect(hex(memory, 1, 8, 8)).toBe("0123456789abcdef");
    expect(hex(memory, 1, 0, 8)).toBeNull();
    expect(hex(memory, 1, 16, 4)).toBeNull();
    expect(hex(memory, 1, 0, 16)).toBeNull();
    memory.ram(0, 0x1000, 0, 8);
    expect(hex(memory, 1, 0, 16)).toBe("00000000000000000123456789abcdef");
    expect(hex(memory, 1, 16, 8)).toBeNull();
  });

  it("crosses frames", () => {
    const memory = new TraceMemory();
    const bytes = Uint8Array.from({ length: 0x2010 }, (_, i) => (i * 13) & 0xff);
    expect(writeHex(memory, 0xf, 0xffff_fff8, Buffer.from(bytes).toString("hex"))).toBeNull();
    const frame = 0x0f_ffff * 16 + 15;
    expect(hex(memory, frame, 4088, 8)).toBe(Buffer.from(bytes.subarray(0, 8)).toString("hex"));
    expect(hex(memory, frame + 1, 0, 4096)).toBe(Buffer.from(bytes.subarray(8, 4104)).toString("hex"));
    expect(hex(memory, frame + 3, 0, 8)).toBe(Buffer.from(bytes.subarray(0x2008)).toString("hex"));
    expect(hex(memory, frame + 3, 8, 8)).toBeNull();
  });

  it("may end at 2^64 exactly, and not beyond", () => {
    const memory = new TraceMemory();
    expect(writeHex(memory, -1, -8, "112233445566778899")).toEqual({
      code: "range",
      message: "mem at 0xfffffffffffffff8: expected it to end at 2^64 at most, found size 9",
    });
    expect(hex(memory, TOP_FRAME, 4088, 8)).toBeNull();
    expect(writeHex(memory, -1, -8, "1122334455667788")).toBeNull();
    expect(hex(memory, TOP_FRAME, 4088, 8)).toBe("1122334455667788");
    expect(hex(memory, 0, 0, 1)).toBeNull();
  });

  it.each([
    ["123", "mem data: expected an even number of hex digits, found 3"],
    ["12g4", 'mem data: expected hex digits, found "g" in place of digit 2'],
    ["0x12", 'mem data: expected hex digits, found "x" in place of digit 1'],
    [`${"ab".repeat(5000)}a `, 'mem data: expected hex digits, found " " in place of digit 10001'],
    [`12é4${"5".repeat(5000)}6`, 'mem data: expected hex digits, found "Ã" in place of digit 2'],
  ])("refuses %.10s whole", (digits, message) => {
    const memory = new TraceMemory();
    expect(writeHex(memory, 0, 0x1000, digits)).toEqual({ code: "schema", message });
    expect(hex(memory, 1, 0, 1)).toBeNull();
    expect(memory.pages).toBe(0);
  });

  it("takes digits of either case, and none", () => {
    const memory = new TraceMemory();
    expect(writeHex(memory, 0, 0, "ABCDEFabcdef")).toBeNull();
    expect(hex(memory, 0, 0, 6)).toBe("abcdefabcdef");
    expect(writeHex(memory, 0, 0x5000, "")).toBeNull();
    expect(hex(memory, 5, 0, 1)).toBeNull();
  });
});

describe("fetch", () => {
  it("gives the page's own bytes, not a copy", () => {
    const memory = new TraceMemory();
    memory.write(0, 0x1000, new Uint8Array(16).fill(1));
    memory.fetch(1, 8, 8);
    const { view, at } = memory;
    memory.write(0, 0x1008, Uint8Array.of(9));
    expect(view.getUint8(at)).toBe(9);
  });

  it("leaves the last view alone where it fails", () => {
    const memory = new TraceMemory();
    memory.write(0, 0x1000, new Uint8Array(8).fill(7));
    memory.fetch(1, 0, 8);
    const { view, at } = memory;
    expect(memory.fetch(2, 0, 8)).toBe(false);
    expect(memory.view).toBe(view);
    expect(memory.at).toBe(at);
  });

  it("must not cross a frame", () => {
    const memory = new TraceMemory();
    memory.ram(0, 0, 0, 0x2000);
    expect(() => memory.fetch(0, 4092, 8)).toThrow(/8 bytes at offset 4092 crosses a frame/);
    memory.fetch(0, 0, 8);
    expect(() => memory.fetch(0, 4092, 8)).toThrow(RangeError);
  });

  it("keeps frames apart that share a slot of any power-of-two cache", () => {
    const memory = new TraceMemory();
    for (let bit = 0; bit < 52; bit++) {
      const frame = 2 ** bit;
      const [hi, lo] = [Math.floor(frame / 2 ** 20), (frame % 2 ** 20) * 4096];
      memory.write(hi, lo, new Uint8Array(8).fill(bit + 1));
    }
    for (let round = 0; round < 2; round++)
      for (let bit = 0; bit < 52; bit++)
        expect(hex(memory, 2 ** bit, 0, 8)).toBe((bit + 1).toString(16).padStart(2, "0").repeat(8));
  });
});

describe("generation", () => {
  it("stays while frames that nobody fetched are written", () => {
    const memory = new TraceMemory();
    memory.ram(0, 0, 0, 0x10_0000);
    memory.fetch(1, 0, 8);
    const before = memory.generation;
    for (let i = 2; i < 100; i++) memory.write(0, i * 4096, Uint8Array.of(i));
    memory.write(0, 0x1000, new Uint8Array(8));
    memory.ram(0, 0x20_0000, 0, 0x1000);
    expect(memory.generation).toBe(before);
    memory.write(0, 0x1fff, Uint8Array.of(1));
    expect(memory.generation).not.toBe(before);
  });

  it("changes once for a frame until it is fetched again", () => {
    const memory = new TraceMemory();
    memory.ram(0, 0, 0, 0x10_0000);
    memory.fetch(1, 0, 8);
    memory.write(0, 0x1000, Uint8Array.of(1));
    const after = memory.generation;
    memory.write(0, 0x1000, Uint8Array.of(2));
    expect(memory.generation).toBe(after);
    memory.fetch(1, 0, 8);
    memory.write(0, 0x1000, Uint8Array.of(3));
    expect(memory.generation).not.toBe(after);
  });

  it("changes when a hole that was fetched is filled, by mem or by ram", () => {
    const memory = new TraceMemory();
    memory.fetch(5, 0, 8);
    let before = memory.generation;
    memory.ram(0, 0x5000, 0, 0x1000);
    expect(memory.generation).not.toBe(before);
    memory.fetch(6, 0, 8);
    before = memory.generation;
    memory.write(0, 0x6000, new Uint8Array(8));
    expect(memory.generation).not.toBe(before);
  });

  it("changes when everything is replaced", () => {
    const memory = new TraceMemory();
    memory.ram(0, 0, 0, 0x1000);
    memory.fetch(0, 0, 8);
    const before = memory.generation;
    memory.replace(null);
    expect(memory.generation).not.toBe(before);
    expect(memory.fetch(0, 0, 8)).toBe(false);
  });

  it("notices a write to a frame fetched long ago, whatever was fetched since", () => {
    const memory = new TraceMemory();
    memory.ram(0, 0, 1, 0);
    memory.fetch(0xf_0000, 0, 8);
    const start = memory.generation;
    for (let frame = 0; frame < 200_000; frame++) memory.fetch(frame, 0, 8);
    memory.write(0, 0xf000_0000 | 0, Uint8Array.of(1));
    expect(memory.generation).not.toBe(start);
  });
});

describe("peek", () => {
  const peeked = (memory: TraceMemory, frame: number, offset: number, bytes: number): string | null =>
    memory.peek(frame, offset, bytes)
      ? Buffer.from(memory.view.buffer, memory.view.byteOffset + memory.at, bytes).toString("hex")
      : null;

  it("sees what fetch sees: written bytes, RAM, holes between them", () => {
    const memory = new TraceMemory();
    writeHex(memory, 0, 0x3010, "0102030405060708");
    memory.ram(0, 0x4000, 0, 0x800);
    for (const [frame, offset, bytes] of [
      [3, 0x10, 8],
      [3, 0x12, 4],
      [3, 0x18, 1],
      [4, 0x7f8, 8],
      [4, 0x800, 1],
      [5, 0, 1],
    ] as const)
      expect(peeked(memory, frame, offset, bytes)).toBe(hex(memory, frame, offset, bytes));
    // RAM that comes to a page that is there in part.
    memory.ram(0, 0x3000, 0, 0x1000);
    expect(peeked(memory, 3, 0x0e, 4)).toBe("00000102");
  });

  it("leaves no trace: neither the generation nor the watcher hears of writes to what was only peeked at", () => {
    const memory = new TraceMemory();
    let told = 0;
    memory.watcher = { changing: () => void told++ };
    memory.ram(0, 0x3000, 0, 0x1000);
    const { generation } = memory;
    expect(peeked(memory, 3, 0, 8)).toBe("0000000000000000");
    writeHex(memory, 0, 0x3000, "11");
    expect(peeked(memory, 3, 0, 1)).toBe("11");
    writeHex(memory, 0, 0x3000, "22");
    expect([memory.generation, told]).toEqual([generation, 0]);
    expect(hex(memory, 3, 0, 1)).toBe("22");
    writeHex(memory, 0, 0x3000, "33");
    expect(memory.generation).not.toBe(generation);
    expect(told).toBe(1);
  });
});
