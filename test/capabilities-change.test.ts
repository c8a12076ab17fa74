import { expect, test } from "vitest";
import { replay } from "../pipeline/library/index.ts";

/**
 * A device context is cached under capabilities that have its first-stage mode; then other capabilities come, which do
 * not. The tables map themselves: a walk without a bound never ends.
 */
const RISCV = [
  '{"type":"iommu","id":"iommu0","model":"riscv","props":{"output_bits":32,"pasid_bits":6}}',
  '{"type":"mem","addr":"0x804324c8","data":"01c8102000000000"}',
  '{"type":"mem","addr":"0x80400c00","data":"01000000000000000000000000000000004000000000000032040800000000a00000000000000000000000000000000000000000000000000000000000000000"}',
  '{"type":"iommu","id":"iommu0","model":"riscv","regs":{"capabilities":"0x78c2cf4f10","fctl":"0x0","ddtp":"0x20100002"}}',
  '{"type":"dma","seq":351,"iommu":"iommu0","dev":"did:48","addr":"0x94c285cb5fe000","len":4096,"access":"r","observed":{"result":"ok","pa":"0xad5f5000"}}',
  '{"type":"reg","iommu":"iommu0","name":"capabilities","value":"0xf031209c50291a8"}',
  '{"type":"dma","seq":377,"iommu":"iommu0","dev":"0000:00:06.0","addr":"0x99c67bae7ff6c0","len":11912,"access":"r","observed":{"result":"ok","pa":"0x9f19b6c0"}}',
];

// biome-ignore lint/suspicious/noExplicitAny: tests look into records of all types
async function run(lines: readonly string[]): Promise<any[]> {
  const out = [];
  for await (const record of replay(Buffer.from(`${lines.join("\n")}\n`))) out.push(record);
  return out;
}

test("a walk ends, and a context that was decoded under other capabilities is not used any more", async () => {
  const out = await run(RISCV);
  const outcomes = out.filter((record) => record.type === "outcome");
  expect(outcomes).toHaveLength(2);
  expect(outcomes[1]).toMatchObject({ result: "fault", verdict: "mismatch" });
});

test("an IOMMU has a bounded number of registers and properties: all are looked through at each change", async () => {
  const props = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`p${i}`, i]));
  const few = Object.fromEntries(Object.entries(props).slice(0, 1000));
  const iommu = (id: string, more: object) => JSON.stringify({ type: "iommu", id, model: "intel", ...more });
  const reg = (i: number) => JSON.stringify({ type: "reg", iommu: "d", name: `r${i}`, value: "0x0" });
  const out = await run([
    iommu("a", { props }),
    iommu("d", { props: few }),
    iommu("d", { props: few }),
    iommu("d", { props: { q: 1, ...props } }),
    ...Array.from({ length: 1100 }, (_, i) => reg(i)),
  ]);
  const errors = out.filter((record) => record.type === "error");
  expect(errors.map(({ line, code }) => [line, code]).slice(0, 3)).toEqual([
    [1, "range"],
    [4, "range"],
    [5 + 1024, "range"],
  ]);
  expect(errors[0].message).toBe("iommu: expected at most 1024 registers and as many properties, found more");
});
