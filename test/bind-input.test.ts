import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readRequest } from "../parsers/bind/read-request.ts";
import { hostsOfJson } from "../parsers/caps/caps-json.ts";

const CONFIG = { version: 1, bytes: 25, model: "intel", base_ptr: "0x1000", pasid_bits: 15 };
const read = (value: unknown) => readRequest(Buffer.from(JSON.stringify(value)));

describe("a configuration that is not understood is refused", () => {
  it.each([
    [{ ...CONFIG, base_ptr: undefined }, "base_ptr: expected "],
    [{ model: "intel", base_prt: "0x1000" }, '"base_prt"; did you mean base_ptr?'],
    [{ ...CONFIG, pasidbits: 5 }, '"pasidbits"; did you mean pasid_bits?'],
    [{ ...CONFIG, intel: { rid_pasids: 0 } }, '"rid_pasids"; did you mean rid_pasid?'],
    [{ ...CONFIG, stage2: { format: "vtd-ss", rot: "0x0" } }, '"rot"; did you mean root?'],
    [{ ...CONFIG, comment: "x" }, "expected the fields version, bytes, model, base_ptr, pasid_bits, "],
    [{ type: "bind", dev: "00:03.0", config: CONFIG, confg: 1 }, '"confg"; did you mean config?'],
    [{ type: "iommu", id: "d", model: "intel", regs: {} }, '"type"'],
    [{ name: "x", version: "1.0.0", model: "y" }, '"name"'],
    [{ pgtbl_addr: "0x1000", addr_width: 48, flag: 1 }, '"flag"; did you mean flags?'],
  ])("%j", (value, message) => expect(read(value)).toContain(message));

  it("bytes of another file", () => {
    const unknown = Buffer.concat([Buffer.from("8950aa470d0a1a0a0000000d49484452", "hex"), Buffer.alloc(40)]);
    expect(readRequest(unknown)).toMatch(
      /^expected a structure of binding, found bytes that would be version /,
    );
    expect(readRequest(readFileSync("/proc/self/exe").subarray(0, 64))).toMatch(/found an? .* file/);
  });

  it("what a bind record has beside its configuration is known", () => {
    const record = {
      type: "bind",
      iommu: "d",
      dev: "00:03.0",
      config: CONFIG,
      stage2: { format: "vtd-ss", root: "0x0" },
    };
    expect(read(record)).toMatchObject({ kind: "pasid_table_config", base: 0x1000n });
    expect(read(CONFIG)).toMatchObject({ kind: "pasid_table_config", base: 0x1000n });
  });
});

describe("capabilities that are not understood", () => {
  it("a field that is none is refused, a register that is close to one is a problem", () => {
    expect(hostsOfJson({ model: "intel", regs: {}, prop: {} })).toContain('"prop"; did you mean props?');
    expect(hostsOfJson({ cap: "0x1", ecpa: "0x1", vendor_thing: "0x0" })).toMatchObject({
      problems: ['"ecpa": expected a register of intel; did you mean ecap?'],
    });
  });

  it("a name out of an object's prototype is no more than a name", () => {
    expect(hostsOfJson(JSON.parse('{"__proto__":{"cap":"0x1"},"valueOf":"0x1"}'))).toMatch(
      /^capabilities: expected a model, or registers by name/,
    );
  });
});
