import { describe, expect, test } from "vitest";
import { csvColumns } from "../parsers/logs/csv-columns.ts";
import { foreignFile } from "../parsers/trace/foreign-files.ts";
import { importLog } from "./support/logs.ts";

function table(columns: string, ...lines: string[]) {
  const parsed = csvColumns(columns);
  if (typeof parsed === "string") throw new Error(parsed);
  const { texts, report } = importLog(lines.join("\n"), { columns: parsed });
  return {
    records: texts.map((text) => JSON.parse(text)),
    ignored: Object.fromEntries(report.ignored.counts),
  };
}

describe("a table of requests", () => {
  test("by numbers and by names, with a unit", () => {
    const { records, ignored } = table(
      "ts=Time,dev=Requester,addr=4,access=Type,len=Len*4,pasid=6",
      "Time,Type,Requester,Address,Len,PASID",
      "0.1,MRd(64),02:00.0,0000_0001_2345_6000,16,",
      '0.2,"MWr64",0x0200,0x1000,1,5',
      "0.3,CplD,02:00:0,0,1,",
      "0.4,FetchAdd64,02:00:1,2000h,1,0x3",
    );
    expect(records).toEqual([
      { type: "dma", dev: "02:00.0", addr: "0x123456000", len: 64, access: "r", ts: 0.1 },
      { type: "dma", dev: "02:00.0", pasid: 5, addr: "0x1000", len: 4, access: "w", ts: 0.2 },
      { type: "dma", dev: "02:00.1", pasid: 3, addr: "0x2000", len: 4, access: "rw", ts: 0.4 },
    ]);
    expect(ignored).toEqual({ heading: 1, "row of another kind: CplD": 1 });
  });

  test("without kind and length, both are assumed; what was observed; other separators", () => {
    const { records } = table("dev=1,addr=2,pa=3,fault=4", "02:00.0;1000;8000;", "02:00.0;2000;;6");
    expect(records).toEqual([
      {
        type: "dma",
        dev: "02:00.0",
        addr: "0x1000",
        access: "r",
        observed: { result: "ok", pa: "0x8000" },
        assumed: ["access", "len"],
      },
      {
        type: "dma",
        dev: "02:00.0",
        addr: "0x2000",
        access: "r",
        observed: { result: "fault", code: "0x6" },
        assumed: ["access", "len"],
      },
    ]);
  });

  test("what no request can be is counted", () => {
    const { records, ignored } = table(
      "dev=1,addr=2,len=3,pasid=4,at=5",
      "02:00.0,1000,4,0,0",
      "host,1000,4,0,0",
      "02:00.0,,4,0,0",
      "02:00.0,1000,0,0,0",
      "02:00.0,1000,4,1048576,0",
      "02:00.0,1000,4,0,2",
      "",
      '"02:00.0","1,000"',
    );
    expect(records.length).toBe(1);
    expect(ignored).toEqual({
      "row without a device": 1,
      "row without an address": 2,
      "row with an impossible length": 1,
      "row with an impossible PASID": 1,
      "request that is translated already, or asks for a translation": 1,
      "empty line": 1,
    });
  });

  test.each([["addr=0,dev=1"], ["addr=1"], ["addr=1,dev=2,size=3"], ["addr"], [""]])(
    "%s names no columns",
    (text) => {
      expect(csvColumns(text)).toMatch(/^expected /);
    },
  );
});

describe("files of other tools", () => {
  test.each([
    [
      [0x17, 0x08, 0x44, ..."tracing6".split("").map((c) => c.charCodeAt(0))],
      "trace-cmd report trace.dat > trace.txt",
    ],
    [[..."PERFILE2"].map((c) => c.charCodeAt(0)), "perf script -i trace.dat"],
    [[..."LPKSHHRH"].map((c) => c.charCodeAt(0)), "journalctl --file trace.dat -k"],
  ])("%j: the command that makes text of it", (bytes, command) => {
    expect(foreignFile("trace.dat", Uint8Array.from(bytes))).toContain(command);
  });

  test("text is none", () => {
    expect(foreignFile("x", Buffer.from("PERFORMANCE"))).toBeUndefined();
  });
});
