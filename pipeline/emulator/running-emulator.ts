import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EmulatorDriver } from "../../walkers/fuzz/emulator.ts";
import type { WorldRecord } from "../../walkers/fuzz/world.ts";
import type { IommuModel } from "../../walkers/models.ts";
import { hex } from "../../walkers/word64.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { endWithUs } from "../fuzz/orphans.ts";
import { DeviceFailure } from "../fuzz/port.ts";
import { DeviceRequests } from "./device-requests.ts";
import { Qtest } from "./qtest.ts";
import { WorldMemory } from "./world-memory.ts";

const PAGE = 4096n;
const LOG_PIECE = 2 ** 16;
const MEBIBYTE = 2n ** 20n;
const GRACE = 2000;
/** What is kept of what QEMU says. */
const MOST_STDERR = 2 ** 14;
/** What QEMU says where it was built without what lets time be stepped. */
const NO_ACCELERATOR = "invalid accelerator qtest";
/** Lines that say what QEMU died of; a register dump may stand behind them. */
const DEATH = /^(?!.*warning:).*(?:qemu|assert|^ERROR)/i;

/** A QEMU that runs. */
export class RunningEmulator {
  readonly machine: Qtest;
  readonly #driver: EmulatorDriver;
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #server: Server;
  readonly #requests: DeviceRequests;
  readonly #log: number;
  readonly #piece = Buffer.alloc(LOG_PIECE);
  #logged = 0;
  #partial = "";
  #stderr = "";
  readonly #memory: WorldMemory;

