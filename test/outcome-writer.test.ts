import { describe, expect, it } from "vitest";
import { DmaRecord } from "../parsers/trace/records.ts";
import { DIFFERENCES, Outcome, VERDICTS } from "../pipeline/iommus/outcome.ts";
import { ByteWriter } from "../pipeline/output/byte-writer.ts";
import { outcomeRecord } from "../pipeline/output/outcome-record.ts";
import { OutcomeWriter } from "../pipeline/output/outcome-writer.ts";
import type { Fault } from "../walkers/fault.ts";
import { TABLE_MODELS } from "../walkers/models.ts";
import { EXECUTE, NO_PASID, READ, WRITE } from "../walkers/request.ts";
import { FAULT, MSI, OK } from "../walkers/result.ts";

const fault = (code: number, name: string): Fault => ({
  code,
  name,
  reason: "PERMISSION",
  source: "",
  text: "",
});

const NAMES = { index: 0, iommu: "unit", device: "00:03.0" };

/** Writes outcomes of one device. */
class Lines {
  readonly #out = new ByteWriter(64);
  readonly #writer = new OutcomeWriter(this.#out);

  write(request: DmaRecord, outcome: Outcome): string {
    this.#writer.write(7, NAMES, request, outcome);
    return this.#take();
  }

  writeAnswer(outcome: Outcome): string {
    this.#writer.writeAnswer(outcome);
    return this.#take();
  }

  #take(): string {
    const text = this.#out.take().toString("utf8");
    this.#out.recycle();
    return text;
  }
}

describe("an outcome is written with all of its fields, in the contract's order", () => {
  function requestOf(fields: Partial<DmaRecord> = {}): DmaRecord {
    return Object.assign(new DmaRecord(), { addrHi: 0x12, addrLo: 0x34_5678, len: 64, ...fields });
  }
  const HEAD = '{"type":"outcome","line":7,';

  it("a translation, with what there may be of it", () => {
    const outcome = new Outcome();
    outcome.run(0x89_abcd, 0x678, 64);
    Object.assign(outcome, {
      model: "riscv",
      reads: 9,
      pageShift: 21,
      perm: READ | WRITE,
      domain: 5,
      asid: 6,
    });
    Object.assign(outcome, { passthrough: true, verdict: "mismatch", difference: "pa" });
    const bytes = Buffer.from('"now"');
    const request = requestOf({ bytes, tsEnd: 5, seq: -3, pasid: 1, privGiven: true, access: EXECUTE });
    const written = `${HEAD}"seq":-3,"ts":"now","iommu":"unit","dev":"00:03.0","pasid":1,"addr":"0x1200345678","len":64,"access":"x","priv":false,"model":"riscv","result":"ok","pa":"0x89abcd678","page":2097152,"perm":"rw-","domain":5,"asid":6,"passthrough":true,"reads":9,"verdict":"mismatch","diff":"pa"}\n`;
    expect(new Lines().write(request, outcome)).toBe(written);
  });

  it("a translation in runs, and a stale one", () => {
    const outcome = new Outcome();
    outcome.run(0x1000, 0xff0, 16);
    const head = `${HEAD}"iommu":"unit","dev":"00:03.0","addr":"0x1200345678","len":64,"access":"r","model":"intel","result":"ok","pa":"0x1000ff0","page":4096,"perm":"---",`;
    Object.assign(outcome, { model: "intel", verdict: "stale", changedLine: 3, reads: 2, pageShift: 12 });
    const stale = `${head}"reads":2,"verdict":"stale","changed_line":3}\n`;
    expect(new Lines().write(requestOf(), outcome)).toBe(stale);
    outcome.run(0x3000, 0, 48);
    Object.assign(outcome, { verdict: "match", changedLine: 0 });
    const inRuns = `${head}"sg":[["0x1000ff0",16],["0x3000000",48]],"reads":2,"verdict":"match"}\n`;
    expect(new Lines().write(requestOf(), outcome)).toBe(inRuns);
  });

  it("a fault, with what there may be of it", () => {
    const outcome = Object.assign(new Outcome(), {
      ...{ status: FAULT, model: "arm", fault: fault(0x13, "F_PERMISSION"), reason: "PERMISSION" },
      ...{ stage: 2, level: -1, faultClass: "TT", entryFrame: 0x4000, entryOffset: 0x18, entryKnown: true },
      ...{ entryHi: 0x8000_0000 | 0, entryLo: 1, recorded: false, hole: true, hasFaultAddr: true },
      ...{ faultHi: 0, faultLo: 0xfff, flags: 0x2a, reads: 4, verdict: "match" },
    });
    const written = `${HEAD}"iommu":"unit","dev":"00:03.0","addr":"0x1200345678","len":64,"access":"rw","priv":true,"model":"arm","result":"fault","reason":"PERMISSION","code":"0x13","name":"F_PERMISSION","stage":2,"level":-1,"class":"TT","entry_addr":"0x4000018","entry":"0x8000000000000001","recorded":false,"hole":true,"fault_addr":"0xfff","flags":"0x2a","reads":4,"verdict":"match"}\n`;
    const request = requestOf({ access: READ | WRITE, priv: true, privGiven: true });
    expect(new Lines().write(request, outcome)).toBe(written);
  });

  it("an interrupt, and a termination without code", () => {
    const msi = Object.assign(new Outcome(), { status: MSI, model: "intel" });
    const request = requestOf({ access: WRITE });
    const head = `${HEAD}"iommu":"unit","dev":"00:03.0","addr":"0x1200345678","len":64,"access":"w","model":"intel",`;
    expect(new Lines().write(request, msi)).toBe(`${head}"result":"msi","reads":0}\n`);
    const ended = Object.assign(new Outcome(), {
      status: FAULT,
      model: "intel",
      fault: fault(0, "aborted"),
      reason: "ABORT",
    });
    const written = `${head}"result":"fault","reason":"ABORT","name":"aborted","reads":0}\n`;
    expect(new Lines().write(request, ended)).toBe(written);
  });
});

