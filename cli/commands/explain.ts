import { existsSync } from "node:fs";
import type { Argv } from "yargs";
import { hasCode } from "../../walkers/fault.ts";
import { occurrenceOf } from "../../walkers/fault-record.ts";
import { IOMMUS } from "../../walkers/models.ts";
import { command } from "../command.ts";
import { CliError } from "../errors.ts";
import { EXIT_OK, EXIT_TROUBLE, type ExitStatus } from "../exit-status.ts";
import { once } from "../options.ts";
import { writeOut } from "../text-output.ts";
import { isVendor, VENDOR_NAMES, vendorNamed } from "../vendors.ts";

interface ExplainArguments {
  /** A vendor and perhaps a code, or logs. */
  what: string[];
  record?: string[];
  entry?: string | string[];
  words?: string[];
  structures: boolean;
  json: boolean;
}

function builder(yargs: Argv): Argv {
  return yargs
    .positional("what", {
      describe: `A vendor (${VENDOR_NAMES.join(", ")}), and a fault code (hex or decimal) or name, without which: all; or logs of one machine`,
      type: "string",
      array: true,
      demandOption: true,
    })
    .options({
      record: {
        alias: "event",
        describe: "A raw fault record: 64-bit words, lowest address first, or its bytes as one string",
        type: "string",
        array: true,
        requiresArg: true,
      },
      entry: {
        describe: "A structure or register by its name, or part of it; without --words: its fields",
        type: "string",
        requiresArg: true,
      },
      words: {
        describe: "The words of --entry, lowest address first; the first ones will do",
        type: "string",
        array: true,
        requiresArg: true,
      },
      structures: {
        describe: "List the structures and registers that --entry knows",
        type: "boolean",
        default: false,
      },
      json: { describe: "NDJSON", type: "boolean", default: false },
    })
    .example(
      "$0 explain dmesg.txt",
      "The faults of a kernel log: what was refused, why, and what to collect next",
    )
    .example("$0 explain dmesg.txt trace.txt", "… with what the driver had mapped, from trace-cmd report")
    .example("$0 explain arm 0x10", "What an SMMUv3 event number means")
    .example("$0 explain vtd SPT.1", "… a VT-d fault by its name")
    .example("$0 explain riscv", "All faults of a vendor")
    .example("$0 explain arm --event 0x1d00000010 0x900000000 0x7f001000 0", "All fields of a raw event")
    .example('$0 explain vtd --entry "pasid table entry" --words 0x9 0x11', "All fields of a table entry");
}

async function run(args: ExplainArguments): Promise<ExitStatus> {
  const [named, code, ...others] = args.what.map(String);
  const ways = [code, args.record, args.entry, args.structures || undefined];
  const options = [args.record, args.entry, args.words, args.structures || undefined];
  if (!isVendor(named!) && options.every((option) => option === undefined) && args.what.some(isInput))
    return logs(args);
  if (!isVendor(named!) && /[./]/.test(named!) && !existsSync(named!))
    throw new CliError(`${named}: expected a vendor, or the path of a log, found no such file`);
  const model = vendorNamed(named!);
  if (others.length > 0) throw new CliError(`expected one code, found ${[code, ...others].join(", ")}`, true);
  const { VENDORS } = await import("../../walkers/registry.ts");
  const vendor = VENDORS[model];
  const { title } = IOMMUS[model];
  if (ways.filter((way) => way !== undefined).length > 1)
    throw new CliError("expected one of a code, --record, --entry and --structures, found several", true);
  if (args.words !== undefined && args.entry === undefined)
    throw new CliError("--words: expected with --entry, found without", true);
  const lookup = await import("../lookup.ts");
  const render = args.json
    ? (await import("../render/explain-json.ts")).EXPLAIN_JSON
    : (await import("../render/explain-text.ts")).EXPLAIN_TEXT;
  const write = (text: string) => writeOut(args.json, text);
  if (args.record !== undefined) {
    const record = lookup.bytesOf("--record", args.record, vendor.faultRecord.bytes);
    const code = vendor.faultRecord.code(record);
    const layout = vendor.faultRecord.layout(code);
    const faults = vendor.faults.filter((fault) => hasCode(fault) && fault.code === code);
    const { faultRecord } = vendor;
    const known = occurrenceOf(faultRecord, record);
    await write(render.recordText(model, title, layout, record, code, faults, known));
  } else if (args.entry !== undefined) {
    const layout = lookup.layoutNamed(vendor.layouts, once("--entry", args.entry));
    if (args.words === undefined) await write(render.declarationText(model, layout));
    else await write(render.entryText(model, layout, lookup.prefixOf("--words", args.words, layout.bytes)));
  } else if (args.structures) await write(render.structuresText(model, vendor.layouts));
  else {
    const faults = code === undefined ? vendor.faults : lookup.faultsNamed(title, vendor.faults, code);
    await write(
      code === undefined ? render.allText(model, title, faults) : render.faultText(model, title, faults),
    );
  }
  return EXIT_OK;
}

/** A file, or standard input. */
function isInput(path: string): boolean {
  return path === "-" || existsSync(path);
}

async function logs(args: ExplainArguments): Promise<ExitStatus> {
  const { explainLogs } = await import("../explain-log/explain-logs.ts");
  const explained = await explainLogs(args.what);
  const text = args.json
    ? (await import("../render/log-json.ts")).logJson(args.what, explained)
    : (await import("../render/log-text.ts")).logText(args.what, explained);
  await writeOut(args.json, text);
  for (const message of explained.report.broken) process.stderr.write(`pasid-replay: ${message}\n`);
  return explained.report.formats.length === 0 || explained.report.broken.length > 0 ? EXIT_TROUBLE : EXIT_OK;
}

export const explainCommand = command({
  names: ["explain <what..>"],
  describe: "Say what a fault code, a raw fault record or a table entry means, or what faults are in a log",
  builder,
  run,
});
