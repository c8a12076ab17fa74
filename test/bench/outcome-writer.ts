import type { Bench } from "tinybench";
import { DmaRecord } from "../../parsers/trace/records.ts";
import { Outcome } from "../../pipeline/iommus/outcome.ts";
import { ByteWriter } from "../../pipeline/output/byte-writer.ts";
import { OutcomeWriter } from "../../pipeline/output/outcome-writer.ts";
import { WalkResult } from "../../walkers/result.ts";

/** Records of each task's iteration: enough that taking the buffer does not count. */
const RECORDS = 10_000;
const DEVICES = 6;
const PASIDS = 4;

/** Writing outcomes of translated requests; how else one could, for comparison. */
export function addOutcomeWriterTasks(bench: Bench): void {
  const { requests, outcomes } = samples();
  const names = Array.from({ length: DEVICES }, (_, index) => ({
    index,
    iommu: "dmar0",
    device: deviceName(index),
  }));
  const out = new ByteWriter();
  const writer = new OutcomeWriter(out);
  bench.add("outcome: 10,000 written in words", () => {
    for (let i = 0; i < RECORDS; i++) writer.write(i, names[requests[i]!.dev]!, requests[i]!, outcomes[i]!);
    out.take();
    out.recycle();
  });
  const buffer = Buffer.allocUnsafe(RECORDS * 512);
  bench.add("outcome: 10,000 by template literals", () => {
    let at = 0;
    for (let i = 0; i < RECORDS; i++) at += buffer.write(asText(i, requests[i]!, outcomes[i]!), at, "latin1");
    return at;
  });
  bench.add("outcome: 10,000 by JSON.stringify", () => {
    let at = 0;
    for (let i = 0; i < RECORDS; i++)
      at += buffer.write(`${JSON.stringify(asObject(i, requests[i]!, outcomes[i]!))}\n`, at, "latin1");
    return at;
  });
}

function deviceName(index: number): string {
  return `0000:00:${(index + 1).toString(16).padStart(2, "0")}.0`;
}

function samples(): { requests: DmaRecord[]; outcomes: Outcome[] } {
  const requests: DmaRecord[] = [];
  const outcomes: Outcome[] = [];
  const walk = new WalkResult();
  for (let i = 0; i < RECORDS; i++) {
    const request = new DmaRecord();
    request.dev = i % DEVICES;
    request.pasid = (i % PASIDS) - 1;
    request.seq = i;
    request.addrHi = 0x4d17;
    request.addrLo = (i * 0x9e37_79b1) | 0;
    request.len = 64;
    requests.push(request);
    const outcome = new Outcome();
    walk.pageShift = 12;
    walk.perm = 3;
    walk.domain = request.dev;
    walk.reads = 8;
    outcome.begin(walk);
    outcome.run(0x98_0000 + i, request.addrLo & 0xfff, 64);
    outcome.verdict = "match";
    outcomes.push(outcome);
  }
  return { requests, outcomes };
}

function hex64(hi: number, lo: number): string {
  return hi === 0
    ? `0x${(lo >>> 0).toString(16)}`
    : `0x${(hi >>> 0).toString(16)}${(lo >>> 0).toString(16).padStart(8, "0")}`;
}

function address(o: Outcome): string {
  return `0x${(o.runFrame[0]! * 4096 + o.runOffset[0]!).toString(16)}`;
}

function asText(line: number, r: DmaRecord, o: Outcome): string {
  const pasid = r.pasid < 0 ? "" : `,"pasid":${r.pasid}`;
  return `{"type":"outcome","line":${line},"seq":${r.seq},"iommu":"dmar0","dev":"${deviceName(r.dev)}"${pasid},"addr":"${hex64(r.addrHi, r.addrLo)}","len":${r.len},"access":"r","model":"${o.model}","result":"ok","pa":"${address(o)}","page":${2 ** o.pageShift},"perm":"rw-","domain":${o.domain},"reads":${o.reads},"verdict":"${o.verdict}"}\n`;
}

function asObject(line: number, r: DmaRecord, o: Outcome): object {
  return {
    type: "outcome",
    line,
    seq: r.seq,
    iommu: "dmar0",
    dev: deviceName(r.dev),
    ...(r.pasid < 0 ? {} : { pasid: r.pasid }),
    addr: hex64(r.addrHi, r.addrLo),
    len: r.len,
    access: "r",
    model: o.model,
    result: "ok",
    pa: address(o),
    page: 2 ** o.pageShift,
    perm: "rw-",
    domain: o.domain,
    reads: o.reads,
    verdict: o.verdict,
  };
}
