// Definitions of token_model.hpp.
#pragma once
#include <algorithm>

#include "token_model.hpp"

namespace clipx::detail {

CLIPX_INLINE void token_model::set_frame(token_frame files, const std::string& name) {
  frame = options.frame;
  const auto settle = [&](std::int32_t token_frame::*id, const char* what) {
    if (frame.*id == token_frame::from_files) frame.*id = files.*id;
    expect(frame.*id >= token_frame::none && frame.*id < size(), error_kind::mismatch,
           [&] { return cat(name, ": the id ", frame.*id, " ", what, " is not in the vocabulary of ", size(), " ids"); });
  };
  settle(&token_frame::sot, "before texts");
  settle(&token_frame::eot, "after texts");
  settle(&token_frame::pad, "of padding");
  files.zeroed = frame.eot;
  settle(&token_frame::zeroed, "that becomes 0");
  expect(!frame.fill || frame.pad >= 0, error_kind::mismatch,
         [&] { return cat(name, ": rows are padded, and no pad token is known"); });
}

/// What append_row does, for a model whose append() is called directly: for CLIP's, a virtual call is 5% of a caption.
template <class Append>
dim append_framed(const tokenizer_options& options, const token_frame& frame, std::string_view text, std::vector<std::int32_t>& out,
                  const Append& append) {
  const auto length = static_cast<std::size_t>(options.context_length);
  const std::size_t before = out.size(), room = length - (frame.eot >= 0 ? 1 : 0);
  if (frame.sot >= 0) out.push_back(frame.sot);
  append(options.truncate ? before + room : out.max_size());
  if (out.size() > before + room) {
    const auto got = out.size() - before + length - room;
    out.resize(options.truncate ? before + room : before);
    expect(options.truncate, [&] {
      return cat("text of ", got, " tokens is too long for the context length ", length, ": \"", text.substr(0, 60), "...\"");
    });
  }
  if (frame.eot >= 0) out.push_back(frame.eot);
  if (frame.fill) out.resize(before + length, frame.pad);
  if (frame.zeroed >= 0) std::replace(out.begin() + static_cast<std::ptrdiff_t>(before), out.end(), frame.zeroed, std::int32_t{0});
  return static_cast<dim>(out.size() - before);
}

CLIPX_INLINE dim token_model::append_row(std::string_view text, std::vector<std::int32_t>& out) const {
  return append_framed(options, frame, text, out, [&](std::size_t limit) { append(text, out, limit); });
}

}  // namespace clipx::detail