/** Values of fields that not every value of their type suits; the others are made from what they are at first. */
const VALUES: Readonly<Record<string, readonly unknown[]>> = {
  // Mostly translations: theirs is the longest memo.
  status: [OK, OK, OK, OK, FAULT, MSI],
  model: TABLE_MODELS,
  pageShift: [0, 12, 12 + 32],
  perm: [0, 1, 2, 4, 7],
  runs: [1, 1, 1, 2],
  runFrame: [[1, 2]],
  runOffset: [[0, 3]],
  runBytes: [[4, 5]],
  fault: [fault(1, "one"), fault(2, "two")],
  otherFault: [null, fault(2, "two")],
  otherStatus: [-1, -1, OK, FAULT],
  reason: ["PERMISSION", "ACCESS"],
  faultClass: ["", "TT", "CD"],
  verdict: ["", ...VERDICTS],
  difference: ["", ...DIFFERENCES],
  changedLine: [0, 0, 0, 8, 9],
  // Those of one slot of the memo of heads among them.
  pasid: [NO_PASID, 1, 2, 33],
  access: [READ, WRITE, READ | WRITE, EXECUTE],
  seq: [Number.NaN, 0, -1, 2 ** 53 - 1],
  len: [1, 4096, 2 ** 32 - 1],
  bytes: [Buffer.from("12034")],
  tsStart: [0, 3],
  tsEnd: [0, 2, 5],
  observed: [new DmaRecord().observed],
};

function valuesOf(name: string, first: unknown): readonly unknown[] {
  const known = VALUES[name];
  if (known !== undefined) return known;
  // The last two may have one slot of a memo.
  if (typeof first === "number") return [first, 2, 1, 1 + 2 ** 10];
  if (typeof first === "boolean") return [false, true];
  throw new Error(`what may ${name} be? Say so in VALUES`);
}

/** A small generator of its own: each seed gives one order of changes. */
function chooser(seed: number): <T>(from: readonly T[]) => T {
  let state = seed | 1;
  return (from) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return from[(state >>> 0) % from.length]!;
  };
}

describe("what a writer remembers of earlier outcomes never shows, and a record says the same as a line", () => {
  /** A writer that has written nothing yet remembers nothing. */
  const afresh = (request: DmaRecord, outcome: Outcome) => new Lines().write(request, outcome);

  it.each([1, 2, 3, 4])("field by field, in any order: seed %i", (seed) => {
    const choose = chooser(seed * 0x9e37_79b1);
    const request = new DmaRecord();
    const outcome = new Outcome();
    const fields = [request, outcome].flatMap((of) =>
      Object.entries(of).map(([name, first]) => ({ of, name, values: valuesOf(name, first) })),
    );
    for (const { of, name, values } of fields) Object.assign(of, { [name]: values[0] });
    const lines = new Lines();
    for (let step = 0; step < 20_000; step++) {
      const { of, name, values } = choose(fields);
      Object.assign(of, { [name]: choose(values) });
      const written = lines.write(request, outcome);
      if (written !== afresh(request, outcome))
        expect.fail(`after a change of ${name}: ${written}expected ${afresh(request, outcome)}`);
      const record = `${JSON.stringify(outcomeRecord(7, NAMES, request, outcome))}\n`;
      if (record !== written) expect.fail(`as a record: ${record}expected ${written}`);
      const answer = lines.writeAnswer(outcome);
      if (answer !== written.slice(written.indexOf('"model"')))
        expect.fail(`as an answer: ${answer}expected the end of ${written}`);
    }
  });
});
