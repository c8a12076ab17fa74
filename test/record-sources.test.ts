import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { MergedSource } from "../parsers/trace/merged-source.ts";
import { readTrace, TraceSource } from "../parsers/trace/reader.ts";
import { type RecordSource, readRecords, type TraceHandler } from "../parsers/trace/record-source.ts";
import { RecordTeller } from "../parsers/trace/record-teller.ts";
import { TraceNames } from "../parsers/trace/records.ts";
import type { AnyRecord } from "../parsers/trace/schema.ts";
import { bytesSource } from "../parsers/trace/source.ts";

/** Writes down everything it is told. */
class Listener implements TraceHandler {
  readonly said: string[] = [];
  readonly #names: TraceNames;
  readonly #last: number;
  stopped = false;

  /** @param last says no more to whoever tells this line */
  constructor(names: TraceNames, last = Number.POSITIVE_INFINITY) {
    this.#names = names;
    this.#last = last;
  }

  dma: TraceHandler["dma"] = (line, r) => {
    const { bytes: _, tsStart: _s, tsEnd: _e, observed, ...rest } = r;
    const { start: _o, end: _oe, ...seen } = observed;
    const iommu = r.iommu < 0 ? "" : this.#names.iommus.text(r.iommu);
    const dev = this.#names.devices.get(r.dev).text;
    const reason = observed.reason < 0 ? "" : this.#names.reasons.text(observed.reason);
    const texts = { iommu, dev, ts: r.tsText(), observed: r.observedText() && JSON.parse(r.observedText()) };
    this.#say(line, "dma", { ...rest, ...texts, seen: { ...seen, reason } });
  };
  mem: TraceHandler["mem"] = (line, r) => {
    const digits = Buffer.from(r.bytes.subarray(r.start, r.end)).toString("latin1");
    this.#say(line, "mem", { addrHi: r.addrHi, addrLo: r.addrLo, byIommu: r.byIommu, digits });
  };
  record: TraceHandler["record"] = (line, record) => this.#say(line, "record", record);
  unknown: TraceHandler["unknown"] = (line, type) => this.#say(line, "unknown", type);
  error: TraceHandler["error"] = (line, code, message) => this.#say(line, "error", { code, message });

  #say(line: number, what: string, value: unknown): void {
    const plain = JSON.stringify(value, (_, v) => (v instanceof Map ? [...v] : v));
    this.said.push(`${line} ${what} ${plain}`);
    if (line >= this.#last) this.stopped = true;
  }
}

/** Tells of records that have no text, a few at a time: as an importer does. */
class MadeSource implements RecordSource {
  readonly names: TraceNames;
  readonly live = false;
  readonly consumed = 0;
  lines = 0;
  closed = false;
  readonly #records: readonly (readonly [line: number, record: AnyRecord])[];
  readonly #atOnce: number;
  #next = 0;

  constructor(names: TraceNames, records: readonly (readonly [number, AnyRecord])[], atOnce = 2) {
    this.names = names;
    this.#records = records;
    this.#atOnce = atOnce;
  }

