// What guard_mapped_files() knows: the mapped files of the process, and the handler that answers for a page that cannot be read.
#pragma once
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "../core/error.hpp"
#include "file.hpp"

namespace clipx::detail {

/// A mapping in the list that the handler walks. Entries are used again but never freed: the handler may be at any of them.
struct guarded_mapping {
  std::atomic<std::uintptr_t> begin{0};  // 0: not in use
  std::size_t size = 0;
  std::atomic<bool> torn{false};      // a page could not be read
  std::atomic<bool> reported{false};  // by an error
  dev_t device = 0;                   // these two: which file is mapped; no descriptor is kept, as there may be many mappings
  ino_t number = 0;
  std::string path;
  guarded_mapping* next = nullptr;
};

/// All of them; `change` is held by whoever takes or gives back an entry.
struct guarded_mappings {
  std::atomic<guarded_mapping*> first{nullptr};
  std::mutex change;
  struct sigaction before {};  // the handler that ours replaced
  bool installed = false;
};
inline guarded_mappings& all_guarded() {
  static auto* const all = new guarded_mappings;  // never destroyed: a fault may come at any time
  return *all;
}

inline guarded_mapping* guard_mapping(const std::byte* data, std::size_t size, int fd, const std::string& path) {
  auto& all = all_guarded();
  const std::lock_guard lock(all.change);
  guarded_mapping* entry = all.first;
  while (entry && (entry->begin || (entry->torn && !entry->reported))) entry = entry->next;
  const bool added = !entry;
  if (added) entry = new guarded_mapping;
  entry->size = size;
  entry->torn = entry->reported = false;
  struct stat facts {};
  const bool known = ::fstat(fd, &facts) == 0;
  entry->device = known ? facts.st_dev : 0;
  entry->number = known ? facts.st_ino : 0;
  entry->path = path;
  entry->begin = reinterpret_cast<std::uintptr_t>(data);
  if (added) {
    entry->next = all.first;
    all.first = entry;
  }
  return entry;
}

inline void release_mapping(guarded_mapping& entry) {
  const std::lock_guard lock(all_guarded().change);
  entry.begin = 0;
}

inline void expect_whole(guarded_mapping& entry) {
  struct stat facts {};  // what a page holds behind the file's new end reads as zeros without a fault
  const bool same = ::stat(entry.path.c_str(), &facts) == 0 && facts.st_dev == entry.device && facts.st_ino == entry.number;
  if (same && facts.st_size < static_cast<off_t>(entry.size)) entry.torn = true;
  if (!entry.torn) return;
  entry.reported = true;
  fail(error_kind::io, cat(entry.path, ": expected ", entry.size,
                           " bytes, as when it was opened; the file has become shorter while it was read, or its disk has failed"));
}

/// The handler of SIGBUS. It calls mmap, which is a system call and nothing else.
inline void on_unreadable_page(int number, siginfo_t* about, void* context) {
  const auto at = reinterpret_cast<std::uintptr_t>(about->si_addr);
  for (auto* entry = all_guarded().first.load(); entry; entry = entry->next) {
    const std::uintptr_t begin = entry->begin;
    if (begin == 0 || at < begin || at >= begin + entry->size) continue;
    const auto page = at - (at - begin) % static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));  // a mapping begins with a page
    void* const zeros = ::mmap(reinterpret_cast<void*>(page), begin + entry->size - page, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (zeros == MAP_FAILED) break;
    entry->torn = true;
    return;
  }
  const auto& before = all_guarded().before;
  if (before.sa_flags & SA_SIGINFO) return before.sa_sigaction(number, about, context);
  if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) return before.sa_handler(number);
  ::signal(SIGBUS, SIG_DFL);  // the access is tried again, and ends the process
}

}  // namespace clipx::detail

namespace clipx {

CLIPX_INLINE void guard_mapped_files() {
  auto& all = detail::all_guarded();
  const std::lock_guard lock(all.change);
  if (all.installed) return;
  struct sigaction ours {};
  ours.sa_sigaction = detail::on_unreadable_page;
  ours.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&ours.sa_mask);
  expect(::sigaction(SIGBUS, &ours, &all.before) == 0, error_kind::io, "guard_mapped_files: no handler of SIGBUS can be installed");
  all.installed = true;
}

CLIPX_INLINE void expect_mapped_files_whole() {
  for (auto* entry = detail::all_guarded().first.load(); entry; entry = entry->next)
    if (entry->torn && !entry->reported) detail::expect_whole(*entry);
}

}  // namespace clipx
