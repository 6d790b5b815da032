// The other unit: the arena and the errors of the debug unit are those of this one.
#include <cstdlib>
#include <cstring>

#include "odr.hpp"
#ifndef NDEBUG
#error expected to be compiled with NDEBUG
#endif

std::size_t templates_seen_by_a();
void release_by_a(clipx::arena& memory, clipx::arena::mark to);
void fail_in_a();

namespace {
/// Whether memory is poisoned when it is given back by either unit.
bool poisoned(clipx::arena& memory, bool by_a) {
  const auto mark = memory.here();
  const auto view = memory.take<unsigned char>(1, 256);
  std::memset(view.data, 7, 256);
  if (by_a) release_by_a(memory, mark);
  else memory.release(mark);
  return view.data[0] == 0xff && view.data[255] == 0xff;
}
}  // namespace

int main() {
  if (templates_seen_by_a() != clipx::default_templates().size()) return 1;
  if (!clipx::detail::checks_enabled()) return 2;  // by the debug unit, for all
  clipx::arena memory(
      nullptr,
      [](void*, clipx::dim n) {
        return clipx::buffer<std::byte>(static_cast<std::byte*>(std::malloc(static_cast<std::size_t>(n))), n, std::free);
      },
      [](void*, std::byte* p, clipx::dim n) { std::memset(p, 0xff, static_cast<std::size_t>(n)); });
  if (!poisoned(memory, true) || !poisoned(memory, false)) return 3;
  try {
    fail_in_a();
  } catch (const clipx::error& e) { return std::strstr(e.at().file, "odr_a.cpp") ? 0 : 4; }
  return 5;
}
