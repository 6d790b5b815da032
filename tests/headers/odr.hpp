#pragma once
#include <clipx/clipx.hpp>
#include <clipx/data/loader.hpp>
#ifdef CLIPX_HAS_EIGEN
#include <clipx/eigen.hpp>
#endif
#ifdef CLIPX_HAS_CPU
#include <clipx/cpu.hpp>
#endif
