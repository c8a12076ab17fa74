import { COMMON_OPTIONS, type CommandModel } from "./command-model.ts";
import { listValues, positionalWords } from "./option-values.ts";
import type { Shell } from "./shells.ts";

const NAME = "pasid-replay";

/** What can be typed behind one command: everything that a script needs. */
interface Completed {
  readonly command: CommandModel;
  /** "--only", "-o", "--no-stats", each with its sentence. */
  readonly options: readonly (readonly [word: string, describe: string])[];
  /** By the option as it is typed. */
  readonly values: ReadonlyMap<string, { readonly words: readonly string[]; readonly isList: boolean }>;
  readonly first: readonly string[];
  readonly second: ReadonlyMap<string, readonly string[]>;
}

function typed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

function completed(command: CommandModel, commands: readonly string[]): Completed {
  const options: [string, string][] = [];
  const values = new Map<string, { words: readonly string[]; isList: boolean }>();
  for (const option of [...command.options, ...COMMON_OPTIONS]) {
    const list = listValues(command, option.name);
    for (const name of [option.name, ...option.alias]) {
      options.push([typed(name), option.describe]);
      if (option.choices.length > 0) values.set(typed(name), { words: option.choices, isList: false });
      else if (list.length > 0) values.set(typed(name), { words: list, isList: true });
      else if (option.hasValue) values.set(typed(name), { words: [], isList: false });
    }
    if (option.isOn) options.push([`--no-${option.name}`, option.describe]);
  }
  return { command, options, values, ...positionalWords(command, commands) };
}

/** A script that completes commands, options and their values. It has all words in it: nothing is started to complete. */
export function completionScript(shell: Shell, commands: readonly CommandModel[]): string {
  const names = commands.map(({ name }) => name);
  const all = commands.map((command) => completed(command, names));
  return SCRIPTS[shell](all, names);
}

const SCRIPTS: Readonly<Record<Shell, (all: readonly Completed[], names: readonly string[]) => string>> = {
  bash,
  zsh,
  fish,
};

function defaultName(all: readonly Completed[]): string {
  return all.find(({ command }) => command.isDefault)!.command.name;
}

/**
 * Cases of `command:option` and `command:vendor`, each with what it comes to.
 * @param word what the shell calls the word that is being typed: behind a vendor it may be an option as well
 */
function cases(
  all: readonly Completed[],
  word: string,
  line: (words: readonly string[], isList: boolean) => string,
): string {
  const lines: string[] = [];
  for (const { command, values, second } of all) {
    for (const [option, { words, isList }] of values)
      lines.push(`    ${command.name}:${option}) ${line(words, isList)} ;;`);
    for (const [before, words] of second)
      lines.push(`    ${command.name}:${before}) [[ ${word} != -* ]] && { ${line(words, false)}; } ;;`);
  }
  return lines.join("\n");
}

function bash(all: readonly Completed[], names: readonly string[]): string {
  const line = (words: readonly string[], isList: boolean) =>
    words.length === 0 ? "return" : `_pasid_replay_${isList ? "list" : "words"} "${words.join(" ")}"; return`;
  const options = all.map(({ command, options: words, first }) => {
    const list = words.map(([word]) => word).join(" ");
    return `    ${command.name}) options="${list}" first="${first.join(" ")}" ;;`;
  });
  return `# bash completion for ${NAME}: eval "$(${NAME} completion bash)"
_pasid_replay_words() {
  COMPREPLY=($(compgen -W "$1" -- "$cur"))
}
_pasid_replay_list() {
  local before="" part=$cur
  if [[ $cur == *,* ]]; then before=\${cur%,*}, part=\${cur##*,}; fi
  COMPREPLY=($(compgen -P "$before" -W "$1" -- "$part"))
}
_pasid_replay() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command="" options first i
  COMPREPLY=()
  if [[ $cur == "=" ]]; then cur=""
  elif [[ $prev == "=" ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      --) return ;;
      ${[...names, "help"].join("|")}) [[ -z $command ]] && command=\${COMP_WORDS[i]} ;;
      -*) ;;
      *) [[ -z $command ]] && command=${defaultName(all)} ;;
    esac
  done
  [[ -z $command && $cur != -* ]] && COMPREPLY=($(compgen -W "${[...names, "help"].join(" ")}" -- "$cur"))
  [[ -z $command ]] && command=${defaultName(all)}
  case $command:$prev in
    help:help) _pasid_replay_words "${names.join(" ")}"; return ;;
${cases(all, "$cur", line)}
  esac
  case $command in
${options.join("\n")}
  esac
  if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$cur"))
  elif [[ $prev == "$command" && -n $first ]]; then COMPREPLY=($(compgen -W "$first" -- "$cur"))
  fi
}
complete -o default -o bashdefault -F _pasid_replay ${NAME}
`;
}

