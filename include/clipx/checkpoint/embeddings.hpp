// L2-normalized embeddings on the host, and how texts and images become embeddings.
#pragma once
#include <span>
#include <vector>

#include "../loss/pairs.hpp"
#include "../model/clip.hpp"
#include "log_rows.hpp"

namespace clipx {

/// L2-normalized rows in host memory, (rows, cols); A is the backend's accumulation type (float, or double for eigen<double>).
template <class A>
struct embeddings {
  std::vector<A> values;                                                          // row after row
  dim cols = 0;                                                                   // D
  dim rows() const { return cols ? static_cast<dim>(values.size()) / cols : 0; }  // N
  mat<const A> view() const { return {values.data(), rows(), cols}; }             // all of them, for a verb on the host's memory
  const A* row(dim r) const { return values.data() + r * cols; }                  // first value of row r
};

namespace detail {
/// L2-normalizes features on the device and appends them to the rows on the host.
template <backend B>
void append_unit_rows(step<B>& s, mat<const scalar_t<B>> features, embeddings<accum_t<B>>& out) {
  using A = accum_t<B>;
  auto unit = s.make_accum(features.rows, features.cols), norms = s.make_accum(features.rows, 1);
  s.device.normalize(features, unit, norms);
  out.cols = features.cols;
  const std::size_t at = out.values.size();
  out.values.resize(at + static_cast<std::size_t>(features.size()));
  s.device.download(mat<const A>(unit), mat<A>(out.values.data() + at, features.rows, features.cols));
  s.device.sync();
}
/// Throws if the model has no text tower.
template <class Architecture, backend B>
void expect_text_tower() {
  expect(!has_table<typename clip<Architecture, B>::text_type>, error_kind::unsupported, [] {
    return cat("a ", Architecture::config::name,
               " has no embeddings of texts, only probabilities of their n-grams: any_model scores images and labels by them");
  });
}
}  // namespace detail

/// Rows of tokens (from start to end token, padded or not) to L2-normalized embeddings, in order, about tokens_per_step tokens
/// at a time.
template <class Architecture, backend B>
embeddings<accum_t<B>> embed_tokens(const clip<Architecture, B>& model, std::span<const std::vector<std::int32_t>> rows,
                                    dim tokens_per_step = 4096) {
  detail::expect_text_tower<Architecture, B>();
  embeddings<accum_t<B>> out{{}, model.config().embed_dim};
  for (std::size_t from = 0; from < rows.size();) {
    std::size_t to = from;
    for (dim tokens = 0; to < rows.size() && (to == from || tokens + static_cast<dim>(rows[to].size()) <= tokens_per_step); ++to)
      tokens += static_cast<dim>(rows[to].size());
    step<B> s(model.device());
    typename clip<Architecture, B>::saved k;
    const auto packed = packed_texts::pack(rows.subspan(from, to - from), model.config().text);
    detail::append_unit_rows<B>(s, model.encode_text(s, packed, k), out);
    from = to;
  }
  return out;
}

/// Packed texts to L2-normalized embeddings (N, D), in order, about tokens_per_step tokens at a time.
template <class Architecture, backend B>
embeddings<accum_t<B>> embed_packed(const clip<Architecture, B>& model, const packed_texts& texts, dim tokens_per_step = 4096) {
  detail::expect_text_tower<Architecture, B>();
  embeddings<accum_t<B>> out;
  for (dim from = 0; from < texts.count();) {
    dim to = from;
    const auto length = [&](dim i) { return static_cast<dim>(texts.lengths[static_cast<std::size_t>(i)]); };
    for (dim tokens = 0; to < texts.count() && (to == from || tokens + length(to) <= tokens_per_step); ++to) tokens += length(to);
    step<B> s(model.device());
    typename clip<Architecture, B>::saved k;
    detail::append_unit_rows<B>(s, model.encode_text(s, texts.part(from, to - from), k), out);
    from = to;
  }
  return out;
}

namespace detail {
/// The number of images of this size in RGB values. Errors: an incomplete image.
inline dim image_count(std::size_t values, const extent& n, const char* who) {
  const std::size_t one = static_cast<std::size_t>(3 * n.area());
  expect(values % one == 0, [&] {
    return cat(who, ": expected a multiple of 3 x ", sides_of(n), " values (N, ", n.height, " ", n.width, " 3), got ", values);
  });
  return static_cast<dim>(values / one);
}

/// `fill(step, pixels)` writes (N H W, 3) normalized pixels to the device; the result is their L2-normalized embeddings.
template <class Architecture, backend B, class Fill>
embeddings<accum_t<B>> embed_images(const clip<Architecture, B>& model, dim rows, Fill&& fill) {
  embeddings<accum_t<B>> out{{}, model.config().embed_dim + (has_table<typename clip<Architecture, B>::text_type> ? 1 : 0)};
  if (rows == 0) return out;
  step<B> s(model.device());
  typename clip<Architecture, B>::saved k;
  auto pixels = s.make(rows, 3);  // (N H W, 3)
  fill(s, pixels);
  const auto features = model.encode_image(s, pixels, k);  // (N, D)
  if constexpr (has_table<typename clip<Architecture, B>::text_type>) {
    out.cols = features.cols + 1;
    append_log_rows<B>(s, features, model.text.table(), out.values);
  } else {
    append_unit_rows<B>(s, features, out);
  }
  return out;
}
}  // namespace detail

/// Images (N, H W 3) of 8-bit RGB, which already have the model's size, to L2-normalized embeddings (N, D). mean and std are the
/// checkpoint's. Errors: an incomplete image.
template <class Architecture, backend B>
embeddings<accum_t<B>> embed_pixels(const clip<Architecture, B>& model, std::span<const std::uint8_t> rgb,
                                    const std::array<float, 3>& mean, const std::array<float, 3>& std) {
  const extent n = model.visual.config.image_size;
  const dim rows = detail::image_count(rgb.size(), n, "embed_pixels") * n.area();
  return detail::embed_images(model, rows, [&](step<B>& s, mat<scalar_t<B>> pixels) {
    auto bytes = s.device.memory().template take<std::uint8_t>(rows, 3);  // (N H W, 3)
    s.device.upload(mat<const std::uint8_t>(rgb.data(), rows, 3), bytes);
    s.device.pixels(mat<const std::uint8_t>(bytes), mean, std, pixels);
  });
}

/// Pixels (N, H W 3) that are already normalized, to L2-normalized embeddings (N, D). Errors: an incomplete image.
template <class Architecture, backend B>
embeddings<accum_t<B>> embed_normalized(const clip<Architecture, B>& model, std::span<const float> values) {
  const extent n = model.visual.config.image_size;
  const dim rows = detail::image_count(values.size(), n, "embed_normalized") * n.area();
  return detail::embed_images(
      model, rows, [&](step<B>& s, mat<scalar_t<B>> pixels) { s.device.upload(mat<const float>(values.data(), rows, 3), pixels); });
}

/// embed_pixels repeated for a fixed number of images, on a device with fast::replay: the verbs are recorded once, and each
/// call is then an upload, one launch and a download. Must not outlive the device; the model's weights must stay in place.
template <class Architecture, backend B>
class replayed_pixels {
 public:
  using A = accum_t<B>;
  /// Records the forward pass of this many images; mean and std are the checkpoint's.
  replayed_pixels(const clip<Architecture, B>& model, dim images, const std::array<float, 3>& mean, const std::array<float, 3>& std)
      : device_(&model.device()),
        rows_(images * extent(model.visual.config.image_size).area()),
        rgb_(device_->template alloc<std::uint8_t>(3 * rows_)),
        unit_(device_->template alloc<A>(images * model.config().embed_dim)),
        norms_(device_->template alloc<A>(images)),
        images_(images),
        forward_(device_->record([&] {
          step<B> s(*device_);
          typename clip<Architecture, B>::saved k;
          auto pixels = s.make(rows_, 3);  // (N H W, 3)
          device_->pixels(mat<const std::uint8_t>(rgb_.as_mat(rows_, 3)), mean, std, pixels);
          auto features = model.encode_image(s, pixels, k);  // (N, D)
          device_->normalize(mat<const scalar_t<B>>(features), unit_.as_mat(images, features.cols), norms_.as_mat(images, 1));
        })) {}

