// Memory: buffer (owned), arena (a stack of views that a step takes and gives back).
#pragma once
#include <cstdint>
#include <utility>
#include <vector>

#include "checks.hpp"
#include "error.hpp"
#include "mat.hpp"

namespace clipx {

/// Owned, aligned memory of a backend; move-only. Who made it says how it is freed.
template <class E>
class buffer {
 public:
  using deleter = void (*)(void*);
  buffer() = default;
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
  E* data() const { return data_; }
  /// The caller frees it from now on.
  E* release() { return std::exchange(data_, nullptr); }
  dim size() const { return size_; }
  mat<E> as_mat(dim rows, dim cols) const { return {data_, rows, cols}; }

 private:
  E* data_ = nullptr;
  dim size_ = 0;
  deleter free_ = nullptr;
};

/// A stack of device memory. take() moves up, release(mark) moves back; after the first step of a kind nothing is allocated:
/// the blocks that the first one needed are merged into one when the stack is empty. Debug builds poison what is released
/// (all bits set: NaN in every float format), so a view kept too long shows at once.
class arena {
 public:
  struct mark {
    std::size_t block = 0;
    dim used = 0;
  };
  using source = buffer<std::byte> (*)(void* device, dim bytes);
  using poison = void (*)(void* device, std::byte* from, dim bytes);  // sets every bit
  arena(void* device, source allocate, poison fill) : device_(device), allocate_(allocate), poison_(fill) {}

  template <class E>
  mat<E> take(dim rows, dim cols) {
    return {reinterpret_cast<E*>(take_bytes(rows * cols * static_cast<dim>(sizeof(E)))), rows, cols};
  }
  mark here() const { return at_; }
  void release(mark to) {
    if (detail::checks_enabled()) poison_from(to);
    at_ = to;
    if (at_.block == 0 && at_.used == 0 && blocks_.size() > 1) merge();
  }
  /// Bytes held from the device, and the most that was in use at once.
  dim capacity() const {
    dim sum = 0;
    for (auto& b : blocks_) sum += b.size();
    return sum;
  }
  dim peak() const { return peak_; }
  /// Gives everything back to the device; only while nothing is taken.
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
    blocks_.push_back(allocate_(device_, total));
  }

  void* device_;
  source allocate_;
  poison poison_;
  std::vector<buffer<std::byte>> blocks_;
  mark at_;
  dim peak_ = 0;
};

}  // namespace clipx
