// Gradients of Winograd's convolution on the CPU; winograd.h has the definition.
//
// The data's gradient is the forward pass with turned weights. For that of the weights the tiles of a block lie along
// the sum: for each of the 36 points filters x tiles (A dy A', vectors over tiles) by tiles x channels (B' d B,
// transposed to vectors over channels), then G' m G of each pair. Filters are taken in parts, whose products stay in a
// cache. A block's gradient is added to that of the blocks before it, so that the order of sums follows from the shape.
#include "kernels.h"
#include "status.h"
#include "winograd_tiles.h"

namespace dcn {
namespace {

using namespace winograd;

constexpr int kStride = kMostTiles + S::kLanes;  // of filters, so that they do not compete for the same cache sets
constexpr ptrdiff_t kMostProducts = 1 << 22;     // of a part

struct GradientPlan : Plan {
  explicit GradientPlan(const dcn_winograd_shape& s) : Plan(s) {
    tiles = block_rows * columns;
    depth = std::min(tiles, kMostTiles);
    chunks = (tiles + kMostTiles - 1) / kMostTiles;
    channels = in_steps_of(kPanel<float>, s.channels);
    gradient_point = ptrdiff_t(chunks) * filters * kStride + kApart;
    data_point = ptrdiff_t(chunks) * channels * depth + kApart;
    const ptrdiff_t most = kMostProducts / (ptrdiff_t(kPoints) * channels) / kRows * kRows;
    part = int(std::min<ptrdiff_t>(filters, std::max<ptrdiff_t>(kRows, most)));
    products_point = ptrdiff_t(part) * channels + kApart;
  }

  int chunks, depth;  // of tiles: a chunk has kMostTiles, and more than one is needed for maps that are very wide
  int channels;       // in whole panels
  int part;           // filters
  ptrdiff_t gradient_point;
};

struct GradientWorkspace {
  GradientWorkspace(const GradientPlan& plan, void* block) : arena(block) {
    gradient = arena.take<float>(kPoints * plan.gradient_point);
    data = arena.take<float>(kPoints * plan.data_point);
    products = arena.take<float>(kPoints * plan.products_point);
    lines = arena.take<float>(plan.threads * lines_size(plan));
  }
  static size_t lines_size(const Plan& plan) { return size_t(S::kLanes) * kSide * plan.line; }

