"""Reads the declarations of pards.h into ctypes: the header is the only place where signatures are written down."""

from __future__ import annotations

import ctypes
import re
from typing import Any, NamedTuple

_PLAIN: dict[str, Any] = {
    "void": None,
    "char": ctypes.c_char,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "double": ctypes.c_double,
}
_DECLARATION = re.compile(r"(?:const\s+)?(\w+)\s*(\**)\s*(\w*)\s*(?:\[(\d+)\])?")


class Header(NamedTuple):
    """What a header declares."""

    constants: dict[str, int]
    structs: dict[str, type[ctypes.Structure]]
    functions: dict[str, tuple[Any, list[Any]]]  # result and argument types
    interpreter: dict[str, str]  # fields of pards_python and the functions of Python's C API that belong in them


def read(text: str) -> Header:
    """Read a header of plain C: enums with values, structs without nesting, function pointers, prototypes."""
    interpreter = dict(re.findall(r"void \*(\w+);\s*/\* (Py\w+) \*/", text))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    constants = {name: int(value) for name, value in re.findall(r"#define\s+(\w+)\s+(\d+)", text)}
    text = re.sub(r"^\s*#.*", "", text, flags=re.M)
    types: dict[str, Any] = dict(_PLAIN)
    structs: dict[str, type[ctypes.Structure]] = {}
    functions: dict[str, tuple[Any, list[Any]]] = {}
    statement = re.compile(
        r"enum\s+\w+\s*\{(?P<enum>[^}]*)\}\s*;"
        r"|typedef\s+struct\s+\w+\s*\{(?P<fields>[^}]*)\}\s*(?P<struct>\w+)\s*;"
        r"|typedef\s+\w+\s*\(\*(?P<callback>\w+)\)\s*\([^)]*\)\s*;"
        r"|(?P<result>\w+)\s+(?P<pointer>\*?)(?P<function>\w+)\s*\((?P<arguments>[^)]*)\)\s*;"
    )
    for found in statement.finditer(text):
        part = found.groupdict()
        if part["enum"]:
            constants.update({name: int(value) for name, value in re.findall(r"(\w+)\s*=\s*(-?\d+)", part["enum"])})
        elif part["struct"]:
            fields = [_declared(line, types) for line in part["fields"].split(";") if line.strip()]
            new: type[ctypes.Structure] = type(part["struct"], (ctypes.Structure,), {"_fields_": fields})
            types[part["struct"]] = structs[part["struct"]] = new
        elif part["callback"]:
            types[part["callback"]] = ctypes.c_void_p
        else:
            arguments = [] if part["arguments"].strip() == "void" else part["arguments"].split(",")
            result = ctypes.c_void_p if part["pointer"] else types[part["result"]]
            functions[part["function"]] = result, [_declared(a, types)[1] for a in arguments]
    return Header(constants, structs, functions, interpreter)


def _declared(text: str, types: dict[str, Any]) -> tuple[str, Any]:
    """The name and the type of a field or an argument."""
    found = _DECLARATION.fullmatch(text.strip())
    if found is None or found[1] not in types:
        raise RuntimeError(f"pards: pards.h declares {text.strip()!r}, which _header.py cannot read")
    base, stars, name, length = found.groups()
    if not stars:
        return name, types[base] * int(length) if length else types[base]
    if base in ("void", "char"):
        return name, ctypes.c_void_p if base == "void" else ctypes.c_char_p
    return name, ctypes.POINTER(types[base])
