// What concerns no operator: the sentence behind a status, the current device, zeros.
#include <stdio.h>

#include "host.h"

namespace {

thread_local char last_error[256] = "";

int status_of(cudaError_t error) {
  return error == cudaSuccess ? DCN_OK : dcn::refuse(DCN_CUDA_FAILED, cudaGetErrorString(error));
}

}  // namespace

int dcn::refuse(int status, const char* sentence) {
  snprintf(last_error, sizeof last_error, "%s", sentence);
  return status;
}

const char* dcn_cuda_error() { return last_error; }

int dcn_cuda_set_device(int device) { return status_of(cudaSetDevice(device)); }

int dcn_cuda_zero(void* array, size_t bytes, void* stream) {
  return status_of(cudaMemsetAsync(array, 0, bytes, static_cast<cudaStream_t>(stream)));
}
