"""Liberty files as nested groups: what a cell library or a memory macro says of itself."""

import dataclasses
import re

TOKEN = re.compile(r'/\*.*?\*/|"(?:[^"\\]|\\.)*"|[{}();:,]|\\\n|[^\s{}();:,"\\]+', re.DOTALL)


@dataclasses.dataclass
class Group:
    """`name (args) { attributes and groups }`."""

    name: str
    args: tuple[str, ...]
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    groups: list["Group"] = dataclasses.field(default_factory=list)

    def all(self, name: str) -> list["Group"]:
        """The groups of a name directly in this one."""
        return [group for group in self.groups if group.name == name]

    def number(self, name: str, default: float = 0.0) -> float:
        """An attribute as a number."""
        return float(self.attributes.get(name, default))


def parse(text: str) -> Group:
    r"""The library of a file.

    >>> parse('library (tiny) { cell (inv) { area : 1.5 ; values ("1, 2"); } }').groups[0].attributes
    {'area': '1.5', 'values': '1, 2'}
    """
    tokens = [token for token in TOKEN.findall(text) if token != "\\\n" and not token.startswith("/*")]
    stack, at = [Group("file", ())], 0
    while at < len(tokens):
        token, after = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        if token == "}":
            stack.pop()
            at += 1
        elif after == ":":
            end = at + 3
            while tokens[end] not in ";}" and tokens[end + 1] not in ("(", ":"):  # a semicolon may be missing
                end += 1
            stack[-1].attributes[token] = " ".join(tokens[at + 2 : end]).strip('"')
            at = end
        elif after == "(":
            end = tokens.index(")", at)
            args = tuple(each.strip('"') for each in tokens[at + 2 : end] if each != ",")
            at = end + 1
            if at < len(tokens) and tokens[at] == "{":
                stack[-1].groups.append(Group(token, args))
                stack.append(stack[-1].groups[-1])
                at += 1
            else:
                stack[-1].attributes[token] = ", ".join(args)
        else:
            at += 1
    return stack[0].groups[0]


def numbers(text: str) -> list[float]:
    """The numbers of a list as Liberty writes it.

    >>> numbers("0.1, 2 3e-1")
    [0.1, 2.0, 0.3]
    """
    return [float(each) for each in re.split(r"[,\s\\]+", text) if each]
