import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EmulatorDriver } from "../../walkers/fuzz/emulator.ts";
import { type Limits, NO_LIMITS, type WorldRecord } from "../../walkers/fuzz/world.ts";
import { deviceName, type IommuModel } from "../../walkers/models.ts";
import { hex } from "../../walkers/word64.ts";
import type { DeviceAnswer } from "../device/answer.ts";
import { DeviceFailure, type DeviceIdentity, type DevicePort } from "../fuzz/port.ts";
import { EDU_BYTES, EduDevice } from "./edu.ts";
import { Qtest } from "./qtest.ts";

/** Functions that requests come from: of both halves of a bus, and one beside another. */
const DEVICES = [0x18, 0x20, 0x21, 0xf0] as const;
const BAR_BYTES = 0x10_0000n;
/** What is written to memory by a device: no table is made of it. */
const MARK = 0xa5;
const PAGE = 4096n;
const LOG_PIECE = 2 ** 16;
const MEBIBYTE = 2n ** 20n;
const GRACE = 2000;
/** What is kept of what QEMU says. */
const MOST_STDERR = 2 ** 14;
/** What QEMU says where it was built without what lets time be stepped. */
const NO_ACCELERATOR = "invalid accelerator qtest";

/** A device under test that is a QEMU, driven by qtest: its IOMMU, and `edu` devices behind it. */
export class EmulatedDevice implements DevicePort {
  readonly identity: DeviceIdentity;
  readonly #newDriver: () => EmulatorDriver;
  readonly #path: string;
  readonly #timeout: number;
  /** Tells machines apart. */
  readonly #driver: EmulatorDriver;
  readonly #version: number;
  /** By what each cannot forget; "": nothing yet. */
  readonly #machines: Map<string, Running>;

  private constructor(
    path: string,
    newDriver: () => EmulatorDriver,
    timeout: number,
    version: number,
    identity: DeviceIdentity,
    running: Running,
  ) {
    this.#path = path;
    this.#newDriver = newDriver;
    this.#timeout = timeout;
    this.#version = version;
    this.#driver = newDriver();
    this.identity = identity;
    this.#machines = new Map([["", running]]);
  }

  /** @param path of the program, or a command */
  static async start(
    path: string,
    model: IommuModel,
    newDriver: () => EmulatorDriver,
    timeout: number,
  ): Promise<EmulatedDevice> {
    const { version, text } = versionOf(path);
    const driver = newDriver();
    const running = await Running.start(path, driver, version, timeout);
    try {
      const regs = await driver.identify(running.machine);
      const limits: Limits = {
        ...NO_LIMITS,
        regs,
        props: driver.props(version),
        devices: DEVICES,
        memory: driver.memory,
        ram: driver.ram,
        pagesInMemory: true,
        accesses: ["r", "w"],
        pasid: false,
        priv: false,
        len: EDU_BYTES,
        ...driver.limits,
      };
      const identity = { name: `qemu ${text}, ${driver.name}`, model, limits };
      return new EmulatedDevice(path, newDriver, timeout, version, identity, running);
    } catch (error) {
      await running.close();
      throw error;
    }
  }

  async run(records: readonly WorldRecord[]): Promise<readonly (DeviceAnswer | undefined)[]> {
    const imprint = this.#driver.imprint?.(registersOf(records)) ?? "";
    const machine = this.#machines.get(imprint) ?? this.#machines.get("") ?? (await this.#start());
    this.#machines.delete("");
    this.#machines.set(imprint, machine);
    try {
      return await machine.run(records, this.identity.model);
    } catch (error) {
      this.#machines.delete(imprint);
      await machine.close();
      throw machine.failure(error);
    }
  }

  #start(): Promise<Running> {
    return Running.start(this.#path, this.#newDriver(), this.#version, this.#timeout);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#machines.values()].map((machine) => machine.close()));
    this.#machines.clear();
  }
}

/** A program by its path; or a command, with words before those that are added. */
function commandOf(path: string): readonly string[] {
  return existsSync(path) ? [path] : path.trim().split(/\s+/);
}

