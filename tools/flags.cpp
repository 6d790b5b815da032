#include "flags.hpp"

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

void complain(const std::string& message) { std::fprintf(stderr, "clipx: %s\n", with_flags(message).c_str()); }

}  // namespace cli
