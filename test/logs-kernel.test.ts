import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { IommuEvent, LoggedFault } from "../parsers/logs/iommu-events.ts";
import { KnownMemory } from "../parsers/logs/known-memory.ts";
import { IommuState } from "../walkers/registers.ts";
import { ROOT } from "./support/cli.ts";
import { importLog, replayed } from "./support/logs.ts";

/** What a kernel log reports, and the records and counts that are made of it. */
function read(log: string) {
  const events: IommuEvent[] = [];
  const { texts, report } = importLog(log, { onEvent: (event) => events.push(event) });
  const records = texts.map((text) => JSON.parse(text));
  const of = (type: string) => records.filter((record) => record.type === type);
  const faults = events.filter((event): event is LoggedFault => event.kind === "fault");
  return { events, faults, records, of, report };
}

const kernel = (...lines: string[]) =>
  lines.map((line, i) => `[   10.${String(i).padStart(6, "0")}] ${line}\n`).join("");

const FAULT =
  "DMAR: [DMA Read NO_PASID] Request device [00:05.0] fault addr 0x1000 [fault reason 0x06] PTE Read access is not set";
const dump = (iommu: string, addr: string, context: string, pte: string) => [
  `DMAR: Dump ${iommu} table entries for IOVA ${addr}`,
  "DMAR: root entry: 0x0000000000fba001",
  `DMAR: context entry: hi 0x0000000000000602, low 0x${context}`,
  `DMAR: pte level: 4, pte value: 0x${pte}`,
  "DMAR: page table not present at level 3",
];
const ABSENT = dump("dmar0", "0x1000", "0000000000fc7001", "0000000000000000");

