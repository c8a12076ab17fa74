/**
 * Stores to pages of tables and queues, as the plugin of `record` writes them between QEMU's trace events
 * (parsers/qemu/plugin/stores.c), and pages that have become such.
 */
import { FRAME_BYTES } from "../../walkers/memory.ts";
import type { LogFormat, LogLine, LogOutput, LogReader } from "./format.ts";
import { EventReader, hexOf, partsOf } from "./qemu-events.ts";
import { memText, recordText } from "./record-text.ts";

export const QEMU_STORES: LogFormat = {
  name: "qemu-stores",
  title: "Stores to tables and queues, of the plugin that record starts QEMU with",
  needles: ["iotab_"],
  detect: (text) => /^iotab_(?:begin|store|page) /.test(text),
  open: (output) => new StoreLines(output),
};

class StoreLines implements LogReader {
  readonly #reader: EventReader;
  readonly #output: LogOutput;

  constructor(output: LogOutput) {
    this.#output = output;
    this.#reader = new EventReader(output, {
      iotab_begin: () => {
        output.complete();
        output.ignored("iotab_begin");
      },
      iotab_store: (args) => this.#store(args),
      iotab_page: (args) => this.#page(args),
    });
  }

  line(line: LogLine): boolean {
    return this.#reader.line(line);
  }

  /** "PA SIZE VALUE", of 16 bytes "PA 16 LOW HIGH". */
  #store(args: string): void {
    const [, addr, size, low, high] = partsOf(
      /^(0x[0-9a-f]{1,16}) (1|2|4|8|16) (0x[0-9a-f]{1,16})(?: (0x[0-9a-f]{1,16}))?$/,
      args,
    );
    if (this.#output.known !== null) this.#output.complete();
    const bytes = Buffer.alloc(16);
    bytes.writeBigUInt64LE(BigInt(low!), 0);
    bytes.writeBigUInt64LE(BigInt(high ?? "0x0"), 8);
    this.#output.record("mem", memText(hexOf(addr), bytes.toString("hex", 0, Number(size))));
  }

  /** "PA BYTES", or "PA zero": what a page holds when entries come to lead to it. */
  #page(args: string): void {
    const [, addr, data] = partsOf(/^(0x[0-9a-f]{1,13}000) (zero|(?:[0-9a-f]{2})+)$/, args);
    if (data !== "zero" && data!.length !== 2 * FRAME_BYTES) throw new RangeError("page");
    const known = this.#output.known?.now.fetch(Number(BigInt(addr!) >> 12n), 0, FRAME_BYTES) === true;
    if (data === "zero" && !known) {
      // What is written to it counts as memory that is known, from here on.
      this.#output.known?.zero(Number(BigInt(addr!) >> 12n));
      this.#output.record(
        "ram",
        recordText("ram", { addr: hexOf(addr), size: `0x${FRAME_BYTES.toString(16)}` }),
      );
    } else
      this.#output.record("mem", memText(hexOf(addr), data === "zero" ? "00".repeat(FRAME_BYTES) : data!));
  }
}
