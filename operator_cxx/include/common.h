// What every operator of the core shares: requests, element types, status codes and the marks for host/device and
// exported functions.
#pragma once
#include <initializer_list>

#ifdef __CUDACC__
#define DCN_HD __host__ __device__ __forceinline__
#else
#define DCN_HD inline
#endif

#define DCN_API extern "C" __attribute__((visibility("default")))

// What to do with a result; the values are those of mxnet::OpReqType.
enum dcn_request { DCN_NULL = 0, DCN_WRITE = 1, DCN_WRITE_INPLACE = 2, DCN_ADD = 3 };

// Element type; the values are those of mshadow::TypeFlag. The core on the CPU refuses DCN_FLOAT16, which is
// for GPUs.
enum dcn_dtype { DCN_FLOAT32 = 0, DCN_FLOAT64 = 1, DCN_FLOAT16 = 2 };

// What the functions of the C interface return.
enum dcn_status { DCN_OK = 0, DCN_BAD_DTYPE = 1, DCN_BAD_SHAPE = 2, DCN_NO_MEMORY = 3 };

namespace dcn {

// The core counts in int what a thread walks over; 1024 stay free because counts are rounded up to whole vectors and
// tiles. No memory holds an array of more elements than kMostElements.
constexpr int kMostSteps = 0x7fffffff - 1024;
constexpr long long kMostElements = 1LL << 48;

// Is the product of these counts at most `most`? Divided, for it may be larger than any integer. 0 counts as 1.
inline bool fits(long long most, std::initializer_list<long long> counts) {
  for (long long count : counts) {
    if (count > most) return false;
    if (count > 1) most /= count;
  }
  return true;
}

}  // namespace dcn
