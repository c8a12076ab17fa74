import { type ArgumentModel, COMMON_OPTIONS, type CommandModel } from "./command-model.ts";

const NAME = "pasid-replay";

/** The manual page of the tool, in roff: its commands. */
export function manOverview(commands: readonly CommandModel[], version: string): string {
  return [
    head(NAME, version),
    ".SH NAME",
    `${roff(NAME)} \\- replay recorded DMA through IOMMU tables`,
    ".SH SYNOPSIS",
    `.B ${roff(NAME)}`,
    "[replay] \\fItrace\\fR...",
    ".br",
    `.B ${roff(NAME)}`,
    "\\fIcommand\\fR [\\fIoption\\fR...]",
    ".SH DESCRIPTION",
    roff(
      "Walks the tables of VT-d, SMMUv3, AMD-Vi and RISC-V IOMMUs as their specifications say, over recorded guest memory and a log of DMA requests and invalidations, and says for each request what a correct IOMMU answers, and whether what the recorded system did was right, stale or wrong.",
    ),
    ".SH COMMANDS",
    ...commands.flatMap(({ name, describe }) => [
      ".TP",
      `.BR ${roff(`${NAME}-${name}`)} (1)`,
      roff(describe),
    ]),
    "",
  ].join("\n");
}

/** The manual page of one command. */
export function manPage(command: CommandModel, version: string): string {
  const { name, usage, describe, isDefault, positionals, examples, epilogue } = command;
  const [, ...words] = usage.split(" ");
  const groups = byGroup(command.options);
  return [
    head(`${NAME}-${name}`, version),
    ".SH NAME",
    `${roff(`${NAME}-${name}`)} \\- ${roff(describe)}`,
    ".SH SYNOPSIS",
    `.B ${roff(NAME)}`,
    `${isDefault ? `[${name}]` : `\\fB${roff(name)}\\fR`} ${roff(words.join(" "))} [\\fIoption\\fR...]`,
    ...(positionals.length === 0 ? [] : [".SH ARGUMENTS", ...positionals.flatMap(argumentLines)]),
    ...groups.flatMap(([title, options]) => [
      `.SH ${roff(title === "" ? "OPTIONS" : title.replace(/[:,;].*$/, "").toUpperCase())}`,
      ...(title === "" ? [...options, ...COMMON_OPTIONS] : options).flatMap(optionLines),
    ]),
    ...(epilogue === "" ? [] : [".SH NOTES", ".nf", roff(epilogue), ".fi"]),
    ...(examples.length === 0
      ? []
      : [".SH EXAMPLES", ...examples.flatMap(([line, text]) => [".TP", `.B ${roff(line)}`, roff(text)])]),
    ".SH SEE ALSO",
    `.BR ${roff(NAME)} (1)`,
    "",
  ].join("\n");
}

function byGroup(options: readonly ArgumentModel[]): [string, ArgumentModel[]][] {
  const groups = new Map<string, ArgumentModel[]>([["", []]]);
  for (const option of options) groups.set(option.group, [...(groups.get(option.group) ?? []), option]);
  return [...groups];
}

function head(title: string, version: string): string {
  return `.TH ${roff(title.toUpperCase())} 1 "" "${roff(NAME)} ${version}" "User Commands"`;
}

function argumentLines({ name, describe, choices }: ArgumentModel): string[] {
  return [".TP", `\\fI${roff(name)}\\fR`, roff(withChoices(describe, choices))];
}

function optionLines(option: ArgumentModel): string[] {
  const { name, alias, describe, choices, hasValue, isOn, default: fallback } = option;
  const names = [...alias, name].map(
    (word) => `\\fB${roff(word.length === 1 ? `-${word}` : `--${word}`)}\\fR`,
  );
  if (isOn) names.push(`\\fB${roff(`--no-${name}`)}\\fR`);
  const value = hasValue ? " \\fIvalue\\fR" : "";
  const ending = fallback === undefined || fallback === "" ? "" : ` Default: ${fallback}.`;
  return [".TP", `${names.join(", ")}${value}`, roff(`${withChoices(describe, choices)}.${ending}`)];
}

function withChoices(describe: string, choices: readonly string[]): string {
  return choices.length === 0 ? describe : `${describe}: one of ${choices.join(", ")}`;
}

/** Text as roff takes it: dashes that are typed, backslashes, and no request at the beginning of a line. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}
