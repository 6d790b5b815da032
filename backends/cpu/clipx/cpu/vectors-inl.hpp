// Vectors of float: loads and stores of float and bf16, whole or partial, sums along rows and columns, and the functions that the
// kernels need. Part of kernels-inl.hpp, which includes it and what it stands on, once for each instruction set: no include guard.

// Attributes for lambdas with vector code, to which the enclosing function's target attribute does not extend.
#undef CLIPX_LANES
#define CLIPX_LANES HWY_ATTR __attribute__((always_inline))

HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using df = hn::ScalableTag<float>;
using di = hn::RebindToSigned<df>;
using du = hn::RebindToUnsigned<df>;
using dbf = hn::Rebind<std::uint16_t, df>;  // the bits of as many bf16
using vf = hn::Vec<df>;
inline const char* target_name() { return hwy::TargetName(HWY_TARGET); }
inline constexpr dim lanes = static_cast<dim>(hn::MaxLanes(df()));

HWY_INLINE vf set(float v) { return hn::Set(df(), v); }
HWY_INLINE vf zero() { return hn::Zero(df()); }
HWY_INLINE float sum(vf v) { return hn::GetLane(hn::SumOfLanes(df(), v)); }
HWY_INLINE float top(vf v) { return hn::GetLane(hn::MaxOfLanes(df(), v)); }

HWY_INLINE vf load(const float* p) { return hn::LoadU(df(), p); }
HWY_INLINE vf load(const bf16* p) {
  const auto bits = hn::LoadU(dbf(), reinterpret_cast<const std::uint16_t*>(p));
  return hn::BitCast(df(), hn::ShiftLeft<16>(hn::PromoteTo(du(), bits)));
}
HWY_INLINE void store(vf v, float* p) { hn::StoreU(v, df(), p); }
/// Rounds to nearest even; a NaN keeps its upper half and remains a NaN.
HWY_INLINE void store(vf v, bf16* p) {
  const auto u = hn::BitCast(du(), v);
  const auto upper = hn::ShiftRight<16>(u);
  const auto rounded = hn::ShiftRight<16>(u + hn::Set(du(), 0x7fffu) + hn::And(upper, hn::Set(du(), 1u)));
  const auto is_nan = hn::RebindMask(du(), hn::IsNaN(v));
  const auto bits = hn::IfThenElse(is_nan, hn::Or(upper, hn::Set(du(), 0x40u)), rounded);
  hn::StoreU(hn::DemoteTo(dbf(), hn::BitCast(di(), bits)), dbf(), reinterpret_cast<std::uint16_t*>(p));
}

/// A position in a row: `lanes` elements at i, or the last n < lanes ones (0 is read beyond the row, and nothing written there).
struct whole {
  dim i;
  static constexpr dim n = lanes;
  template <class E>
  HWY_INLINE vf get(const E* row) const {
    return load(row + i);
  }
  template <class E>
  HWY_INLINE void put(vf v, E* row) const {
    store(v, row + i);
  }
  HWY_INLINE vf keep(vf v, vf) const { return v; }
};
struct part {
  dim i, n;
  template <class E>
  HWY_INLINE vf get(const E* row) const {
    E some[lanes] = {};
    std::memcpy(some, row + i, static_cast<std::size_t>(n) * sizeof(E));
    return load(some);
  }
  template <class E>
  HWY_INLINE void put(vf v, E* row) const {
    E some[lanes];
    store(v, some);
    std::memcpy(row + i, some, static_cast<std::size_t>(n) * sizeof(E));
  }
  /// v in the lanes inside the row, `other` elsewhere.
  HWY_INLINE vf keep(vf v, vf other) const { return hn::IfThenElse(hn::FirstN(df(), static_cast<std::size_t>(n)), v, other); }
};
/// Calls f(position) along a row of n.
template <class F>
HWY_INLINE void along(dim n, F&& f) {
  dim i = 0;
  for (; i + lanes <= n; i += lanes) f(whole{i});
  if (i < n) f(part{i, n - i});
}

