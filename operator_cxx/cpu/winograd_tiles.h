// What the passes of Winograd's convolution share: how the work is cut, and vectors of tiles.
#pragma once

#include <algorithm>

#include "../include/winograd.h"
#include "gemm.h"
#include "parallel.h"

namespace dcn {
namespace winograd {

using S = Simd<float>;
using Vector = S::Vector;
using Lanes = std::make_integer_sequence<int, S::kLanes>;

constexpr int kSide = kWinogradSide, kTile = kWinogradTile, kPoints = kWinogradPoints;
constexpr int kMostTiles = 256;  // of a block: few enough for the caches, many enough for each reading of the weights
constexpr int kApart = 16;       // so that points do not compete for the same cache sets
constexpr ptrdiff_t kSerialProducts = 1 << 18;

inline int in_steps_of(int step, int count) { return (count + step - 1) / step * step; }

// How the work is cut.
struct Plan {
  explicit Plan(const dcn_winograd_shape& s) : shape(s) {
    filters = in_steps_of(kRows, s.filters);
    columns = in_steps_of(S::kLanes, (s.width + kTile - 1) / kTile);
    rows = (s.height + kTile - 1) / kTile;
    const int most = std::max(1, kMostTiles / columns);
    blocks = (rows + most - 1) / most;
    block_rows = (rows + blocks - 1) / blocks;
    tiles = in_steps_of(kPanel<float>, block_rows * columns);
    data_point = ptrdiff_t(s.channels) * tiles + kApart;
    products_point = ptrdiff_t(filters) * tiles + kApart;
    line = in_steps_of(S::kLanes, columns * kTile + kTile) + S::kLanes;
    const ptrdiff_t products = ptrdiff_t(s.channels) * s.filters * tiles;
    threads = products > kSerialProducts ? max_threads() : 1;
  }

  const dcn_winograd_shape& shape;
  int filters;        // in whole row blocks of the product
  int columns, rows;  // of tiles; columns in whole vectors
  int blocks, block_rows, tiles;
  ptrdiff_t data_point, products_point;  // how far points lie from each other in the workspace
  int line;                              // pixels that a transformed row holds
  int threads;
};

// Every second number of a and b together, from number kFirst on.
template <int kFirst, int... Lane>
inline Vector every_second(Vector a, Vector b, std::integer_sequence<int, Lane...>) {
  return shuffle<float>(a, b, std::integer_sequence<int, (2 * Lane + kFirst)...>());
}

// Numbers k, k + 4, k + 8, ... of an array, for k = 0 ... 3, or for 0 and 1 alone.
template <int kCount>
inline void every_fourth(const float* from, Vector* to) {
  const Vector a = S::load(from), b = S::load(from + S::kLanes);
  const Vector c = S::load(from + 2 * S::kLanes), d = S::load(from + 3 * S::kLanes);
  const Vector even[2] = {every_second<0>(a, b, Lanes()), every_second<0>(c, d, Lanes())};
  const Vector odd[2] = {every_second<1>(a, b, Lanes()), every_second<1>(c, d, Lanes())};
  to[0] = every_second<0>(even[0], even[1], Lanes());
  to[1] = every_second<0>(odd[0], odd[1], Lanes());
  if (kCount == 4) {
    to[2] = every_second<1>(even[0], even[1], Lanes());
    to[3] = every_second<1>(odd[0], odd[1], Lanes());
  }
}

// The inverse of every_fourth<4>.
inline void interleave_four(const Vector* from, Vector* to) {
  for (int half = 0; half < 2; ++half) {
    const Vector even =
        half ? interleave<float, 1>(from[0], from[2], Lanes()) : interleave<float, 0>(from[0], from[2], Lanes());
    const Vector odd =
        half ? interleave<float, 1>(from[1], from[3], Lanes()) : interleave<float, 0>(from[1], from[3], Lanes());
    to[2 * half] = interleave<float, 0>(even, odd, Lanes());
    to[2 * half + 1] = interleave<float, 1>(even, odd, Lanes());
  }
}

// B' d of one row of tiles, whose first row of pixels is `top` - 1: (points, pixels), pixel -1 first, zeros behind.
inline void transform_rows(const Plan& plan, const float* plane, int top, float* lines) {
  const int width = plan.shape.width, line = plan.line;
  const float* rows[kSide];
  for (int i = 0; i < kSide; ++i) {
    const int y = top - 1 + i;
    rows[i] = y >= 0 && y < plan.shape.height ? plane + ptrdiff_t(y) * width : nullptr;
  }
  for (int i = 0; i < kSide; ++i) lines[i * line] = 0;
  for (int x = 0; x < width; x += S::kLanes) {
    const int real = std::min(S::kLanes, width - x);
    Vector d[kSide];
    for (int i = 0; i < kSide; ++i) d[i] = rows[i] ? S::load_some(rows[i] + x, real) : Vector{};
    winograd_data(d[0], d[1], d[2], d[3], d[4], d[5],
                  [&](int i, Vector value) { S::store(lines + i * line + 1 + x, value); });
  }
  const int end = 1 + in_steps_of(S::kLanes, width);
  for (int i = 0; i < kSide; ++i) std::fill(lines + i * line + std::min(end, line), lines + (i + 1) * line, 0.0f);
}

// Weights as forward reads them: (points, blocks of kRows filters, channels, filters of a block), zero for filters
// beyond the last. turned: `weight` is (C, F, 3, 3) and meant turned by 180 degrees.
void pack(const dcn_winograd_shape& shape, const float* weight, bool turned, float* packed);

}  // namespace winograd
}  // namespace dcn
