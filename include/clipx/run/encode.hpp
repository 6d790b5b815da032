// Tasks of any size for an any_model, done in parts.
#pragma once
#include "any_model.hpp"

namespace clipx {

/// Any number of texts to L2-normalized embeddings (N, D), 256 at a time.
any_rows encode_texts(any_model& model, std::span<const std::string> texts, progress_sink encoded);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "encode-inl.hpp"
#endif
