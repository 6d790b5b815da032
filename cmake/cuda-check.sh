#!/bin/sh
# What can be checked of the CUDA backend without a GPU (77: no nvcc): that everything builds and links for 8.0, 8.9 and 9.0a with
# warnings as errors, that tests and program say that there is no device, and that the machine code is as it is meant: no kernel
# spills or keeps an array in local memory, and those that walk long rows load 16 bytes at a time.
#   cuda-check.sh [--table | --built]
#     --table  prints registers and static shared memory of every kernel, for bench/RESULTS.md
#     --built  what cmake/test.sh -DCLIPX_CUDA=ON -DCLIPX_CUDA_REPORT=ON has built in build/release, and tested, is looked at
set -u
cd "$(dirname "$0")/.." || exit 1
command -v nvcc > /dev/null || { echo "skipped: no nvcc"; exit 77; }
if [ "${1-}" = --built ]; then
  tree=build/release
  cat build/demo.log build/test.log > build/cuda.log
else
  tree=build/cuda
  rm -rf build/cuda/CMakeFiles/clipx-cuda-compiled.dir  # its compiler's report is wanted anew
  cmake --preset cuda -DCLIPX_WERROR=ON -DCLIPX_CUDA_REPORT=ON > build/cuda.log 2>&1 &&
    cmake --build --preset cuda --target clipx-cuda-compiled clipx-program clipx-eigen-compiled clipx-cpu-compiled test-cuda_f32 \
      test-cuda_bf16 test-odr-header-only test-odr-compiled >> build/cuda.log 2>&1 ||
    { grep -E 'error|warning' build/cuda.log | head -20; tail -20 build/cuda.log; exit 1; }
fi

# One line a kernel and architecture: sm, name, registers, static shared bytes, stack bytes, spilled bytes.
awk '/Compiling entry function/ { split($0, q, "\047"); name = q[2]; sm = q[4] }
     /bytes stack frame/ { stack = $1; spilled = $5 + $9 }
     /Used [0-9]+ registers/ { shared = 0; for (i = 1; i < NF; i++) if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
                               for (i = 1; i <= NF; i++) if ($i == "Used") used = $(i + 1)
                               print sm, name, used, shared, stack, spilled }' build/cuda.log | grep 'clipx3gpu' | c++filt -p -i |
  sed 's/clipx::gpu:://g; s/clipx:://g; s/ *(anonymous namespace):://' > build/cuda-kernels.txt
kernels=$(wc -l < build/cuda-kernels.txt)
[ "$kernels" -gt 60 ] || { echo "only $kernels kernels in the compiler's report: build/cuda.log"; exit 1; }

if [ "${1-}" = --table ]; then
  echo "| kernel | registers 8.0 / 8.9 / 9.0a | static shared memory |"
  echo "| --- | --- | --- |"
  awk '{ sm = $1; n = NF; name = $2; for (i = 3; i <= n - 4; i++) name = name " " $i
         used[name, sm] = $(n - 3); shared[name] = $(n - 2); if (!(name in seen)) { seen[name] = 1; order[++count] = name } }
       END { for (k = 1; k <= count; k++) { x = order[k]
               print "| `" x "` | " used[x, "sm_80"] " / " used[x, "sm_89"] " / " used[x, "sm_90a"] " | " shared[x] " |" } }' build/cuda-kernels.txt |
    sort
  # Dynamic shared memory of attention on tensor cores, as it is launched for many heads: needs tests/emulation (Boost.Context).
  cat > build/cuda-shared.cpp <<'END'
#include <clipx/cuda/attention_mma.cuh>
#include <cstdio>
using namespace clipx;
int main() {
  constexpr dim lengths[] = {50, 77, 197, 257, 577, 730}, processors = 132, bytes = 228 << 10;
  std::printf("\n| width of a head |");
  for (dim n : lengths) std::printf(" %td rows |", n);
  std::printf("\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
  for (dim d : {64, 80, 88, 104, 112}) {
    std::printf("| %td |", d);
    for (dim n : lengths)
      detail::for_head_steps(d, [&](auto steps) {
        const auto forward = detail::forward_by_mma<steps()>(processors, bytes, 4096, n, n);
        detail::mma_launch backward{};
        detail::fit_rows<steps()>(backward, bytes, n, gpu::block_warps * gpu::warp_rows, 2);
        std::printf(" %td, %zu / %td, %zu |", forward.shape.chunk, forward.bytes >> 10, backward.shape.chunk, backward.bytes >> 10);
      });
    std::printf("\n");
  }
}
END
  "${CXX:-c++}" -std=c++20 -w -DCLIPX_CUDA_EMULATION -Itests/emulation -Iinclude -Ibackends/cuda build/cuda-shared.cpp \
    -o build/cuda-shared -lboost_context && build/cuda-shared
  exit
fi

bad=0
complain() { echo "$1"; bad=1; }
spilling=$(awk '$(NF - 1) > 0 || $NF > 0' build/cuda-kernels.txt)
[ -z "$spilling" ] || complain "spills, or arrays in local memory (sm, kernel, registers, shared, stack, spilled):
$spilling"
# In PTX a load of 16 bytes is ld.global[.nc].v4 of 32 bits or .v2 of 64. ILi8E: eight bf16 at once.
for kernel in convertILi8E 3addILi8E act_addILi8E unaryILi8E add_rowsILi8E gather_rowsILi8E 9layernormILi8E layernorm_backwardILi8E \
  9batchnormILi8E batchnorm_columnsILi8E batchnorm_backwardILi8E avgpoolILi8E attention_oneILi8E attention_one_backwardILi8E \
  attention_mmaILi4E attention_mma_dqILi4E attention_mma_dkvILi4E; do
  awk -v name="$kernel" '/\.entry/ { inside = index($0, name) > 0; any = any || inside }
                         inside && /ld\.global(\.nc)?\.(v4\.[bfu]32|v2\.[bfu]64)/ { wide = 1 }
                         END { exit !(any && wide) }' "$tree"/cuda-keep/cuda.compute_90a.ptx || complain "$kernel: no 16-byte load"
done
[ $bad = 0 ] || exit 1
echo "$kernels kernels (3 architectures): no spills, no local arrays; wide loads where expected"

# One program holds cpu and cuda, and where there is no device that is what it and the tests say.
if [ "$tree" = build/cuda ]; then
  ctest --preset cuda -R '^(cuda_|project: (two units|downstream by package))' > build/cuda-tests.log 2>&1 ||
    { tail -60 build/cuda-tests.log; exit 1; }
  grep -E 'tests passed|tests failed' build/cuda-tests.log
fi
if ! "$tree"/clipx --version -v | grep '^cuda: no'; then "$tree"/clipx --version -v; exit 0; fi  # a device is there
"$tree"/clipx classify examples/images/clock.png --labels 'a clock,an apple' --backend cuda && { echo "--backend cuda: no error"; exit 1; }
[ $? = 1 ]
