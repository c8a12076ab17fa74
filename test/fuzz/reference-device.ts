/**
 * The slow reference walkers of `test/support/` as devices under test, which share nothing with the walkers but the
 * specifications: `pasid-replay fuzz --dut 'npx tsx test/fuzz/reference-device.ts arm-smmuv3'`; or `amd`, `intel`, `riscv`. They
 * cache nothing, so that every answer is to be of memory as it is. What a reference does not model is skipped.
 */
import { createInterface } from "node:readline";
import { answer, Machine, REFERENCES, take } from "./references/machine.ts";

const device = REFERENCES[process.argv[2] ?? ""];
if (device === undefined) {
  console.error(
    `expected one of ${Object.keys(REFERENCES).join(", ")}, found ${JSON.stringify(process.argv[2] ?? "")}`,
  );
  process.exit(2);
}
let machine = new Machine();
for await (const line of createInterface({ input: process.stdin })) {
  const record = JSON.parse(line);
  if (record.type === "hello") console.log(JSON.stringify(device.hello));
  else if (record.type === "reset") {
    machine = new Machine();
    console.log('{"type":"reset"}');
  } else if (record.type === "dma")
    console.log(JSON.stringify({ type: "observed", seq: record.seq, ...answer(device, machine, record) }));
  else take(machine, record);
}