  Arena arena;
  float* gradient;  // (points, chunks, filters, tiles of a chunk with a stride)
  float* data;      // (points, chunks, panels of channels, tiles of a chunk, channels of a panel)
  float* products;  // (points, filters of a part, channels)
  float* lines;     // (threads, channels of a vector, points along an axis, pixels)
};

// A dy of one row of tiles: (points, pixels), zeros behind.
void transform_gradient_rows(const Plan& plan, const float* plane, int top, float* lines) {
  const int width = plan.shape.width, line = plan.line, end = in_steps_of(S::kLanes, width);
  for (int x = 0; x < width; x += S::kLanes) {
    const int real = std::min(S::kLanes, width - x);
    Vector y[kTile];
    for (int i = 0; i < kTile; ++i) {
      y[i] = top + i < plan.shape.height ? S::load_some(plane + ptrdiff_t(top + i) * width + x, real) : Vector{};
    }
    winograd_out_gradient(y[0], y[1], y[2], y[3], [&](int i, Vector value) { S::store(lines + i * line + x, value); });
  }
  for (int i = 0; i < kSide; ++i) std::fill(lines + i * line + std::min(end, line), lines + (i + 1) * line, 0.0f);
}

// A dy A' of a filter for the tiles of a block's rows.
void transform_gradient(const GradientPlan& plan, const float* plane, int filter, int first_row, int rows, float* lines,
                        float* gradient) {
  for (int row = 0; row < rows; ++row) {
    transform_gradient_rows(plan, plane, (first_row + row) * kTile, lines);
    for (int column = 0; column < plan.columns; column += S::kLanes) {
      const int tile = row * plan.columns + column;
      float* to = gradient + (ptrdiff_t(tile / kMostTiles) * plan.filters + filter) * kStride + tile % kMostTiles;
      for (int i = 0; i < kSide; ++i) {
        Vector y[kTile];
        every_fourth<4>(lines + i * plan.line + column * kTile, y);
        winograd_out_gradient(y[0], y[1], y[2], y[3], [&](int j, Vector value) {
          S::store(to + (i * kSide + j) * plan.gradient_point, value);
        });
      }
    }
  }
}

// B' d B of a vector of channels for the tiles of a block's rows, transposed.
void transform_channels(const GradientPlan& plan, const float* image, int first_channel, int first_row, int rows,
                        float* lines, float* data) {
  const dcn_winograd_shape& s = plan.shape;
  const int real = std::min(S::kLanes, s.channels - first_channel), panel = first_channel / kPanel<float>;
  const ptrdiff_t lines_of_channel = ptrdiff_t(kSide) * plan.line;
  for (int row = 0; row < rows; ++row) {
    for (int c = 0; c < real; ++c) {
      transform_rows(plan, image + ptrdiff_t(first_channel + c) * s.height * s.width, (first_row + row) * kTile,
                     lines + c * lines_of_channel);
    }
    for (int column = 0; column < plan.columns; column += S::kLanes) {
      const int tile = row * plan.columns + column, chunk = tile / kMostTiles;
      float* to =
          data +
          (ptrdiff_t(chunk * (plan.channels / kPanel<float>)+panel) * plan.depth + tile % kMostTiles) * kPanel<float> +
          first_channel % kPanel<float>;
      for (int i = 0; i < kSide; ++i) {
        Vector square[kSide][S::kLanes] = {};
        for (int c = 0; c < real; ++c) {
          const float* from = lines + c * lines_of_channel + i * plan.line + column * kTile;
          Vector d[kSide];
          every_fourth<4>(from, d);
          every_fourth<2>(from + kTile, d + kTile);
          winograd_data(d[0], d[1], d[2], d[3], d[4], d[5], [&](int j, Vector value) { square[j][c] = value; });
        }
        for (int j = 0; j < kSide; ++j) {
          transpose_square<float>(square[j]);
          float* at = to + (i * kSide + j) * plan.data_point;
          for (int t = 0; t < S::kLanes; ++t) S::store(at + t * kPanel<float>, square[j][t]);
        }
      }
    }
  }
}

// products (filters of a part, channels) = gradient (filters, tiles) x data (tiles, channels).
void multiply_point(const GradientPlan& plan, int tiles, int first_filter, int filters, const float* gradient,
                    const float* data, float* products) {
  for (int chunk = 0; chunk * kMostTiles < tiles; ++chunk) {
    multiply<float, kStride, 1>(filters / kRows, plan.channels / kPanel<float>,
                                std::min(kMostTiles, tiles - chunk * kMostTiles),
                                gradient + (ptrdiff_t(chunk) * plan.filters + first_filter) * kStride,
                                data + ptrdiff_t(chunk) * plan.channels * plan.depth,
                                ptrdiff_t(plan.depth) * kPanel<float>, products, plan.channels, chunk > 0);
  }
}

// G' m G of a filter's channels, to (channels, 3, 3).
void transform_products(const GradientPlan& plan, const float* products, bool add, float* weight) {
  const int channels = plan.shape.channels;
  for (int first = 0; first < channels; first += S::kLanes) {
    Vector half[3][kSide];
    for (int j = 0; j < kSide; ++j) {
      Vector m[kSide];
      for (int i = 0; i < kSide; ++i) m[i] = S::load(products + (i * kSide + j) * plan.products_point + first);
      winograd_weight_gradient(m[0], m[1], m[2], m[3], m[4], m[5], [&](int i, Vector value) { half[i][j] = value; });
    }
    float taps[9][S::kLanes];
    for (int i = 0; i < 3; ++i) {
      const Vector* m = half[i];
      winograd_weight_gradient(m[0], m[1], m[2], m[3], m[4], m[5],
                               [&](int j, Vector value) { S::store(taps[i * 3 + j], value); });
    }
    float* to = weight + ptrdiff_t(first) * 9;
    for (int c = 0; c < std::min(S::kLanes, channels - first); ++c, to += 9) {
      for (int tap = 0; tap < 9; ++tap) to[tap] = add ? to[tap] + taps[tap][c] : taps[tap][c];
    }
  }
}

void weight_gradient(const GradientPlan& plan, const float* data, const float* out_gradient, float* weight, int request,
                     const GradientWorkspace& work) {
  const dcn_winograd_shape& s = plan.shape;
  const ptrdiff_t size = ptrdiff_t(s.height) * s.width;
  const int vectors = in_steps_of(S::kLanes, s.channels) / S::kLanes;
  for (int item = 0; item < s.images * plan.blocks; ++item) {
    const int image = item / plan.blocks, first = item % plan.blocks * plan.block_rows;
    const int rows = std::min(plan.block_rows, plan.rows - first), tiles = rows * plan.columns;
    parallel_for(vectors + s.filters, plan.threads, [&](int k, int thread) {
      float* lines = work.lines + thread * GradientWorkspace::lines_size(plan);
      if (k < vectors) {
        transform_channels(plan, data + ptrdiff_t(image) * s.channels * size, k * S::kLanes, first, rows, lines,
                           work.data);
      } else {
        const int filter = k - vectors;
        transform_gradient(plan, out_gradient + (ptrdiff_t(image) * s.filters + filter) * size, filter, first, rows,
                           lines, work.gradient);
      }
    });
    for (int from = 0; from < s.filters; from += plan.part) {
      const int filters = std::min(plan.part, plan.filters - from);
      parallel_for(kPoints, plan.threads, [&](int point, int) {
        multiply_point(plan, tiles, from, filters, work.gradient + point * plan.gradient_point,
                       work.data + point * plan.data_point, work.products + point * plan.products_point);
      });
      parallel_for(std::min(filters, s.filters - from), plan.threads, [&](int filter, int) {
        transform_products(plan, work.products + ptrdiff_t(filter) * plan.channels, item > 0 || request == DCN_ADD,
                           weight + ptrdiff_t(from + filter) * s.channels * 9);
      });
    }
  }
}

// In double: it costs nothing.
void bias_gradient(const dcn_winograd_shape& s, const float* out_gradient, float* bias, int request) {
  const ptrdiff_t size = ptrdiff_t(s.height) * s.width;
  parallel_for(s.filters, max_threads(), [&](int filter, int) {
    double total = 0;
    for (int image = 0; image < s.images; ++image) {
      const float* from = out_gradient + (ptrdiff_t(image) * s.filters + filter) * size;
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (ptrdiff_t p = 0; p < size; ++p) sum += from[p];
      total += sum;
    }
    bias[filter] = float(request == DCN_ADD ? bias[filter] + total : total);
  });
}

// The convolution that gives the data's gradient.
dcn_winograd_shape turned(const dcn_winograd_shape& s) {
  return {s.images, s.filters, s.height, s.width, s.channels, 0};
}

struct DataWorkspace {
  DataWorkspace(const dcn_winograd_shape& shape, void* block) : arena(block) {
    packed = arena.take<float>(winograd_packed(&shape));
    rest = arena.take<char>(winograd_workspace(&shape));
  }
  Arena arena;
  float* packed;
  char* rest;
};

bool well_formed_backward(const dcn_winograd_shape& s) {
  return well_formed(s) && !s.relu && fits(kMostSteps / 64, {s.channels, s.filters}) && well_formed(turned(s));
}

}  // namespace

size_t winograd_backward_workspace(const dcn_winograd_shape* shape, const dcn_winograd_gradients* gradients) {
  if (!well_formed_backward(*shape)) return 0;
  size_t bytes = 0;
  if (gradients->data_request != DCN_NULL) bytes = DataWorkspace(turned(*shape), nullptr).arena.bytes();
  if (gradients->weight_request != DCN_NULL) {
    bytes = std::max(bytes, GradientWorkspace(GradientPlan(*shape), nullptr).arena.bytes());
  }
  return bytes;
}

int winograd_backward(const dcn_winograd_shape* shape, const float* data, const float* weight,
                      const float* out_gradient, const dcn_winograd_gradients* gradients, void* workspace) {
  if (!well_formed_backward(*shape)) return DCN_BAD_SHAPE;
  const dcn_winograd_gradients& g = *gradients;
  if (g.data_request != DCN_NULL) {
    const dcn_winograd_shape other = turned(*shape);
    const DataWorkspace work(other, workspace);
    int status = status_of([&] { winograd::pack(other, weight, true, work.packed); });
    if (status == DCN_OK) {
      status = winograd_forward(&other, out_gradient, work.packed, nullptr, g.data, g.data_request, work.rest);
    }
    if (status != DCN_OK) return status;
  }
  return status_of([&] {
    if (g.weight_request != DCN_NULL) {
      const GradientPlan plan(*shape);
      if (!shape->images && g.weight_request != DCN_ADD) {
        std::fill_n(g.weight, ptrdiff_t(shape->filters) * shape->channels * 9, 0.0f);
      }
      weight_gradient(plan, data, out_gradient, g.weight, g.weight_request, GradientWorkspace(plan, workspace));
    }
    if (g.bias_request != DCN_NULL) bias_gradient(*shape, out_gradient, g.bias, g.bias_request);
  });
}

}  // namespace dcn
