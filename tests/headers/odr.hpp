#pragma once
#include <clipx/clipx.hpp>
#include <clipx/core/checks.hpp>
#include <clipx/data/loader.hpp>
#include <clipx/train/metrics.hpp>
#include <clipx/train/report.hpp>
#ifdef CLIPX_HAS_EIGEN
#include <clipx/eigen.hpp>
#endif
#ifdef CLIPX_HAS_CPU
#include <clipx/cpu.hpp>
#endif
