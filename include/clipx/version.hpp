// The version of clipx; CMakeLists.txt reads it from here, too.
#pragma once

#define CLIPX_VERSION_MAJOR 0
#define CLIPX_VERSION_MINOR 1
#define CLIPX_VERSION_PATCH 0

#define CLIPX_DETAIL_TEXT(x) #x
#define CLIPX_DETAIL_DOTTED(major, minor, patch) CLIPX_DETAIL_TEXT(major) "." CLIPX_DETAIL_TEXT(minor) "." CLIPX_DETAIL_TEXT(patch)
/// "major.minor.patch", a string literal.
#define CLIPX_VERSION CLIPX_DETAIL_DOTTED(CLIPX_VERSION_MAJOR, CLIPX_VERSION_MINOR, CLIPX_VERSION_PATCH)
