# SPDX-License-Identifier: BSD-2-Clause
"""As much of Helm's templates as our chart uses, for machines without helm: values, if, with, range, pipes of a few functions.

What it does not know it refuses, so a chart that needs more of Helm needs more here. Where helm is installed, the test
asks both.
"""
import re

import yaml

TOKEN = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.S)


class TemplateError(Exception):
    pass


def parse(text):
    """A list of strings, ("expr", words), and (keyword, words, body, other)."""
    parts, at = [], 0
    for match in TOKEN.finditer(text):
        before = text[at:match.start()]
        if parts and parts[-1] == ("trim",):
            parts.pop()
            before = before.lstrip()
        parts.append(before.rstrip() if match.group(1) else before)
        if not match.group(2).startswith("/*"):
            parts.append(("action", match.group(2)))
        if match.group(3):
            parts.append(("trim",))
        at = match.end()
    rest = text[at:]
    if parts and parts[-1] == ("trim",):
        parts.pop()
        rest = rest.lstrip()
    return block(iter(parts + [rest]), False)[0]


def block(parts, nested):
    """Up to the end or else that belongs to it."""
    found = []
    for part in parts:
        if isinstance(part, str):
            found.append(part)
            continue
        word, _, rest = part[1].partition(" ")
        if word in ("if", "with", "range"):
            body, how = block(parts, True)
            other = block(parts, True)[0] if how == "else" else []
            found.append((word, rest, body, other))
        elif word in ("else", "end") and not rest and nested:
            return found, word
        elif word in ("else", "end", "define", "template", "block"):
            raise TemplateError(f"{part[1]}: not here")
        else:
            found.append(("expr", part[1]))
    if nested:
        raise TemplateError("no end")
    return found, "end"


def to_yaml(value):
    return yaml.safe_dump(value, default_flow_style=False, sort_keys=True).rstrip("\n")


def text_of(value):
    return {True: "true", False: "false", None: ""}.get(value) if value is None or isinstance(value, bool) else str(value)


FUNCTIONS = {
    "toYaml": to_yaml,
    "quote": lambda value: '"' + text_of(value).replace("\\", "\\\\").replace('"', '\\"') + '"',
    "indent": lambda count, value: "\n".join(" " * count + line for line in value.split("\n")),
    "nindent": lambda count, value: "\n" + FUNCTIONS["indent"](count, value),
    "default": lambda other, value: value or other,
    "replace": lambda old, new, value: value.replace(old, new),
    "not": lambda value: not value,
    "eq": lambda one, other: one == other,
    "and": lambda *values: next((value for value in values if not value), values[-1]),
    "or": lambda *values: next((value for value in values if value), values[-1]),
}


def look_up(path, dot, root):
    value = root if path.startswith("$") else dot
    for name in path.lstrip("$").strip(".").split("."):
        if not name:
            continue
        if not isinstance(value, dict) or name not in value:
            raise TemplateError(f"{path}: there is no {name}")
        value = value[name]
    return value


def operand(word, dot, root):
    if word.startswith('"'):
        return word[1:-1].replace("\\\\", "\\")
    if re.fullmatch(r"-?[0-9]+", word):
        return int(word)
    if word.startswith((".", "$")):
        return look_up(word, dot, root)
    raise TemplateError(f"{word}: unknown")


def evaluate(expression, dot, root):
    value, first = None, True
    for stage in expression.split("|"):
        words = re.findall(r'"(?:[^"\\]|\\.)*"|\S+', stage)
        if words[0] in FUNCTIONS:
            arguments = [operand(word, dot, root) for word in words[1:]] + ([] if first else [value])
            value = FUNCTIONS[words[0]](*arguments)
        elif first and len(words) == 1:
            value = operand(words[0], dot, root)
        else:
            raise TemplateError(f"{stage.strip()}: unknown")
        first = False
    return value


def execute(parts, dot, root):
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif part[0] == "expr":
            out.append(text_of(evaluate(part[1], dot, root)))
        else:
            keyword, condition, body, other = part
            value = evaluate(condition, dot, root)
            if not value:
                out.append(execute(other, dot, root))
            elif keyword == "range":
                out += [execute(body, one, root) for one in value]
            else:
                out.append(execute(body, value if keyword == "with" else dot, root))
    return "".join(out)


def render(text, root):
    return execute(parse(text), root, root)