describe("VT-d faults", () => {
  test("without tables stand as they were logged, and that is said", () => {
    const { of, report } = read(kernel(FAULT));
    expect(of("fault")).toEqual([
      {
        type: "fault",
        iommu: "dmar",
        dev: "00:05.0",
        addr: "0x1000",
        access: "r",
        code: "0x6",
        assumed: ["addr"],
        ts: 10,
      },
    ]);
    expect(report.lost.get("faults-without-tables")!.count).toBe(1);
  });

  test("of two lines: the reason goes to the fault that lacks one, and to the one whose kind of access it names", () => {
    const write = "DMAR:[DMA Write] Request device [02:00.0] fault addr 1000 ";
    const reads = "DMAR:[DMA Read] Request device [03:00.0] fault addr 2000 ";
    const { faults } = read(
      kernel(
        write,
        reads,
        "DMAR:[fault reason 06] PTE Read access is not set",
        "DMAR:[fault reason 05] PTE Write access is not set",
      ),
    );
    expect(faults.map(({ dev, code, assumed }) => [dev, code, assumed])).toEqual([
      ["02:00.0", 5, []],
      ["03:00.0", 6, []],
    ]);
  });

  test("of two lines that lie in one another, where nothing tells them apart: the order does, and is assumed", () => {
    const fault = (dev: string) => `DMAR:[DMA Read] Request device [${dev}] fault addr 1000 `;
    const reason = (code: string) => `DMAR:[fault reason ${code}] x`;
    const { faults } = read(kernel(fault("02:00.0"), fault("03:00.0"), reason("02"), reason("01")));
    expect(faults.map(({ dev, code, assumed }) => [dev, code, assumed])).toEqual([
      ["02:00.0", 2, ["code"]],
      ["03:00.0", 1, []],
    ]);
  });

  test("with the tables that were printed become requests whose walks the tables decide", async () => {
    const log = kernel(
      "DMAR: dmar0: reg_base_addr fed90000 ver 1:0 cap d2008c222f0606 ecap f00f4a",
      FAULT,
      ...ABSENT,
    );
    const { of } = read(log);
    expect(of("iommu")[0]).toMatchObject({
      id: "dmar0",
      regs: { cap: "0xd2008c222f0606", ecap: "0xf00f4a", rtaddr: "0x1000" },
      assumed: ["rtaddr"],
    });
    // 00:05.0 of the context table at 0xfba000; address 0x1000 in the top table at 0xfc7000.
    expect(of("mem").map(({ addr }) => addr)).toEqual([
      "0x1000",
      "0x1008",
      "0xfba280",
      "0xfba288",
      "0xfc7000",
    ]);
    expect(of("dma")).toMatchObject([
      {
        dev: "00:05.0",
        addr: "0x1000",
        access: "r",
        observed: { result: "fault", code: "0x6" },
        assumed: ["addr", "len"],
      },
    ]);
    const outcomes = (await replayed(log)).filter(({ type }) => type === "outcome");
    expect(outcomes).toMatchObject([
      { verdict: "match", code: "0x6", level: 4, entry_addr: "0xfc7000", line: 7 },
    ]);
  });

  test("with tables that allow the access contradict them", async () => {
    // A 1 GiB page at level 3 is mapped for reading and writing.
    const log = kernel(
      FAULT,
      "DMAR: Dump dmar0 table entries for IOVA 0x1000",
      "DMAR: root entry: 0x0000000000fba001",
      "DMAR: context entry: hi 0x0000000000000602, low 0x0000000000fc7001",
      "DMAR: pte level: 4, pte value: 0x0000000000fd0003",
      "DMAR: pte level: 3, pte value: 0x0000000040000083",
    );
    const outcomes = (await replayed(log)).filter(({ type }) => type === "outcome");
    expect(outcomes).toMatchObject([{ result: "ok", pa: "0x40001000", verdict: "mismatch", diff: "result" }]);
  });

  test.each([
    ["the dump breaks off", ABSENT.slice(0, 3)],
    ["an entry on the way is missing", [ABSENT[0]!, ABSENT[2]!, ABSENT[3]!]],
    [
      "a large page or none, and the fault is about another entry",
      [
        ...ABSENT.slice(0, 3),
        "DMAR: pte level: 4, pte value: 0x0000000000fd0003",
        "DMAR: PTE not present at level 3",
      ],
    ],
  ])("where %s, no verdict", (name, lines) => {
    const fault = name.startsWith("a large")
      ? FAULT.replace("0x06] PTE Read access is not set", "0x0c] non-zero reserved fields in PTE")
      : FAULT;
    const { of, report } = read(kernel(fault, ...lines));
    expect(of("dma")).toEqual([]);
    expect(of("fault").length).toBe(1);
    const unknown = ["tables-incomplete", "faults-without-tables"].map(
      (what) => report.lost.get(what)?.count ?? 0,
    );
    expect(unknown[0]! + unknown[1]!).toBe(1);
  });

  test("an entry that an old kernel does not show is not present where the fault says so", async () => {
    const log = kernel(
      FAULT,
      ...ABSENT.slice(0, 3),
      "DMAR: pte level: 4, pte value: 0x0000000000fd0003",
      "DMAR: PTE not present at level 3",
    );
    const { of } = read(log);
    expect(of("mem").at(-1)).toMatchObject({ addr: "0xfd0000", data: "0000000000000000", assumed: ["data"] });
    const outcomes = (await replayed(log)).filter(({ type }) => type === "outcome");
    expect(outcomes).toMatchObject([{ verdict: "match", level: 3 }]);
  });

  describe("of two units whose lines interleave", () => {
    const other = FAULT.replace("00:05.0", "81:00.0").replace("0x1000", "0x2000");
    const a = dump("dmar0", "0x1000", "0000000000fc7001", "0000000000000000");
    const b = dump("dmar1", "0x2000", "0000000000ec7001", "0000000000000000");

    test("are told apart by who printed them", async () => {
      const stamp = (caller: string, line: string) => `[   10.000000][  ${caller}] ${line}\n`;
      const log = [FAULT, ...a]
        .map((line, i) => stamp("T101", line) + stamp("T102", [other, ...b][i]!))
        .join("");
      const outcomes = (await replayed(log)).filter(({ type }) => type === "outcome");
      expect(outcomes.map(({ iommu, dev, verdict }) => [iommu, dev, verdict])).toEqual([
        ["dmar0", "00:05.0", "match"],
        ["dmar1", "81:00.0", "match"],
      ]);
    });

    test("without that, are nobody's: no verdict, and none of the entries is used", () => {
      const lines = [FAULT, other, a[0]!, b[0]!, a[1]!, b[1]!, a[2]!, b[2]!, a[3]!, b[3]!];
      const { of, faults, report } = read(kernel(...lines));
      expect(faults.map(({ vtd }) => vtd)).toEqual([undefined, undefined]);
      expect(of("mem")).toEqual([]);
      expect(of("fault").length).toBe(2);
      expect(report.ignored.counts.get("table entry that two interleaved dumps may have")).toBeGreaterThan(0);
    });

    test("one after the other need nothing to tell them apart", async () => {
      const log = kernel(FAULT, other, ...a, ...b);
      const outcomes = (await replayed(log)).filter(({ type }) => type === "outcome");
      expect(outcomes.map(({ iommu, verdict }) => [iommu, verdict])).toEqual([
        ["dmar0", "match"],
        ["dmar1", "match"],
      ]);
    });
  });

  test("tables that have changed between two faults were invalidated, as far as anybody knows", async () => {
    const mapped = [
      ...ABSENT.slice(0, 3),
      "DMAR: pte level: 4, pte value: 0x0000000000fd0003",
      "DMAR: pte level: 3, pte value: 0x0000000000000000",
      "DMAR: page table not present at level 2",
    ];
    const log = kernel(FAULT, ...ABSENT, FAULT, ...mapped);
    expect(read(log).of("inv")).toEqual([
      { type: "inv", iommu: "dmar0", cache: "all", granularity: "global", assumed: ["cache", "granularity"] },
    ]);
    const records = await replayed(log);
    expect(records.filter(({ type }) => type === "outcome").map(({ verdict }) => verdict)).toEqual([
      "match",
      "match",
    ]);
    expect(records.filter(({ severity }) => severity === "error")).toEqual([]);
  });

  test("Xen's, with its own dump", async () => {
    const log = [
      "(XEN) [VT-D]DMAR:[DMA Read] Request device [0000:00:02.0] fault addr ea0c4f000, iommu reg = ffff82c00021d000",
      "(XEN) [VT-D]DMAR: reason 06 - PTE Read access is not set",
      "(XEN) print_vtd_entries: iommu #0 dev 0000:00:02.0 gmfn ea0c4f",
      "(XEN)     root_entry[00] = 46e129001",
      "(XEN)     context[10] = 2_46e128001",
      "(XEN)     l4[000] = 46e11b003",
      "(XEN)     l3[03a] = 0",
      "(XEN)     l3[03a] not present",
    ].join("\n");
    const outcomes = (await replayed(log)).filter(({ type }) => type === "outcome");
    // Entry 0x3a of the table at 0x46e11b000.
    expect(outcomes).toMatchObject([{ verdict: "match", level: 3, entry_addr: "0x46e11b1d0", code: "0x6" }]);
  });

  test("wrapped by mail, and quoted", () => {
    const { faults, report } = read(
      [
        "> > Oct 16 15:58:05 VM hypervisor: (XEN) [VT-D]DMAR:[DMA Read]",
        "> > Request device [0000:00:02.0] fault addr ea0c4f000, iommu reg = ffff",
        "> > 82c00021d000",
        "> > Oct 16 15:58:05 VM hypervisor: (XEN) [VT-D]DMAR: reason 06 -",
        "> > PTE Read access is not set",
        "> [    1.000000] DMAR: [DMA Write NO_PASID] Request device [00:1a.0] fault addr",
        "> 0x7000 [fault reason 0x05] PTE Write access is not set",
        "> and this is the mail itself, about DMAR: what do you think?",
      ].join("\n"),
    );
    expect(faults.map(({ dev, addr, code }) => [dev, addr, code])).toEqual([
      ["0000:00:02.0", 0xea0c4f000n, 6],
      ["00:1a.0", 0x7000n, 5],
    ]);
    expect(report.understood).toBe(6);
    expect(faults[0]!.text).toBe("PTE Read access is not set");
  });

  test("a message that nothing completes is counted as torn", () => {
    const { faults, report } = read(
      `${kernel("DMAR: [DMA Read NO_PASID] Request device [00:05.0] fault addr", FAULT)}`,
    );
    expect(faults.length).toBe(1);
    expect(report.ignored.counts.get("VT-d message that is torn")).toBe(1);
    expect(report.understood).toBe(1);
  });

  test("losses are loud: overflow bit, suppressed callbacks, dropped messages", () => {
    const { of, report } = read(
      kernel(
        "DMAR: DRHD: handling fault status reg 3",
        FAULT,
        "dmar_fault: 2474 callbacks suppressed",
        "net_ratelimit: 12 callbacks suppressed",
        "** 311 printk messages dropped **",
      ),
    );
    expect(of("loss").map(({ what, count }) => [what, count])).toEqual(
      expect.arrayContaining([
        ["fault-register-overflow", 1],
        ["suppressed-messages", 2474],
        ["dropped-messages", 311],
      ]),
    );
    expect(report.ignored.counts.get("suppressed messages of others")).toBe(1);
  });

  test("descriptors beside a queue error become commands, whose order is assumed", async () => {
    const log = kernel(
      "DMAR: VT-d detected Invalidation Queue Error: Reason 3",
      "DMAR: QI HEAD: UNKNOWN qw0 = 0xf, qw1 = 0x0",
      "DMAR: QI PRIOR: PASID-based IOTLB Invalidation qw0 = 0x30036, qw1 = 0xfffdf040",
      "DMAR: Invalidation Queue Error (IQE) cleared",
    );
    const { of } = read(log);
    expect(of("cmd")).toMatchObject([
      { data: ["0xf", "0x0"], assumed: ["order"] },
      { data: ["0x30036", "0xfffdf040"], assumed: ["order"] },
    ]);
    expect(of("mark")[0].label).toContain("the invalidation queue stopped");
    expect((await replayed(log)).some(({ type }) => type === "error")).toBe(false);
  });
});

