/** What `--color` takes. */
export const COLOUR_CHOICES = ["auto", "always", "never"] as const;
export type ColourChoice = (typeof COLOUR_CHOICES)[number];

/** The option, as every command has it. */
export const COLOUR_OPTION = {
  describe: "Colours in text",
  choices: COLOUR_CHOICES,
  default: "auto",
  requiresArg: true,
} as const;

/**
 * Whether text is coloured. By itself at a terminal, unless it says that it can do nothing (`TERM=dumb`);
 * `NO_COLOR` (no-color.org) and `FORCE_COLOR` (force-color.org) decide otherwise, `--color` before both.
 */
export function wantsColour(
  choice: ColourChoice,
  isTerminal: boolean = process.stdout.isTTY === true,
  env: Readonly<Record<string, string | undefined>> = process.env,
): boolean {
  if (choice !== "auto") return choice === "always";
  const { NO_COLOR: no = "", FORCE_COLOR: force = "" } = env;
  if (no !== "") return false;
  if (force !== "") return force !== "0" && force !== "false";
  return isTerminal && env.TERM !== "dumb";
}
