import { createInterface } from "node:readline";
import { RecordTeller } from "../../parsers/trace/record-teller.ts";
import { show } from "../../parsers/trace/show.ts";
import { DeviceError, type Mistakes, TestDevice } from "../../pipeline/device/device.ts";
import { helloOfDevice, PROTOCOL_VERSION } from "../../pipeline/fuzz/protocol.ts";
import { NO_LIMITS } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, type ExitStatus } from "../exit-status.ts";
import { standardOutput } from "../output.ts";

/** Requests that are taken before the first of them is answered. */
const WINDOW = 256;

/** Is a device under test on standard input and output: the example of docs/dut-protocol.md. */
export async function serveDevice(model: IommuModel, mistakes: Mistakes): Promise<ExitStatus> {
  const out = standardOutput();
  const session = new Session(model, mistakes);
  const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    if (line.trim() === "") continue;
    const answer = session.take(line);
    if (answer !== "") await out.write(`${answer}\n`);
  }
  session.close();
  await out.finish();
  return EXIT_OK;
}

class Session {
  readonly #model: IommuModel;
  readonly #mistakes: Mistakes;
  #device: TestDevice;
  #teller: RecordTeller;
  #line = 0;
  #records = 0;

  constructor(model: IommuModel, mistakes: Mistakes) {
    this.#model = model;
    this.#mistakes = mistakes;
    this.#device = new TestDevice(mistakes);
    this.#teller = new RecordTeller(this.#device.names, this.#device);
  }

  /** What a line is answered with; "" for nothing. */
  take(line: string): string {
    this.#line++;
    const record = this.#parsed(line);
    switch (record.type) {
      case "hello":
        return this.#hello(record.protocol);
      case "reset":
        this.#reset();
        return '{"type":"reset"}';
      default:
        return this.#record(record);
    }
  }

  close(): void {
    this.#device.close();
  }

  #parsed(line: string): Record<string, unknown> {
    try {
      return JSON.parse(line) as Record<string, unknown>;
    } catch {
      throw new CliError(`standard input: line ${this.#line}: expected a JSON object, found ${show(line)}`);
    }
  }

  #hello(protocol: unknown): string {
    if (protocol !== PROTOCOL_VERSION)
      throw new CliError(`hello.protocol: expected ${PROTOCOL_VERSION}, found ${show(protocol)}`);
    return helloOfDevice({ name: "pasid-replay dut", model: this.#model, window: WINDOW, limits: NO_LIMITS });
  }

  #reset(): void {
    this.#device.close();
    this.#device = new TestDevice(this.#mistakes);
    this.#teller = new RecordTeller(this.#device.names, this.#device);
    this.#records = 0;
  }

  #record(record: Record<string, unknown>): string {
    try {
      this.#teller.parsed(++this.#records, record);
    } catch (error) {
      if (error instanceof DeviceError)
        throw new CliError(`standard input: line ${this.#line}: ${error.message}`);
      throw error;
    }
    if (record.type !== "dma") return "";
    return JSON.stringify({ type: "observed", seq: record.seq, ...this.#device.answer });
  }
}
