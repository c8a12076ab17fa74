import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HostCapabilities, HostIommu } from "../parsers/caps/host.ts";
import { limitsOf } from "../parsers/caps/host-limits.ts";
import { openCapabilities } from "../parsers/caps/open-caps.ts";
import { hostsOfSysfs } from "../parsers/caps/sysfs.ts";
import { hostsOfTar } from "../parsers/caps/sysfs-tar.ts";
import { paxRecord, tarOf } from "./support/tar-writer.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pasid-caps-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Files by path under a new folder; a value of an array is a symbolic link. */
function tree(name: string, files: Readonly<Record<string, string | readonly [string]>>): string {
  const root = join(folder, name);
  mkdirSync(root, { recursive: true });
  for (const [path, content] of Object.entries(files)) {
    const whole = join(root, path);
    mkdirSync(dirname(whole), { recursive: true });
    if (typeof content === "string") writeFileSync(whole, content);
    else symlinkSync(content[0], whole);
  }
  return root;
}

async function open(path: string): Promise<HostCapabilities> {
  const opened = await openCapabilities(path);
  if (typeof opened === "string") throw new Error(opened);
  return opened;
}

const word = ({ state }: HostIommu, name: string) => {
  const { hi, lo } = state.registers.get(name)!;
  return ((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0)).toString(16);
};
const propsOf = ({ state }: HostIommu) => Object.fromEntries(state.props);

/** The values of a laptop's two units, as its kernel log prints them too. */
const DMAR0 = {
  "intel-iommu/version": "1:0\n",
  "intel-iommu/address": "fed90000\n",
  "intel-iommu/cap": "1c0000c40660462\n",
  "intel-iommu/ecap": "19e2ff0505e\n",
  "intel-iommu/domains_supported": "256\n",
  "intel-iommu/domains_used": "1\n",
  "power/control": "auto\n",
  uevent: "",
};
const DMAR1 = { "intel-iommu/cap": "d2008c40660462\n", "intel-iommu/ecap": "f050da\n" };
const SMMU = {
  "arm-smmu-v3/model": "2\n",
  "arm-smmu-v3/asid_bits": "16\n",
  "arm-smmu-v3/ssid_bits": "10\n",
  "arm-smmu-v3/input_bits": "48\n",
  "arm-smmu-v3/output_bits": "44\n",
  "arm-smmu-v3/btm": "disabled\n",
  "arm-smmu-v3/httu": "access+dirty\n",
  "arm-smmu-v3/stall": "force\n",
  "arm-smmu-v3/pgtable_format/lpae-64": "",
  "arm-smmu-v3/pgtable_format/v7s": "",
};

function under(device: string, files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([path, text]) => [`${device}/${path}`, text]));
}