  async next(handler: TraceHandler): Promise<boolean> {
    const teller = new RecordTeller(this.names, handler);
    for (let n = 0; n < this.#atOnce && this.#next < this.#records.length && !handler.stopped; n++) {
      const [line, record] = this.#records[this.#next++]!;
      this.lines = line;
      teller.record(line, record);
    }
    return this.#next < this.#records.length && !handler.stopped;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

function device(names: TraceNames, text: string) {
  const parsed = names.devices.parse(text);
  if (typeof parsed === "string") throw new Error(parsed);
  return parsed;
}

function textSource(names: TraceNames, ...records: (object | string)[]): TraceSource {
  const lines = records.map((record) => (typeof record === "string" ? record : JSON.stringify(record)));
  return new TraceSource(bytesSource(Buffer.from(`${lines.join("\n")}\n`)), { names });
}

async function heard(source: RecordSource): Promise<string[]> {
  const listener = new Listener(source.names);
  await readRecords(source, listener);
  return listener.said;
}

describe("typed records", () => {
  it("say what the same records say as text", async () => {
    const names = new TraceNames();
    const made = new MadeSource(names, [
      [3, { type: "iommu", id: "dmar0", model: "intel", regs: new Map([["rtaddr", { hi: 0, lo: 0x1000 }]]) }],
      [4, { type: "mem", addr: { hi: 1, lo: -4096 }, data: "00fF10", by: "iommu" }],
      [9, { type: "mem", addr: { hi: 0, lo: 8 }, data: "" }],
      [
        9,
        {
          type: "dma",
          dev: device(names, "00:03.0"),
          addr: { hi: -1, lo: -1 },
          iommu: "dmar0",
          pasid: 7,
          len: 64,
          access: "rw",
          priv: false,
          seq: -2,
          ts: "12:00 \u20ac",
          observed: {
            result: "fault",
            code: { hi: 1, lo: 0x58 },
            reason: "PERM_READ",
            stage: 2,
            recorded: false,
          },
        },
      ],
      [12, { type: "dma", dev: device(names, "sid:9"), addr: { hi: 0, lo: 1 }, ts: 1.5 }],
      [13, { type: "dma", dev: device(names, "sid:9"), addr: { hi: 0, lo: 1 } }],
      [14, { type: "mark", label: "end" }],
    ]);
    const lines: (object | string)[] = Array.from({ length: 14 }, () => "");
    lines[2] = { type: "iommu", id: "dmar0", model: "intel", regs: { RTADDR: "0x1000" } };
    lines[3] = { type: "mem", addr: "0x1fffff000", data: "00fF10", by: "iommu" };
    lines[8] = { type: "mem", addr: "0x8", data: "" };
    lines[11] = { type: "dma", dev: "sid:9", addr: "0x1", ts: 1.5 };
    lines[12] = { type: "dma", dev: "sid:9", addr: "0x1" };
    lines[13] = { type: "mark", label: "end" };
    const request = {
      type: "dma",
      dev: "00:03.0",
      addr: "0xffffffffffffffff",
      iommu: "dmar0",
      pasid: 7,
      len: 64,
      access: "rw",
      priv: false,
      seq: -2,
      ts: "12:00 \u20ac",
      observed: { result: "fault", code: "0x100000058", reason: "PERM_READ", stage: 2, recorded: false },
    };
    const told = await heard(made);
    const read = await heard(textSource(new TraceNames(), ...lines));
    const again = await heard(textSource(new TraceNames(), request));
    expect(told.filter((line) => !line.startsWith("9 dma"))).toEqual(read);
    // The numbers of names are those of their first use.
    expect(told.filter((line) => line.startsWith("9 dma"))).toEqual(
      again.map((line) => line.replace(/^1/, "9")),
    );
    expect(told).toHaveLength(7);
    expect(made.closed).toBe(true);
  });

  it("are validated where they come as JSON values", () => {
    const names = new TraceNames();
    const listener = new Listener(names);
    const teller = new RecordTeller(names, listener);
    teller.parsed(1, [1]);
    teller.parsed(2, { type: 3 });
    teller.parsed(3, { type: "new-thing", dev: "00:01.0" });
    teller.parsed(4, { type: "dma", dev: "00:01.0" });
    teller.parsed(5, { type: "mem", addr: "0x10", data: "abc" });
    teller.parsed(6, { type: "mem", addr: "0x10", data: "abcd" });
    expect(listener.said).toEqual([
      '1 error {"code":"schema","message":"record: expected an object, found an array of 1"}',
      '2 error {"code":"schema","message":"type: expected a record type such as \\"dma\\", found 3"}',
      '3 unknown "new-thing"',
      '4 error {"code":"schema","message":"dma.addr: expected \\"0x\\" and 1 to 16 hex digits, found nothing"}',
      '5 error {"code":"schema","message":"mem.data: expected an even number of hex digits, found 3 digits"}',
      '6 mem {"addrHi":0,"addrLo":16,"byIommu":false,"digits":"abcd"}',
    ]);
  });
});

describe("a handler that has stopped", () => {
  const record = (n: number) => ({ type: "mem", addr: `0x${n.toString(16)}`, data: "00" });
  const records = Array.from({ length: 9 }, (_, i) => record(i + 1));
  const bad = '{"type":"dma"}';
  const endless = `{"type":"mark","label":"${"x".repeat(200)}"}`;

  it.each([
    ["lines", [...records.map((r) => JSON.stringify(r)), bad, endless, '{"torn'].join("\n")],
    ["an array", `[\n${[...records.map((r) => JSON.stringify(r)), bad].join(",\n")},\n{"torn`],
    [
      "a pretty-printed document",
      [...records, { type: "dma" }].map((r) => JSON.stringify(r, null, 1)).join("\n"),
    ],
  ])("is told nothing more: %s", async (_, text) => {
    const names = new TraceNames();
    for (let last = 1; last < 40; last += 3) {
      const all = new Listener(names);
      const some = new Listener(names, last);
      const options = { names, maxLineBytes: 100 };
      await readTrace(bytesSource(Buffer.from(text)), all, options);
      await readTrace(bytesSource(Buffer.from(text)), some, options);
      const lineOf = (said: string) => Number.parseInt(said, 10);
      const until = all.said.findIndex((said) => lineOf(said) >= last);
      expect(some.said).toEqual(until < 0 ? all.said : all.said.slice(0, until + 1));
    }
  });

  it("ends the reading of an input that goes on, and closes it", async () => {
    const names = new TraceNames();
    let closed = false;
    let reads = 0;
    const line = Buffer.from(`${JSON.stringify(record(1))}\n`);
    const source = {
      path: "-",
      consumed: 0,
      size: undefined,
      read: async (target: Uint8Array, at: number) => {
        reads++;
        target.set(line, at);
        return line.length;
      },
      close: async () => {
        closed = true;
      },
    };
    const { lines } = await readTrace(source, new Listener(names, 3), { names });
    expect({ lines, reads, closed }).toEqual({ lines: 3, reads: 3, closed: true });
  });
});

describe("sources in the order of time", () => {
  it("keep the order of each, and go by time stamps between them", async () => {
    const names = new TraceNames();
    const dma = (ts: number | string) => ({ type: "dma", dev: "sid:1", addr: "0x0", ts });
    const mark = (label: string) => ({ type: "mark", label });
    const a = textSource(names, mark("a1"), dma(10), mark("a3"), dma("20"), mark("a5"), dma(40));
    const b = new MadeSource(names, [
      [1, { type: "mark", label: "b1" }],
      [2, { type: "dma", dev: device(names, "sid:2"), addr: { hi: 0, lo: 0 }, ts: 10 }],
      [3, { type: "mem", addr: { hi: 0, lo: 0x1000 }, data: "01" }],
      [4, { type: "fault", dev: device(names, "sid:2"), ts: 30 }],
      [5, { type: "mem", addr: { hi: 0, lo: 0x1000 }, data: "02" }],
      [6, { type: "dma", dev: device(names, "sid:2"), addr: { hi: 0, lo: 0 }, ts: 35 }],
    ]);
    const merged = new MergedSource(names, [a, b]);
    const said = await heard(merged);
    const order = said.map((line) =>
      line.replace(/ (dma|mem|record) .*?("(label|digits|dev)":"(.*?)").*/, " $1 $4"),
    );
    expect(order).toEqual([
      "1 record a1",
      "1 record b1",
      "2 dma sid:1",
      "3 record a3",
      "2 dma sid:2",
      "3 mem 01",
      "4 dma sid:1",
      "5 record a5",
      '4 record {"type":"fault","dev":{"index":0,"text":"sid:2","canonical":0,"segment":0,"id":2},"ts":30}',
      "5 mem 02",
      "6 dma sid:2",
      "6 dma sid:1",
    ]);
    expect(merged.lines).toBe(12);
    expect(b.closed).toBe(true);
  });

  it("tell what the one source tells, where there is one", async () => {
    const text = gunzipSync(readFileSync("samples/riscv/riscv-qemu-11.1-mix-s1.ndjson.gz"));
    const one = new TraceNames();
    const two = new TraceNames();
    const alone = await heard(new TraceSource(bytesSource(text), { names: one }));
    const merged = new MergedSource(two, [new TraceSource(bytesSource(text), { names: two })]);
    expect(await heard(merged)).toEqual(alone);
    expect(alone.length).toBeGreaterThan(1000);
  });

  it("must share their names", () => {
    const names = new TraceNames();
    expect(() => new MergedSource(names, [textSource(new TraceNames())])).toThrow(RangeError);
  });
});
