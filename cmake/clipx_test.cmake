# The tests: unit (tests/unit/*.cpp), one executable for each backend category (tests/backends/<b>.hpp) with every case
# (tests/cases/<c>.hpp that has a TEST_CASE), and the checks of the project itself (headers, rules, downstream users).

if(NOT TARGET Catch2::Catch2)
  find_package(Catch2 REQUIRED)
endif()
include(Catch)

# Catch2 3 brings a library with main; for Catch2 2 it is compiled here, once.
add_library(clipx-catch INTERFACE)
target_include_directories(clipx-catch INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/tests)
target_compile_definitions(clipx-catch INTERFACE CLIPX_SOURCE_DIR="${CMAKE_CURRENT_SOURCE_DIR}"
                           CLIPX_BINARY_DIR="${CMAKE_CURRENT_BINARY_DIR}")
if(TARGET Catch2::Catch2WithMain)
  target_link_libraries(clipx-catch INTERFACE Catch2::Catch2WithMain)
else()
  file(CONFIGURE OUTPUT units/catch_main.cpp CONTENT "#define CATCH_CONFIG_MAIN\n#include <catch2/catch.hpp>\n" @ONLY)
  add_library(clipx-catch-main OBJECT ${CMAKE_CURRENT_BINARY_DIR}/units/catch_main.cpp)
  target_link_libraries(clipx-catch-main PUBLIC Catch2::Catch2)
  target_link_libraries(clipx-catch INTERFACE Catch2::Catch2 clipx-catch-main $<TARGET_OBJECTS:clipx-catch-main>)
endif()
# What is tested is optimized in its own targets; test bodies are compiled cheaply.
clipx_compile_cheaply(clipx-catch INTERFACE -O0)

# clipx-emulation-compiled: the cuda backend's unit as C++ over tests/emulation, for the categories emulated_*.
set(clipx_emulation)
if(CLIPX_EMULATION)
  find_package(Boost QUIET COMPONENTS context)
endif()
if(NOT CLIPX_EMULATION)
  message(STATUS "clipx: the cuda backend is not tested on emulated GPUs: CLIPX_EMULATION=OFF")
elseif(TARGET Boost::context)
  set(clipx_emulation emulation)
  set(unit ${CMAKE_CURRENT_BINARY_DIR}/units/cuda-emulated.cpp)
  file(CONFIGURE OUTPUT ${unit} @ONLY CONTENT "#include \"${CMAKE_CURRENT_SOURCE_DIR}/backends/cuda/units/cuda.cu\"\n")
  add_library(clipx-emulation-compiled STATIC EXCLUDE_FROM_ALL ${unit} backends/cuda/units/models.cpp)
  target_include_directories(clipx-emulation-compiled PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/tests/emulation  # before the real cuda/lt.cuh and cuda/sort.cuh
                             ${CMAKE_CURRENT_SOURCE_DIR}/backends/cuda)
  target_compile_definitions(clipx-emulation-compiled PUBLIC CLIPX_CUDA_EMULATION)
  target_compile_options(clipx-emulation-compiled PRIVATE -Wno-unknown-pragmas)  # unroll
  clipx_check_no_pointers(${unit})
  clipx_models_unit(backends/cuda/units/models.cpp)
  target_link_libraries(clipx-emulation-compiled PUBLIC clipx-compiled Boost::context PRIVATE clipx-warnings)
  set_target_properties(clipx-emulation-compiled PROPERTIES CXX_EXTENSIONS OFF)
else()
  message(STATUS "clipx: the cuda backend is not tested: Boost.Context not found")
endif()

# clipx_test(x sources... [BACKENDS names...] [WITHOUT case]): an executable; each TEST_CASE but that one is a test "x: name".
function(clipx_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "WITHOUT" "BACKENDS")
  set(only)
  if(arg_WITHOUT)
    set(only TEST_SPEC "~${arg_WITHOUT}")
  endif()
  add_executable(test-${name} ${arg_UNPARSED_ARGUMENTS})
  clipx_link(test-${name} ${arg_BACKENDS})
  target_link_libraries(test-${name} PRIVATE clipx-catch)
  set_target_properties(test-${name} PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)
  catch_discover_tests(test-${name} ${only} TEST_PREFIX "${name}: " PROPERTIES ENVIRONMENT OMP_WAIT_POLICY=passive TIMEOUT 600
                       SKIP_REGULAR_EXPRESSION "skipped:")