describe("a folder", () => {
  it("what Linux publishes of VT-d units", async () => {
    const path = tree("plain", { ...under("dmar10", DMAR1), ...under("dmar2", DMAR0) });
    const { hosts, problems } = await open(path);
    expect(problems).toEqual([]);
    expect(hosts.map(({ id, model }) => [id, model])).toEqual([
      ["dmar2", "intel"],
      ["dmar10", "intel"],
    ]);
    const [first, second] = hosts as [HostIommu, HostIommu];
    expect([word(first, "cap"), word(first, "ecap"), word(first, "ver")]).toEqual([
      "1c0000c40660462",
      "19e2ff0505e",
      "10",
    ]);
    expect(propsOf(first)).toEqual({ domains_supported: 256, domains_used: 1 });
    // The graphics unit has PASIDs of 20 bits in the extended mode of 2.x; the other has none.
    expect(limitsOf("intel", first.state)).toMatchObject({ pasidBits: 20, noNesting: "" });
    expect([...limitsOf("intel", first.state).lacking.keys()]).toEqual(["intel"]);
    expect(limitsOf("intel", second.state).pasidBits).toBe(0);
  });

  it.each([
    ["58f77ef22294ade", "58f77ef22294ade", undefined],
    ["246577efa2254afa:10", "246577efa2254afa", "10"],
    ["10:246577efa2254afa", "246577efa2254afa", "10"],
    ["4afa:10", "4afa", "10"],
  ])("AMD's features %s, in either order", async (features, efr, efr2) => {
    const path = tree(`amd-${features.replace(":", "-")}`, {
      "ivhd0/amd-iommu/cap": "190b640f\n",
      "ivhd0/amd-iommu/features": `${features}\n`,
    });
    const [host] = (await open(path)).hosts;
    expect(host).toMatchObject({ id: "ivhd0", model: "amd", source: "amd-iommu of sysfs" });
    expect([word(host!, "pci_cap"), word(host!, "efr")]).toEqual(["190b640f", efr]);
    expect(host!.state.registers.has("efr2") ? word(host!, "efr2") : undefined).toBe(efr2);
  });

  it("what the kernel list's thread proposes", async () => {
    const { hosts, problems } = await open(tree("smmu", under("smmu.0x00000000e0600000", SMMU)));
    expect(problems).toEqual([]);
    expect(hosts[0]).toMatchObject({ id: "smmu.0x00000000e0600000", model: "arm-smmuv3", notes: [] });
    expect(propsOf(hosts[0]!)).toEqual({
      asid_bits: 16,
      ssid_bits: 10,
      input_bits: 48,
      output_bits: 44,
      btm: 0,
      httu: 2,
      stall_model: 2,
      pgtable_format: ["lpae-64", "v7s"],
    });
    expect(limitsOf("arm-smmuv3", hosts[0]!.state)).toMatchObject({ pasidBits: 10, outputBits: 44 });
  });

  it("without ssid_bits there are no PASIDs, and it is said", async () => {
    const { "arm-smmu-v3/ssid_bits": _, ...without } = SMMU;
    const [host] = (await open(tree("no-ssid", under("smmu3.0", without)))).hosts;
    expect(propsOf(host!)).toMatchObject({ ssid_bits: 0 });
    expect(host!.notes).toEqual(["ssid_bits is absent: 0, PASIDs are not supported"]);
    expect(limitsOf("arm-smmuv3", host!.state).pasidBits).toBe(0);
  });

  it("one IOMMU's own folder, and one format in a file", async () => {
    const path = tree("one/smmu3.7", { "arm-smmu-v3/pgtable_format": "lpae-64\n" });
    const [host] = (await open(path)).hosts;
    expect(host!.id).toBe("smmu3.7");
    expect(propsOf(host!)).toEqual({ pgtable_format: ["lpae-64"], ssid_bits: 0 });
  });

  it.each([
    ["arm-smmu-v3/model", "3", "arm-smmu-v3/model: expected 2"],
    ["arm-smmu-v3/asid_bits", "many", "expected a number of bits, 0 to 64"],
    ["arm-smmu-v3/asid_bits", "65", "expected a number of bits, 0 to 64"],
    ["arm-smmu-v3/stall", "yes", "expected one of enabled, disabled, force"],
    ["arm-smmu-v3/httu", "constructor", "expected one of none, access, access+dirty"],
    ["intel-iommu/version", "16:0", "expected major:minor"],
    ["intel-iommu/cap", "12345678901234567", "expected 1 to 16 hex digits"],
    ["amd-iommu/features", "1:2:3", "expected one or two numbers"],
    ["power-smmu/model", "9", "expected a known model"],
    ["arm-smmu-v3/btm", "x".repeat(5000), "4096 bytes at most, found 4097"],
  ])("%s of %s is told", async (file, text, message) => {
    const path = tree(`bad-${file.replace(/\W/g, "-")}-${text.slice(0, 5).replace(/\W/g, "-")}`, {
      [`dev0/${file}`]: text,
      ...under("dev1", SMMU),
    });
    const { hosts, problems } = await open(path);
    expect(hosts.map(({ id }) => id)).toContain("dev1");
    expect(problems.join()).toContain(message);
  });

  it("a kernel that publishes nothing is said to", async () => {
    expect(await openCapabilities(tree("none", { "smmu3.0/uevent": "" }))).toContain(
      "found smmu3.0: it publishes no capabilities",
    );
    expect(await openCapabilities(tree("empty", {}))).toContain("found none");
  });
});

describe("symbolic links in a folder", () => {
  it("of a sysfs lead into its devices", async () => {
    const root = tree("sys", {
      "class/iommu/dmar0": ["../../devices/virtual/iommu/dmar0"],
      "class/iommu/ivhd0": ["../../devices/pci0000:00/0000:00:00.2/iommu/ivhd0"],
      ...under("devices/virtual/iommu/dmar0", DMAR0),
      "devices/virtual/iommu/dmar0/subsystem": ["../../../../class/iommu"],
      "devices/pci0000:00/0000:00:00.2/iommu/ivhd0/amd-iommu/features": "58f77ef22294ade\n",
    });
    for (const path of [root, join(root, "class/iommu")]) {
      const { hosts, problems } = await open(path);
      expect(problems).toEqual([]);
      expect(hosts.map(({ id, model }) => [id, model])).toEqual([
        ["dmar0", "intel"],
        ["ivhd0", "amd"],
      ]);
    }
    expect((await open(join(root, "class/iommu/dmar0"))).hosts.map(({ id }) => id)).toEqual(["dmar0"]);
  });

  it("are not followed out of it, neither as devices nor deeper", async () => {
    const outside = tree("outside", under("dmar9", DMAR0));
    const path = tree("leads-out", {
      ...under("dmar0", DMAR1),
      dmar9: [join(outside, "dmar9")],
      "dmar1/intel-iommu": [join(outside, "dmar9/intel-iommu")],
      "dmar0/intel-iommu/version": [join(outside, "dmar9/intel-iommu/version")],
      nowhere: ["./missing"],
      loop: ["./loop"],
    });
    const { hosts, problems } = await open(path);
    expect(hosts.map(({ id }) => id)).toEqual(["dmar0"]);
    expect(hosts[0]!.state.registers.has("ver")).toBe(false);
    expect([...problems].sort()).toEqual([
      "dmar1: it publishes no capabilities",
      "dmar9: a symbolic link that leads out of the folder: not followed",
      "loop: a symbolic link that leads nowhere",
      "nowhere: a symbolic link that leads nowhere",
    ]);
  });

  it("of a class do not lead out of the sysfs tree either", async () => {
    tree("secret", under("dmar0", DMAR0));
    const root = tree("sys2", {
      "class/iommu/dmar0": ["../../../secret/dmar0"],
      "class/iommu/dmar1": ["../../devices/dmar1"],
      ...under("devices/dmar1", DMAR1),
    });
    const { hosts, problems } = await open(join(root, "class/iommu"));
    expect(hosts.map(({ id }) => id)).toEqual(["dmar1"]);
    expect(problems).toEqual(["dmar0: a symbolic link that leads out of the folder: not followed"]);
  });
});