function versionOf(path: string): { readonly version: number; readonly text: string } {
  let said: string;
  try {
    const [program, ...words] = commandOf(path);
    said = execFileSync(program!, [...words, "--version"], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    throw new DeviceFailure(
      "start",
      code === "ENOENT" ? `${path}: expected a QEMU, found no such program` : message.trim(),
    );
  }
  const [, text, number] = /version ((\d+\.\d+)\S*)/.exec(said) ?? [];
  if (text === undefined)
    throw new DeviceFailure("start", `${path} --version: expected a QEMU, found ${JSON.stringify(said)}`);
  return { version: Number(number), text };
}

/** A QEMU that runs. */
class Running {
  readonly machine: Qtest;
  readonly #driver: EmulatorDriver;
  readonly #folder: string;
  readonly #child: ChildProcess;
  readonly #server: Server;
  /** Time goes on by command; else by itself. */
  readonly #steps: boolean;
  readonly #devices: readonly EduDevice[];
  readonly #log: number;
  #logged = 0;
  #partial = "";
  #stderr = "";
  /** Bytes of the world as its records have written them, by page. */
  readonly #pages = new Map<bigint, Uint8Array>();

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
    this.#steps = steps;
    this.#devices = DEVICES.map((id, i) => new EduDevice(id, driver.window + BAR_BYTES * BigInt(i)));
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
  ): Promise<Running> {
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
      ...DEVICES.flatMap((id) => ["-device", eduWords(id)]),
    ];
    const machine = new Qtest(timeout, driver.ecam);
    const server = await machine.listen(join(folder, "qtest"));
    const [program, ...before] = commandOf(path);
    const child = spawn(program!, [...before, ...words], {
      stdio: ["ignore", "ignore", "pipe"],
      detached: true,
    });
    const running = new Running(machine, driver, folder, child, server, steps);
    try {
      await machine.connected();
      await running.#prepare();
      return running;
    } catch (error) {
      await running.close();
      const failure = running.failure(error);
      // Without an accelerator of its own, a processor that does nothing lets time go on.
      if (steps && failure instanceof DeviceFailure && failure.message.includes(NO_ACCELERATOR))
        return Running.start(path, driver, version, timeout, false);
      throw failure instanceof DeviceFailure ? new DeviceFailure("start", failure.message) : failure;
    }
  }

  /** What went wrong, with what QEMU said. */
  failure(error: unknown): unknown {
    if (!(error instanceof DeviceFailure)) return error;
    const lines = this.#stderr.trim().split("\n");
    // A register dump may stand behind what it died of.
    const own = lines.filter((line) => /qemu|assert/i.test(line));
    const said = (own.length > 0 ? own : lines).slice(-3).join("; ");
    return said === "" ? error : new DeviceFailure(error.kind, `${error.message}; it said: ${said}`);
  }

  async #prepare(): Promise<void> {
    const { machine } = this;
    const { memory, firstByte } = this.#driver;
    const { base } = memory;
    for (const device of this.#devices) device.enable(machine);
    machine.write(base, MARK.toString(16).repeat(EDU_BYTES));
    for (const device of this.#devices) await device.fill(machine, base, this.#steps);
    machine.clear(base, BigInt(EDU_BYTES));
    // What the machine has left there; the first page may hold a processor's firmware.
    machine.clear(firstByte + PAGE, base - firstByte - PAGE);
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
    for (const page of this.#pages.keys()) machine.clear(page << 12n, 4096n);
    this.#pages.clear();
    const answers: (DeviceAnswer | undefined)[] = [];
    for (const record of records)
      switch (record.type) {
        case "mem":
          this.#write(BigInt(record.addr as string), record.data as string);
          break;
        case "iommu":
          driver.configure(machine, registersOf([record]));
          break;
        case "cmd":
          driver.command(machine, (record.data as string[]).map(BigInt));
          break;
        case "dma":
          answers.push(await this.#request(record, model));
          break;
      }
    return answers;
  }

  /** What a processor writes: it is remembered, since devices may write over it. */
  #write(address: bigint, data: string): void {
    this.machine.write(address, data);
    Buffer.from(data, "hex").forEach((byte, i) => {
      const at = address + BigInt(i);
      const page = this.#pages.get(at >> 12n) ?? new Uint8Array(4096);
      this.#pages.set(at >> 12n, page);
      page[Number(at & 0xfffn)] = byte;
    });
  }

  async #request(record: WorldRecord, model: IommuModel): Promise<DeviceAnswer | undefined> {
    const device = this.#devices.find(({ id }) => deviceName(model, id) === record.dev);
    if (device === undefined || record.pasid !== undefined || record.priv !== undefined) return undefined;
    const address = BigInt(record.addr as string);
    const bytes = (record.len as number | undefined) ?? 1;
    const write = record.access === "w";
    await device.request(this.machine, address, bytes, write, this.#steps);
    const faultRecord = (await this.#driver.faultRecord?.(this.machine)) ?? null;
    await this.machine.flush();
    const answer = this.#driver.answer(this.#lines(), address, faultRecord);
    if (answer === null) return undefined;
    const { result, pa, code, recorded, stage, faultClass, cached } = answer;
    if (result === "ok" && pa !== undefined) {
      const arrived = !write || (await this.#arrived(pa, bytes));
      if (cached === true && !arrived) return { result: "fault", recorded: false };
      return { result, pa: hex(pa) };
    }
    return {
      result,
      ...(code === undefined ? {} : { code: hex(code) }),
      ...(stage === undefined ? {} : { stage }),
      ...(faultClass === undefined ? {} : { class: faultClass }),
      ...(recorded === undefined ? {} : { recorded }),
    };
  }

  /** Whether a write has reached memory; what was there is put back. */
  async #arrived(pa: bigint, bytes: number): Promise<boolean> {
    const { base, bytes: size } = this.#driver.memory;
    if (pa < base || pa + BigInt(bytes) > base + size) return true;
    const byte = await this.machine.read8(pa);
    const was = Array.from({ length: bytes }, (_, i) => {
      const at = pa + BigInt(i);
      return this.#pages.get(at >> 12n)?.[Number(at & 0xfffn)] ?? 0;
    });
    this.machine.write(pa, Buffer.from(was).toString("hex"));
    return byte === MARK;
  }

  /** Lines of the log since the last call. */
  #lines(): string[] {
    const piece = Buffer.alloc(LOG_PIECE);
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

function eduWords(id: number): string {
  const beside = DEVICES.some((other) => other !== id && other >> 3 === id >> 3) ? ",multifunction=on" : "";
  return `edu,addr=${hex(id >> 3)}.${hex(id & 7)},dma_mask=0xffffffffffffffff${beside}`;
}

/** Registers of the IOMMU that a world declares. */
function registersOf(records: readonly WorldRecord[]): Record<string, bigint> {
  const regs = records.find(({ type }) => type === "iommu")?.regs as Record<string, string> | undefined;
  return Object.fromEntries(Object.entries(regs ?? {}).map(([name, value]) => [name, BigInt(value)]));
}
