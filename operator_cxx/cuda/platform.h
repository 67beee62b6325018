// CUDA as the kernels see it: the real one under nvcc, emulator.h elsewhere. Every launch goes through dcn::launch.
#pragma once

#ifdef __CUDACC__

#include <cuda_fp16.h>
#include <mma.h>
#include <stdint.h>
#include <string.h>

// Shared memory of a kernel, aligned for every load that the kernels make.
#define DCN_SHARED(name, bytes) __shared__ __align__(128) unsigned char name[bytes]

namespace dcn {

#ifndef __CUDACC_RTC__
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 threads, cudaStream_t stream, Arguments... arguments) {
  kernel<<<grid, threads, 0, stream>>>(static_cast<Parameters>(arguments)...);
}

// Compute capability of the current device, times ten.
inline cudaError_t device_capability(int* capability) {
  int device = 0, major = 0, minor = 0;
  cudaError_t error = cudaGetDevice(&device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  *capability = 10 * major + minor;
  return error;
}
#endif

}  // namespace dcn

#else

#include "emulator.h"

#endif