/// A sum along a row of n: add(position, sum) is the sum plus the term at the position. Four partial sums hide the adder's latency
/// and are part of the fixed order.
template <class F>
HWY_INLINE float row_sum(dim n, F&& add) {
  auto s0 = zero(), s1 = zero(), s2 = zero(), s3 = zero();
  dim i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = add(whole{i}, s0);
    s1 = add(whole{i + lanes}, s1);
    s2 = add(whole{i + 2 * lanes}, s2);
    s3 = add(whole{i + 3 * lanes}, s3);
  }
  for (; i + lanes <= n; i += lanes) s0 = add(whole{i}, s0);
  if (i < n) s1 = part{i, n - i}.keep(add(part{i, n - i}, s1), s1);
  return sum((s0 + s1) + (s2 + s3));
}

/// The largest of get(position) along a row of n; lanes beyond the row hold the lowest value.
template <class F>
HWY_INLINE float row_top(dim n, F&& get) {
  const auto lowest = set(-std::numeric_limits<float>::infinity());
  auto m = lowest;
  dim i = 0;
  for (; i + lanes <= n; i += lanes) m = hn::Max(m, get(whole{i}));
  if (i < n) m = hn::Max(m, part{i, n - i}.keep(get(part{i, n - i}), lowest));
  return top(m);
}

/// Calls f(position, first row, end) for blocks of rows that are small enough to stay in the first-level cache.
template <class F>
HWY_INLINE void by_columns(dim rows, dim cols, F&& f) {
  constexpr dim few = 16;
  for (dim r = 0; r < rows; r += few) along(cols, [&](auto at) CLIPX_LANES { f(at, r, std::min(rows, r + few)); });
}

/// totals[c] = a sum over r = first, first + step, ... < rows, for all `cols` columns: add(position, r, sum) is the sum plus row
/// r's term. In blocks of 64 rows, so that long sums keep their accuracy and a block stays in the cache.
inline constexpr dim block_rows = 64;
template <class F>
HWY_INLINE void column_sums(dim first, dim step, dim rows, dim cols, float* totals, F&& add) {
  std::fill_n(totals, cols, 0.0f);
  for (dim begin = first; begin < rows; begin += block_rows * step) {
    const dim end = std::min(rows, begin + block_rows * step);
    along(cols, [&](auto at) CLIPX_LANES {
      auto block = zero();
      for (dim r = begin; r < end; r += step) block = add(at, r, block);
      at.put(at.get(totals) + block, totals);
    });
  }
}

/// e^(x + low) for x <= 88 and |low| < 0.06, within 1 ulp; 0 below -88. r = x - n ln 2 is in [-0.35, 0.35], and e^r comes from a
/// polynomial (near-minimax, error 3e-9). Adding `round` leaves n + 127 in the low bits; shifted up, they are the float 2^n.
HWY_INLINE vf exp_down(vf x, vf low) {
  const auto round = set(12582912.0f + 127.0f);  // 1.5 * 2^23: the spacing of floats there is 1
  x = hn::Max(set(-88.02969f), x);               // 2^-127, whose bits are those of 0; this order of operands preserves NaN
  const auto t = hn::MulAdd(x, set(1.44269504f), round);
  const auto n = t - round;
  auto r = hn::NegMulAdd(n, set(0.693145751953125f), x);  // ln 2 in two parts; the first has 15 bits, so n times it is exact
  r = hn::NegMulAdd(n, set(1.42860682e-6f), r) + low;
  auto p = set(0.0013814543951671944f);
  p = hn::MulAdd(p, r, set(0.00836874501497822f));
  p = hn::MulAdd(p, r, set(0.04166839072746032f));
  p = hn::MulAdd(p, r, set(0.16666520399685433f));
  p = hn::MulAdd(p, r, set(0.49999993432305323f));
  p = hn::MulAdd(p, r * r, r) + set(1.0f);
  return p * hn::BitCast(df(), hn::ShiftLeft<23>(hn::BitCast(du(), t)));
}
HWY_INLINE vf exp_down(vf x) { return exp_down(x, zero()); }

