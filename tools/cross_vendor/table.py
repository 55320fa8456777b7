#!/usr/bin/env python3
"""Brings what the drivers' compilers say of our kernels into one table, and compares it with the one checked in.

    table.py [--update] TABLE TARGET=FILE...      FILE: what vkvae_pipelines printed for that target

Exit status 1: a pipeline spills, is narrower or has grown, or is not in the table; or the control does not spill.
"""
import sys

# Grown is what grew by more than a tenth and by at least 8. Any edit moves a few instructions about; a tenth of a
# kernel is a change of what it does. AMD and NVIDIA give registers out in blocks, mostly of 8.
GROWTH, LEAST = 0.10, 8

# What each driver calls our columns; the values of several names are added up.
VENDORS = {
    "radv": {
        "width": ["Subgroup size"],
        "registers": ["VGPRs"],
        "spills": ["Spilled VGPRs", "Spilled SGPRs"],
        "scratch": ["Scratch size"],
        "shared": ["LDS size"],
        "waves": ["Subgroups per SIMD"],
        "instructions": ["Instructions"],
    },
    "Intel": {  # every thread has all registers of its own, whatever it uses: what varies is how wide it is
        "width": ["Subgroup size"],
        "registers": ["Max live registers"],
        "spills": ["Spill Count", "Fill Count"],
        "scratch": ["Scratch Memory Size"],
        "shared": ["Workgroup Memory Size"],
        "instructions": ["Instruction Count"],
    },
    "NVK": {  # spills go to "shader local memory" and are not counted apart; shared memory is not reported
        "width": ["Subgroup size"],
        "registers": ["Number of GPRs"],
        "scratch": ["SLM Size"],
        "instructions": ["Instruction count"],
    },
}
COLUMNS = ["width", "registers", "spills", "scratch", "shared", "waves", "instructions"]

# Warps an SM can hold, for occupancy as far as registers limit it: 65536 of them, given out 8 at a time to 32 lanes.
WARPS = {"turing": 32, "ampere": 48}


def read_raw(target, path):
    """(device, driver) and {(shader, constants): {column: number, or None where the driver does not say}}."""
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file]
    if not lines or not lines[0][0].startswith("# "):
        sys.exit(f"table.py: {path} does not begin with the device's name")
    device, driver = lines[0][0][2:].strip(), lines[0][1].strip()
    names = next((v for key, v in VENDORS.items() if driver.startswith(key)), None)
    if names is None:
        sys.exit(f"table.py: the driver '{driver}' of {target} is none of {', '.join(VENDORS)}: add its names")
    rows = {}
    for shader, constants, *fields in lines[1:]:
        said = dict(field.split("=", 1) for field in fields)
        missing = [name for column in names.values() for name in column if name not in said]
        if missing:
            sys.exit(f"table.py: {driver} does not report {', '.join(missing)} of {shader} on {target}")
        row = {c: sum(int(said[n]) for n in names[c]) if c in names else None for c in COLUMNS}
        if target in WARPS:
            row["waves"] = min(WARPS[target], 65536 // 32 // (-(-row["registers"] // 8) * 8))
        before = rows.get((shader, constants))  # a pipeline of several SIMD widths counts as its widest
        if before is None or row["width"] > before["width"]:
            rows[shader, constants] = row
    return (device, driver), rows


def read_table(path):
    """{target: (device, driver)} and {(target, shader, constants): row}."""
    targets, rows = {}, {}
    try:
        file = open(path, encoding="utf-8")
    except FileNotFoundError:
        return targets, rows
    with file:
        for line in file:
            words = line.rstrip("\n").split("\t")
            if words[0] == "#":
                targets[words[1]] = (words[2], words[3])
            elif words[0] != "shader":
                shader, constants, target, *values = words
                rows[target, shader, constants] = {
                    c: None if v == "-" else int(v) for c, v in zip(COLUMNS, values)}
    return targets, rows


def write_table(path, targets, rows, order):
    def key(row):
        target, shader, constants = row
        return shader, [int(c) for c in constants.split(",") if c], order.index(target)

    order = order + sorted(set(targets) - set(order))
    with open(path, "w", encoding="utf-8") as file:
        for target in sorted(targets, key=order.index):
            print("#", target, *targets[target], sep="\t", file=file)
        print("shader", "constants", "target", *COLUMNS, sep="\t", file=file)
        for target, shader, constants in sorted(rows, key=key):
            row = rows[target, shader, constants]
            print(shader, constants, target, *("-" if row[c] is None else row[c] for c in COLUMNS), sep="\t", file=file)


def release(driver):
    """"25.0.7" of "NVK Mesa 25.0.7-2+deb13u1": a new release is a new compiler, a package's revision is not."""
    return driver.split()[-1].split("-")[0]


def faults(now, then, same_compiler):
    """What is wrong with a pipeline, as sentences."""
    for column in ("spills", "scratch"):
        least = (then or {}).get(column) or 0
        if (now[column] or 0) > least:
            yield f"{column} {now[column]}, {least} in the table"
    if then is None:
        yield "is not in the table: if it is meant to be new, run with --update"
        return
    if not same_compiler:
        return
    if now["width"] < then["width"]:
        yield f"SIMD width {now['width']}, {then['width']} in the table"
    if now["width"] != then["width"]:
        return  # registers and instructions are those of a whole thread
    for column in ("registers", "instructions"):
        grown = now[column] - then[column]
        if grown > GROWTH * then[column] and grown >= LEAST:
            yield f"{column} {now[column]}, {then[column]} in the table, more than {GROWTH:.0%} and {LEAST} above"


def control_faults(rows):
    """The control with many live values must spill, the same with few must not."""
    control = {c: (r["spills"] or 0) + (r["scratch"] or 0) for (s, c), r in rows.items() if s == "control"}
    if not any(control.values()):
        yield "no spill is reported for the control, so none that is reported elsewhere means anything"
    if all(control.values()):
        yield "even the control's small twin spills"


def main():
    arguments = sys.argv[1:]
    update = "--update" in arguments
    arguments = [a for a in arguments if a != "--update"]
    if not arguments or any("=" not in a for a in arguments[1:]):
        sys.exit(__doc__)
    path, order = arguments[0], [a.split("=", 1)[0] for a in arguments[1:]]
    targets, table = read_table(path)
    bad = spilling = 0

    def report(*words):
        nonlocal bad
        bad += 1
        print("FAILED", *words)

    for argument in arguments[1:]:
        target, file = argument.split("=", 1)
        device, rows = read_raw(target, file)
        for fault in control_faults(rows):
            report(f"{target}: {fault}")
        same = target in targets and release(targets[target][1]) == release(device[1])
        if target in targets and not same and not update:
            print(f"{target}: the table is of {targets[target][1]}, this is {device[1]}: only spills are compared")
        if update:
            table = {k: v for k, v in table.items() if k[0] != target}
        gone = {k for k in table if k[0] == target} - {(target, s, c) for s, c in rows}
        if gone:
            print(f"{target}: {len(gone)} pipelines of the table are no longer made")
        for (shader, constants), row in rows.items():
            if update:
                table[target, shader, constants] = row
            if shader == "control":
                continue
            if row["spills"] or row["scratch"]:
                spilling += 1
            if update:
                continue
            for fault in faults(row, table.get((target, shader, constants)), same):
                report(f"{target}: {shader} {constants}: {fault}")
        targets[target] = device
        print(f"{target}: {len(rows)} pipelines, {device[0]}, {device[1]}")
    if update:
        write_table(path, targets, table, order)
    print(f"{spilling} pipelines spill or use scratch memory, the control aside")
    sys.exit(1 if bad else 0)


main()
