// BMP: all behind its signature.
#include "decoded.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { return decode_after("BM", data, size); }