  dim images() const { return images_; }  // the recorded number
  /// rgb (N, H W 3) -> L2-normalized embeddings (N, D). Errors: a number of images other than the recorded one.
  embeddings<A> operator()(std::span<const std::uint8_t> rgb) const {
    expect(static_cast<dim>(rgb.size()) == 3 * rows_,
           [&] { return cat("replayed_pixels: expected ", 3 * rows_, " bytes, got ", rgb.size()); });
    embeddings<A> out{std::vector<A>(static_cast<std::size_t>(unit_.size())), unit_.size() / images_};
    device_->upload(mat<const std::uint8_t>(rgb.data(), rows_, 3), rgb_.as_mat(rows_, 3));
    device_->replay(forward_);
    device_->download(mat<const A>(unit_.as_mat(images_, out.cols)), mat<A>(out.values.data(), images_, out.cols));
    device_->sync();
    return out;
  }

 private:
  B* device_;
  dim rows_;
  buffer<std::uint8_t> rgb_;  // (N H W, 3)
  buffer<A> unit_, norms_;    // (N, D), (N, 1)
  dim images_;
  typename B::recording forward_;
};

namespace detail {
/// Cosines of every row of x, in host memory, with every row of y, in device memory, returned in host memory, (x.rows, y.rows).
template <backend B>
std::vector<accum_t<B>> cosines(step<B>& s, mat<const accum_t<B>> x, mat<const accum_t<B>> y) {
  using A = accum_t<B>;
  std::vector<A> out(static_cast<std::size_t>(x.rows * y.rows));
  const dim chunk = 1024;
  for (dim from = 0; from < x.rows; from += chunk) {
    scratch<B> here(s);
    const dim n = std::min(chunk, x.rows - from);
    auto dx = s.make_accum(n, x.cols), c = s.make_accum(n, y.rows);  // (n, D), (n, M)
    s.device.upload(x.row_range(from, n), dx);
    similarity(s, mat<const A>(dx), y, c);
    s.device.download(mat<const A>(c), mat<A>(out.data() + from * y.rows, n, y.rows));
    s.device.sync();
  }
  return out;
}
}  // namespace detail

/// Cosines of every row of x with every row of y, (x.rows, y.rows), computed on the device and returned on the host.
template <backend B>
std::vector<accum_t<B>> cosines(B& device, const embeddings<accum_t<B>>& x, const embeddings<accum_t<B>>& y) {
  step<B> s(device);
  auto dy = s.make_accum(y.rows(), y.cols);  // (M, D)
  device.upload(y.view(), dy);
  return detail::cosines(s, x.view(), mat<const accum_t<B>>(dy));
}

}  // namespace clipx
