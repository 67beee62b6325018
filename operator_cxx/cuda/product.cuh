// The product of two tiles by a block of 256 threads: C (M, N) += A (M, depth) * B (depth, N), A and B in shared
// memory, C in registers. The three kernels of deformable convolution are loops around it.
//
// Tiles arrive by vectors of 16 bytes. kAAlongK says whether such a vector runs along the depth (else along M),
// kBAlongK likewise (else along N). Two implementations with one interface:
//
//   FmaProduct   multiply-adds of single threads: float32, float64, and half precision below capability 7.0
//   MmaProduct   tensor cores with float32 sums: half precision (7.0), float32 rounded to tf32 (8.0)
#pragma once

#include <type_traits>

#include "element.cuh"

namespace dcn {

// Tiles are stored with the depth outermost, vectors along the depth are taken apart. Each thread owns M/16 rows and
// N/16 columns, in runs that are one load.
template <typename T, int M, int N, bool kAAlongK, bool kBAlongK>
class FmaProduct {
 public:
  static constexpr int kDepth = kWidth<T>;
  static constexpr int kStageBytes = kDepth * (M + N + 2 * kVector<T>)*int(sizeof(T));
  static constexpr int kStagingBytes = 0;  // for_each needs none

  __device__ FmaProduct() {
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j) sums_[i][j] = 0;
  }

  // Puts a vector that starts at (x, k) of a tile.
  __device__ static void store_a(unsigned char* stage, int x, int k, const uint4& vector) {
    store<kAAlongK>(a(stage), kStrideA, x, k, vector);
  }
  __device__ static void store_b(unsigned char* stage, int x, int k, const uint4& vector) {
    store<kBAlongK>(b(stage), kStrideB, x, k, vector);
  }

  __device__ void multiply(unsigned char* stage) {
    const T* rows = a(stage) + threadIdx.x / 16 * kRunA;
    const T* columns = b(stage) + threadIdx.x % 16 * kRunB;
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      Accumulator<T> left[kRows], right[kColumns];
      load<kRows, kRunA>(rows + k * kStrideA, left);
      load<kColumns, kRunB>(columns + k * kStrideB, right);
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j) sums_[i][j] += left[i] * right[j];
    }
  }

  // Calls each(row, column, sum) for the sums of this thread.
  template <typename Each>
  __device__ void for_each(unsigned char*, const Each& each) const {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        each(place<kRunA>(threadIdx.x / 16, i), place<kRunB>(threadIdx.x % 16, j), sums_[i][j]);
  }

 private:
  static constexpr int kRows = M / 16, kColumns = N / 16;
  static constexpr int kRunA = kVector<T> < kRows ? kVector<T> : kRows;
  static constexpr int kRunB = kVector<T> < kColumns ? kVector<T> : kColumns;
  static constexpr int kStrideA = M + kVector<T>, kStrideB = N + kVector<T>;

  template <int kRun>
  struct alignas(kRun * sizeof(T)) Run {
    T at[kRun];
  };

  __device__ static T* a(unsigned char* stage) { return reinterpret_cast<T*>(stage); }
  __device__ static T* b(unsigned char* stage) { return a(stage) + kDepth * kStrideA; }

  template <bool kAlongK>
  __device__ static void store(T* tile, int stride, int x, int k, const uint4& vector) {
    if (!kAlongK) {
      *reinterpret_cast<uint4*>(tile + k * stride + x) = vector;
      return;
    }
    const Elements<T> values = elements<T>(vector);
#pragma unroll
    for (int i = 0; i < kVector<T>; ++i) tile[(k + i) * stride + x] = values.at[i];
  }

  template <int kCount, int kRun>
  __device__ static void load(const T* from, Accumulator<T>* to) {
#pragma unroll
    for (int i = 0; i < kCount; i += kRun) {
      const Run<kRun> run = *reinterpret_cast<const Run<kRun>*>(from + i * 16);
#pragma unroll
      for (int j = 0; j < kRun; ++j) to[i + j] = widen(run.at[j]);
    }
  }

  template <int kRun>
  __device__ static int place(int thread, int i) {
    return i / kRun * kRun * 16 + thread * kRun + i % kRun;
  }

  Accumulator<T> sums_[kRows][kColumns];
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 700

namespace wmma = nvcuda::wmma;

template <typename T>
struct TensorElement {  // half precision
  using type = T;
  static constexpr int kDepth = 16;
  template <typename Fragment>
  __device__ static void round(Fragment*) {}
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
template <>
struct TensorElement<float> {
  using type = wmma::precision::tf32;
  static constexpr int kDepth = 8;
  template <typename Fragment>
  __device__ static void round(Fragment* fragment) {
    for (int i = 0; i < fragment->num_elements; ++i) fragment->x[i] = wmma::__float_to_tf32(fragment->x[i]);
  }
};
#endif

// Tiles are stored as their vectors run. Eight warps share the sums, in squares of 16.
template <typename T, int M, int N, bool kAAlongK, bool kBAlongK>
class MmaProduct {
 public:
  static constexpr int kDepth = kWidth<T>;
  static constexpr int kBytesA = (kAAlongK ? M * (kDepth + kVector<T>) : kDepth * (M + kVector<T>)) * int(sizeof(T));
  static constexpr int kBytesB = (kBAlongK ? N * (kDepth + kVector<T>) : kDepth * (N + kVector<T>)) * int(sizeof(T));
  static constexpr int kStageBytes = kBytesA + kBytesB;
  static constexpr int kStagingBytes = 8 * 16 * 16 * int(sizeof(float));

