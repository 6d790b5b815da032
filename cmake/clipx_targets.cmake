# How clipx's targets are made. A part `x` has a header-only target clipx::x and a compiled one, clipx::x-compiled, of the same text.

# clipx_target_name(var x): clipx-x, which is clipx where x is. Targets carry the project's name (Eigen has a target `eigen` of its own).
function(clipx_target_name var name)
  if(name STREQUAL "clipx")
    set(${var} clipx PARENT_SCOPE)
  else()
    set(${var} clipx-${name} PARENT_SCOPE)
  endif()
endfunction()

# clipx_interface(x dir): the headers below dir.
function(clipx_interface name dir)
  clipx_target_name(target ${name})
  add_library(${target} INTERFACE)
  add_library(clipx::${name} ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(${target} INTERFACE cxx_std_20)
  target_include_directories(${target} INTERFACE $<BUILD_INTERFACE:${dir}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# clipx_compiled(x sources...): the library of x, static or, with BUILD_SHARED_LIBS, shared: its objects are the same. Every symbol of a
# shared one is visible: templates, inline functions and exceptions are common to it and to its user. Until 1.0 a minor version may
# change the API, so it is part of the SONAME. Built by a superproject only when something links it.
function(clipx_compiled name)
  clipx_target_name(target ${name})
  set(target ${target}-compiled)
  add_library(${target} ${ARGN})
  add_library(clipx::${name}-compiled ALIAS ${target})
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name}-compiled POSITION_INDEPENDENT_CODE ON CXX_EXTENSIONS OFF
                        CXX_VISIBILITY_PRESET default VISIBILITY_INLINES_HIDDEN OFF DEFINE_SYMBOL "" INSTALL_RPATH "\$ORIGIN"
                        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:clipx-warnings>)
  clipx_without_paths(${target})
  if(NOT PROJECT_IS_TOP_LEVEL AND NOT CLIPX_INSTALL)
    set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

# clipx_without_paths(target): in a release, the source position of an error (clipx::error::at) is relative to this folder, and no
# absolute path of the source or build folder gets into the binary. Debug information keeps its paths, for debuggers.
function(clipx_without_paths target)
  set(map -ffile-prefix-map=${CMAKE_CURRENT_BINARY_DIR}/= -ffile-prefix-map=${CMAKE_CURRENT_SOURCE_DIR}/=)
  list(TRANSFORM map REPLACE ".+" "$<IF:$<COMPILE_LANGUAGE:CUDA>,-Xcompiler=\\0,\\0>")
  target_compile_options(${target} PRIVATE "$<$<CONFIG:Release,MinSizeRel>:${map}>")
endfunction()

