// The CPU's attention and its gradient against plain loops in double: odd lengths and head widths, ragged and causal sequences,
// one query a sequence, q, k, v inside one matrix; and bit-equality of a sequence alone and in a batch.
#include <cmath>
#include <random>
#include <vector>

#include "cpu_kernels.hpp"

using namespace clipx;

namespace {

using host = std::vector<double>;

struct sequences {
  std::vector<std::int32_t> first{0};
  row_ranges ranges;
  explicit sequences(const std::vector<dim>& lengths) {
    for (const dim n : lengths) {
      first.push_back(first.back() + static_cast<std::int32_t>(n));
      ranges.longest = std::max(ranges.longest, n);
    }
    ranges.first = ranges.host = first.data();
    ranges.count = static_cast<dim>(lengths.size());
  }
  sequences(const sequences&) = delete;
};

template <class T>
std::vector<T> draw(dim n, double scale) {
  static std::mt19937 bits(3);
  std::normal_distribution<double> normal(0, scale);
  std::vector<T> v(static_cast<std::size_t>(n));
  for (auto& e : v) e = T(static_cast<float>(normal(bits)));
  return v;
}
template <class E>
double at(const mat<E>& m, dim r, dim c) {
  return static_cast<double>(static_cast<float>(m.row(r)[c]));
}

/// One sequence and head in double: out, and the gradients for dy; mats are (L, d).
struct reference {
  dim lq, lk, d;
  host p, out, dq, dk, dv, lse;
  template <class T>
  reference(mat<T> q, mat<T> k, mat<T> v, mat<T> dy, bool causal) : lq(q.rows), lk(k.rows), d(q.cols) {
    const double scale = 1 / std::sqrt(static_cast<double>(d));
    p.resize(size(lq, lk));
    out.resize(size(lq, d));
    dq = out;
    dk.resize(size(lk, d));
    dv = dk;
    for (dim i = 0; i < lq; ++i) {
      const dim n = causal ? i + 1 : lk;
      double total = 0, high = -1e300;
      for (dim j = 0; j < n; ++j) {
        double s = 0;
        for (dim c = 0; c < d; ++c) s += at(q, i, c) * at(k, j, c) * scale;
        p[size(i, lk) + size(j, 1)] = s;
        high = std::max(high, s);
      }
      for (dim j = 0; j < n; ++j) total += p[size(i, lk) + size(j, 1)] = std::exp(p[size(i, lk) + size(j, 1)] - high);
      lse.push_back(high + std::log(total));
      double dot = 0;
      host dp(size(n, 1));
      for (dim j = 0; j < n; ++j) {
        double& prob = p[size(i, lk) + size(j, 1)];
        prob /= total;
        for (dim c = 0; c < d; ++c) {
          out[size(i, d) + size(c, 1)] += prob * at(v, j, c);
          dv[size(j, d) + size(c, 1)] += prob * at(dy, i, c);
          dp[size(j, 1)] += at(dy, i, c) * at(v, j, c);
        }
        dot += prob * dp[size(j, 1)];
      }
      for (dim j = 0; j < n; ++j) {
        const double ds = p[size(i, lk) + size(j, 1)] * (dp[size(j, 1)] - dot) * scale;
        for (dim c = 0; c < d; ++c) {
          dq[size(i, d) + size(c, 1)] += ds * at(k, j, c);
          dk[size(j, d) + size(c, 1)] += ds * at(q, i, c);
        }
      }
    }
  }
  static std::size_t size(dim a, dim b) { return static_cast<std::size_t>(a * b); }
};

/// Largest |got - want| over u(T) (|want| + rms of want), plus the float arithmetic between, in units of u32 (64 terms' worth).
template <class T>
double worst(mat<T> got, const host& want) {
  double squares = 0, most = 0;
  for (const double v : want) squares += v * v;
  const double rms = std::sqrt(squares / static_cast<double>(want.size()));
  const double u = std::is_same_v<T, bf16> ? 0x1p-8 : 0x1p-24, u32 = 0x1p-24;
  for (dim r = 0; r < got.rows; ++r)
    for (dim c = 0; c < got.cols; ++c) {
      const double w = want[static_cast<std::size_t>(r * got.cols + c)];
      const double ratio = std::abs(at(got, r, c) - w) / (u * std::abs(w) + 128 * u32 * (std::abs(w) + rms) + 1e-30);
      if (!(ratio <= most)) most = ratio;
    }
  return most;
}

template <class T>
void compare(const std::vector<dim>& lq, const std::vector<dim>& lk, dim heads, dim d, bool causal, double size) {
  const sequences queries(lq), keys(lk);
  const dim rq = queries.ranges.rows(), rk = keys.ranges.rows(), width = heads * d;
  auto qkv = draw<T>(rk * 3 * width, size), other = draw<T>(rq * width, size), dy_data = draw<T>(rq * width, 1);
  std::vector<T> y_data(dy_data.size()), d_qkv(qkv.size()), dq_data(other.size());
  std::vector<float> lse_data(static_cast<std::size_t>(rq * heads));
  const mat<T> all(qkv.data(), rk, 3 * width), d_all(d_qkv.data(), rk, 3 * width);
  const mat<T> q = rq == rk ? all.col_range(0, width) : mat<T>(other.data(), rq, width), k = all.col_range(width, width),
               v = all.col_range(2 * width, width), y(y_data.data(), rq, width), dy(dy_data.data(), rq, width);
  const mat<T> dq = rq == rk ? d_all.col_range(0, width) : mat<T>(dq_data.data(), rq, width), dk = d_all.col_range(width, width),
               dv = d_all.col_range(2 * width, width);
  const mat<float> lse(lse_data.data(), rq, heads);
  const attention_input<T> input{.q = q, .k = k, .v = v, .queries = queries.ranges, .keys = keys.ranges, .causal = causal};
  cpu_kernels::on<T>(2).attention(input, heads, y, lse);
  cpu_kernels::on<T>(2).attention_backward(input, heads, y, lse, dy, {.q = dq, .k = dk, .v = dv});
  INFO("d " << d << ", queries " << lq[0] << ", keys " << lk[0] << ", causal " << causal << ", size " << size);
  for (std::size_t i = 0; i < lq.size(); ++i)
    for (dim h = 0; h < heads; ++h) {
      const auto part = [&](const mat<T>& m, const sequences& s) {
        return m.row_range(s.first[i], s.first[i + 1] - s.first[i]).col_range(h * d, d);
      };
      const reference want(part(q, queries), part(k, keys), part(v, keys), part(dy, queries), causal);
      CHECK(worst(part(y, queries), want.out) <= 1);
      CHECK(worst(part(dq, queries), want.dq) <= 2 * (1 + size * size));  // exponents of size^2 are rounded to float
      CHECK(worst(part(dk, keys), want.dk) <= 2 * (1 + size * size));
      CHECK(worst(part(dv, keys), want.dv) <= 2 * (1 + size * size));
      for (dim r = 0; r < lq[i]; ++r)
        REQUIRE(std::abs(at(lse, queries.first[i] + r, h) - want.lse[static_cast<std::size_t>(r)]) <=
                32 * 0x1p-24 * (1 + std::abs(want.lse[static_cast<std::size_t>(r)]) + size * size));

      // the sequence alone, on one thread and without lse, gives the same bits
      const sequences one_q({lq[i]}), one_k({lk[i]});
      std::vector<T> alone(static_cast<std::size_t>(lq[i] * d));
      const attention_input<T> one{.q = part(q, queries),
                                   .k = part(k, keys),
                                   .v = part(v, keys),
                                   .queries = one_q.ranges,
                                   .keys = one_k.ranges,
                                   .causal = causal};
      cpu_kernels::on<T>(1).attention(one, 1, {alone.data(), lq[i], d}, {});
      bool same = true;
      for (dim r = 0; r < lq[i]; ++r)
        for (dim c = 0; c < d; ++c) same = same && at(mat<T>(alone.data(), lq[i], d), r, c) == at(part(y, queries), r, c);
      CHECK(same);
    }
}

}  // namespace