  __device__ MmaProduct() {
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j) wmma::fill_fragment(sums_[i][j], 0.f);
  }

  __device__ static void store_a(unsigned char* stage, int x, int k, const uint4& vector) {
    *reinterpret_cast<uint4*>(at<kAAlongK>(stage, kStrideA, x, k)) = vector;
  }
  __device__ static void store_b(unsigned char* stage, int x, int k, const uint4& vector) {
    *reinterpret_cast<uint4*>(at<kBAlongK>(stage + kBytesA, kStrideB, x, k)) = vector;
  }

  __device__ void multiply(unsigned char* stage) {
    const int row = warp() / kWarpsN * kRows * 16, column = warp() % kWarpsN * kColumns * 16;
#pragma unroll
    for (int k = 0; k < kDepth; k += Element::kDepth) {
      FragmentA left[kRows];
      FragmentB right[kColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
        wmma::load_matrix_sync(left[i], at<kAAlongK>(stage, kStrideA, row + 16 * i, k), kStrideA);
        Element::round(&left[i]);
      }
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        wmma::load_matrix_sync(right[j], at<kBAlongK>(stage + kBytesA, kStrideB, column + 16 * j, k), kStrideB);
        Element::round(&right[j]);
      }
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j) wmma::mma_sync(sums_[i][j], left[i], right[j], sums_[i][j]);
    }
  }

  // Calls each(row, column, sum) for all sums, by way of kStagingBytes of shared memory. Nobody else may be using it.
  template <typename Each>
  __device__ void for_each(unsigned char* staging, const Each& each) const {
    float* square = reinterpret_cast<float*>(staging) + warp() * 256;
    const int row = warp() / kWarpsN * kRows * 16, column = warp() % kWarpsN * kColumns * 16;
    const int lane = threadIdx.x % kWarp;
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        __syncwarp();
        wmma::store_matrix_sync(square, sums_[i][j], 16, wmma::mem_row_major);
        __syncwarp();
#pragma unroll
        for (int part = 0; part < 8; ++part) {
          const int at = part * kWarp + lane;
          each(row + 16 * i + at / 16, column + 16 * j + at % 16, square[at]);
        }
      }
  }

 private:
  using Element = TensorElement<T>;
  using Type = typename Element::type;
  static constexpr int kWarpsM = M == 128 && N == 128 ? 2 : 4, kWarpsN = 8 / kWarpsM;
  static constexpr int kRows = M / kWarpsM / 16, kColumns = N / kWarpsN / 16;
  static constexpr int kStrideA = kVector<T> + (kAAlongK ? kDepth : M), kStrideB = kVector<T> + (kBAlongK ? kDepth : N);

  using LayoutA = typename std::conditional<kAAlongK, wmma::row_major, wmma::col_major>::type;
  using LayoutB = typename std::conditional<kBAlongK, wmma::col_major, wmma::row_major>::type;
  using FragmentA = wmma::fragment<wmma::matrix_a, 16, 16, Element::kDepth, Type, LayoutA>;
  using FragmentB = wmma::fragment<wmma::matrix_b, 16, 16, Element::kDepth, Type, LayoutB>;

  __device__ static int warp() { return threadIdx.x / kWarp; }

  template <bool kAlongK>
  __device__ static T* at(unsigned char* tile, int stride, int x, int k) {
    return reinterpret_cast<T*>(tile) + (kAlongK ? x * stride + k : k * stride + x);
  }

  wmma::fragment<wmma::accumulator, 16, 16, Element::kDepth, float> sums_[kRows][kColumns];
};

#endif

// The product for an element type on the architecture that is being compiled for; kTf32: float32 by tensor cores.
template <typename T, bool kTf32, int M, int N, bool kAAlongK, bool kBAlongK>
struct ProductOf {
  using type = FmaProduct<T, M, N, kAAlongK, kBAlongK>;
};
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 700
template <int M, int N, bool kAAlongK, bool kBAlongK>
struct ProductOf<__half, false, M, N, kAAlongK, kBAlongK> {
  using type = MmaProduct<__half, M, N, kAAlongK, kBAlongK>;
};
#endif
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
template <int M, int N, bool kAAlongK, bool kBAlongK>
struct ProductOf<float, true, M, N, kAAlongK, kBAlongK> {
  using type = MmaProduct<float, M, N, kAAlongK, kBAlongK>;
};
#endif

}  // namespace dcn
