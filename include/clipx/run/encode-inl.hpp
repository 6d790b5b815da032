#pragma once
#include <algorithm>

#include "../core/error.hpp"
#include "encode.hpp"

namespace clipx {

CLIPX_INLINE any_rows encode_texts(any_model& model, std::span<const std::string> texts, progress_sink encoded) {
  any_rows out;
  for (std::size_t from = 0; from < texts.size(); encoded(from, texts.size())) {
    const auto part = texts.subspan(from, std::min<std::size_t>(256, texts.size() - from));
    out.append(model.encode_text(part));
    from += part.size();
  }
  return out;
}

}  // namespace clipx
