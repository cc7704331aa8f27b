#!/usr/bin/env python3
"""Reads aidb.h and writes C for test_misuse.c: each function of the header as a row of a table, with the kind of each
of its arguments, and a function that calls it with arguments from an array. A function that is added to the header is
misused like the others, without anybody remembering to; an argument of a type that is not known here is an error.

    misuse.py include/aidb.h > misuse_calls.h
"""

import re
import sys

HANDLES = ("db", "options", "batch", "snapshot", "iterator", "pinned", "transaction", "error")
STRUCTS = ("write_options", "read_options", "iter_options", "count_options", "transaction_options")
# By type; a type ending in ? is looked up together with the argument's name.
KINDS = {
    "const char*": "TEXT",
    "const void*": "BYTES",
    "const void*const*": "KEYS",
    "const size_t*": "LENGTHS",
    "const char**": "PLACES",
    "size_t*": "PLACES",
    "uint64_t*": "PLACES",
    "bool*": "PLACES",
    "char**": "BUFFER_OUT",
    "aidb_entry*": "ENTRIES",
    "void*": "SPACE",
    "size_t": "LENGTH",
    "int32_t": "NUMBER",
    "uint32_t": "NUMBER",
    "uint64_t": "NUMBER",
    "aidb_error**": "ERROR_OUT",
    "aidb_progress_callback": "ON_PROGRESS",
    "aidb_batch_put_callback": "ON_PUT",
    "aidb_batch_delete_callback": "ON_DELETE",
    "aidb_operation_callback": "ON_OPERATION",
    "aidb_transaction_callback": "ON_TRANSACTION",
}
for name in HANDLES:
    for const in ("", "const "):
        KINDS[f"{const}aidb_{name}*"] = name.upper()
    KINDS.setdefault(f"aidb_{name}**", f"{name.upper()}_OUT")
for name in STRUCTS:
    KINDS[f"const aidb_{name}*"] = name.upper()

MEMBER = {"LENGTH": "length", "NUMBER": "length"}
CALLBACKS = {
    "ON_PROGRESS": "on_progress",
    "ON_PUT": "on_put",
    "ON_DELETE": "on_delete",
    "ON_OPERATION": "on_operation",
    "ON_TRANSACTION": "on_transaction",
}


def functions(header):
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", header, flags=re.S)
    text = text[text.index('extern "C" {') :]
    for result, name, arguments in re.findall(
        r"^([\w ]+?[ *]+)(aidb_\w+)\(([^;]*)\);", text, flags=re.M
    ):
        yield name, result.strip(), [] if arguments == "void" else arguments.split(",")


def kind(argument):
    ctype, _name = re.fullmatch(r"\s*(.*?)\s*(\w+)\s*", argument, flags=re.S).groups()
    ctype = re.sub(r"\s*\*\s*", "*", re.sub(r"\s+", " ", ctype)).strip()
    if ctype not in KINDS:
        sys.exit(f"misuse.py: no rule for wrong arguments of the type {ctype}")
    return KINDS[ctype]


def main():
    header = open(sys.argv[1], encoding="utf-8").read()
    rows = []
    for name, result, arguments in functions(header):
        kinds = [kind(argument) for argument in arguments]
        passed = []
        for index, one in enumerate(kinds):
            member = CALLBACKS.get(one) or MEMBER.get(one, "pointer")
            narrow = re.search(r"\bu?int32_t\b", arguments[index])
            cast = f"({narrow[0]})" if narrow else ""
            passed.append(f"{cast}values[{index}].{member}")
        call = f"{name}({', '.join(passed)})"
        if result == "aidb_status":
            body = f"return (int)({call});"
        else:
            body = f"{'' if result == 'void' else '(void)'}{call}; return NO_STATUS;"
        unused = "" if passed else "(void)values; "
        print(f"static int call_{name}(const union value *values) {{ {unused}{body} }}")
        rows.append(f'    {{"{name}", call_{name}, {{{", ".join(kinds + ["END"])}}}}},')
    if len(rows) < 50:
        sys.exit(f"misuse.py: only {len(rows)} functions in {sys.argv[1]}")
    print("static const struct function functions[] = {")
    print("\n".join(rows))
    print("};")


main()
