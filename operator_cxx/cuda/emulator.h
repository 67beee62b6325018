// Runs CUDA kernels on the CPU, one block after the other: every thread of a block is a fiber, so barriers, shuffles,
// shared memory, atomics and tensor-core tiles mean what they mean on a GPU. For tests (build_cuda.py --emulate); slow.
//
// Stricter than a GPU where it can be: shared memory starts as NaN, a barrier that not all threads reach ends the
// program, and DCN_EMULATOR_REVERSE=1 runs the threads of a block in the other order, so that a missing barrier shows
// as another result. What it cannot show: speed, races inside a warp, alignment of loads.
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define DCN_SHARED(name, bytes) unsigned char* const name = emulator::shared_memory(bytes)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

// ---- half precision: storage only, rounded to nearest even ----

struct __half {
  uint16_t bits;
};

inline float __half2float(__half h) {
  const int exponent = h.bits >> 10 & 31, mantissa = h.bits & 1023;
  const float sign = h.bits >> 15 ? -1.f : 1.f;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  return sign * (exponent ? ldexpf(float(1024 + mantissa), exponent - 25) : ldexpf(float(mantissa), -24));
}

inline __half __float2half(float value) {
  const uint16_t sign = signbit(value) ? 0x8000 : 0;
  const float size = fabsf(value);
  if (value != value) return {uint16_t(0x7fff)};
  if (size >= 65520.f) return {uint16_t(sign | 0x7c00)};
  const int exponent = size < 6.103515625e-05f ? -14 : ilogbf(size);
  const float scaled = nearbyintf(ldexpf(size, 10 - exponent));  // the default rounding mode is to nearest even
  const int mantissa = int(scaled) + (size < 6.103515625e-05f ? 0 : (exponent + 14) << 10);
  return {uint16_t(sign | mantissa)};  // a mantissa that rounds up carries into the exponent
}

// ---- threads ----

namespace emulator {

constexpr int kWarp = 32;
constexpr size_t kStack = size_t(1) << 17, kSharedBytes = 48 << 10;

enum class State { kReady, kAtBlockBarrier, kAtWarpBarrier, kDone };

// Made once and used by one block after the other. ucontext starts it; later changes are jumps, which make no system
// call.
struct Fiber {
  jmp_buf at;
  std::vector<char> stack;
  State state;
  dim3 thread;
};

inline void fiber_main();

struct Block {
  std::vector<Fiber> fibers;
  int threads = 0, current = 0;
  jmp_buf scheduler;
  std::function<void()> body;
  alignas(128) unsigned char shared[kSharedBytes];
  unsigned char exchange[64][kWarp][256];  // by warp and lane

  [[noreturn]] static void fail(const char* sentence) {
    fprintf(stderr, "emulated kernel: %s\n", sentence);
    abort();
  }

  void resume(int index) {
    current = index;
    threadIdx = fibers[index].thread;
    if (_setjmp(scheduler)) return;
    if (fibers[index].stack.empty()) begin(index);
    _longjmp(fibers[index].at, 1);
  }

  void begin(int index) {
    ucontext_t context;
    getcontext(&context);
    fibers[index].stack.resize(kStack);
    context.uc_stack.ss_sp = fibers[index].stack.data();
    context.uc_stack.ss_size = kStack;
    context.uc_link = nullptr;
    makecontext(&context, fiber_main, 0);
    setcontext(&context);
  }

  void wait(State state) {
    Fiber& fiber = fibers[current];
    fiber.state = state;
    if (!_setjmp(fiber.at)) _longjmp(scheduler, 1);
  }

  bool all(int begin, int end, State state) const {
    for (int i = begin; i < end; ++i)
      if (fibers[i].state != state) return false;
    return true;
  }

  void release(int begin, int end) {
    for (int i = begin; i < end; ++i) fibers[i].state = State::kReady;
  }

  // Runs the threads of one warp until all of them are done or wait for the block.
  void run_warp(int begin, int end, bool reverse) {
    for (;;) {
      for (int i = 0; i < end - begin; ++i) {
        const int index = reverse ? end - 1 - i : begin + i;
        if (fibers[index].state == State::kReady) resume(index);
      }
      if (all(begin, end, State::kDone) || all(begin, end, State::kAtBlockBarrier)) return;
      if (!all(begin, end, State::kAtWarpBarrier)) fail("the threads of a warp wait at different barriers");
      release(begin, end);
    }
  }

  void run(bool reverse) {
    const int warps = (threads + kWarp - 1) / kWarp;
    while (!all(0, threads, State::kDone)) {
      for (int i = 0; i < warps; ++i) {
        const int warp = reverse ? warps - 1 - i : i;
        const int begin = warp * kWarp, end = begin + kWarp < threads ? begin + kWarp : threads;
        run_warp(begin, end, reverse);
      }
      if (all(0, threads, State::kAtBlockBarrier))
        release(0, threads);
      else if (!all(0, threads, State::kDone))
        fail("some threads of a block wait at a barrier, others ended");
    }
  }
};

inline Block block;

inline void fiber_main() {
  for (;;) {
    block.body();
    block.wait(State::kDone);
  }
}

inline void start(int threads) {
  if (block.fibers.size() < size_t(threads)) block.fibers.resize(threads);
  block.threads = threads;
  memset(block.shared, 0xff, sizeof block.shared);
  for (int i = 0; i < threads; ++i) {
    block.fibers[i].state = State::kReady;
    block.fibers[i].thread = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y);
  }
}

inline unsigned char* shared_memory(size_t bytes) {
  if (bytes > kSharedBytes) Block::fail("more than 48 KB of shared memory");
  return block.shared;
}

