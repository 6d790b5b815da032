// Frames: pixels that are in memory already, as a camera or a video decoder gives them.
#pragma once
#include <cstdint>

#include "../core/mat.hpp"
#include "image.hpp"

namespace clipx {

/// The order of a frame's bytes. nv12: a plane of luma (Y), then one of interleaved chroma (U, V) with half the rows and columns,
/// rounded up.
enum class frame_format { rgb, bgr, rgba, bgra, gray, nv12 };

/// How Y, U and V of nv12 become RGB: the matrix of ITU-R BT.601 or BT.709; of video range (Y from 16 to 235) or full range.
enum class frame_matrix { bt601, bt601_full, bt709, bt709_full };

/// Pixels of somebody else, which are only read.
struct frame {
  frame_format format = frame_format::rgb;    // order of the bytes
  dim width = 0, height = 0;                  // pixels
  const std::uint8_t* data = nullptr;         // the top row's first byte; of nv12 its luma
  dim stride = 0;                             // bytes from one row to the next; 0: no padding; negative: rows go up in memory
  const std::uint8_t* chroma = nullptr;       // nv12; null: right behind the last row of luma
  dim chroma_stride = 0;                      // nv12; 0: that of the luma
  frame_matrix matrix = frame_matrix::bt601;  // nv12
};

/// The frame as an image, in one pass over it: pixel_mode::rgb of rgb, bgr and nv12; rgba of rgba and bgra; gray of gray. Chroma is
/// not interpolated: the four pixels of a block share it. `memory`: an image no longer needed, whose memory is used again. Errors:
/// no data, a side below 1, a stride shorter than a row, an nv12 frame whose rows go up and whose chroma is not given. Thread-safe.
image to_image(const frame& f, image memory = {});

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "frame-inl.hpp"
#endif
