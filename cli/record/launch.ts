import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { QmpError } from "../../parsers/qemu/qmp.ts";
import { CliError } from "../errors.ts";
import { onInterrupt } from "../signals.ts";
import { type Capture, capture } from "./capture.ts";
import { Emulator, StartError } from "./emulator.ts";
import type { Ending } from "./ending.ts";
import { TableFollower } from "./follower.ts";
import { GuestMachine } from "./machine.ts";
import { type HostRam, PageMap } from "./page-map.ts";
import { askedRegisters, Placement } from "./placement.ts";
import { builtPlugin, PLUGIN_APIS, type PluginApi } from "./plugin-build.ts";
import type { Recording } from "./recording.ts";
import { StoreChannel } from "./store-channel.ts";
import { TraceEvents } from "./trace-events.ts";
import { NO_ROOM, type TraceFolder } from "./trace-folder.ts";

/** Guest memory may be anywhere below this: the file that says which pages are watched is empty but for those. */
const WATCHED_END = 1n << 40n;

/** What is added to the command line of the QEMU, and what answers to it. */
interface Attachments {
  readonly folder: string;
  readonly map: PageMap;
  readonly channel: StoreChannel;
  follower: TableFollower | null;
  placement: Placement | null;
}

/**
 * Starts a QEMU under TCG with a plugin that records every store to tables and queues, and records from power-on.
 * @param words its command line
 */
