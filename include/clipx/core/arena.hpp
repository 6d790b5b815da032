// Memory: buffer (owning) and arena (a stack from which a step takes views).
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "checks.hpp"
#include "error.hpp"
#include "mat.hpp"

namespace clipx {

/// Owning, aligned memory of a backend; move-only. Whoever makes it supplies the function that frees it.
template <class E>
class buffer {
 public:
  using deleter = void (*)(void*);  // frees the memory at its argument
  buffer() = default;
  /// Takes ownership of `size` elements at `data`.
  buffer(E* data, dim size, deleter free) : data_(data), size_(size), free_(free) {}
  buffer(buffer&& o) noexcept : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)), free_(o.free_) {}
  buffer& operator=(buffer&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
    std::swap(free_, o.free_);
    return *this;
  }
  ~buffer() {
    if (data_) free_(data_);
  }
  E* data() const { return data_; }  // nullptr after release() or a move
  /// Gives up ownership: the caller must free the memory.
  E* release() { return std::exchange(data_, nullptr); }
  dim size() const { return size_; }                                       // in elements
  mat<E> as_mat(dim rows, dim cols) const { return {data_, rows, cols}; }  // the first rows * cols elements as a view

 private:
  E* data_ = nullptr;
  dim size_ = 0;
  deleter free_ = nullptr;
};

/// A stack of device memory: take() pushes, release(mark) pops back to a mark. After the first step of a kind nothing is
/// allocated: once the stack is empty, the blocks that the first step needed are merged into one. Debug builds poison released
/// memory (all bits set: NaN in every float format), so a view that is kept too long shows at once.
class arena {
 public:
  /// A height of the stack: everything above it was taken later.
  struct mark {
    std::size_t block = 0;  // index of a block of memory
    dim used = 0;           // bytes in use in that block
  };
  using source = buffer<std::byte> (*)(void* device, dim bytes);      // allocates a block
  using poison = void (*)(void* device, std::byte* from, dim bytes);  // sets every bit
  /// `device` is handed to both functions. Nothing is allocated yet.
  arena(void* device, source allocate, poison fill) : device_(device), allocate_(allocate), poison_(fill) {}

  /// A contiguous view (rows, cols) of uninitialized memory, aligned to 256 bytes.
  template <class E>
  mat<E> take(dim rows, dim cols) {
    return {reinterpret_cast<E*>(take_bytes(rows * cols * static_cast<dim>(sizeof(E)))), rows, cols};
  }
  mark here() const { return at_; }  // the current height
  /// Returns everything that was taken since `to`.
  void release(mark to) {
    if (detail::checks_enabled()) poison_from(to);
    at_ = to;
    if (at_.block == 0 && at_.used == 0 && blocks_.size() > 1) merge();
  }
  /// Bytes allocated from the device, and the most that was in use at once.
  dim capacity() const {
    dim sum = 0;
    for (auto& b : blocks_) sum += b.size();
    return sum;
  }
  dim peak() const { return peak_; }  // bytes
  /// Returns all memory to the device. Nothing may be in use.
  void clear() {
    expect(at_.block == 0 && at_.used == 0, "arena: clear() while a step is alive");
    blocks_.clear();
  }

 private:
  static constexpr dim alignment = 256, least = 1 << 20;
  std::byte* take_bytes(dim bytes) {
    bytes = (bytes + alignment - 1) / alignment * alignment;
    while (at_.block < blocks_.size() && at_.used + bytes > blocks_[at_.block].size()) at_ = {at_.block + 1, 0};
    if (at_.block == blocks_.size()) blocks_.push_back(allocate_(device_, bytes > least ? bytes : least));
    auto* p = blocks_[at_.block].data() + at_.used;
    at_.used += bytes;
    dim in_use = at_.used;
    for (std::size_t b = 0; b < at_.block; ++b) in_use += blocks_[b].size();
    if (in_use > peak_) peak_ = in_use;
    return p;
  }
  void poison_from(mark to) {
    for (std::size_t b = to.block; b < blocks_.size() && b <= at_.block; ++b) {
      const dim from = b == to.block ? to.used : 0, end = b == at_.block ? at_.used : blocks_[b].size();
      if (end > from) poison_(device_, blocks_[b].data() + from, end - from);
    }
  }
  void merge() {
    const dim total = capacity();
    blocks_.clear();
    try {
      blocks_.push_back(allocate_(device_, total));
    } catch (...) {}  // a destructor may be at work; nothing is in use, and take() asks again
  }

  void* device_;
  source allocate_;
  poison poison_;
  std::vector<buffer<std::byte>> blocks_;
  mark at_;
  dim peak_ = 0;
};

}  // namespace clipx
