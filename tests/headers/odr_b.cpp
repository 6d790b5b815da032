#include "odr.hpp"

std::size_t templates_seen_by_a();

int main() { return templates_seen_by_a() == clipx::default_templates().size() ? 0 : 1; }
