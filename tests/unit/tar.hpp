// A writer of tar archives, for tests.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>

inline void put(std::string& header, std::size_t at, const std::string& text) {
  std::memcpy(header.data() + at, text.data(), text.size());
}
inline std::string octal(std::uint64_t n, std::size_t width) {
  std::string out(width, '0');
  for (std::size_t i = width; i-- > 0; n /= 8) out[i] = static_cast<char>('0' + n % 8);
  return out;
}
inline void seal(std::string& header) {
  put(header, 148, std::string(8, ' '));
  unsigned sum = 0;
  for (char c : header) sum += static_cast<unsigned char>(c);
  put(header, 148, octal(sum, 6) + std::string("\0 ", 2));
}
/// A member as ustar has it.
inline std::string member(const std::string& name, const std::string& data, char type = '0', const std::string& prefix = "") {
  std::string header(512, '\0');
  put(header, 0, name);
  put(header, 100, "0000644");
  put(header, 124, octal(data.size(), 11));
  header[156] = type;
  put(header, 257,
      std::string("ustar\0"
                  "00",
                  8)),
      put(header, 345, prefix);
  seal(header);
  return header + data + std::string((512 - data.size() % 512) % 512, '\0');
}
inline const std::string end_of_tar(1024, '\0');
