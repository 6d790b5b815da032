#include "flags.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>

namespace cli {

std::string with_flags(std::string message) {
  for (const auto& [option, flag] : flags)
    for (std::size_t at = 0; (at = message.find(option, at)) != std::string::npos;) {
      const std::size_t end = at + option.size();
      const bool longer = end < message.size() && (std::isalnum(static_cast<unsigned char>(message[end])) || message[end] == '_');
      if (!longer) message.replace(at, option.size(), flag);
      at += longer ? option.size() : flag.size();
    }
  return message;
}

std::string printable(std::string_view text) {
  std::string out;
  const auto escape = [&](unsigned char c) {
    char hex[5];
    std::snprintf(hex, sizeof hex, "\\x%02x", c);
    out += hex;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : '\0');
    if (c < 0x20 || c == 0x7f) escape(c);
    else if (c == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F in UTF-8
      escape(c);
      escape(next);
      ++i;
    } else out += text[i];
  }
  return out;
}

void complain(const std::string& message) {
  const std::string text = with_flags(message);
  std::string out;
  for (std::size_t at = 0, end; at < text.size(); at = end) {
    end = std::min(text.find("\n ", at + 1), text.size());
    if (text[at] == '\n') {
      out += '\n';
      ++at;
    }
    out += printable(std::string_view(text).substr(at, end - at));
  }
  std::fprintf(stderr, "clipx: %s\n", out.c_str());
}

}  // namespace cli