describe("with memory beside the log", () => {
  const dmar = { id: "dmar0", model: "intel", state: new IommuState(), source: "", notes: [] } as const;
  const host = (registers: Record<string, bigint>) => {
    const state = new IommuState();
    for (const [name, value] of Object.entries(registers)) state.setRegister(name, value);
    return { ...dmar, state };
  };
  const types = (registers: Record<string, bigint>) => {
    const { texts } = importLog(kernel(FAULT), { memory: new KnownMemory(), hosts: [host(registers)] });
    return texts.map((text) => JSON.parse(text).type);
  };

  test("a fault is a request that its tables decide, where registers say where they begin", () => {
    expect(types({ rtaddr: 0x1000n })).toEqual(["iommu", "dma"]);
    expect(types({ cap: 0xd2008c222f0606n })).toEqual(["iommu", "fault", "loss"]);
  });
});

test("a message that nobody knows is counted by its kind", () => {
  const { report } = read(
    kernel("DMAR: a message of tomorrow, number 12", "DMAR: a message of tomorrow, number 13"),
  );
  expect([...report.ignored.counts]).toEqual([["unknown: DMAR: a message of tomorrow, number #", 2]]);
});

describe("AMD-Vi events", () => {
  const event = (fields: string) => `AMD-Vi: Event logged [${fields}]`;
  const code = (name: string, more = "") =>
    read(kernel(event(`${name} device=0000:06:00.0 pasid=0x00000 address=0x1000 flags=0x0070${more}`)))
      .faults[0];

  test.each([
    ["ILLEGAL_DEV_TABLE_ENTRY", 1],
    ["IO_PAGE_FAULT", 2],
    ["DEV_TAB_HARDWARE_ERROR", 3],
    ["PAGE_TAB_HARDWARE_ERROR", 4],
    ["INVALID_DEVICE_REQUEST", 8],
    ["INVALID_PPR_REQUEST", 9],
  ])("%s has code %d", (name, expected) => {
    expect(code(name)).toMatchObject({ code: expected, dev: "0000:06:00.0", addr: 0x1000n });
  });

  test.each([
    // PR, RW: present, and a write.
    ["0x0070", "w"],
    ["0x0050", "r"],
    // Not present: RW says nothing.
    ["0x0020", undefined],
    ["0x0000", undefined],
    // A translation request.
    ["0x0170", undefined],
  ])("a page fault with flags %s was a %s", (flags, access) => {
    const { faults } = read(
      kernel(event(`IO_PAGE_FAULT device=06:00.0 domain=0x0012 address=0x1000 flags=${flags}`)),
    );
    expect(faults[0]).toMatchObject({ access, pasid: undefined, amd: { domain: 0x12 } });
  });

  test("the field of the domain is the PASID of a guest address", () => {
    const { faults } = read(
      kernel(event("IO_PAGE_FAULT device=06:00.0 domain=0x0012 address=0x1000 flags=0x0071")),
    );
    expect(faults[0]).toMatchObject({ pasid: 0x12, amd: { domain: undefined } });
  });

  test("two lines of old kernels, between which others fall", () => {
    const { faults } = read(
      kernel(
        "AMD-Vi: Event logged [",
        "usb 1-1: new device",
        "IO_PAGE_FAULT device=05:00.0 domain=0x0012 address=0x00000000ff6101b0 flags=0x0070]",
      ),
    );
    expect(faults).toMatchObject([
      { dev: "05:00.0", addr: 0xff6101b0n, access: "w", at: { line: 1, ts: "10.000000" } },
    ]);
  });

  test("a second line without a first one is counted", () => {
    const { faults, report } = read(
      kernel("IO_PAGE_FAULT device=05:00.0 domain=0x0012 address=0x1 flags=0x0070]"),
    );
    expect(faults).toEqual([]);
    expect(report.ignored.counts.get("AMD-Vi event without its first line")).toBe(1);
  });

  const ILLEGAL = [
    "iommu ivhd0: AMD-Vi: Event logged [ILLEGAL_DEV_TABLE_ENTRY device=0000:06:00.0 pasid=0x00000 address=0x135300000 flags=0x0080]",
    "iommu ivhd0: AMD-Vi: Control Reg : 0x142148d",
    "AMD-Vi: DTE[0]: 7d90000000000003",
    "AMD-Vi: DTE[1]: 0000100103fc0009",
    "AMD-Vi: DTE[2]: 2000000117840013",
    "AMD-Vi: DTE[3]: 0000000000000000",
  ];

  test("an illegal entry is in memory where the device table has it, and judged where registers are known", async () => {
    // PPR is set, EPHEn of the control register is not.
    const log = kernel("AMD-Vi: Using global IVHD EFR:0x841f77e022094ace, EFR2:0x0", ...ILLEGAL);
    const { of } = read(log);
    expect(of("iommu")[0]).toMatchObject({
      id: "ivhd0",
      regs: { control: "0x142148d" },
      assumed: ["dev_tab_base"],
    });
    const base = BigInt(of("iommu")[0].regs.dev_tab_base) & ~0xfffn;
    expect(of("mem")[0]).toMatchObject({
      addr: `0x${(base + 0x600n * 32n).toString(16)}`,
      data: "030000000000907d",
    });
    const outcomes = (await replayed(log)).filter(({ type }) => type === "outcome");
    expect(outcomes).toMatchObject([{ verdict: "match", code: "0x1", flags: "0x80" }]);
  });

  test("without them it is as it was logged", () => {
    const { of } = read(kernel(...ILLEGAL.filter((line) => !line.includes("Control"))));
    expect(of("dma")).toEqual([]);
    expect(of("fault")).toMatchObject([{ code: "0x1", access: "r" }]);
    expect(of("mem").length).toBe(4);
  });

  test("a command that was refused", () => {
    const { of } = read(
      kernel(
        "iommu ivhd0: AMD-Vi: Event logged [ILLEGAL_COMMAND_ERROR address=0x1353010]",
        ...["00000001", "f0000002", "00000003", "00000004"].map((word, i) => `AMD-Vi: CMD[${i}]: ${word}`),
      ),
    );
    expect(of("cmd")).toMatchObject([{ iommu: "ivhd0", data: ["0xf000000200000001", "0x400000003"] }]);
  });

  test("a command buffer, oldest first: what was not executed is no command", () => {
    const row = (i: number, word: string) =>
      `AMD-Vi: ${String(i).padStart(3)}: ${word} 30000004 ffff4002 00000000`;
    const { of } = read(
      kernel(
        "AMD-Vi: Completion-Wait loop timed out",
        "AMD-Vi: CMD Buffer head=1 tail=2",
        row(0, "0000000a"),
        row(1, "0000000b"),
        row(2, "0000000c"),
        row(3, "0000000d"),
        "AMD-Vi: Completion-Wait loop timed out",
      ),
    );
    const first = of("cmd").map(({ data }) => data[0].slice(-1));
    // From the tail on, a round before; head to tail was not executed, and stands for its own sake.
    expect(first).toEqual(["c", "d", "a", "b"]);
    expect(of("cmd").map(({ assumed }) => assumed)).toEqual([undefined, undefined, undefined, ["order"]]);
  });
});

