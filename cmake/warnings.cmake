# clipx-warnings: linked privately by what this project compiles, never seen by its users.
add_library(clipx-warnings INTERFACE)
target_compile_options(clipx-warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wconversion;-Wshadow>")
if(CLIPX_WERROR)
  target_compile_options(clipx-warnings INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:-Werror>")
endif()
