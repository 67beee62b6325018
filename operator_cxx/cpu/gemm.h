// The inner product kernel that all passes of the convolution share.
//
// One block of C has kRows rows and kPanel columns; A(r, k) * B(k, :) is added up over k in registers, and the sum goes
// to C at the end (sums of sums err less than one long sum). A is read element by element and broadcast, with strides
// known at compile time; B is a packed panel, kPanel elements per k. Every C, A and panel is padded to whole blocks by
// its owner, so there are no edges here and one order of summation.
#pragma once

#include <stddef.h>

#include "simd.h"

namespace dcn {

// 14 x 2 accumulators + 2 for the panel + 1 for the broadcast fit 32 registers; 6 x 2 + 3 fit 16.
constexpr int kRows = kVectorRegisters == 32 ? 14 : 6;

template <typename T>
constexpr int kPanel = 2 * Simd<T>::kLanes;

// Longest run of k before its sum is added to C: the nine taps of 64 channels. The row stride of tiles that hold such
// runs is one vector more, so that rows do not compete for the same cache sets.
constexpr int kDepth = 576;
template <typename T>
constexpr int kTileStride = kDepth + Simd<T>::kLanes;

// What a block fetches into the second-level cache while it computes: one cache line per k, `step` elements apart.
template <typename T>
struct Ahead {
  const T* from;
  ptrdiff_t step;
};

// Not inlined: among the registers of a caller the accumulators would not all find one. kPairs: A and B are pairs of
// bfloat16 numbers (simd.h), and depth counts pairs.
template <typename T, int RowStride, int StepStride, bool kPairs>
__attribute__((noinline)) void multiply_block(int depth, const T* a, const T* panel, T* c, ptrdiff_t c_stride, bool add,
                                              Ahead<T> ahead) {
  using S = Simd<T>;
  typename S::Vector sum[kRows][2] = {};
  for (int k = 0; k < depth; ++k, a += StepStride, panel += kPanel<T>, ahead.from += ahead.step) {
    __builtin_prefetch(ahead.from, 0, 2);
    const typename S::Vector b0 = S::load(panel), b1 = S::load(panel + S::kLanes);
#pragma GCC unroll 14
    for (int r = 0; r < kRows; ++r) {
      if constexpr (kPairs) {
        sum[r][0] = add_products(sum[r][0], a[r * RowStride], b0);
        sum[r][1] = add_products(sum[r][1], a[r * RowStride], b1);
      } else {
        sum[r][0] += a[r * RowStride] * b0;
        sum[r][1] += a[r * RowStride] * b1;
      }
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r, c += c_stride) {
    if (add) {
      sum[r][0] += S::load(c);
      sum[r][1] += S::load(c + S::kLanes);
    }
    S::store(c, sum[r][0]);
    S::store(c + S::kLanes, sum[r][1]);
  }
}

// C (row_blocks * kRows, panels * kPanel) from A tiles and `panels` packed panels that lie panel_stride elements apart.
// While the first row blocks of a panel are computed, the next panel comes into the second-level cache.
template <typename T, int RowStride, int StepStride, bool kPairs = false>
inline void multiply(int row_blocks, int panels, int depth, const T* a, const T* panel, ptrdiff_t panel_stride, T* c,
                     ptrdiff_t c_stride, bool add) {
  constexpr ptrdiff_t kLine = 64 / sizeof(T), kLinesPerStep = (kPanel<T> + kLine - 1) / kLine;
  for (int p = 0; p < panels; ++p, panel += panel_stride) {
    for (int block = 0; block < row_blocks; ++block) {
      const Ahead<T> ahead =
          block < kLinesPerStep ? Ahead<T>{panel + panel_stride + block * depth * kLine, kLine} : Ahead<T>{panel, 0};
      multiply_block<T, RowStride, StepStride, kPairs>(
          depth, a + static_cast<ptrdiff_t>(block) * kRows * RowStride, panel,
          c + static_cast<ptrdiff_t>(block) * kRows * c_stride + p * kPanel<T>, c_stride, add, ahead);
    }
  }
}

}  // namespace dcn