export async function launch(
  words: readonly string[],
  folder: TraceFolder,
  ending: Ending,
  say: (text: string) => void,
): Promise<Recording> {
  if (words.includes("-daemonize"))
    throw new CliError("expected a QEMU that stays in the foreground, found -daemonize", true);
  const scratch = mkdtempSync(join(tmpdir(), "pasid-replay-"));
  const forget = onInterrupt(() => rmSync(scratch, { recursive: true, force: true }));
  const map = new PageMap(join(scratch, "pages"), WATCHED_END);
  let attachments: Attachments | null = null;
  try {
    const channel = await StoreChannel.open(join(scratch, "stores"), async (store) => {
      await attachments?.placement?.stored(store);
      return attachments?.follower?.stored(store) ?? "";
    });
    attachments = { folder: scratch, map, channel, follower: null, placement: null };
    const emulator = await started(words, attachments, folder);
    const cancel = onInterrupt(() => emulator.quit());
    try {
      return await recordFromStart(words, emulator, attachments, folder, ending, say);
    } finally {
      attachments.follower?.end();
      await emulator.quit();
      cancel();
    }
  } finally {
    forget();
    attachments?.channel.close();
    map.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Starts it with the plugin for its interface. */
async function started(words: readonly string[], own: Attachments, folder: TraceFolder): Promise<Emulator> {
  const socket = join(own.folder, "qmp");
  let refusal: StartError | null = null;
  for (const api of PLUGIN_APIS)
    try {
      return await Emulator.start([...words, ...addedWords(words, api, socket, own, folder)], socket);
    } catch (error) {
      if (!(error instanceof StartError) || !wantsOther(error, api)) throw explained(error);
      refusal = error;
    }
  throw explained(refusal!);
}

function addedWords(
  words: readonly string[],
  api: PluginApi,
  socket: string,
  own: Attachments,
  folder: TraceFolder,
): string[] {
  const debug = words[words.lastIndexOf("-d") + 1];
  return [
    ...["-qmp", `unix:${socket},server=on,wait=off`, "-S"],
    ...["-action", "shutdown=pause", "-D", folder.log],
    ...["-d", words.includes("-d") ? `${debug},plugin` : "plugin"],
    ...["-plugin", `${builtPlugin(api)},map=${own.map.path},socket=${join(own.folder, "stores")}`],
  ];
}

/** "plugin requires API version 7, but this QEMU supports only up to version 4" */
function wantsOther({ stderr }: StartError, api: PluginApi): boolean {
  const match = /supports only up to version (\d+)/.exec(stderr);
  return match !== null && PLUGIN_APIS.some((other) => other < api && other <= Number(match[1]));
}

const OLD =
  "recording stores needs a QEMU of 9.2 or later (plugin interface 4): attach with --qmp to record an older one without them";

function explained(error: unknown): unknown {
  if (!(error instanceof StartError)) return error;
  if (/supports only up to version \d+|undefined symbol: qemu_plugin/.test(error.stderr))
    return new CliError(`${error.message}; ${OLD}`);
  if (/plugin.*(?:not (?:supported|enabled|compiled)|invalid option)/i.test(error.stderr))
    return new CliError(
      `${error.message}; this QEMU is built without TCG plugins: attach with --qmp instead`,
    );
  return error;
}

async function recordFromStart(
  words: readonly string[],
  { client }: Emulator,
  own: Attachments,
  folder: TraceFolder,
  ending: Ending,
  say: (text: string) => void,
): Promise<Recording> {
  const machine = await GuestMachine.of(client, join(own.folder, "qmp"), words[0]);
  const { map } = own;
  if (machine.kvm)
    throw new CliError("expected a QEMU under TCG (-accel tcg), found one under KVM: attach with --qmp");
  map.describe(ramOf(machine), askedRegisters(machine));
  const start = await capture(machine);
  folder.memory(folder.start, start.pages);
  const follower = new TableFollower(machine, map, start.iommus);
  const placement = new Placement(machine, map, follower, start);
  own.follower = follower;
  own.placement = placement;
  follower.begin();
  map.enable(true);
  const events = new TraceEvents(client);
  await events.on(machine.iommus);
  const { major, minor, micro } = client.version;
  say(
    `QEMU ${major}.${minor}.${micro}: ${machine.iommus.map(({ id }) => id).join(", ")}; recording from power-on`,
  );
  ending.watch(client);
  if (!words.includes("-S")) await client.execute("cont");
  const why = await ending.of(client);
  folder.iommus(placement.iommus);
  const notes: string[] = [];
  let end: Capture | null = null;
  const pages = new Map<number, Uint8Array>();
  try {
    if (!client.gone) {
      await client.execute("stop");
      map.enable(false);
      notes.push(...(await machine.moved()), ...(await machine.plugged()));
      end = await capture(machine);
      // Also those that have been missed.
      for (const frame of [...follower.pages.keys(), ...follower.queues, ...(follower.reached() ?? [])]) {
        const page = machine.pageNow(frame);
        if (page !== null) pages.set(frame, page);
      }
      folder.memory(folder.end, pages);
      await events.off();
    }
  } catch (error) {
    if (!(error instanceof QmpError)) throw error;
    notes.push(`no memory at the end: ${error.message}`);
  }
  if (!folder.hasRoom()) notes.push(NO_ROOM);
  if (map.unseen > 0)
    notes.push(
      `${map.unseen} stores may be missing: they crossed a page's end, were to no RAM, or QEMU did not say where they went`,
    );
  return {
    version: client.version,
    machine: machine.iommus,
    start: { ...start, iommus: placement.iommus },
    end,
    notes,
    why,
    stores: { pages },
  };
}

function ramOf(machine: GuestMachine): HostRam[] {
  const beyond = machine.ram.find(({ last }) => last >= WATCHED_END);
  if (beyond !== undefined)
    throw new CliError(
      `expected guest memory below 0x${WATCHED_END.toString(16)}, found ${beyond.name} up to 0x${beyond.last.toString(16)}: attach with --qmp`,
    );
  const ram = machine.ram.flatMap(({ first, last, host }) => (host === null ? [] : [{ first, last, host }]));
  if (ram.length === 0 || machine.pageNow(Number(ram[0]!.first >> 12n)) === null)
    throw new CliError(
      "expected to read QEMU's memory by /proc/PID/mem, found that this is not allowed (ptrace_scope, another user)",
    );
  return ram;
}