inline int lane() { return block.current % kWarp; }
inline unsigned char (*exchange())[256] { return block.exchange[block.current / kWarp]; }
inline void warp_barrier() { block.wait(State::kAtWarpBarrier); }

}  // namespace emulator

inline void __syncthreads() { emulator::block.wait(emulator::State::kAtBlockBarrier); }
inline void __syncwarp() { emulator::warp_barrier(); }

template <typename T>
T __shfl_xor_sync(unsigned, T value, int other) {
  memcpy(emulator::exchange()[emulator::lane()], &value, sizeof value);
  emulator::warp_barrier();
  memcpy(&value, emulator::exchange()[emulator::lane() ^ other], sizeof value);
  emulator::warp_barrier();
  return value;
}

template <typename T>
T atomicAdd(T* place, T value) {
  const T before = *place;
  *place += value;
  return before;
}

// ---- the runtime functions that the launching code calls ----

using cudaStream_t = void*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline thread_local int emulated_device = 0;
inline cudaError_t cudaSetDevice(int device) {
  emulated_device = device;
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* array, int value, size_t bytes, cudaStream_t) {
  memset(array, value, bytes);
  return cudaSuccess;
}
inline const char* cudaGetErrorString(cudaError_t) { return ""; }

// A test may define it, to see where kernels are launched.
extern "C" __attribute__((weak, visibility("default"))) void dcn_emulator_watch(cudaStream_t stream, int device);

namespace dcn {

inline cudaError_t device_capability(int* capability) {
  *capability = 90;
  return cudaSuccess;
}

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 threads, cudaStream_t stream, Arguments... arguments) {
  if (dcn_emulator_watch) dcn_emulator_watch(stream, emulated_device);
  const char* order = getenv("DCN_EMULATOR_REVERSE");
  gridDim = grid;
  blockDim = threads;
  emulator::block.body = [=] { kernel(static_cast<Parameters>(arguments)...); };
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        emulator::start(threads.x * threads.y * threads.z);
        emulator::block.run(order && order[0] == '1');
      }
}

}  // namespace dcn

// ---- tensor cores: a lane holds every 32nd element of a tile ----

namespace nvcuda {
namespace wmma {

inline float __float_to_tf32(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu;
  memcpy(&value, &bits, sizeof value);
  return value;
}

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };
namespace precision {
struct tf32 {};
}  // namespace precision

template <typename T>
struct Element {
  using type = T;
};
template <>
struct Element<precision::tf32> {
  using type = float;
};

template <typename Use, int M, int N, int K>
struct Size;
template <int M, int N, int K>
struct Size<matrix_a, M, N, K> {
  static constexpr int rows = M, columns = K;
};
template <int M, int N, int K>
struct Size<matrix_b, M, N, K> {
  static constexpr int rows = K, columns = N;
};
template <int M, int N, int K>
struct Size<accumulator, M, N, K> {
  static constexpr int rows = M, columns = N;
};

template <typename Use, int M, int N, int K, typename T, typename Layout = void>
struct fragment : Size<Use, M, N, K> {
  using Size<Use, M, N, K>::rows;
  using Size<Use, M, N, K>::columns;
  static constexpr int num_elements = rows * columns / emulator::kWarp;
  typename Element<T>::type x[num_elements];

  template <typename Each>  // each(index into x, row, column)
  static void for_own(const Each& each) {
    for (int i = 0; i < num_elements; ++i) {
      const int element = i * emulator::kWarp + emulator::lane();
      each(i, element / columns, element % columns);
    }
  }
};

template <typename Fragment, typename T>
void fill_fragment(Fragment& f, T value) {
  for (int i = 0; i < Fragment::num_elements; ++i) f.x[i] = value;
}

template <typename Use, int M, int N, int K, typename T, typename Layout, typename P>
void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& f, const P* from, unsigned stride) {
  constexpr bool kRows = std::is_same<Layout, row_major>::value;
  if (reinterpret_cast<uintptr_t>(from) % 32) emulator::Block::fail("a tile is not aligned to 32 bytes");
  if (stride * sizeof(P) % 16) emulator::Block::fail("the rows of a tile are not aligned to 16 bytes");
  f.for_own([&](int i, int r, int c) { f.x[i] = from[kRows ? r * stride + c : c * stride + r]; });
}

template <int M, int N, int K>
void store_matrix_sync(float* to, const fragment<accumulator, M, N, K, float>& f, unsigned stride, layout_t layout) {
  const bool rows = layout == mem_row_major;
  f.for_own([&](int i, int r, int c) { to[rows ? r * stride + c : c * stride + r] = f.x[i]; });
}

inline float widened(__half h) { return __half2float(h); }
inline float widened(float v) { return v; }

template <int M, int N, int K, typename T, typename LayoutA, typename LayoutB>
void mma_sync(fragment<accumulator, M, N, K, float>& d, const fragment<matrix_a, M, N, K, T, LayoutA>& a,
              const fragment<matrix_b, M, N, K, T, LayoutB>& b, const fragment<accumulator, M, N, K, float>& c) {
  static float left[64][M * K], right[64][K * N];  // by warp
  const int warp = emulator::block.current / emulator::kWarp;
  a.for_own([&](int i, int r, int k) { left[warp][r * K + k] = widened(a.x[i]); });
  b.for_own([&](int i, int k, int n) { right[warp][k * N + n] = widened(b.x[i]); });
  emulator::warp_barrier();
  d.for_own([&](int i, int r, int n) {
    float sum = c.x[i];
    for (int k = 0; k < K; ++k) sum += left[warp][r * K + k] * right[warp][k * N + n];
    d.x[i] = sum;
  });
  emulator::warp_barrier();
}

}  // namespace wmma
}  // namespace nvcuda
