// The device that a command was asked for.
#pragma once
#include <clipx/core/bf16.hpp>
#include <clipx/core/error.hpp>
#include <string>
#ifdef CLIPX_HAS_EIGEN
#include <clipx/eigen.hpp>
#endif
#ifdef CLIPX_HAS_CPU
#include <clipx/cpu.hpp>
#endif
#ifdef CLIPX_HAS_CUDA
#include <clipx/cuda.hpp>
#endif

#include "bench.hpp"

namespace bench {

struct device_options {
#ifdef CLIPX_HAS_CPU
  std::string backend = "cpu";
#else
  std::string backend = "eigen";
#endif
  std::string precision = "f32";
  int threads = 2, gpu = 0;
  bool deterministic = false, tf32 = false, autotune = false;

  void add(cli::command& verb) {
    verb.add_option("--backend", backend, "cpu, eigen (f32) or cuda")->check(cli::is_member({"cpu", "eigen", "cuda"}));
    verb.add_option("--precision", precision)->check(cli::is_member({"f32", "bf16"}));
    verb.add_option("--threads", threads, "cpu")->check(cli::positive_number());
    verb.add_flag("--deterministic", deterministic, "cpu");
    verb.add_option("--device", gpu, "cuda: which GPU");
    verb.add_flag("--tf32", tf32, "cuda");
    verb.add_flag("--autotune", autotune, "cuda");
  }
};

/// f(device). Error: a backend that is not built in, or has no such precision.
template <class F>
void with_device(const device_options& o, F&& f) {
  const auto either = [&]<template <class> class B>(const auto& how) {
    if (o.precision == "bf16") {
      B<clipx::bf16> device(how);
      f(device);
    } else {
      B<float> device(how);
      f(device);
    }
  };
  (void)either;
#ifdef CLIPX_HAS_CPU
  if (o.backend == "cpu")
    return either.template operator()<clipx::cpu>(clipx::cpu_options{.threads = o.threads, .deterministic = o.deterministic});
#endif
#ifdef CLIPX_HAS_CUDA
  if (o.backend == "cuda")
    return either.template operator()<clipx::cuda>(clipx::cuda_options{.device = o.gpu, .tf32 = o.tf32, .autotune = o.autotune});
#endif
#ifdef CLIPX_HAS_EIGEN
  if (o.backend == "eigen") {
    clipx::expect(o.precision == "f32", "--backend eigen: is timed in f32 alone");
    clipx::eigen<float> device;
    return f(device);
  }
#endif
  clipx::fail(clipx::cat("--backend ", o.backend, ": clipx-bench was built without it"));
}

/// Adds the device's memory: weights, and the most that a call took beside them.
template <class B>
void add_memory(json& facts, B& device, clipx::dim weights) {
  facts["weights_mib"] = static_cast<double>(weights) / (1 << 20);
  facts["activations_peak_mib"] = static_cast<double>(device.memory().peak()) / (1 << 20);
}

}  // namespace bench
