# Installs headers, compiled libraries, the program, the default model; clipxConfig.cmake with components, and clipx.pc.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/clipx)

install(DIRECTORY include/clipx DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS clipx clipx-compiled EXPORT clipx-core)
install(EXPORT clipx-core NAMESPACE clipx:: DESTINATION ${package_dir})
foreach(name ${clipx_backends})
  install(DIRECTORY backends/${name}/clipx DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(TARGETS clipx-${name} clipx-${name}-compiled EXPORT clipx-${name})
  install(EXPORT clipx-${name} NAMESPACE clipx:: DESTINATION ${package_dir})
endforeach()
if(TARGET clipx-program)
  install(TARGETS clipx-program)
  install(DIRECTORY models DESTINATION ${CMAKE_INSTALL_DATADIR}/clipx)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(cmake/clipxConfig.cmake.in clipxConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(clipxConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/clipxConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/clipxConfigVersion.cmake
              cmake/Findutf8proc.cmake cmake/Findstb.cmake cmake/Findxxhash.cmake cmake/Findcld2.cmake cmake/Finddnnl.cmake cmake/Findhwy.cmake DESTINATION ${package_dir})

# clipx.pc is the header-only library; its prefix follows the file.
set(pc_requires "nlohmann_json libutf8proc")
set(pc_cflags "")
set(pc_libs "")
if(CLIPX_HAS_JPEG)
  string(APPEND pc_requires " libjpeg")
  string(APPEND pc_cflags " -DCLIPX_HAS_JPEG=1")
endif()
if(CLIPX_HAS_GIF)  # by name: giflib itself installs no .pc file
  string(APPEND pc_cflags " -DCLIPX_HAS_GIF=1")
  string(APPEND pc_libs " -lgif")
endif()
if(CLIPX_HAS_CLD2)  # nor does cld2
  string(APPEND pc_cflags " -DCLIPX_HAS_CLD2=1")
  string(APPEND pc_libs " -lcld2")
endif()
cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE pc_prefix)
configure_file(cmake/clipx.pc.in clipx.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/clipx.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