  private constructor(
    machine: Qtest,
    driver: EmulatorDriver,
    folder: string,
    child: ChildProcess,
    server: Server,
    steps: boolean,
  ) {
    this.machine = machine;
    this.#driver = driver;
    this.#folder = folder;
    this.#child = child;
    this.#server = server;
    this.#memory = new WorldMemory(machine, driver.memory, driver.ram);
    this.#requests = new DeviceRequests(machine, driver, this.#memory, steps, () => this.#lines());
    this.#log = openSync(join(folder, "log"), "a+");
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-MOST_STDERR);
    });
    child.on("error", (error) => machine.end(new DeviceFailure("start", error.message)));
    child.on("close", (code, signal) =>
      machine.end(
        new DeviceFailure(
          "died",
          `QEMU ${signal === null ? `ended with status ${code}` : `was ended by ${signal}`}`,
        ),
      ),
    );
  }

  static async start(
    path: string,
    driver: EmulatorDriver,
    version: number,
    timeout: number,
    steps = true,
  ): Promise<RunningEmulator> {
    const folder = mkdtempSync(join(tmpdir(), "pasid-qemu-"));
    writeFileSync(join(folder, "events"), driver.events.map((event) => `${event}\n`).join(""));
    writeFileSync(join(folder, "firmware"), driver.firmware);
    const { base, bytes } = driver.memory;
    const megabytes = (base + bytes - driver.firstByte) / MEBIBYTE;
    const accelerator = steps ? ["-accel", "qtest"] : ["-accel", "tcg", "-icount", "shift=0,sleep=off"];
    const words = [
      ...driver.machine(version),
      ...accelerator,
      ...["-m", `${megabytes}M`, "-nodefaults", "-display", "none", "-no-reboot"],
      ...["-bios", join(folder, "firmware"), "-qtest", `unix:${join(folder, "qtest")}`, "-qtest-log", "none"],
      ...["-trace", `events=${join(folder, "events")}`, "-D", join(folder, "log")],
      ...driver.devices.flatMap((id) => ["-device", eduWords(id, driver.devices)]),
    ];
    const machine = new Qtest(timeout, driver.ecam);
    const server = await machine.listen(join(folder, "qtest"));
    const [program, ...before] = commandOf(path);
    const child = spawn(program!, [...before, ...words, ...globalsOf(before)], {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    endWithUs(child);
    const running = new RunningEmulator(machine, driver, folder, child, server, steps);
    try {
      await machine.connected();
      await running.#prepare();
      return running;
    } catch (error) {
      await running.close();
      const failure = running.failure(error);
      // Without an accelerator of its own, a processor that does nothing lets time go on.
      if (steps && failure instanceof DeviceFailure && failure.message.includes(NO_ACCELERATOR))
        return RunningEmulator.start(path, driver, version, timeout, false);
      throw failure instanceof DeviceFailure ? new DeviceFailure("start", failure.message) : failure;
    }
  }

  /** What went wrong, with what QEMU said. */
  failure(error: unknown): unknown {
    if (!(error instanceof DeviceFailure)) return error;
    const lines = this.#stderr.trim().split("\n");
    const own = lines.filter((line) => DEATH.test(line));
    const said = (own.length > 0 ? own : lines).slice(-3).join("; ");
    return said === "" ? error : new DeviceFailure(error.kind, `${error.message}; it said: ${said}`);
  }

  async #prepare(): Promise<void> {
    const { machine } = this;
    const { memory, firstByte } = this.#driver;
    this.#driver.prepare?.(machine);
    await this.#requests.prepare();
    // What the machine has left there; the first page may hold a processor's firmware.
    machine.clear(firstByte + PAGE, memory.base + memory.bytes - firstByte - PAGE);
    await machine.flush();
    this.#lines();
  }

  async run(
    records: readonly WorldRecord[],
    model: IommuModel,
  ): Promise<readonly (DeviceAnswer | undefined)[]> {
    const { machine } = this;
    const driver = this.#driver;
    await driver.reset(machine);
    this.#memory.clear();
    const answers: (DeviceAnswer | undefined)[] = [];
    for (const record of records)
      switch (record.type) {
        case "mem":
          this.#memory.write(BigInt(record.addr as string), record.data as string);
          break;
        case "iommu":
          driver.configure(machine, declaredRegisters([record]));
          break;
        case "cmd":
          driver.command(machine, (record.data as string[]).map(BigInt));
          break;
        case "dma":
          answers.push(await this.#requests.ask(record, model));
          break;
      }
    return answers;
  }

  /** Lines of the log since the last call. */
  #lines(): string[] {
    const piece = this.#piece;
    for (;;) {
      const read = readSync(this.#log, piece, 0, LOG_PIECE, this.#logged);
      if (read === 0) break;
      this.#logged += read;
      this.#partial += piece.toString("latin1", 0, read);
    }
    const lines = this.#partial.split("\n");
    this.#partial = lines.pop()!;
    return lines;
  }

  async close(): Promise<void> {
    this.machine.close();
    this.#server.close();
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const gone = new Promise((settle) => child.once("close", settle));
      child.kill("SIGTERM");
      const late = setTimeout(() => child.kill("SIGKILL"), GRACE);
      await gone;
      clearTimeout(late);
    }
    closeSync(this.#log);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A program by its path; or a command, with words before those that are added. */
export function commandOf(path: string): readonly string[] {
  return existsSync(path) ? [path] : path.trim().split(/\s+/);
}

/** The defaults of properties that a command sets: of two the later one counts, and these are to. */
function globalsOf(words: readonly string[]): string[] {
  return words.flatMap((word, i) => (words[i - 1] === "-global" ? ["-global", word] : []));
}

function eduWords(id: number, devices: readonly number[]): string {
  const beside = devices.some((other) => other !== id && other >> 3 === id >> 3) ? ",multifunction=on" : "";
  return `edu,addr=${hex(id >> 3)}.${hex(id & 7)},dma_mask=0xffffffffffffffff${beside}`;
}

/** Registers of the IOMMU that a world declares. */
export function declaredRegisters(records: readonly WorldRecord[]): Record<string, bigint> {
  const regs = records.find(({ type }) => type === "iommu")?.regs as Record<string, string> | undefined;
  return Object.fromEntries(Object.entries(regs ?? {}).map(([name, value]) => [name, BigInt(value)]));
}