function zsh(all: readonly Completed[], names: readonly string[]): string {
  const line = (words: readonly string[], isList: boolean) => {
    if (words.length === 0) return "_files; return";
    const list = words.map(zshWord).join(" ");
    return isList ? `_values -s , value ${list}; return` : `compadd -- ${list}; return`;
  };
  const options = all.map(({ command, options: words, first }) => {
    const list = words.map(([word, describe]) => zshWord(`${word}:${describe}`)).join(" ");
    return `    ${command.name}) options=(${list}) first=(${first.map(zshWord).join(" ")}) ;;`;
  });
  const commands = all.map(({ command }) => zshWord(`${command.name}:${command.describe}`)).join(" ");
  return `#compdef ${NAME}
# zsh completion for ${NAME}: eval "$(${NAME} completion zsh)", or this in a file _${NAME} of your fpath
_pasid_replay() {
  local command="" word prev=\${words[CURRENT-1]}
  local -a options first commands
  commands=(${commands} 'help:Show the help of a command')
  for word in \${words[2,CURRENT-1]}; do
    case $word in
      --) _files; return ;;
      ${[...names, "help"].join("|")}) [[ -z $command ]] && command=$word ;;
      -*) ;;
      *) [[ -z $command ]] && command=${defaultName(all)} ;;
    esac
  done
  [[ -z $command && $PREFIX != -* ]] && _describe command commands
  [[ -z $command ]] && command=${defaultName(all)}
  case $command:$prev in
    help:help) compadd -- ${names.join(" ")}; return ;;
${cases(all, "$PREFIX", line)}
  esac
  case $command in
${options.join("\n")}
  esac
  if [[ $PREFIX == -* ]]; then _describe -o option options
  else
    [[ $prev == $command && \${#first} -gt 0 ]] && compadd -- $first
    _files
  fi
}
compdef _pasid_replay ${NAME}
`;
}

function zshWord(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

function fish(all: readonly Completed[], names: readonly string[]): string {
  const others = names.filter((name) => name !== defaultName(all));
  const lines = [`# fish completion for ${NAME}: ${NAME} completion fish | source`];
  const bare = `not __fish_seen_subcommand_from ${[...names, "help"].join(" ")}`;
  for (const { command } of all)
    lines.push(`complete -c ${NAME} -n '${bare}' -a ${command.name} -d ${fishWord(command.describe)}`);
  lines.push(`complete -c ${NAME} -n '${bare}' -a help -d 'Show the help of a command'`);
  lines.push(`complete -c ${NAME} -f -n '__fish_seen_subcommand_from help' -a '${names.join(" ")}'`);
  for (const { command, options, values, first, second } of all) {
    const seen = `__fish_seen_subcommand_from ${command.name}`;
    const when = command.isDefault ? `not __fish_seen_subcommand_from ${others.join(" ")} help` : seen;
    for (const [word, describe] of options) {
      const flag = word.startsWith("--") ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`;
      const value = values.get(word);
      const words = value === undefined ? "" : fishValues(value);
      lines.push(`complete -c ${NAME} -n '${when}' ${flag} -d ${fishWord(describe)}${words}`);
    }
    if (first.length > 0) lines.push(`complete -c ${NAME} -n '${seen}' -a '${first.join(" ")}'`);
    for (const [word, words] of second)
      lines.push(
        `complete -c ${NAME} -f -n '${seen}; and __fish_seen_subcommand_from ${word}' -a '${words.join(" ")}'`,
      );
  }
  return `${lines.join("\n")}\n`;
}

function fishValues({
  words,
  isList,
}: {
  readonly words: readonly string[];
  readonly isList: boolean;
}): string {
  if (words.length === 0) return " -r";
  const list = words.join(" ");
  // Of a list, what has been typed stands before the last comma.
  return isList ? ` -x -a '(__fish_append , ${list})'` : ` -x -a '${list}'`;
}

function fishWord(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
