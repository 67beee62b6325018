// Opens libdcn_cuda.so.
#include "gpu.h"

#include <dlfcn.h>
#include <mxnet/operator.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "registry.h"

namespace {

struct State {
  bool everywhere = false;
  const dcn::CudaFunctions* functions = nullptr;
};

State& state() {
  static State found;
  return found;
}

// Stays open: operators may hold its functions until the process ends.
const dcn::CudaFunctions* open(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw dmlc::Error(dlerror());
  auto functions = std::make_unique<dcn::CudaFunctions>();
#define DCN_FIND(name)                                                                              \
  functions->name = reinterpret_cast<decltype(functions->name)>(dlsym(library, "dcn_cuda_" #name)); \
  if (!functions->name) throw dmlc::Error(std::string(path) + " has no dcn_cuda_" #name + ": build it again");
  DCN_CUDA_FUNCTIONS(DCN_FIND)
#undef DCN_FIND
  return functions.release();
}

}  // namespace

int dcn::cuda_math() {
  const char* asked = std::getenv("DCN_TF32");
  return asked && !std::strcmp(asked, "1") ? DCN_CUDA_TF32 : DCN_CUDA_EXACT;
}

const dcn::CudaFunctions* dcn::cuda_functions() { return state().functions; }

bool dcn::for_gpu(const mxnet::Context& context) {
  return state().everywhere || context.dev_mask() != mshadow::cpu::kDevMask;
}

// Call once with MXNet's GPU build; path: that of libdcn_cuda.so, or null where it is not built. everywhere: nodes on
// the CPU take the same way, for tests with the emulated library. 0, or 1 with the reason in dcn_mxnet_error(), and the
// stock operators remain on GPUs.
DCN_API int dcn_mxnet_serve_gpus(const char* path, int everywhere) {
  state() = State{everywhere != 0, nullptr};
  return dcn::guarded([path] {
    if (path) state().functions = open(path);
  });
}
