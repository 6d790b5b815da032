// One of two units that include everything and are linked into one program: a definition that is not inline shows here.
#include "odr.hpp"

std::size_t templates_seen_by_a() { return clipx::default_templates().size(); }
