// Frames: pixels that are already in memory, as a camera or a video decoder delivers them.
#pragma once
#include <cstdint>

#include "../core/mat.hpp"
#include "image.hpp"
#include "resize.hpp"

namespace clipx {

/// Byte order of a frame. nv12: a plane of luma (Y), then one of interleaved chroma
/// (U, V) with half the rows and columns, rounded up.
enum class frame_format { rgb, bgr, rgba, bgra, gray, nv12 };

/// How Y, U and V of nv12 become RGB: by ITU-R BT.601 or BT.709, video range (Y from 16 to 235) or full range.
enum class frame_matrix { bt601, bt601_full, bt709, bt709_full };

/// A non-owning view of pixels, which are only read.
struct frame {
  frame_format format = frame_format::rgb;    // order of the bytes
  dim width = 0, height = 0;                  // pixels
  const std::uint8_t* data = nullptr;         // first byte of the top row; for nv12, of the luma
  dim stride = 0;                             // bytes from one row to the next; 0: no padding; negative: stored bottom-up
  const std::uint8_t* chroma = nullptr;       // nv12; null: right after the last row of luma
  dim chroma_stride = 0;                      // nv12; 0: same as the luma's; of luma without padding, no padding either
  frame_matrix matrix = frame_matrix::bt601;  // nv12
};

/// Converts a frame to an image in one pass: pixel_mode::rgb for rgb, bgr and nv12; rgba for rgba and bgra; gray for gray.
/// Chroma is not interpolated: the four pixels of a block share it. `memory`: an image that is no longer needed, whose memory
/// is reused. Errors: no data, a side below 1, a stride shorter than a row or beyond all addresses, an nv12 frame with a negative
/// stride and no chroma pointer. Thread-safe.
image to_image(const frame& f, image memory = {});

/// The pixels of a frame where they are, for resize(): of formats whose bands are resampled each by itself (rgb, bgr, gray) with
/// rows that go down in memory. Null data for the others. Errors: those of to_image. Thread-safe.
pixel_view view_of(const frame& f);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "frame-inl.hpp"
#endif
