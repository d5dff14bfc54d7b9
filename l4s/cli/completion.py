"""completion SHELL: a script with which bash, zsh or fish completes the commands and their options."""

from __future__ import annotations

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "fish")


def add_commands(commands: Any) -> None:
    parser = commands.add_parser("completion", help="print a completion script for your shell")
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=lambda arguments: run_completion(arguments, commands))


def run_completion(arguments: argparse.Namespace, commands: Any) -> int:
    """The words are those of the parser itself, so that they are always those of this version."""
    words = {name: _words(parser) for name, parser in commands.choices.items()}
    helps = {choice.dest: choice.help or "" for choice in commands._choices_actions}
    print({"bash": _bash, "zsh": _zsh, "fish": _fish}[arguments.shell](words, helps))
    return 0


def _words(parser: argparse.ArgumentParser) -> list[str]:
    """Long options, and the words that an argument is chosen from."""
    found = []
    for action in parser._actions:
        found += [option for option in action.option_strings if option.startswith("--")]
        found += [str(choice) for choice in action.choices or () if not action.option_strings]
    return found


def _bash(words: dict[str, list[str]], helps: dict[str, str]) -> str:
    cases = "\n".join(f"    {name}) words={_quoted(' '.join(found))} ;;" for name, found in words.items())
    return f"""# eval "$(l4s completion bash)"
_l4s() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W {_quoted(" ".join(words))} -- "$current"))
    return
  fi
  case ${{COMP_WORDS[1]}} in
{cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _l4s l4s"""


def _zsh(words: dict[str, list[str]], helps: dict[str, str]) -> str:
    described = " ".join(_quoted(f"{name}:{_plain(helps.get(name, ''))}") for name in words)
    cases = "\n".join(f"    {name}) compadd -- {' '.join(found)} ;;" for name, found in words.items())
    return f"""#compdef l4s
# eval "$(l4s completion zsh)"
_l4s() {{
  local -a commands
  commands=({described})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  case $words[2] in
{cases}
  esac
  _files
}}
compdef _l4s l4s"""


def _fish(words: dict[str, list[str]], helps: dict[str, str]) -> str:
    lines = ["# l4s completion fish | source"]
    for name, found in words.items():
        text = _quoted(_plain(helps.get(name, "")))
        lines.append(f"complete -c l4s -f -n __fish_use_subcommand -a {name} -d {text}")
        for word in found:
            option = f"-l {word[2:]}" if word.startswith("--") else f"-f -a {word}"
            lines.append(f"complete -c l4s -n '__fish_seen_subcommand_from {name}' {option}")
    return "\n".join(lines)


def _plain(text: str) -> str:
    return text.replace(":", " -").replace("'", "’").replace("%%", "%")


def _quoted(text: str) -> str:
    return f"'{text}'"
