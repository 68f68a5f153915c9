"""Counts what exported C takes on Cortex-M: bytes of flash and of RAM, and instructions a step in QEMU.

    python benchmarks/microcontrollers.py

Needs gcc-arm-none-eabi and qemu-system-arm. The network is an untrained LSTM of 192 units over 50 symbols with batch
norm; neither sizes nor instructions depend on training. Instructions are those of runs of three steps and of one,
halved: what comes before and after cancels.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from inference import SYMBOLS, network

import lowbit

BOARDS = {"cortex-m0": "microbit", "cortex-m3": "mps2-an385", "cortex-m4": "mps2-an386"}
MAIN = """\
#include "net.h"

static net_state state;
static int32_t logits[NET_OUTPUTS];
volatile int32_t sink;
extern uint32_t stack_top;

void reset(void) {
    net_start(&state);
    for (int n = 0; n < STEPS; n++) net_step(&state, n * 7 % NET_SYMBOLS, logits), sink += logits[n];
    register int r0 __asm__("r0") = 0x18, r1 __asm__("r1") = 0x20026; /* semihosting: the program has ended */
    __asm__ volatile("bkpt 0xab" : : "r"(r0), "r"(r1));
}

__attribute__((section(".vectors"), used)) void *const vectors[] = {&stack_top, (void *)reset};
"""
LINKER = """\
MEMORY { FLASH (rx) : ORIGIN = 0, LENGTH = 256K
         RAM (rwx) : ORIGIN = 0x20000000, LENGTH = 16K }
stack_top = 0x20004000;
SECTIONS { .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > FLASH
           .bss : { *(.data*) *(.bss*) *(COMMON) } > RAM }
"""


def build(folder: Path, processor: str, steps: int) -> Path:
    """Returns the program of some steps, for a processor without an operating system."""
    file = folder / f"{processor}-{steps}.elf"
    flags = [f"-mcpu={processor}", "-mthumb", "-O2", "-ffreestanding", "-nostdlib", f"-DSTEPS={steps}"]
    sources = ["main.c", "net.c", "-T", "net.ld", "-lgcc", "-lc"]
    subprocess.run(["arm-none-eabi-gcc", *flags, *sources, "-o", str(file)], cwd=folder, check=True)
    return file


def instructions(program: Path, processor: str) -> int:
    """Returns how many instructions a program executes."""
    command = ["qemu-system-arm", "-M", BOARDS[processor], "-nographic", "-semihosting", "-kernel", str(program)]
    command += ["-singlestep", "-d", "exec,nochain", "-D", "/dev/stdout"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        return sum(line.startswith(b"Trace") for line in run.stdout)


def sizes(program: Path) -> tuple[int, int]:
    """Returns the bytes of flash, and those of RAM without the stack."""
    output = subprocess.run(["arm-none-eabi-size", str(program)], capture_output=True, text=True, check=True).stdout
    text, data, bss = map(int, output.splitlines()[1].split()[:3])
    return text + data, data + bss


def main() -> None:
    """Prints a line for each quantizer and processor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=192)
    parser.add_argument("--quantizers", nargs="+", default=("binary", "ternary", "uniform(bits=4)", "uniform(bits=8)"))
    options = parser.parse_args()
    print(f"LSTM of {options.units} units, {SYMBOLS} symbols, gcc -O2: flash, RAM (bytes), instructions a step")
    for quantizer in options.quantizers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "main.c").write_text(MAIN)
            (folder / "net.ld").write_text(LINKER)
            spec, made = network(quantizer, options.units)
            lowbit.inference.deploy.write(made, spec, folder / "net.safetensors")
            lowbit.inference.c_source.export(folder / "net.safetensors", folder, "net")
            for processor in BOARDS:
                one, three = (build(folder, processor, steps) for steps in (1, 3))
                flash, ram = sizes(one)
                count = (instructions(three, processor) - instructions(one, processor)) // 2
                print(f"{quantizer:16} {processor}: {flash:7,} {ram:5,} {count:9,}", flush=True)


if __name__ == "__main__":
    main()
