// The families whose kernels are compiled for each instruction set.
// Included three times (see family.hpp), so without include guard.
#include "attention.hpp"
#include "depthwise.hpp"
#include "dictionary.hpp"
#include "elementwise.hpp"
#include "images.hpp"
#include "loss.hpp"
#include "norm.hpp"
#include "optimizer.hpp"
#include "resample.hpp"
#include "rows.hpp"