/// The normal distribution's density e = exp(-x^2 / 2) (without the factor 1 / sqrt(2 pi)) and its lower tail at -|x|, both to a
/// few ulp relative, however small: tail = e * t * Q(t), t = 1 / (1 + 0.3 |x|), Q a polynomial (near-minimax, error 4e-9). x^2 is
/// computed in two parts: x = h + l with 12 bits in h, so h^2 is exact, and (x - h)(x + h) is the rest.
struct normal {
  vf e, tail;
  HWY_INLINE explicit normal(vf x) {
    const auto a = hn::Abs(x);
    const auto h = hn::BitCast(df(), hn::And(hn::BitCast(du(), a), hn::Set(du(), 0xfffff000u)));
    const auto minus_half = set(-0.5f);
    e = exp_down(minus_half * (h * h), minus_half * ((a - h) * (a + h)));
    const auto t = set(1.0f) / hn::MulAdd(a, set(0.3f), set(1.0f));
    auto q = set(-0.02062044804f);
    q = hn::MulAdd(q, t, set(0.1124184299f));
    q = hn::MulAdd(q, t, set(-0.2281711799f));
    q = hn::MulAdd(q, t, set(0.1917250002f));
    q = hn::MulAdd(q, t, set(-0.07937125664f));
    q = hn::MulAdd(q, t, set(0.09612718815f));
    q = hn::MulAdd(q, t, set(0.0784005065f));
    q = hn::MulAdd(q, t, set(0.1102329562f));
    q = hn::MulAdd(q, t, set(0.1195721294f));
    q = hn::MulAdd(q, t, set(0.1196866726f));
    tail = e * (t * q);
  }
};

struct relu {
  static HWY_INLINE vf value(vf x) { return hn::Max(zero(), x); }
  static HWY_INLINE vf slope(vf x) { return hn::IfThenElseZero(x > zero(), set(1.0f)); }
};
struct gelu {
  static HWY_INLINE vf value(vf x) {
    const normal g(x);
    return x * hn::IfThenElse(x < zero(), g.tail, set(1.0f) - g.tail);
  }
  static HWY_INLINE vf slope(vf x) {
    const normal g(x);
    const auto below = hn::IfThenElse(x < zero(), g.tail, set(1.0f) - g.tail);
    return hn::MulAdd(x, g.e * set(0.3989422804f), below);
  }
};
/// x sigmoid(z), and its slope sigmoid(z) + x z' sigmoid(z) sigmoid(-z), without a loss of digits on either side.
HWY_INLINE vf gated(vf x, vf z) {
  const auto e = exp_down(zero() - hn::Abs(z));
  return x * hn::IfThenElse(z < zero(), e, set(1.0f)) / (set(1.0f) + e);
}
HWY_INLINE vf gated_slope(vf z, vf x_dz) {
  const auto e = exp_down(zero() - hn::Abs(z)), one = set(1.0f);
  const auto s = hn::IfThenElse(z < zero(), e, one) / (one + e), rest = hn::IfThenElse(z < zero(), one, e) / (one + e);
  return hn::MulAdd(x_dz * s, rest, s);
}
struct quick_gelu {
  static HWY_INLINE vf value(vf x) { return gated(x, x * set(1.702f)); }
  static HWY_INLINE vf slope(vf x) {
    const auto z = x * set(1.702f);
    return gated_slope(z, z);
  }
};
struct silu {
  static HWY_INLINE vf value(vf x) { return gated(x, x); }
  static HWY_INLINE vf slope(vf x) { return gated_slope(x, x); }
};
struct gelu_tanh {
  static HWY_INLINE vf z(vf x) { return x * hn::MulAdd(x * x, set(0.0713548163f), set(1.5957691216f)); }  // 2 u
  static HWY_INLINE vf value(vf x) { return gated(x, z(x)); }
  static HWY_INLINE vf slope(vf x) { return gated_slope(z(x), x * hn::MulAdd(x * x, set(0.2140644488f), set(1.5957691216f))); }
};
struct identity {
  static HWY_INLINE vf value(vf x) { return x; }
};
/// Calls use(functor) for an activation.
template <class F>
HWY_INLINE void with(activation f, F&& use) {
  switch (f) {
    case activation::relu:
      return use(relu());
    case activation::gelu:
      return use(gelu());
    case activation::quick_gelu:
      return use(quick_gelu());
    case activation::silu:
      return use(silu());
    case activation::gelu_tanh:
      return use(gelu_tanh());
  }
}

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
