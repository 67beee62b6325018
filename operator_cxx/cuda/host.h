// What the launching code of all operators shares: statuses with a sentence, the caller's workspace, sizes of grids.
#pragma once

#include <stdint.h>

#include "dcn_cuda.h"
#include "element.cuh"

namespace dcn {

// Keeps the sentence for dcn_cuda_error and returns the status.
int refuse(int status, const char* sentence);

// DCN_OK, or what the last launch said.
inline int launched() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? DCN_OK : refuse(DCN_CUDA_FAILED, cudaGetErrorString(error));
}

inline bool is_dtype(int dtype) { return dtype == DCN_FLOAT32 || dtype == DCN_FLOAT64 || dtype == DCN_FLOAT16; }

// Calls run(T()) with the type of the elements.
template <typename Run>
int for_dtype(int dtype, const Run& run) {
  if (dtype == DCN_FLOAT32) return run(float());
  if (dtype == DCN_FLOAT64) return run(double());
  if (dtype == DCN_FLOAT16) return run(__half());
  return refuse(DCN_BAD_DTYPE, "the element type is neither float32, float64 nor float16");
}

// Cuts a workspace into arrays aligned to 256 bytes. With a null base it only counts.
class Carver {
 public:
  explicit Carver(void* base) : at_(reinterpret_cast<uintptr_t>(base)), bytes_(kAlign) {
    at_ = (at_ + kAlign - 1) / kAlign * kAlign;
  }

  template <typename T>
  T* take(long long count) {
    T* array = reinterpret_cast<T*>(at_);
    const size_t bytes = (size_t(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
    at_ += bytes;
    bytes_ += bytes;
    return array;
  }

  // What all arrays need, with room to align the base.
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t kAlign = 256;
  uintptr_t at_;
  size_t bytes_;
};

inline int check_workspace(const void* workspace, size_t given, size_t needed) {
  if (workspace && given >= needed) return DCN_OK;
  return refuse(DCN_CUDA_SMALL_WORKSPACE, "the workspace is smaller than the workspace function of the operator says");
}

// Blocks for a loop over items that strides by the grid.
inline dim3 blocks_for(long long items) {
  const long long blocks = (items + kThreads - 1) / kThreads;
  return dim3(unsigned(blocks < 1 ? 1 : blocks > 1 << 20 ? 1 << 20 : blocks));
}

inline int divide_up(int a, int b) { return (a + b - 1) / b; }

}  // namespace dcn
