# Target docs, where Doxygen is found: the API reference, docs/html below the build folder. cmake/docs.sh fails on its warnings.
find_program(CLIPX_DOXYGEN doxygen)
mark_as_advanced(CLIPX_DOXYGEN)
if(CLIPX_DOXYGEN)
  file(GLOB docs_backends RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS backends/*/clipx)
  list(TRANSFORM docs_backends REPLACE "/clipx$" "")
  list(JOIN docs_backends " " docs_backends)
  configure_file(cmake/Doxyfile.in Doxyfile @ONLY)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/docs)
  add_custom_target(docs COMMAND ${CLIPX_DOXYGEN} ${CMAKE_CURRENT_BINARY_DIR}/Doxyfile WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
                    COMMENT "${CMAKE_CURRENT_BINARY_DIR}/docs/html/index.html")
endif()
