"""What other simulators run beside an engine with its memories: a clock, two edges of reset, a start, and a report.

Every bench writes a line for each output, its unit and the bits of its value, and at last `done` and the cycles.
"""

CXXRTL = """#include "system.cc"
#define IN(name, to) top.p_##name.set<bool>(to)
#define OUT(name) unsigned(top.p_##name.get<uint32_t>())
#define STEP top.step()
static cxxrtl_design::p_system top;
"""

VERILATOR = """#include "Vsystem.h"
#define IN(name, to) top.name = to
#define OUT(name) unsigned(top.name)
#define STEP top.eval()
static Vsystem top;
double sc_time_stamp() { return 0; }
"""

MAIN = """#include <cstdio>
static void edge() { IN(clk, 1); STEP; IN(clk, 0); STEP; }
int main() {
  IN(clk, 0); IN(rst, 1); IN(start, 0); STEP;
  edge(); edge();
  IN(rst, 0); IN(start, 1); STEP;
  edge();
  IN(start, 0); STEP;
  for (; !OUT(done); edge()) if (OUT(valid)) std::printf("%u %u\\n", OUT(unit), OUT(value));
  std::printf("done %u\\n", OUT(cycles));
}
"""

VERILOG = """module bench;
  reg clk = 0, rst = 1, start = 0;
  wire done, valid;
  wire [31:0] cycles;
  wire [{unit}-1:0] unit;
  wire [{value}-1:0] value;
  system dut(.clk(clk), .rst(rst), .start(start), .done(done), .valid(valid), .cycles(cycles), .unit(unit),
    .value(value));
  always #1 clk = ~clk;
  initial begin
    #4 rst = 0; start = 1;
    #2 start = 0;
  end
  always @(negedge clk) if (!rst) begin
    if (done) begin
      $display("done %0d", cycles);
      $finish;
    end
    if (valid) $display("%0d %0d", unit, value);
  end
endmodule
"""

COCOTB = """import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

@cocotb.test()
async def bench(dut):
    dut.rst.value, dut.start.value = 1, 0
    cocotb.start_soon(Clock(dut.clk, 2, unit="ns").start())
    for _ in range(3):
        await FallingEdge(dut.clk)
    dut.rst.value, dut.start.value = 0, 1
    await FallingEdge(dut.clk)
    dut.start.value = 0
    with open("{told}", "w") as told:
        while not int(dut.done.value):
            if int(dut.valid.value):
                print(int(dut.unit.value), int(dut.value.value), file=told)
            await FallingEdge(dut.clk)
        print("done", int(dut.cycles.value), file=told)
"""