TEMPLATE_TEST_CASE("cpu attention: lengths and widths", "[cpu]", float, bf16) {
  for (const dim d : {1, 16, 17, 40, 64, 80, 88, 104, 112})
    for (const bool causal : {false, true}) compare<TestType>({7, 1, 33}, {7, 1, 33}, 2, d, causal, 1);
  for (const dim length : {1, 5, 6, 8, 16, 31, 47, 50, 77, 257})
    for (const bool causal : {false, true}) compare<TestType>({length, 9}, {length, 9}, 3, 64, causal, 1);
  compare<TestType>({730}, {730}, 1, 80, false, 1);
  compare<TestType>({50, 50}, {50, 50}, 2, 64, false, 4);  // sharp: scores of some tens
}

TEMPLATE_TEST_CASE("cpu attention: one query a sequence, and unequal ranges", "[cpu]", float, bf16) {
  compare<TestType>({1, 1, 1}, {257, 50, 1}, 4, 64, false, 1);
  compare<TestType>({1, 1}, {50, 77}, 3, 88, false, 1);
  compare<TestType>({3, 20}, {33, 5}, 2, 24, false, 1);
}

TEST_CASE("cpu attention: a causal row does not see what follows", "[cpu]") {
  const dim d = 64, n = 50;
  auto data = draw<float>(n * 3 * d, 1);
  const mat<float> all(data.data(), n, 3 * d);
  std::vector<float> whole(static_cast<std::size_t>(n * d)), some(whole.size());
  for (const dim length : {n, dim{11}}) {
    const sequences s({length});
    const auto part = [&](dim i) { return mat<const float>(all.row_range(0, length).col_range(i * d, d)); };
    cpu_kernels::on<float>(1).attention(
        {.q = part(0), .k = part(1), .v = part(2), .queries = s.ranges, .keys = s.ranges, .causal = true}, 1,
        {length == n ? whole.data() : some.data(), length, d}, {});
  }
  for (std::size_t i = 0; i < static_cast<std::size_t>(11 * d); ++i) REQUIRE(some[i] == whole[i]);
}
