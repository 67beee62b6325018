// Threads and scratch memory, the same for every operator of the core.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <atomic>
#include <new>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace dcn {

inline int max_threads() {
#ifdef _OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

// body(item, thread) for each item, each exactly once. Which thread takes which item is left to chance, so an item's
// result must not depend on it: that is what makes results equal for any number of threads. No exception may leave a
// thread's part of the loop; whichever it was (status.h says what can be), the caller gets a std::bad_alloc.
template <typename Body>
inline void parallel_for(int items, int threads, Body body) {
#ifdef _OPENMP
  if (threads > 1 && items > 1) {
    std::atomic<bool> exhausted(false);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (int item = 0; item < items; ++item) {
      try {
        body(item, omp_get_thread_num());
      } catch (...) {
        exhausted = true;
      }
    }
    if (exhausted) throw std::bad_alloc();
    return;
  }
#endif
  for (int item = 0; item < items; ++item) body(item, 0);
}

// Cuts one block of memory into aligned arrays. On a null block it only measures.
class Arena {
 public:
  static constexpr size_t kAlign = 64;

  explicit Arena(void* block) : base_(align(reinterpret_cast<uintptr_t>(block))) {}

  template <typename T>
  T* take(size_t count) {
    T* array = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ = align(used_ + count * sizeof(T));
    return array;
  }
  size_t bytes() const { return used_ + kAlign; }

 private:
  static size_t align(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }
  uintptr_t base_;
  size_t used_ = 0;
};

}  // namespace dcn
