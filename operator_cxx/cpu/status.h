// Exceptions end here: what runs behind the C interface gives a status instead.
#pragma once

#include "../include/common.h"

namespace dcn {

// Runs work(). All that it can throw is want of memory, or a container's refusal to count that far.
template <typename Work>
inline int status_of(const Work& work) {
  try {
    work();
    return DCN_OK;
  } catch (...) {
    return DCN_NO_MEMORY;
  }
}

// Runs run(T()) with the element type's T.
template <typename Run>
inline int for_dtype(int dtype, const Run& run) {
  if (dtype == DCN_FLOAT32) return status_of([&] { run(float()); });
  if (dtype == DCN_FLOAT64) return status_of([&] { run(double()); });
  return DCN_BAD_DTYPE;
}

}  // namespace dcn
