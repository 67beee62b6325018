// What every operator of the core shares: requests, element types, status codes and the marks for host/device and
// exported functions.
#pragma once

#ifdef __CUDACC__
#define DCN_HD __host__ __device__ __forceinline__
#else
#define DCN_HD inline
#endif

#define DCN_API extern "C" __attribute__((visibility("default")))

// What to do with a result; the values are those of mxnet::OpReqType.
enum dcn_request { DCN_NULL = 0, DCN_WRITE = 1, DCN_WRITE_INPLACE = 2, DCN_ADD = 3 };

// Element type; the values are those of mshadow::TypeFlag. The core on the CPU refuses DCN_FLOAT16, which is for GPUs.
enum dcn_dtype { DCN_FLOAT32 = 0, DCN_FLOAT64 = 1, DCN_FLOAT16 = 2 };

// What the functions of the C interface return.
enum dcn_status { DCN_OK = 0, DCN_BAD_DTYPE = 1, DCN_BAD_SHAPE = 2, DCN_NO_MEMORY = 3 };
