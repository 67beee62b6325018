// Winograd's convolution on the CPU; winograd.h has the definition.
//
// A block is some rows of tiles of one image. Vectors run over neighbouring tiles of a row: B' d is computed along
// whole rows of pixels, then columns are taken apart by their place in a tile (every fourth pixel). For each of the 36
// points a product of matrices follows, filters x channels by channels x tiles (gemm.h), then A' m A and rows of pixels
// again. Each of the three steps is shared among the threads, and what is summed in which order follows from the shape
// alone.
#include "../include/winograd.h"

#include <algorithm>

#include "gemm.h"
#include "kernels.h"
#include "parallel.h"
#include "status.h"

namespace dcn {
namespace {

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

struct Workspace {
  Workspace(const Plan& plan, void* block) : arena(block) {
    data = arena.take<float>(kPoints * plan.data_point);
    products = arena.take<float>(kPoints * plan.products_point);
    lines = arena.take<float>(size_t(plan.threads) * kSide * plan.line);
  }
  Arena arena;
  float* data;      // (points, panels of tiles, channels, tiles of a panel)
  float* products;  // (points, filters, tiles)
  float* lines;     // (threads, points along an axis, pixels)
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
void transform_rows(const Plan& plan, const float* plane, int top, float* lines) {
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

// B' d B of a channel for the tiles of a block's rows.
void transform_channel(const Plan& plan, const float* plane, int channel, int first_row, int rows, float* lines,
                       float* data) {
  const int channels = plan.shape.channels;
  for (int row = 0; row < rows; ++row) {
    transform_rows(plan, plane, (first_row + row) * kTile, lines);
    for (int column = 0; column < plan.columns; column += S::kLanes) {
      const int tile = row * plan.columns + column, panel = tile / kPanel<float>, lane = tile % kPanel<float>;
      float* to = data + (ptrdiff_t(panel) * channels + channel) * kPanel<float> + lane;
      for (int i = 0; i < kSide; ++i) {
        const float* from = lines + i * plan.line + column * kTile;
        Vector d[kSide];
        every_fourth<4>(from, d);
        every_fourth<2>(from + kTile, d + kTile);
        winograd_data(d[0], d[1], d[2], d[3], d[4], d[5],
                      [&](int j, Vector value) { S::store(to + (i * kSide + j) * plan.data_point, value); });
      }
    }
  }
}

// A' m A of a filter, with bias and ReLU, for the tiles of a block's rows.
void transform_filter(const Plan& plan, const float* products, int filter, float bias, int first_row, int rows,
                      int request, float* plane) {
  const dcn_winograd_shape& s = plan.shape;
  for (int row = 0; row < rows; ++row) {
    const int top = (first_row + row) * kTile, high = std::min(kTile, s.height - top);
    for (int column = 0; column < plan.columns; column += S::kLanes) {
      const int left = column * kTile;
      if (left >= s.width) break;
      const float* from = products + ptrdiff_t(filter) * plan.tiles + row * plan.columns + column;
      Vector half[kTile][kSide];
      for (int j = 0; j < kSide; ++j) {
        Vector m[kSide];
        for (int i = 0; i < kSide; ++i) m[i] = S::load(from + (i * kSide + j) * plan.products_point);
        winograd_output(m[0], m[1], m[2], m[3], m[4], m[5], [&](int i, Vector value) { half[i][j] = value; });
      }
      for (int i = 0; i < high; ++i) {
        const Vector* m = half[i];
        Vector places[kTile], pixels[kTile];
        winograd_output(m[0], m[1], m[2], m[3], m[4], m[5], [&](int j, Vector value) {
          value += bias;
          places[j] = s.relu ? (value > 0 ? value : Vector{}) : value;
        });
        interleave_four(places, pixels);
        float* to = plane + ptrdiff_t(top + i) * s.width + left;
        for (int k = 0; k < kTile; ++k) {
          const int real = std::min(S::kLanes, s.width - left - k * S::kLanes);
          if (real <= 0) break;
          float* at = to + k * S::kLanes;
          S::store_some(at, request == DCN_ADD ? pixels[k] + S::load_some(at, real) : pixels[k], real);
        }
      }
    }
  }
}

// products (filters, tiles) = weights (blocks of kRows filters, channels, filters) x data (panels, channels, tiles).
// While a block is computed, the next block's weights come into the second-level cache.
void multiply_point(const Plan& plan, int panels, const float* weights, const float* data, float* products) {
  const int channels = plan.shape.channels, blocks = plan.filters / kRows;
  const ptrdiff_t block_size = ptrdiff_t(channels) * kRows;
  for (int panel = 0; panel < panels; ++panel) {
    for (int block = 0; block < blocks; ++block) {
      const float* from = weights + block * block_size;
      multiply_block<float, 1, kRows, false>(channels, from, data + ptrdiff_t(panel) * channels * kPanel<float>,
                                             products + ptrdiff_t(block) * kRows * plan.tiles + panel * kPanel<float>,
                                             plan.tiles, false, {from + block_size, kRows});
    }
  }
}

void forward(const Plan& plan, const float* data, const float* packed, const float* bias, float* out, int request,
             const Workspace& work) {
  const dcn_winograd_shape& s = plan.shape;
  const ptrdiff_t size = ptrdiff_t(s.height) * s.width;
  const ptrdiff_t weights = ptrdiff_t(plan.filters) * s.channels;
  for (int item = 0; item < s.images * plan.blocks; ++item) {
    const int image = item / plan.blocks, first = item % plan.blocks * plan.block_rows;
    const int rows = std::min(plan.block_rows, plan.rows - first);
    const int panels = in_steps_of(kPanel<float>, rows * plan.columns) / kPanel<float>;
    parallel_for(s.channels, plan.threads, [&](int channel, int thread) {
      transform_channel(plan, data + (ptrdiff_t(image) * s.channels + channel) * size, channel, first, rows,
                        work.lines + ptrdiff_t(thread) * kSide * plan.line, work.data);
    });
    parallel_for(kPoints, plan.threads, [&](int point, int) {
      multiply_point(plan, panels, packed + point * weights, work.data + point * plan.data_point,
                     work.products + point * plan.products_point);
    });
    parallel_for(s.filters, plan.threads, [&](int filter, int) {
      transform_filter(plan, work.products, filter, bias ? bias[filter] : 0.0f, first, rows, request,
                       out + (ptrdiff_t(image) * s.filters + filter) * size);
    });
  }
}

}  // namespace

size_t winograd_packed(const dcn_winograd_shape* shape) {
  if (!well_formed(*shape)) return 0;
  return size_t(kPoints) * in_steps_of(kRows, shape->filters) * shape->channels;
}

// (points, blocks of kRows filters, channels, filters of a block); filters beyond the last are zero.
int winograd_pack(const dcn_winograd_shape* shape, const float* weight, float* packed) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const int channels = shape->channels, filters = in_steps_of(kRows, shape->filters);
  return status_of([&] {
    parallel_for(filters / kRows, max_threads(), [&](int block, int) {
      constexpr int kSome = 16;  // channels at a time: the points of the result lie far apart
      static thread_local float some[kPoints][kSome][kRows];
      for (int first = 0; first < channels; first += kSome) {
        const int count = std::min(kSome, channels - first);
        for (int r = 0; r < kRows; ++r) {
          const int filter = block * kRows + r;
          for (int c = 0; c < count; ++c) {
            double half[kSide * 3] = {}, all[kPoints] = {};
            if (filter < shape->filters) {
              const float* g = weight + (ptrdiff_t(filter) * channels + first + c) * 9;
              for (int j = 0; j < 3; ++j) winograd_weight(g[j], g[3 + j], g[6 + j], half + j, 3);
              for (int i = 0; i < kSide; ++i) {
                winograd_weight(half[3 * i], half[3 * i + 1], half[3 * i + 2], all + i * kSide, 1);
              }
            }
            for (int point = 0; point < kPoints; ++point) some[point][c][r] = float(all[point]);
          }
        }
        for (int point = 0; point < kPoints; ++point) {
          float* to = packed + ((ptrdiff_t(point) * (filters / kRows) + block) * channels + first) * kRows;
          std::copy_n(some[point][0], count * kRows, to);
        }
      }
    });
  });
}

size_t winograd_workspace(const dcn_winograd_shape* shape) {
  return well_formed(*shape) ? Workspace(Plan(*shape), nullptr).arena.bytes() : 0;
}

int winograd_forward(const dcn_winograd_shape* shape, const float* data, const float* packed, const float* bias,
                     float* out, int request, void* workspace) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  if (request == DCN_NULL) return DCN_OK;
  return status_of([&] {
    const Plan plan(*shape);
    forward(plan, data, packed, bias, out, request, Workspace(plan, workspace));
  });
}

}  // namespace dcn
