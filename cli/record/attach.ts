import { QmpClient, QmpError } from "../../parsers/qemu/qmp.ts";
import { VENDORS } from "../../walkers/registry.ts";
import { NEVER, onInterrupt } from "../signals.ts";
import { type Capture, capture } from "./capture.ts";
import type { Ending } from "./ending.ts";
import { type EventLog, openEventLog } from "./log-file.ts";
import { GuestMachine } from "./machine.ts";
import type { Recording } from "./recording.ts";
import { leftText, undoAll } from "./restoration.ts";
import { TraceEvents } from "./trace-events.ts";
import { NO_ROOM, type TraceFolder } from "./trace-folder.ts";

/**
 * Records a QEMU that runs: registers and tables before and after, its trace events between.
 * @param name of its QMP socket
 * @param ending settles when the recording is to end
 * @throws QmpError, CliError
 */
export async function attach(
  name: string,
  folder: TraceFolder,
  ending: Ending,
  say: (text: string) => void,
): Promise<Recording> {
  const client = await QmpClient.open(name);
  let machine: GuestMachine | null = null;
  try {
    machine = await GuestMachine.of(client, name);
    return await recordMachine(machine, name, folder, ending, say);
  } finally {
    machine?.close();
    client.close();
  }
}

async function recordMachine(
  machine: GuestMachine,
  name: string,
  folder: TraceFolder,
  ending: Ending,
  say: (text: string) => void,
): Promise<Recording> {
  const { client } = machine;
  const running = await isRunning(client);
  const events = new TraceEvents(client);
  const notes: string[] = [];
  let start: Capture;
  let log: EventLog;
  let opened: EventLog | null = null;
  // Whatever goes wrong from here on: the machine goes on as it did before. It is restored once.
  let restored: Promise<void> | null = null;
  const restore = (goOn = running) =>
    undoAll(client, name, [
      (by) => events.off(by),
      async (by) => opened?.end(by),
      async (by) => (goOn ? by.execute("cont") : null),
    ]);
  const restoreOrSay = (goOn: boolean, tell: (text: string) => void) => {
    restored ??= restore(goOn).catch((error) => {
      const text = leftText(error);
      if (text !== "") tell(text);
    });
    return restored;
  };
  let leaving = false;
  let switching: Promise<EventLog> | null = null;
  let recording = false;
  const switchOn = async (): Promise<EventLog> => {
    opened = await openEventLog(machine, folder.log);
    await events.on(machine.iommus);
    return opened;
  };
  const cancel = onInterrupt(async () => {
    leaving = true;
    // What is being switched on is switched off when it is on.
    await switching?.catch(() => {});
    await restoreOrSay(running, say);
    if (!recording) folder.discard();
  });
  const began = performance.now();
  try {
    if (running) await client.execute("stop");
    start = await capture(machine);
    if (leaving) return await NEVER;
    folder.memory(folder.start, start.pages);
    folder.iommus(start.iommus);
    switching = switchOn();
    log = await switching;
    if (leaving) return await NEVER;
    ending.watch(client);
    if (running) await client.execute("cont");
    recording = true;
  } catch (error) {
    // The signal's own ending is under way.
    if (leaving) return await NEVER;
    await restoreOrSay(running, say);
    cancel();
    throw error;
  }
  if (log.note !== "") notes.push(log.note);
  if (machine.kvm)
    notes.push("the guest runs under KVM, which has not been tried: its tables are read as those of TCG");
  const stopped = performance.now() - began;
  say(startText(machine, start, stopped));
  if (!running) say("the machine is paused, and stays so: nothing happens before somebody has it go on");
  const why = await ending.of(client);
  let end: Capture | null = null;
  try {
    if (!client.gone) {
      if (running && why !== "guest") await client.execute("stop");
      notes.push(...(await machine.moved()), ...(await machine.plugged()));
      if (log.taken() !== "") notes.push(log.taken());
      end = await capture(machine);
      folder.memory(folder.end, end.pages);
    }
  } catch (error) {
    if (!(error instanceof QmpError)) throw error;
    notes.push(`no memory at the end: ${error.message}`);
  } finally {
    // A signal does not cut it off.
    await restoreOrSay(running && why !== "guest", (text) => notes.push(text));
    cancel();
  }
  if (!folder.hasRoom()) notes.push(NO_ROOM);
  notes.push(...changes(machine, start, end));
  return { version: client.version, machine: machine.iommus, start, end, notes, why, stores: null };
}

/** What events do not tell of a recording without stores. */
function changes(machine: GuestMachine, start: Capture, end: Capture | null): string[] {
  const notes: string[] = [];
  if (start.spent || end?.spent === true)
    notes.push("tables lead back into themselves: not all of their pages were read");
  for (const [i, { kind, id }] of machine.iommus.entries()) {
    const before = start.iommus[i]!.registers;
    const after = end?.iommus[i]?.registers ?? before;
    const { root } = VENDORS[kind.model].registerNames;
    if ((before.get(root) ?? 0n) !== 0n && after.get(root) === 0n)
      notes.push(
        `${id} was reset while recording, or was told of no tables any more: what they were at the end is not known, and requests whose tables changed are left out`,
      );
    for (const { name } of kind.silent === true ? kind.leading : [])
      if (before.get(name) !== after.get(name))
        notes.push(
          `register ${name} of ${id} was written while recording, which no event shows: the trace has its first value`,
        );
  }
  return notes;
}

async function isRunning(client: QmpClient): Promise<boolean> {
  const status = (await client.execute("query-status")) as { running?: boolean };
  return status.running === true;
}

function startText({ iommus, client }: GuestMachine, start: Capture, ms: number): string {
  const { major, minor, micro } = client.version;
  const names = iommus.map(({ id, kind }, i) => {
    const tables = [...start.tables.values()].filter((iommu) => iommu === i).length;
    return `${id} (${kind.region}, ${tables} pages of tables)`;
  });
  return `QEMU ${major}.${minor}.${micro}: ${names.join(", ")}; stood still for ${Math.round(ms)} ms`;
}
