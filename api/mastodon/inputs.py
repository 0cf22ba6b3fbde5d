"""What a Mastodon client sends, in whichever form, as one nested value.

    query, form, multipart    pairs of texts: a=1, a[]=1, a[b]=1, a[][b]=1, a[0][b]=1, or a name again and again
    JSON                      nested already

Rules of this file
- A name that stands in the body counts, not the same one of the query; ids of the path are apart.
- As Rails reads them, by whose rules these clients were written: `a[]` makes a list, `a[b]` an object, `a[][b]` a list
  of objects, of which a new one begins when the last has that member already. Members that are all numbers make a list.
- A name that is given twice makes a list; where one value is wanted, the last counts. One value is a list of one.
- Bounded before anything is made: DEPTH_MAX brackets, and as many fields as other bodies may have. What contradicts
  itself (`a=1&a[b]=2`) is refused, naming the field.
- Values are read when they are used: `flag`, `whole`, `texts` and so on, each with a refusal that names what was given.

Cost: linear; 2 us for a handful of parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from actors.core.errors import InvalidError, MalformedError
from actors.core.ids import ID_MAX
from actors.core.numbers import whole_number
from api.params import shown

DEPTH_MAX: Final = 4  # brackets behind a name
FIELD_COUNT_MAX: Final = 1_000
_TRUE = frozenset(("true", "1", "on", "t", "yes"))
_FALSE = frozenset(("false", "0", "off", "f", "no", ""))
_NOTHING: Final[dict[str, Any]] = {}
_A_LIST: Final = [""]  # what stands in the brackets of `a[]`


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return pairs as one nested value. Raises MalformedError."""
    root: dict[str, Any] = {}
    for count, (name, value) in enumerate(pairs):
        if count >= FIELD_COUNT_MAX:
            raise MalformedError(f"a request may have {FIELD_COUNT_MAX} parameters")
        if "[" not in name and name not in root:  # as most are: the same as below
            root[name] = value
            continue
        first, keys = _split(name)
        if keys is _A_LIST and type(held := root.setdefault(first, [])) is list:
            held.append(value)
            continue
        _put(root, first, keys, value, first)
    return {name: value if type(value) is str else _lists(value) for name, value in root.items()}


def _split(name: str) -> tuple[str, list[str]]:
    """Return `a` and `["", "b"]` for `a[][b]`. What has no such form is a name as it is."""
    if name[-2:] == "[]" and name.find("[") == len(name) - 2 > 0:
        return name[:-2], _A_LIST
    first, bracket, rest = name.partition("[")
    if not bracket or not first or not rest.endswith("]"):
        return name, []
    keys = rest[:-1].split("][")
    if len(keys) > DEPTH_MAX:
        raise MalformedError(f"{shown(name)} is nested deeper than {DEPTH_MAX}", first)
    return first, keys


def _put(into: dict[str, Any], name: str, keys: list[str], value: str, field: str) -> None:
    """Put a value at its place; keys: what stands in the brackets behind the name."""
    if not keys:
        held = into.get(name)
        if held is None:
            into[name] = value
        elif isinstance(held, dict):
            raise MalformedError(f"{field} is one value here and several there", field)
        elif isinstance(held, list):
            held.append(value)
        else:
            into[name] = [held, value]
        return
    key, *deeper = keys
    if key:
        inside = into.setdefault(name, {})
        if not isinstance(inside, dict):
            raise MalformedError(f"{field} is one value here and several there", field)
        _put(inside, key, deeper, value, field)
        return
    items = into.setdefault(name, [])
    if not isinstance(items, list):
        items = into[name] = [items]
    if not deeper:
        items.append(value)
        return
    last = items[-1] if items and isinstance(items[-1], dict) else None
    if last is None or (len(deeper) == 1 and deeper[0] in last):
        last = {}
        items.append(last)
    if not deeper[0]:
        raise MalformedError(f"{field} has a list in a list", field)
    _put(last, deeper[0], deeper[1:], value, field)


def _lists(value: Any) -> Any:
    """Return a value with its objects of numbered members as lists, in the order of the numbers."""
    if isinstance(value, list):
        return [item if type(item) is str else _lists(item) for item in value]
    if not isinstance(value, dict):
        return value
    inside = {name: _lists(item) for name, item in value.items()}
    if all(name.isascii() and name.isdigit() and len(name) <= 6 for name in inside):
        return [inside[name] for name in sorted(inside, key=int)]
    return inside


class Params:
    """The parameters of one request. values: nested, of texts, or of whatever JSON says."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        """Return a text; a number is one, too, as JSON has it. Raises MalformedError."""
        value = self._single(name)
        if value is None:
            return default
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        raise MalformedError(f"{name} must be a text, not {shown(value)}", name)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a switch. Raises MalformedError."""
        value = self._single(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        said = str(value).lower() if isinstance(value, (str, int)) else None
        if said in _TRUE:
            return True
        if said in _FALSE:
            return False
        raise MalformedError(f"{name} must be true or false, not {shown(value)}", name)

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        """Return a whole number, cut to least..most. Raises MalformedError for what is none."""
        value = self._single(name)
        if value is None or value == "":
            return default
        number = whole_number(value, ID_MAX)
        if number is None and isinstance(value, str) and value.isascii() and value.isdigit():
            number = ID_MAX  # more digits than any number of ours has
        if number is None:
            raise MalformedError(f"{name} must be a whole number, not {shown(value)}", name)
        return min(max(number, least), most)

    def id(self, name: str) -> int:
        """Return an id, 0 if it isn't given. Raises MalformedError."""
        return self.whole(name, 0, 0, ID_MAX)

    def ids(self, name: str, count_max: int) -> list[int]:
        """Return ids, each once. What is no number is none of ours, and is passed over. Raises InvalidError."""
        found = [whole_number(value, ID_MAX) for value in self.listed(name)]
        known = list(dict.fromkeys(number for number in found if number and 0 < number <= ID_MAX))
        if len(known) > count_max:
            raise InvalidError(f"{name} may be {count_max}, not {len(known)}", name)
        return known

    def texts(self, name: str) -> list[str]:
        """Return texts, a single one too. Raises MalformedError."""
        found = self.listed(name)
        for value in found:
            if not isinstance(value, str):
                raise MalformedError(f"{name} must be texts, not {shown(value)}", name)
        return found

    def listed(self, name: str) -> list[Any]:
        """Return what is given by a name as a list: of one, if it is a single value; without nulls."""
        value = self.values.get(name)
        if value is None:
            return []
        return [item for item in value if item is not None] if isinstance(value, list) else [value]

    def objects(self, name: str) -> list[Params]:
        """Return the objects in a list, one alone too. Raises MalformedError."""
        found = self.listed(name)
        for value in found:
            if not isinstance(value, dict):
                raise MalformedError(f"{name} must have members, such as {name}[][id], not {shown(value)}", name)
        return [Params(value) for value in found]

    def inside(self, name: str) -> Params:
        """Return the parameters in an object, none if it isn't given. Raises MalformedError."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise MalformedError(f"{name} must have members, such as {name}[id], not {shown(value)}", name)
        return Params(value or _NOTHING)

    def _single(self, name: str) -> Any:
        value = self.values.get(name)
        if isinstance(value, list):
            return value[-1] if value else None
        return value
