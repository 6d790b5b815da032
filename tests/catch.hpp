// Catch2 2.13 (Debian 12) and 3.x both build through this one header.
#pragma once
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
inline auto Contains(const std::string& part) { return Catch::Matchers::ContainsSubstring(part); }
#else
#include <catch2/catch.hpp>
using Catch::Matchers::Contains;
#endif

// The address sanitizer, by either compiler.
#if defined(__SANITIZE_ADDRESS__)
#define CLIPX_TESTS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CLIPX_TESTS_ASAN 1
#endif
#endif
