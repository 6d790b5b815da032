// One of two units that include everything and are linked into one program: a definition that is not inline shows here. This one is
// compiled without NDEBUG and without optimization, the other one with both.
#include "odr.hpp"
#ifdef NDEBUG
#error expected to be compiled without NDEBUG
#endif

std::size_t templates_seen_by_a() { return clipx::default_templates().size(); }

void release_by_a(clipx::arena& memory, clipx::arena::mark to) { memory.release(to); }

void fail_in_a() { clipx::fail("of the debug unit"); }
