// Winograd's convolution on the CPU; winograd.h has the definition.
//
// A block is some rows of tiles of one image. Vectors run over neighbouring tiles of a row: B' d is computed along
// whole rows of pixels, then columns are taken apart by their place in a tile (every fourth pixel). For each of the 36
// points a product of matrices follows, filters x channels by channels x tiles (gemm.h), then A' m A and rows of pixels
// again. Each of the three steps is shared among the threads, and what is summed in which order follows from the shape
// alone.
#include "kernels.h"
#include "status.h"
#include "winograd_tiles.h"

namespace dcn {
namespace {

using namespace winograd;

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

// G g G' of some filters' weights, side by side: g (taps, kSome) to points (points, kSome).
constexpr int kSome = 16;

void transform_weights(const double (*g)[kSome], double (*points)[kSome]) {
  using D = Simd<double>;
  for (int k = 0; k < kSome; k += D::kLanes) {
    D::Vector half[kSide][3];
    for (int j = 0; j < 3; ++j) {
      winograd_weight(D::load(g[j] + k), D::load(g[3 + j] + k), D::load(g[6 + j] + k),
                      [&](int i, D::Vector value) { half[i][j] = value; });
    }
    for (int i = 0; i < kSide; ++i) {
      winograd_weight(half[i][0], half[i][1], half[i][2],
                      [&](int j, D::Vector value) { D::store(points[i * kSide + j] + k, value); });
    }
  }
}

}  // namespace

// Some channels at a time: the points of the result lie far apart.
void winograd::pack(const dcn_winograd_shape& shape, const float* weight, bool turned, float* packed) {
  const int channels = shape.channels, filters = shape.filters, blocks = in_steps_of(kRows, filters) / kRows;
  parallel_for(blocks, max_threads(), [&](int block, int) {
    static thread_local float some[kPoints][kSome][kRows];
    double g[9][kSome] = {}, points[kPoints][kSome];
    for (int first = 0; first < channels; first += kSome) {
      const int count = std::min(kSome, channels - first);
      for (int r = 0; r < kRows; ++r) {
        const int filter = block * kRows + r;
        for (int c = 0; c < count && filter < filters; ++c) {
          const float* from =
              weight +
              (turned ? ptrdiff_t(first + c) * filters + filter : ptrdiff_t(filter) * channels + first + c) * 9;
          for (int tap = 0; tap < 9; ++tap) g[tap][c] = from[turned ? 8 - tap : tap];
        }
        if (filter < filters) {
          transform_weights(g, points);
        } else {
          std::fill(points[0], points[0] + kPoints * kSome, 0.0);
        }
        for (int point = 0; point < kPoints; ++point) {
          for (int c = 0; c < kSome; ++c) some[point][c][r] = float(points[point][c]);
        }
      }
      for (int point = 0; point < kPoints; ++point) {
        float* to = packed + ((ptrdiff_t(point) * blocks + block) * channels + first) * kRows;
        std::copy_n(some[point][0], count * kRows, to);
      }
    }
  });
}

size_t winograd_packed(const dcn_winograd_shape* shape) {
  if (!well_formed(*shape)) return 0;
  return size_t(kPoints) * in_steps_of(kRows, shape->filters) * shape->channels;
}

int winograd_pack(const dcn_winograd_shape* shape, const float* weight, float* packed) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  return status_of([&] { winograd::pack(*shape, weight, false, packed); });
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