endfunction()

# clipx_case_units(var backend-header): a two-line unit for each case, or for those that CLIPX_CASES_<category> or else the header, in a
# line "// Cases: a b", lists;
# `needs` gets the backends that the header includes, `without` the case of its line "// Without: name".
function(clipx_case_units var header)
  cmake_path(GET header STEM category)
  set(units)
  file(STRINGS ${header} lines REGEX "^// (Cases|Without): ")
  string(REGEX MATCH "// Cases: [^;]*" few "${lines}")
  if(CLIPX_CASES_${category})
    set(few " ${CLIPX_CASES_${category}}")
  endif()
  string(REGEX MATCH "// Without: ([^;]*)" ignored "${lines}")
  set(without "${CMAKE_MATCH_1}" PARENT_SCOPE)
  file(GLOB cases CONFIGURE_DEPENDS tests/cases/*.hpp)
  foreach(case ${cases})
    cmake_path(GET case STEM stem)
    file(STRINGS ${case} bodies REGEX "TEST_CASE" LIMIT_COUNT 1)
    if(bodies AND (NOT few OR "${few} " MATCHES " ${stem} "))
      set(unit ${CMAKE_CURRENT_BINARY_DIR}/units/${category}-${stem}.cpp)
      file(CONFIGURE OUTPUT ${unit} @ONLY CONTENT
           "#include \"catch.hpp\"\n#include \"backends/${category}.hpp\"\n#include \"cases/${stem}.hpp\"\n")
      list(APPEND units ${unit})
    endif()
  endforeach()
  set(${var} ${units} PARENT_SCOPE)
  set(needs eigen)  # the reference that every case is compared with
  file(STRINGS ${header} includes REGEX "#include <clipx/[a-z]+\\.hpp>")
  foreach(line ${includes})
    string(REGEX REPLACE ".*<clipx/([a-z]+)\\.hpp>.*" "\\1" backend "${line}")
    list(APPEND needs ${backend})
  endforeach()
  list(REMOVE_DUPLICATES needs)
  set(needs ${needs} PARENT_SCOPE)
endfunction()

# clipx_check(name command...): a test of the project itself, by a script; exit code 77 means skipped.
function(clipx_check name)
  add_test(NAME "project: ${name}" COMMAND ${ARGN})
  set_tests_properties("project: ${name}" PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 900 ENVIRONMENT
                       "CXX=${CMAKE_CXX_COMPILER};CLIPX_FLAGS=${CLIPX_CHECK_FLAGS};CLIPX_BACKENDS=${clipx_backends_words};CLIPX_BUILD_TYPE=${CMAKE_BUILD_TYPE}")
endfunction()

macro(clipx_tests)
  file(GLOB unit_sources CONFIGURE_DEPENDS tests/unit/*.cpp)
  if(NOT "cpu" IN_LIST clipx_backends)
    list(FILTER unit_sources EXCLUDE REGEX "/cpu_[a-z]+\\.cpp$")
  endif()
  # These bodies are the plain loops that kernels are compared with: without optimization they take minutes.
  set(kernel_tests ${unit_sources})
  list(FILTER kernel_tests INCLUDE REGEX "/cpu_[a-z]+[.]cpp$")
  set_source_files_properties(${kernel_tests} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release,Debug>:-O2>)
  if("eigen" IN_LIST clipx_backends)  # the reference of the tests
    clipx_test(unit ${unit_sources} BACKENDS ${clipx_backends})
    target_link_libraries(test-unit PRIVATE ZLIB::ZLIB)  # which some of them write with
    # Several files in one unit: what they share is read and instantiated once.
    set_target_properties(test-unit PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    set_source_files_properties(${kernel_tests} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    if(TARGET clipx-program)
      target_compile_definitions(test-unit PRIVATE CLIPX_PROGRAM="$<TARGET_FILE:clipx-program>")
      add_dependencies(test-unit clipx-program)
    endif()
    if("cpu" IN_LIST clipx_backends)  # the kernels that oneDNN chooses on a processor without AVX-512
      add_test(NAME "unit: deterministic, AVX2" COMMAND test-unit "deterministic*")
      set_tests_properties("unit: deterministic, AVX2" PROPERTIES ENVIRONMENT "ONEDNN_MAX_CPU_ISA=AVX2;OMP_WAIT_POLICY=passive"
                           TIMEOUT 600)
    endif()
  endif()
  if(clipx_emulation)
    clipx_test(emulation tests/emulation/emulation.cpp tests/emulation/attention.cpp tests/emulation/freeze.cpp
               tests/emulation/errors.cpp BACKENDS emulation eigen)
    target_compile_options(test-emulation PRIVATE -Wno-unknown-pragmas)  # unroll
  endif()
  if(clipx_emulation AND TARGET clipx-program)  # the program whose GPU is the emulated one: only these units know
    set(others ${clipx_backends})
    list(REMOVE_ITEM others cuda)
    add_executable(clipx-emulated tools/backends.cpp tools/backend_cuda.cpp tools/trainer_cuda.cpp
                   "$<FILTER:$<TARGET_OBJECTS:clipx-program>,EXCLUDE,/(backends|backend_cuda|trainer_cuda)[.]cpp>")
    add_dependencies(clipx-emulated clipx-program)
    clipx_link(clipx-emulated ${others})
    target_link_libraries(clipx-emulated PRIVATE clipx-emulation-compiled clipx-arguments)
    target_compile_definitions(clipx-emulated PRIVATE CLIPX_HAS_CUDA=1)
    clipx_compile_cheaply(clipx-emulated PRIVATE -O0)
    set_target_properties(clipx-emulated PROPERTIES CXX_EXTENSIONS OFF)
    if(TARGET test-unit)
      target_compile_definitions(test-unit PRIVATE CLIPX_EMULATED="$<TARGET_FILE:clipx-emulated>")
      add_dependencies(test-unit clipx-emulated)
    endif()
  endif()
  file(GLOB categories CONFIGURE_DEPENDS tests/backends/*.hpp)
  foreach(header ${categories})
    clipx_case_units(units ${header})
    set(absent ${needs})
    list(REMOVE_ITEM absent ${clipx_backends} ${clipx_emulation})
    if(units AND NOT absent)
      cmake_path(GET header STEM category)
      clipx_test(${category} ${units} BACKENDS ${needs} WITHOUT ${without})
      clipx_compile_cheaply(test-${category} PRIVATE -O0)
      # One header after the other: what they share is read once, a quarter of the time in all.
      set_target_properties(test-${category} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 5)
    endif()
  endforeach()

  # What tests/golden/check_images.py runs.
  add_executable(decode-images EXCLUDE_FROM_ALL tests/golden/decode_images.cpp)
  clipx_link(decode-images)
  set_target_properties(decode-images PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)

  # Threads that share a model, of a loader and of a trainer, header-only: for the preset tsan alone (cmake/threads.sh).
  if("eigen" IN_LIST clipx_backends AND "cpu" IN_LIST clipx_backends)
    add_executable(test-threads EXCLUDE_FROM_ALL tests/threads/threads.cpp tests/threads/training.cpp)
    target_link_libraries(test-threads PRIVATE clipx-eigen clipx-cpu clipx-catch clipx-warnings)
    set_target_properties(test-threads PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)
  endif()

  # The same on older processors, whichever this one is. SSE4 has no fused multiply-add, which the
  # bars of the models count on: the ops alone.
  foreach(isa AVX512 AVX2 SSE4)
    foreach(name unit cpu_f32 cpu_bf16)
      if(TARGET test-${name} AND TARGET clipx-cpu)
        set(only)
        if(name STREQUAL "unit")
          set(only "[cpu]")
        elseif(isa STREQUAL "SSE4")
          set(only "ops against*")
        endif()
        add_test(NAME "${name}: as if with ${isa}" COMMAND test-${name} ${only})
        set_tests_properties("${name}: as if with ${isa}" PROPERTIES TIMEOUT 600
                             ENVIRONMENT "OMP_WAIT_POLICY=passive;CLIPX_MAX_ISA=${isa}")
      endif()
    endforeach()
  endforeach()

  # One definition rule: two units in one program, header-only, and the same two with the compiled variant. One is compiled for
  # debugging, the other one is not.
  set_source_files_properties(tests/headers/odr_a.cpp PROPERTIES COMPILE_OPTIONS "-O0;-g;-UNDEBUG")
  set_source_files_properties(tests/headers/odr_b.cpp PROPERTIES COMPILE_OPTIONS "-O2;-DNDEBUG")
  foreach(way header-only compiled)
    add_executable(test-odr-${way} tests/headers/odr_a.cpp tests/headers/odr_b.cpp)
    if(way STREQUAL "compiled")
      clipx_link(test-odr-${way} ${clipx_backends})
    else()
      target_link_libraries(test-odr-${way} PRIVATE clipx clipx-warnings)
      foreach(name ${clipx_backends})
        string(TOUPPER ${name} upper)
        target_link_libraries(test-odr-${way} PRIVATE clipx-${name})
        target_compile_definitions(test-odr-${way} PRIVATE CLIPX_HAS_${upper}=1)
      endforeach()
    endif()
    set_target_properties(test-odr-${way} PROPERTIES CXX_EXTENSIONS OFF
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)
    add_test(NAME "project: two units link, ${way}" COMMAND test-odr-${way})
  endforeach()

  # Header-only with plain -O2, the cpu backend runs the kernels that the compiled variant runs, in a program of several units.
  if("cpu" IN_LIST clipx_backends)
    foreach(way header-only compiled)
      add_executable(test-dispatch-${way} tests/headers/dispatch.cpp tests/headers/dispatch_other.cpp tests/headers/dispatch_highway.cpp)
      if(way STREQUAL "compiled")
        clipx_link(test-dispatch-${way} cpu)
      else()
        target_link_libraries(test-dispatch-${way} PRIVATE clipx-cpu clipx-warnings)
        target_compile_options(test-dispatch-${way} PRIVATE -O2)
      endif()
      target_link_libraries(test-dispatch-${way} PRIVATE hwy::hwy)
      target_include_directories(test-dispatch-${way} PRIVATE tests)
      set_target_properties(test-dispatch-${way} PROPERTIES CXX_EXTENSIONS OFF
                            RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/tests)
    endforeach()
    add_test(NAME "project: header-only kernels are those of the processor"
             COMMAND sh ${CMAKE_CURRENT_SOURCE_DIR}/tests/headers/dispatch.sh $<TARGET_FILE:test-dispatch-header-only>
                     $<TARGET_FILE:test-dispatch-compiled>)
  endif()

  list(JOIN clipx_backends " " clipx_backends_words)
  set(CLIPX_CHECK_FLAGS)
  if(TARGET Eigen3::Eigen)
    get_target_property(eigen_dir Eigen3::Eigen INTERFACE_INCLUDE_DIRECTORIES)
    set(CLIPX_CHECK_FLAGS "-isystem ${eigen_dir}")
  endif()
  set(here ${CMAKE_CURRENT_SOURCE_DIR})
  clipx_check("rule of inclusion" sh ${here}/tests/headers/inclusion.sh)
  clipx_check("each header alone" sh ${here}/tests/headers/alone.sh)
  clipx_check("must not compile" sh ${here}/tests/reject/reject.sh)
  clipx_check("headers do not depend on NDEBUG" sh ${here}/tests/headers/ndebug.sh)
  clipx_check("the table of options" sh ${here}/tests/packaging/options.sh)
  set(program)
  if(TARGET clipx-program)
    set(program $<TARGET_FILE:clipx-program>)
  endif()
  clipx_check("notices of third parties" sh ${here}/tests/packaging/notices.sh ${program})
  set(ways subdirectory fetch)
  if(CLIPX_INSTALL)
    list(APPEND ways package pkgconfig components)
  endif()
  if(CLIPX_INSTALL AND "eigen" IN_LIST clipx_backends)
    list(APPEND ways shared)
  endif()
  foreach(way ${ways})
    clipx_check("downstream by ${way}" sh ${here}/tests/downstream.sh ${way} ${CMAKE_CURRENT_BINARY_DIR} ${CMAKE_GENERATOR})
  endforeach()
  # Minutes, of no use to who only builds: .ci/run has clang do them.
  foreach(name "each header alone" "must not compile" "downstream by subdirectory" "downstream by fetch")
    set_tests_properties("project: ${name}" PROPERTIES LABELS developer)
  endforeach()

  # What the documentation shows; its commands name cpu and languages.
  if("eigen" IN_LIST clipx_backends AND "cpu" IN_LIST clipx_backends)
    clipx_check("C++ of the documentation" sh ${here}/tests/docs.sh cpp)
    if(TARGET clipx-program AND CLIPX_HAS_CLD2)
      clipx_check("commands of the documentation" sh ${here}/tests/docs.sh commands $<TARGET_FILE:clipx-program>)
    endif()
  endif()

  # The program and the examples, on the default model and our own images; the evaluation sets where they are at hand.
  if(TARGET clipx-program)
    clipx_check("eval counts what PyTorch counts" sh ${here}/tests/eval.sh $<TARGET_FILE:clipx-program> ${here})
    set_tests_properties("project: eval counts what PyTorch counts" PROPERTIES TIMEOUT 1800 COST 1000)  # two minutes of one core: first
    # a short run of each; HACKING.md has the long one
    clipx_check("kill -9 at random places" sh ${here}/tests/kill.sh $<TARGET_FILE:clipx-program> 2)
    clipx_check("full disks" ${CMAKE_COMMAND} -E env KILL_BY=full sh ${here}/tests/kill.sh $<TARGET_FILE:clipx-program> 2)
  endif()
  if(TARGET clipx-bench)
    foreach(tile 0 256)  # the same loss, whose memory is many blocks of the arena at first
      clipx_check("bench of the loss, tile ${tile}" $<TARGET_FILE:clipx-bench> loss --n 600 --dim 512 --tile ${tile} --runs 1 --warmup 0
                  --backend eigen --json)
      set_tests_properties("project: bench of the loss, tile ${tile}" PROPERTIES PASS_REGULAR_EXPRESSION "\"loss\":6\\.62")
    endforeach()
  endif()
  foreach(example zero_shot swap_backend)
    if(TARGET ${example})
      clipx_check("example ${example}" $<TARGET_FILE:${example}> ${here}/models/default ${here}/examples/images/clock.png
                  "an apple" "a clock" "a house" "a mushroom" "an umbrella")
    endif()
  endforeach()
  if(TARGET train)
    set(table "filepath,title\n")
    foreach(again RANGE 1 5)
      foreach(label apple clock heart house mushroom sun umbrella)
        string(APPEND table "${here}/examples/images/${label}.png,a drawing of the ${label}\n")
      endforeach()
    endforeach()
    file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/drawings.csv CONTENT "${table}" @ONLY)
    clipx_check("example train" $<TARGET_FILE:train> ${CMAKE_CURRENT_BINARY_DIR}/drawings.csv ${here}/models/default
                ${CMAKE_CURRENT_BINARY_DIR}/trained 2)
    set_tests_properties("project: example train" PROPERTIES PASS_REGULAR_EXPRESSION "step 2  loss 3\\.")
  endif()
  if(TARGET zero_shot)
    set(answer "0\\.9[0-9]+  a clock\n")
    set_tests_properties("project: example zero_shot" PROPERTIES PASS_REGULAR_EXPRESSION "^${answer}")
    set_tests_properties("project: example swap_backend" PROPERTIES PASS_REGULAR_EXPRESSION
                         "double> +${answer}eigen<float> +${answer}cpu<float> +${answer}cpu<bf16> +${answer}$")
  endif()
  get_property(tests DIRECTORY PROPERTY TESTS)
  foreach(source ${example_sources})
    cmake_path(GET source STEM name)
    if(TARGET ${name} AND NOT "project: example ${name}" IN_LIST tests)
      message(FATAL_ERROR "clipx: examples/${name}.cpp has no test; add one to cmake/clipx_test.cmake")
    endif()
  endforeach()
endmacro()