describe("an archive", () => {
  const members = Object.entries(under("sys/class/iommu/dmar0", DMAR0)).map(([name, data]) => ({
    name,
    data,
  }));

  it.each([false, true])("of files, whatever their size says (GNU: %s), plain and gzip", async (gnu) => {
    // The size of a sysfs file is a page: an archiver fills it up.
    const filled = members.map((m) => ({ ...m, gnu, data: m.data.padEnd(4096, "\0") }));
    const archive = tarOf([{ name: "sys/class/iommu/dmar0/", type: "5", gnu }, ...filled]);
    for (const [name, bytes] of [
      ["plain.tar", archive],
      ["packed.tgz", gzipSync(archive)],
    ] as const) {
      const path = join(folder, `${gnu}-${name}`);
      writeFileSync(path, bytes);
      const { hosts } = await open(path);
      expect(hosts.map(({ id }) => id)).toEqual(["dmar0"]);
      expect(word(hosts[0]!, "ecap")).toBe("19e2ff0505e");
      expect(propsOf(hosts[0]!)).toEqual({ domains_supported: 256, domains_used: 1 });
    }
  });

  it("with long names, by pax and by GNU", async () => {
    const device = `devices/platform/${"deep/".repeat(20)}smmu3.0x9050000`;
    const long = `${device}/arm-smmu-v3/ssid_bits`;
    const pax = tarOf([
      { name: "PaxHeader", type: "x", data: paxRecord("path", long) },
      { name: "short", data: "7\n" },
    ]);
    const gnu = tarOf([
      { name: "././@LongLink", type: "L", data: `${long}\0`, gnu: true },
      { name: long.slice(0, 100), data: "7\n", gnu: true },
    ]);
    for (const archive of [pax, gnu]) {
      const hosts = (await hostsOfTar(archive)) as HostCapabilities;
      expect(hosts.hosts.map(({ id }) => id)).toEqual(["smmu3.0x9050000"]);
      expect(propsOf(hosts.hosts[0]!)).toEqual({ ssid_bits: 7 });
    }
  });

  it("of links alone says how to make one of files", async () => {
    const link = { name: "iommu/dmar0", type: "2", link: "../../devices/virtual/iommu/dmar0" } as const;
    expect(await hostsOfTar(tarOf([link]))).toContain("and 1 link: archive what they lead to");
  });

  it("that is damaged says so, or gives what is left of it", async () => {
    const archive = tarOf(members);
    archive[700] = 0x7a;
    archive.write("zzzz", 512 + 512 + 100, "latin1");
    expect(await hostsOfTar(archive)).toMatch(/found a damaged one: .+/);
  });

  it("whatever is in it, it is a sentence or IOMMUs", async () => {
    const archive = tarOf(members);
    const flips = fc.array(fc.tuple(fc.nat(archive.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(flips, fc.nat(archive.length), async (changes, length) => {
        const bytes = Buffer.from(archive);
        for (const [at, value] of changes) bytes[at] = value;
        const hosts = await hostsOfTar(bytes.subarray(0, Math.max(length, 512)));
        if (typeof hosts === "string") expect(hosts).toMatch(/expected .*found/s);
        else
          for (const { model, state } of hosts.hosts)
            expect(limitsOf(model, state).pasidBits).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 300 },
    );
  });
});

it("property files of any contents are a problem or a value", () => {
  const names = [...Object.keys(DMAR0), ...Object.keys(SMMU), "amd-iommu/features", "amd-iommu/cap"];
  const files = fc.array(fc.tuple(fc.constantFrom(...names), fc.oneof(fc.string(), fc.uint8Array())));
  fc.assert(
    fc.property(files, (given) => {
      const map = new Map(given.map(([name, data]) => [`dev/${name}`, Buffer.from(data as string)]));
      const hosts = hostsOfSysfs(map);
      if (typeof hosts === "string") expect(hosts).toMatch(/expected .*found/s);
      else for (const { model, state } of hosts.hosts) limitsOf(model, state);
    }),
    { numRuns: 500 },
  );
});