describe("SMMUv3 events", () => {
  const smmu = (unit: string, text: string) => `arm-smmu-v3 ${unit}: ${text}`;
  const event = (unit: string, ...words: string[]) => [
    smmu(unit, `event 0x${words[0]!.slice(-2)} received:`),
    ...words.map((word) => smmu(unit, `\t0x${word.padStart(16, "0")}`)),
  ];

  test.each([
    [1, "F_UUT"],
    [2, "C_BAD_STREAMID"],
    [3, "F_STE_FETCH"],
    [4, "C_BAD_STE"],
    [5, "F_BAD_ATS_TREQ"],
    [6, "F_STREAM_DISABLED"],
    [7, "F_TRANSL_FORBIDDEN"],
    [8, "C_BAD_SUBSTREAMID"],
    [9, "F_CD_FETCH"],
    [10, "C_BAD_CD"],
    [11, "F_WALK_EABT"],
    [16, "F_TRANSLATION"],
    [17, "F_ADDR_SIZE"],
    [18, "F_ACCESS"],
    [19, "F_PERMISSION"],
  ])("event %d is %s", (number, name) => {
    const words = [`0000010000000${number.toString(16).padStart(3, "0")}`, "0", "1000", "0"];
    const { faults } = read(kernel(...event("smmu0", ...words)));
    expect(faults).toMatchObject([{ code: number, dev: "sid:0x100", smmu: { name }, text: name }]);
  });

  test("the words say all: substream, kind of access, stage, class, IPA", () => {
    // IHI 0070, 7.3.13: SSV and SubstreamID 5, StreamID 0x28; RnW, S2, class IN; IPA.
    const { faults, of } = read(
      kernel(...event("smmu0", "0000002800005810", "0000028800000000", "7f001000", "40000000")),
    );
    expect(faults[0]).toMatchObject({
      pasid: 5,
      dev: "sid:0x28",
      access: "r",
      addr: 0x7f001000n,
      smmu: { stage: 2, class: "IN", ipa: 0x40000000n },
    });
    expect(of("fault")[0]).toMatchObject({ iommu: "smmu0", pasid: 5, code: "0x10" });
  });

  test("lines of two SMMUs lie in one another", () => {
    const a = event("smmu0", "0000002800000010", "0000020800000000", "1000", "0");
    const b = event("smmu1", "0000003000000013", "0000020000000000", "2000", "0");
    const { faults } = read(kernel(...a.flatMap((line, i) => [line, b[i]!])));
    expect(faults.map(({ iommu, code, access }) => [iommu, code, access])).toEqual([
      ["smmu0", 0x10, "r"],
      ["smmu1", 0x13, "w"],
    ]);
  });

  const DECODED = [
    smmu("smmu0", "event: F_TRANSLATION client: 0000:00:05.0 sid: 0x28 ssid: 0x0 iova: 0x1000 ipa: 0x0"),
    smmu("smmu0", 'unpriv data read s1 "Input address caused fault" stag: 0x0'),
  ];

  test("decoded lines behind the words are no second fault, and name the device", () => {
    const { faults } = read(
      kernel(...event("smmu0", "0000002800000010", "0000020800000000", "1000", "0"), ...DECODED),
    );
    expect(faults.length).toBe(1);
    expect(faults[0]!.smmu!.client).toBe("0000:00:05.0");
  });

  test("decoded lines alone are a fault, of which ssid 0 may be none", () => {
    const { faults } = read(kernel(...DECODED));
    expect(faults).toMatchObject([
      { code: 0x10, access: "r", pasid: undefined, assumed: ["pasid"], addr: 0x1000n },
    ]);
  });

  test("words that are missing are a loss", () => {
    const { report } = read(kernel(...event("smmu0", "0000002800000010", "0", "1000", "0").slice(0, 3)));
    expect(report.lost.get("torn-event")!.count).toBe(1);
  });

  test("a command that was skipped, an overflow", () => {
    const { of, report } = read(
      kernel(
        smmu("smmu0", "CMDQ error (cons 0x01000003): Illegal command"),
        smmu("smmu0", "skipping command in error state:"),
        smmu("smmu0", "\t0x00000000000000ff"),
        smmu("smmu0", "\t0x0000000000000001"),
        smmu("smmu0", "EVTQ overflow detected -- events lost"),
      ),
    );
    expect(of("cmd")).toMatchObject([{ iommu: "smmu0", data: ["0xff", "0x1"] }]);
    expect(report.lost.get("event-queue-overflow")!.count).toBe(1);
  });
});

