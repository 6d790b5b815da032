// What the cases with golden files share: the files, a checkpoint's weights on a device, our tensors as a file cuts them.
#pragma once
#include <clipx/checkpoint/checkpoint.hpp>
#include <clipx/io/safetensors.hpp>
#include <cstring>

#include "driver.hpp"

namespace cases {

/// The tensors of a golden.safetensors as doubles; every name that is read is remembered.
class golden_file {
 public:
  explicit golden_file(const std::string& path) : file_(clipx::safetensors::open(path)) {}

  host values(const std::string& name) const {
    INFO(name);
    const auto* t = file_.find(name);
    REQUIRE(t != nullptr);
    read_.push_back(name);
    switch (t->type) {
      case clipx::dtype::f64:
        return of<double>(*t);
      case clipx::dtype::f32:
        return of<float>(*t);
      case clipx::dtype::i32:
        return of<std::int32_t>(*t);
      default:
        FAIL("unexpected type");
        return {};
    }
  }
  dim rows(const std::string& name) const { return file_.find(name)->shape[0]; }
  /// Names that begin like this and were never read.
  std::vector<std::string> unread(const std::string& prefix) const {
    std::vector<std::string> out;
    for (auto& t : file_.tensors())
      if (t.name.starts_with(prefix) && std::find(read_.begin(), read_.end(), t.name) == read_.end()) out.push_back(t.name);
    return out;
  }

  /// (B, 3, H, W) to rows (B H W, 3), which a float holds.
  std::vector<float> pixels() const {
    const auto planes = values("pixels");
    const auto B = static_cast<std::size_t>(rows("pixels")), n = planes.size() / (3 * B);
    std::vector<float> out(planes.size());
    for (std::size_t b = 0; b < B; ++b)
      for (std::size_t c = 0; c < 3; ++c)
        for (std::size_t i = 0; i < n; ++i) out[(b * n + i) * 3 + c] = static_cast<float>(planes[(b * 3 + c) * n + i]);
    return out;
  }
  std::vector<std::vector<std::int32_t>> tokens() const {
    const auto ids = values("tokens");
    const auto B = static_cast<std::size_t>(rows("tokens")), n = ids.size() / B;
    std::vector<std::vector<std::int32_t>> out(B);
    for (std::size_t i = 0; i < ids.size(); ++i) out[i / n].push_back(static_cast<std::int32_t>(ids[i]));
    return out;
  }

 private:
  template <class E>
  static host of(const clipx::tensor_info& t) {
    std::vector<E> stored(static_cast<std::size_t>(t.count()));
    std::memcpy(stored.data(), t.data, stored.size() * sizeof(E));
    return {stored.begin(), stored.end()};
  }
  clipx::safetensors file_;
  mutable std::vector<std::string> read_;
};

/// A tensor of ours as the file's layout cuts it: (the file's key, its values).
inline std::vector<std::pair<std::string, host>> as_stored(const clipx::clip_config& config, const std::string& name,
                                                           clipx::layout keys, const host& ours, dim rows, dim cols) {
  const auto source = clipx::source_of(config, name, keys);
  std::vector<std::pair<std::string, host>> out;
  for (auto& t : clipx::stored_tensors(source, rows == 1 ? clipx::shape{cols} : clipx::shape{rows, cols})) {
    const auto from = ours.begin() + static_cast<std::ptrdiff_t>(t.offset);
    host part(from, from + static_cast<std::ptrdiff_t>(t.count()));
    if (t.transposed)
      for (dim k = 0; k < t.count(); ++k)
        part[static_cast<std::size_t>(k)] = ours[static_cast<std::size_t>(k % rows * cols + k / rows)];
    out.emplace_back(t.name, part);
  }
  return out;
}

/// The weights of a checkpoint, each first through `change`.
template <class Model, class F>
void upload_weights(const clipx::checkpoint& source, Model& model, F&& change) {
  const auto weights = source.match(source.config());
  std::vector<float> values;
  std::size_t next = 0;
  clipx::walk(model, [&]<class E>(const std::string&, mat<E>& m, const clipx::shape&, clipx::role) {
    values.resize(static_cast<std::size_t>(m.size()));
    weights[next++].read(values);
    for (auto& v : values) v = change(v);
    model.device().upload(mat<const float>(values.data(), m.rows, m.cols), m);
  });
}
template <class Model>
void upload_weights(const clipx::checkpoint& source, Model& model) {
  upload_weights(source, model, [](float v) { return v; });
}

}  // namespace cases
