// clipx: CLIP in C++20. This header has all that inference with a typed model needs but a backend: add <clipx/cpu.hpp> or
// <clipx/eigen.hpp>. Others are included by themselves: run/ (any_model, load_any, encode_images), train/, eval/, curate/.
#pragma once
#include "architectures/list.hpp"
#include "checkpoint/pretrained.hpp"
#include "core/backend.hpp"
#include "core/error.hpp"
#include "data/folders.hpp"
#include "data/shards.hpp"
#include "image/decode.hpp"
#include "image/frame.hpp"
#include "image/preprocess.hpp"
#include "io/npy.hpp"
#include "io/safetensors.hpp"
#include "loss/list.hpp"
#include "model/clip.hpp"
#include "text/bpe.hpp"
#include "version.hpp"
#include "zero_shot/accuracy.hpp"
#include "zero_shot/classifier.hpp"
#include "zero_shot/rank.hpp"
#include "zero_shot/retrieval.hpp"

/// All of clipx. What stands in clipx::detail, or in an -inl.hpp file only, is not part of the API.
namespace clipx {}