describe("other IOMMUs", () => {
  test("RISC-V: the cause tells the kind of access where it is a page fault", () => {
    const line = (cause: number) =>
      `riscv,iommu 3010000.iommu: Fault ${cause} devid: 0x28 iotval: 1000 iotval2: 0`;
    const { of } = read(kernel(line(13), line(15), line(256)));
    expect(of("fault").map(({ dev, code, access, assumed }) => [dev, code, access, assumed])).toEqual([
      ["did:0x28", "0xd", "r", ["pasid"]],
      ["did:0x28", "0xf", "w", ["pasid"]],
      ["did:0x28", "0x100", undefined, ["pasid"]],
    ]);
  });

  test("SMMUv2 and virtio-iommu are recognised, and have no tables here", () => {
    const { records, faults, report } = read(
      kernel(
        "arm-smmu 15000000.iommu: Unhandled context fault: fsr=0x402, iova=0x9c000000, fsynr=0x11, cbfrsynra=0x880, cb=3",
        "virtio_iommu virtio0: page fault from EP 40 at 0x7f12345000 [W]",
      ),
    );
    expect(records.map(({ type }) => type)).toEqual(["mark"]);
    expect(faults).toMatchObject([{ model: "virtio-iommu", dev: "0000:00:05.0", access: "w" }]);
    expect([...report.ignored.counts.keys()]).toEqual([
      "SMMUv2 fault (out of scope)",
      "virtio-iommu fault (out of scope)",
    ]);
  });
});

describe("whatever becomes of a kernel log", () => {
  const log = gunzipSync(readFileSync(join(ROOT, "samples/logs/linux-7.2-vtd-tables.log.gz"))).toString();

  test("no line is lost: each is understood, ignored or of something else, and nothing is made of what is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(log.length - 1), fc.constantFrom("\n", " ", "0", "]", "DMAR: ")), {
          maxLength: 12,
        }),
        (cuts) => {
          let text = log;
          for (const [at, put] of cuts) text = text.slice(0, at) + put + text.slice(at + 1);
          const { report, of } = read(text);
          expect(report.lines).toBe(text.replace(/\n$/, "").split("\n").length);
          expect(report.understood).toBeGreaterThanOrEqual(0);
          expect(report.understood + report.ignored.total).toBeLessThanOrEqual(report.lines);
          for (const { code } of of("fault"))
            if (code !== undefined) expect(Number(code)).toBeLessThanOrEqual(0xff);
        },
      ),
      { numRuns: 200 },
    );
  });
});
