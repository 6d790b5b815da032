// The only place where stb_image is instantiated: JPEG from memory (without libjpeg), and its zlib decoder (for PNG). Its
// functions are static, so a program may contain another stb_image.
#pragma once
#include <cstdlib>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"
#endif

#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_PSD
#define STBI_NO_TGA
#define STBI_NO_PIC
#define STBI_NO_PNG  // png-inl.hpp reads them
#define STBI_NO_PNM  // pnm-inl.hpp
#define STBI_NO_BMP  // bmp-inl.hpp
#define STBI_NO_GIF  // gif-inl.hpp
#ifdef CLIPX_HAS_JPEG
#define STBI_NO_JPEG
#endif
#define STBI_SUPPORT_ZLIB
#define STBI_MALLOC(size) std::calloc(1, size)  // a JPEG may use tables that it does not define
#define STBI_REALLOC(p, size) std::realloc(p, size)
#define STBI_FREE(p) std::free(p)
#define STBI_MAX_DIMENSIONS 65536
#define STBI_ASSERT(x) ((void)0)
#include <stb/stb_image.h>

#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