# clipx_wants(x packages...): CLIPX_WITH_x says whether backend x is asked for and its packages are found.
macro(clipx_wants name)
  set(CLIPX_WITH_${name} OFF)
  set(clipx_parts_of_${name} clipx)
  set(clipx_packages_of_${name} ${ARGN})
  set(units)
  if(CLIPX_BACKENDS STREQUAL "auto" OR "${name}" IN_LIST CLIPX_BACKENDS)
    file(GLOB units CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/backends/${name}/units/*.cpp)
  endif()
  if(units)
    set(CLIPX_WITH_${name} ON)
    foreach(package ${ARGN})
      if(CLIPX_BACKENDS STREQUAL "auto")
        find_package(${package} QUIET)
      else()
        find_package(${package} REQUIRED)
      endif()
      if(NOT ${package}_FOUND)
        message(STATUS "clipx: backend ${name} is left out: ${package} not found")
        set(CLIPX_WITH_${name} OFF)
      endif()
    endforeach()
  endif()
endmacro()

# clipx_check_no_pointers(unit options...): for a unit of kernels, under clang's UndefinedBehaviorSanitizer: a check at every pointer
# that they follow takes minutes to compile, and the address sanitizer sees those anyway.
function(clipx_check_no_pointers unit)
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND CMAKE_CXX_FLAGS_DEBUG MATCHES "-fsanitize=.*undefined")
    set_source_files_properties(${unit} PROPERTIES COMPILE_OPTIONS
                                "-fno-sanitize=null,alignment,object-size,pointer-overflow,vptr,return;${ARGN}")
  endif()
endfunction()

# clipx_models_unit(unit): the towers of every architecture, and any_model: calls of what the other units hold.
function(clipx_models_unit unit)
  set_source_files_properties(${unit} PROPERTIES COMPILE_OPTIONS "$<$<CONFIG:Release>:-O1>;$<$<CONFIG:Debug>:-O0>")
endfunction()

# clipx_backend(x libraries...): targets of backend x, whose packages clipx_wants has noted.
macro(clipx_backend name)
  set(here ${CMAKE_CURRENT_SOURCE_DIR}/backends/${name})
  file(GLOB units CONFIGURE_DEPENDS ${here}/units/*.cpp)
  clipx_interface(${name} ${here})
  target_link_libraries(clipx-${name} INTERFACE clipx ${ARGN})
  clipx_compiled(${name} ${units})
  target_include_directories(clipx-${name}-compiled PUBLIC $<BUILD_INTERFACE:${here}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(clipx-${name}-compiled PUBLIC clipx-compiled PRIVATE ${ARGN})
  clipx_models_unit(${here}/units/models.cpp)
  # Of the instruction sets only this processor's best one, which is the one that runs.
  clipx_check_no_pointers(${here}/units/kernels.cpp -march=native -DHWY_COMPILE_ONLY_STATIC)
  list(APPEND clipx_backends ${name})
  list(APPEND clipx_parts ${name})
endmacro()

# The cuda backend, with nvcc, which is looked for only when it is asked for: CLIPX_CUDA, or cuda in CLIPX_BACKENDS.
macro(clipx_cuda_backend)
  if("cuda" IN_LIST CLIPX_BACKENDS OR (CLIPX_CUDA AND CLIPX_BACKENDS STREQUAL "auto"))
    include(CheckLanguage)
    if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES 80-real 89-real 90a-real)
    endif()
    check_language(CUDA)
    find_package(CUDAToolkit QUIET)
    if(CMAKE_CUDA_COMPILER AND CUDAToolkit_FOUND)
      enable_language(CUDA)
      set(here ${CMAKE_CURRENT_SOURCE_DIR}/backends/cuda)
      clipx_interface(cuda ${here})
      target_link_libraries(clipx-cuda INTERFACE clipx clipx-cuda-compiled)  # never header-only: g++ cannot compile kernels
      clipx_compiled(cuda ${here}/units/cuda.cu ${here}/units/models.cpp)
      target_compile_options(clipx-cuda-compiled PRIVATE
                             "$<$<COMPILE_LANGUAGE:CUDA>:-std=c++20;--expt-relaxed-constexpr;$<$<BOOL:${CLIPX_WERROR}>:-Werror=all-warnings>>")
      if(CLIPX_CUDA_REPORT)  # registers and memory of every kernel in the build's output, PTX in cuda-keep/: cmake/cuda-check.sh
        set(keep ${CMAKE_CURRENT_BINARY_DIR}/cuda-keep)
        file(MAKE_DIRECTORY ${keep})
        target_compile_options(clipx-cuda-compiled PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:-Xptxas=-v;-keep;-keep-dir=${keep}>")
      endif()
      target_include_directories(clipx-cuda-compiled PUBLIC $<BUILD_INTERFACE:${here}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
      target_link_libraries(clipx-cuda-compiled PUBLIC clipx PRIVATE CUDA::cudart_static CUDA::cublasLt
                            INTERFACE $<LINK_ONLY:clipx-compiled>)  # for any_model; without it nothing of that is linked
      clipx_models_unit(${here}/units/models.cpp)
      list(APPEND clipx_backends cuda)
      list(APPEND clipx_parts cuda)
      set(clipx_parts_of_cuda clipx)
      set(clipx_packages_of_cuda CUDAToolkit)
    else()
      message(STATUS "clipx: backend cuda is left out: nvcc or the CUDA toolkit not found")
    endif()
  endif()
endmacro()

# clipx_compile_cheaply(target scope flag): in Release, this in place of -O3, and under a sanitizer -O0: for units whose work is in
# the compiled libraries, and whose compilation takes half the time without it.
function(clipx_compile_cheaply target scope flag)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} ${scope} ${flag})
  elseif(CMAKE_BUILD_TYPE STREQUAL "Debug" AND CMAKE_CXX_FLAGS_DEBUG MATCHES "-fsanitize=")
    target_compile_options(${target} ${scope} -O0)
  endif()
endfunction()

# clipx_program(x sources...): an executable with every backend that is built, linked compiled.
function(clipx_program name)
  add_executable(${name} ${ARGN})
  clipx_link(${name} ${clipx_backends})
  clipx_compile_cheaply(${name} PRIVATE -O1)
  clipx_without_paths(${name})
  set_target_properties(${name} PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
endfunction()

# clipx_link(target backends...): compiled clipx, the backends, warnings, and CLIPX_HAS_<BACKEND>=1 for each; JSON, which the program
# and the tests write and read themselves.
function(clipx_link target)
  target_link_libraries(${target} PRIVATE clipx-compiled clipx-warnings nlohmann_json::nlohmann_json)
  foreach(name ${ARGN})
    string(TOUPPER ${name} upper)
    target_link_libraries(${target} PRIVATE clipx-${name}-compiled)
    target_compile_definitions(${target} PRIVATE CLIPX_HAS_${upper}=1)
  endforeach()
endfunction()
