// Deformable position-sensitive RoI pooling on the CPU. The sampling rule is in deformable_psroi_pooling.h, the way of
// walking in roi_planes.h; where all bins read the same map, the forward pass goes by strips of channels (in_strips).
//
// The S x S samples of a bin are a grid, so their bilinear weights separate: the sum over samples is
//     sum over rows y, columns x of  weight_y[y] * weight_x[x] * plane[y][x]
// with weight[q] = sum over samples of g(q, p) (eq. 4), over the few cells that the bin touches. The same with the
// slope of g along one axis gives the gradient of trans.
// flags: -ffp-contract=off -Wno-psabi
#include <algorithm>

#include "kernels.h"
#include "lanes.h"
#include "roi_planes.h"

namespace dcn {
namespace {

// The samples of eight bins along one axis: lane b belongs to bin b.
template <typename T>
struct Bands {
  Lanes<T>* positions;  // of S samples, moved into the map; kNowhere for those that do not count
  Lanes<T> count, least, most;

  static constexpr T kNowhere = -2;  // more than a cell away from every cell: no weight

  void place(const Lanes<T>& position, const Lanes<T>& step, int samples, int size) {
    const T last = T(size - 1);
    count = most = Lanes<T>{};
    least = Lanes<T>{} + last;
    for (int i = 0; i < samples; ++i) {
      const Lanes<T> at = position + T(i) * step;
      const auto inside = (at >= T(-0.5)) & (at <= last + T(0.5));  // false for a NaN
      const Lanes<T> raised = at < T(0) ? Lanes<T>{} : at, moved = raised > last ? Lanes<T>{} + last : raised;
      positions[i] = inside ? moved : Lanes<T>{} + kNowhere;
      count += inside ? Lanes<T>{} + T(1) : Lanes<T>{};
      least = inside & (moved < least) ? moved : least;
      most = inside & (moved > most) ? moved : most;
    }
  }
};

// One of those bins.
template <typename T>
struct Band {
  const Lanes<T>* positions;
  int bin, samples;
  int first, last;  // cells first..last are touched

  Band(const Bands<T>& bands, int lane, int sample_count)
      : positions(bands.positions), bin(lane), samples(sample_count), first(int(bands.least[lane])) {
    const T most = bands.most[lane];
    last = int(most) + (most > T(int(most)));
  }

  // Sum of the samples' weights on each of the cells from `cell` on: a tent of width 1 around each sample.
  Lanes<T> weights(int cell) const {
    const Lanes<T> cells = counting<T>(cell);
    Lanes<T> total = {};
    for (int i = 0; i < samples; ++i) {
      const Lanes<T> above = cells - positions[i][bin], distance = above < T(0) ? -above : above;
      total += distance < T(1) ? T(1) - distance : Lanes<T>{};
    }
    return total;
  }

  // Sum of the derivatives of those weights by the samples' positions: -1 below, +1 above, 0 on a cell.
  Lanes<T> slopes(int cell) const {
    const Lanes<T> cells = counting<T>(cell), one = Lanes<T>{} + T(1), none = {};
    Lanes<T> total = {};
    for (int i = 0; i < samples; ++i) {
      const T position = positions[i][bin], low = T(int(position));
      if (position == low) continue;  // on a cell, or does not count
      total += cells == low + T(1) ? one : none;
      total -= cells == low ? one : none;
    }
    return total;
  }
};

// value * weight where the weight is not 0: a cell that no sample touches must not bring in its NaN.
template <typename T>
inline Lanes<T> weighted(const Lanes<T>& value, const Lanes<T>& weight) {
  return weight != T(0) ? value * weight : Lanes<T>{};
}

// One axis of all RoIs, image after image: where they start, how long they and their bins are, and how far apart
// samples lie.
template <typename T>
struct Spans {
  std::vector<T> start, size, bin, step;

  void push(const RoiSpan<T>& span, int samples) {
    start.push_back(span.start);
    size.push_back(span.size);
    bin.push_back(span.bin);
    step.push_back(span.bin / T(samples));
  }
  void pad(int count) {
    for (auto* field : {&start, &size, &bin, &step}) field->insert(field->end(), count, T(0));
  }
  // First sample of bin p in the RoIs from n on, offset by a fraction of their size.
  Lanes<T> first_sample(int n, int p, const Lanes<T>& offset) const {
    const auto at = [n](const std::vector<T>& field) { return load(field.data() + n, kLanes); };
    return T(p) * at(bin) + at(start) + offset * at(size);
  }
};

template <typename T>
struct SortedRois {
  Spans<T> down, across;
  std::vector<int> roi;    // row of rois
  std::vector<int> begin;  // where each image's RoIs begin, and their end; padded with kLanes RoIs
  std::vector<int> parts;  // the part that holds the offset of each of P bins

  int most_in_image() const {
    int most = 0;
    for (size_t i = 1; i < begin.size(); ++i) most = std::max(most, begin[i] - begin[i - 1]);
    return most;
  }
};

template <typename T>
SortedRois<T> sort_rois(const dcn_deformable_psroi_shape& s, const T* rois) {
  SortedRois<T> sorted;
  for (int p = 0; p < s.pooled_size; ++p) sorted.parts.push_back(part_cell<T>(p, s.part_size, s.pooled_size));
  for (const std::vector<int>& of_image : rois_by_image(rois, s.rois, s.images)) {
    sorted.begin.push_back(int(sorted.roi.size()));
    for (int r : of_image) {
      const T* roi = rois + 5 * size_t(r);
      sorted.roi.push_back(r);
      sorted.across.push(roi_span(roi[1], roi[3], T(s.spatial_scale), T(0.5), s.pooled_size), s.sample_per_part);
      sorted.down.push(roi_span(roi[2], roi[4], T(s.spatial_scale), T(0.5), s.pooled_size), s.sample_per_part);
    }
  }
  sorted.begin.push_back(int(sorted.roi.size()));
  sorted.across.pad(kLanes);
  sorted.down.pad(kLanes);
  return sorted;
}

// What one bin gives to the gradient of trans: its derivatives by an offset along each axis.
template <typename T>
struct BinSlopes {
  T down, across;
};

// At most 8 x 8 cells that a bin touches, and the sums of its samples' weights on their rows and columns. (What is read
// one by one is an array: compilers would store a whole vector for every element.)
template <typename T>
struct Block {
  int y, rows, x;
  T row_weights[kLanes];
  Lanes<T> column_weights;

  // Calls each(i, pointer to row y + i at column x, elements from there to the end of the array) for the rows that a
  // sample touches. The array starts with the plane and has `length` elements.
  template <typename Pixel, typename Each>
  void for_rows(Pixel* plane, ptrdiff_t length, int width, const Each& each) const {
    for (int i = 0; i < rows; ++i) {
      const ptrdiff_t at = (y + i) * ptrdiff_t(width) + x;
      if (row_weights[i] != T(0)) each(i, plane + at, length - at);
    }
  }
};

// Channels of a strip.
constexpr int kStripVectors = 4, kStrip = kStripVectors * kLanes;

// One bin on one plane: where its samples lie, and the sums and gradients over them. Lanes beyond the bin are read from
// whatever follows in the array, and dropped by their weight.
template <typename T>
struct Bin {
  Band<T> down, across;

  template <typename Each>
  void for_blocks(const Each& each) const {
    for (int y = down.first; y <= down.last; y += kLanes) {
      Block<T> block = {y, std::min(kLanes, down.last - y + 1), 0, {}, {}};
      store<T>(block.row_weights, down.weights(y), kLanes);
      for (block.x = across.first; block.x <= across.last; block.x += kLanes) {
        block.column_weights = across.weights(block.x);
        each(block);
      }
    }
  }

  // Sum over the samples.
  T total(const T* plane, ptrdiff_t length, int width) const {
    Lanes<T> all = {};
    for_blocks([&](const Block<T>& block) {
      Lanes<T> columns = {};
      block.for_rows(plane, length, width,
                     [&](int i, const T* from, ptrdiff_t left) { columns += block.row_weights[i] * load(from, left); });
      all += weighted<T>(columns, block.column_weights);
    });
    return sum<T>(all);
  }

  // The same for the channels of a strip, whose cells (height, width, kStrip) lie side by side; the sums are added in
  // the same order, so that they have the same bits.
  void totals(const T* cells, int width, T* result) const {
    Lanes<T> all[kStripVectors][kLanes] = {};
    for_blocks([&](const Block<T>& block) {
      T weights[kLanes];
      store<T>(weights, block.column_weights, kLanes);
      for (int j = 0; j < kLanes; ++j) {
        if (weights[j] == T(0)) continue;
        Lanes<T> column[kStripVectors] = {};
        for (int i = 0; i < block.rows; ++i) {
          if (block.row_weights[i] == T(0)) continue;
          const T* cell = cells + ((block.y + i) * ptrdiff_t(width) + block.x + j) * kStrip;
          for (int v = 0; v < kStripVectors; ++v) {
            column[v] += block.row_weights[i] * load(cell + v * kLanes, kLanes);
          }
        }
        for (int v = 0; v < kStripVectors; ++v) all[v][j] += column[v] * weights[j];
      }
    });
    for (int v = 0; v < kStripVectors; ++v) store<T>(result + v * kLanes, sum_of_eight(all[v]), kLanes);
  }

  // Adds what one block gives to the sums by 8 columns.
  void add_slopes(const Block<T>& block, const T* plane, ptrdiff_t length, int width, Lanes<T>* sum_down,
                  Lanes<T>* sum_across) const {
    T row_slopes[kLanes];
    store<T>(row_slopes, down.slopes(block.y), kLanes);
    Lanes<T> sloped = {}, columns = {};
    block.for_rows(plane, length, width, [&](int i, const T* from, ptrdiff_t left) {
      const Lanes<T> pixels = load(from, left);
      columns += block.row_weights[i] * pixels;
      sloped += row_slopes[i] * pixels;
    });
    *sum_down += weighted<T>(sloped, block.column_weights);
    *sum_across += weighted<T>(columns, across.slopes(block.x));
  }

  // Adds grad times the samples' weights to a plane; nothing beyond its `length` elements is touched.
  void spread(const Block<T>& block, T grad, T* plane, ptrdiff_t length, int width) const {
    const Lanes<T> share = weighted<T>(Lanes<T>{} + grad, block.column_weights);
    block.for_rows(plane, length, width, [&](int i, T* to, ptrdiff_t left) {
      store<T>(to, load<T>(to, left) + block.row_weights[i] * share, left);
    });
  }
};

// Places of one class's offset of one part in trans (R, 2 * K, part, part).
struct TransPlace {
  size_t x, y;
};

inline TransPlace trans_place(const dcn_deformable_psroi_shape& s, int roi, int category, int part_y, int part_x) {
  const size_t parts = size_t(s.part_size) * s.part_size;
  const size_t x = (size_t(roi) * 2 * s.trans_classes + 2 * category) * parts + size_t(part_y) * s.part_size + part_x;
  return {x, x + parts};  // x before y: the other way round than the offsets of a deformable convolution
}

// The samples of one bin in each of eight RoIs, along both axes.
template <typename T>
struct Samples {
  std::vector<Lanes<T>> positions;  // room for 2 * S
  Bands<T> down, across;

  explicit Samples(int per_axis) : positions(2 * per_axis) {}

  // Bin (ph, pw) in the sorted RoIs from n on, offset by a fraction of their size; returns how many samples count.
  Lanes<T> place(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, int n, int ph, int pw,
                 const Lanes<T>& offset_y, const Lanes<T>& offset_x) {
    down.positions = positions.data();
    across.positions = positions.data() + s.sample_per_part;
    down.place(sorted.down.first_sample(n, ph, offset_y), load(sorted.down.step.data() + n, kLanes), s.sample_per_part,
               s.height);
    across.place(sorted.across.first_sample(n, pw, offset_x), load(sorted.across.step.data() + n, kLanes),
                 s.sample_per_part, s.width);
    return down.count * across.count;
  }

  Bin<T> bin(int lane) const {
    const int per_axis = int(positions.size() / 2);
    return {{down, lane, per_axis}, {across, lane, per_axis}};
  }
};

// What one thread works on: all bins of one row of one output channel, column by column, RoIs side by side. Arrays
// of (P columns, RoIs of the image), since in trans and in the outputs these lie far apart.
template <typename T>
struct Row {
  int rois, stride;
  std::vector<T> offset_y, offset_x;  // in units of the RoI's size
  std::vector<T> first, second;       // results, or gradients and slopes
  std::vector<T> grad;
  Samples<T> samples;

  Row(const dcn_deformable_psroi_shape& s, int most_rois)
      : rois(0), stride((most_rois + kLanes - 1) / kLanes * kLanes), samples(s.sample_per_part) {
    for (auto* field : {&offset_y, &offset_x, &first, &second, &grad}) field->resize(size_t(stride) * s.pooled_size);
  }
};

// Calls each(row, image, output channel, row of groups, first ph, end of ph); each thread has one Row. One row of
// groups is one item of work: in the backward pass it owns its planes.
template <typename T, typename Each>
void for_rows(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, const Each& each) {
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.output_dim * s.pooled_size * s.pooled_size;
  const int threads = bins > kSerialBins ? max_threads() : 1;
  std::vector<Row<T>> rows;
  for (int thread = 0; thread < threads; ++thread) rows.emplace_back(s, sorted.most_in_image());
  const int items = s.output_dim * s.group_size;
  parallel_for(s.images * items, threads, [&](int item, int thread) {
    const int image = item / items, output = item % items / s.group_size;
    const PlaneBins served = plane_bins(item % items * s.group_size, s.group_size, s.pooled_size);
    rows[thread].rois = sorted.begin[image + 1] - sorted.begin[image];
    each(&rows[thread], image, output, item % s.group_size, served.row_begin, served.row_end);
  });
}

// Calls each(roi, place of its row of bins in the output, n) for the RoIs of a row.
template <typename T, typename Each>
void for_rois(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, int image, int output, int ph,
              const Each& each) {
  const int size = s.pooled_size, begin = sorted.begin[image];
  for (int n = 0; n < sorted.begin[image + 1] - begin; ++n) {
    const int r = sorted.roi[begin + n];
    each(r, ((size_t(r) * s.output_dim + output) * size + ph) * size, n);
  }
}

template <typename T>
void load_offsets(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, const T* trans, int image,
                  int output, int ph, Row<T>* row) {
  if (!s.trans_classes) return;  // they stay zero
  const int category = output / (s.output_dim / s.trans_classes);
  for_rois(s, sorted, image, output, ph, [&](int r, size_t, int n) {
    for (int pw = 0; pw < s.pooled_size; ++pw) {
      const TransPlace at = trans_place(s, r, category, sorted.parts[ph], sorted.parts[pw]);
      row->offset_y[pw * row->stride + n] = trans[at.y] * T(s.trans_std);
      row->offset_x[pw * row->stride + n] = trans[at.x] * T(s.trans_std);
    }
  });
}

// Calls each(index among the sorted RoIs, place in the Row's arrays, bin, number of its samples) for the bins of column
// pw that are wanted(place). A bin without samples must not be asked for anything. Meanwhile the plane after `plane` is
// fetched.
template <typename T, typename Wanted, typename Each>
void for_bins(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, int image, int ph, int pw,
              const T* plane, Row<T>* row, const Wanted& wanted, const Each& each) {
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  for (int n = 0; n < row->rois; n += kLanes) {
    prefetch(plane + plane_size, plane_size, n / kLanes, row->stride / kLanes);
    const int index = sorted.begin[image] + n, place = pw * row->stride + n;
    const Lanes<T> offset_y = load(row->offset_y.data() + place, kLanes),
                   offset_x = load(row->offset_x.data() + place, kLanes);
    const Lanes<T> count = row->samples.place(s, sorted, index, ph, pw, offset_y, offset_x);
    for (int lane = 0; lane < std::min(kLanes, row->rois - n); ++lane) {
      if (!wanted(place + lane)) continue;
      each(index + lane, place + lane, row->samples.bin(lane), count[lane]);
    }
  }
}

// The plane that serves column pw of a row of groups.
inline ptrdiff_t plane_of(const dcn_deformable_psroi_shape& s, int image, int output, int group_row, int pw) {
  return (ptrdiff_t(image) * s.output_dim + output) * s.group_size * s.group_size + group_row * s.group_size +
         group_cell(pw, s.group_size, s.pooled_size);
}

// Whether the forward pass goes by strips of channels. Where all bins read the same map, the weights of a bin are those
// of every channel of its class: they are computed once for a strip, not once for a plane. The cells of the map have to
// be laid side by side for it, and a bin costs as much as some twenty of them.
template <typename T>
bool in_strips(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted) {
  const ptrdiff_t bins = ptrdiff_t(sorted.roi.size()) * s.pooled_size * s.pooled_size;
  return s.group_size == 1 && s.output_dim / std::max(s.trans_classes, 1) >= kLanes &&
         20 * bins >= ptrdiff_t(s.images) * s.height * s.width;
}

// `count` planes of `size` cells as (size, kStrip); what is beyond `count` is 0.
template <typename T>
void lay_side_by_side(const T* planes, ptrdiff_t size, int count, T* cells) {
  constexpr ptrdiff_t kAtOnce = 64;
  for (ptrdiff_t begin = 0; begin < size; begin += kAtOnce) {
    const ptrdiff_t end = std::min(size, begin + kAtOnce);
    for (int c = 0; c < kStrip; ++c) {
      for (ptrdiff_t i = begin; i < end; ++i) cells[i * kStrip + c] = c < count ? planes[c * size + i] : T(0);
    }
  }
}

// Pools `count` channels of a class, from `channel` on, for the RoIs of an image.
template <typename T>
void forward_strip(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, const T* cells, const T* trans,
                   int image, int category, int channel, int count, T* out, T* top_count, const int* requests) {
  const int size = s.pooled_size;
  Samples<T> samples(s.sample_per_part);
  T totals[kStrip];
  for (int first = sorted.begin[image]; first < sorted.begin[image + 1]; first += kLanes) {
    const int rois = std::min(kLanes, sorted.begin[image + 1] - first);
    for (int bin = 0; bin < size * size; ++bin) {
      const int ph = bin / size, pw = bin % size;
      Lanes<T> offset_y = {}, offset_x = {};
      for (int lane = 0; s.trans_classes && lane < rois; ++lane) {
        const TransPlace at = trans_place(s, sorted.roi[first + lane], category, sorted.parts[ph], sorted.parts[pw]);
        offset_y[lane] = trans[at.y] * T(s.trans_std);
        offset_x[lane] = trans[at.x] * T(s.trans_std);
      }
      const Lanes<T> counts = samples.place(s, sorted, first, ph, pw, offset_y, offset_x);
      for (int lane = 0; lane < rois; ++lane) {
        const T counted = counts[lane];
        if (counted > T(0)) samples.bin(lane).totals(cells, s.width, totals);
        const size_t place = (size_t(sorted.roi[first + lane]) * s.output_dim + channel) * size * size + bin;
        for (int c = 0; c < count; ++c) {
          const size_t at = place + size_t(c) * size * size;
          if (requests[0] != DCN_NULL) assign(requests[0], out + at, counted > T(0) ? totals[c] / counted : T(0));
          if (requests[1] != DCN_NULL) assign(requests[1], top_count + at, counted);
        }
      }
    }
  }
}

template <typename T>
void forward_in_strips(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, const T* data, const T* trans,
                       T* out, T* top_count, const int* requests) {
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width;
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.output_dim * s.pooled_size * s.pooled_size;
  const int threads = bins > kSerialBins ? max_threads() : 1;
  const int classes = std::max(s.trans_classes, 1), per_class = s.output_dim / classes;
  const int strips = (per_class + kStrip - 1) / kStrip;
  std::vector<std::vector<T>> cells(threads);
  parallel_for(s.images * classes * strips, threads, [&](int item, int thread) {
    const int image = item / (classes * strips), category = item / strips % classes;
    if (sorted.begin[image] == sorted.begin[image + 1]) return;
    const int before = item % strips * kStrip, channel = category * per_class + before;
    const int count = std::min(kStrip, per_class - before);
    cells[thread].resize(plane_size * kStrip);
    lay_side_by_side(data + (ptrdiff_t(image) * s.channels + channel) * plane_size, plane_size, count,
                     cells[thread].data());
    forward_strip(s, sorted, cells[thread].data(), trans, image, category, channel, count, out, top_count, requests);
  });
}

template <typename T>
void forward(const dcn_deformable_psroi_shape& s, const T* data, const T* rois, const T* trans, T* out, T* top_count,
             const int* requests) {
  if (requests[0] == DCN_NULL && requests[1] == DCN_NULL) return;
  const SortedRois<T> sorted = sort_rois(s, rois);
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width, planes = ptrdiff_t(s.images) * s.channels;
  const size_t per_roi = size_t(s.output_dim) * s.pooled_size * s.pooled_size;
  for (int r = 0; r < s.rois; ++r) {
    if (roi_image(rois[5 * size_t(r)], s.images) >= 0) continue;
    if (requests[0] != DCN_NULL) zero_for(requests[0], out + r * per_roi, per_roi);  // else it may be null
    if (requests[1] != DCN_NULL) zero_for(requests[1], top_count + r * per_roi, per_roi);
  }
  if (in_strips(s, sorted)) return forward_in_strips(s, sorted, data, trans, out, top_count, requests);
  for_rows(s, sorted, [&](Row<T>* row, int image, int output, int group_row, int begin, int end) {
    for (int ph = begin; ph < end; ++ph) {
      load_offsets(s, sorted, trans, image, output, ph, row);
      for (int pw = 0; pw < s.pooled_size; ++pw) {
        const ptrdiff_t plane = plane_of(s, image, output, group_row, pw), length = (planes - plane) * plane_size;
        for_bins(
            s, sorted, image, ph, pw, data + plane * plane_size, row, [](int) { return true; },
            [&](int, int place, const Bin<T>& bin, T count) {
              row->first[place] = count > T(0) ? bin.total(data + plane * plane_size, length, s.width) / count : 0;
              row->second[place] = count;
            });
      }
      for_rois(s, sorted, image, output, ph, [&](int, size_t place, int n) {
        for (int pw = 0; pw < s.pooled_size; ++pw) {
          if (requests[0] != DCN_NULL) assign(requests[0], out + place + pw, row->first[pw * row->stride + n]);
          if (requests[1] != DCN_NULL) assign(requests[1], top_count + place + pw, row->second[pw * row->stride + n]);
        }
      });
    }
  });
}

// trans_grad from the bins' slopes (R, output_dim, P, P): each part sums over the channels of its class and the bins
// that use its offset, in their order.
template <typename T>
void gather_trans(const dcn_deformable_psroi_shape& s, const SortedRois<T>& sorted, const BinSlopes<T>* slopes,
                  T* trans_grad, int request) {
  const int size = s.pooled_size, per_class = s.output_dim / s.trans_classes;
  const size_t per_roi = 2 * size_t(s.trans_classes) * s.part_size * s.part_size;
  const ptrdiff_t bins = ptrdiff_t(s.rois) * s.output_dim * size * size;
  parallel_for(s.rois, bins > 4 * kSerialBins ? max_threads() : 1, [&](int r, int) {
    zero_for(request, trans_grad + r * per_roi, per_roi);
    const BinSlopes<T>* slope = slopes + size_t(r) * s.output_dim * size * size;
    for (int c = 0; c < s.output_dim; ++c) {
      for (int ph = 0; ph < size; ++ph) {
        for (int pw = 0; pw < size; ++pw, ++slope) {
          const TransPlace at = trans_place(s, r, c / per_class, sorted.parts[ph], sorted.parts[pw]);
          trans_grad[at.x] += slope->across;
          trans_grad[at.y] += slope->down;
        }
      }
    }
  });
}

template <typename T>
void backward(const dcn_deformable_psroi_shape& s, const T* out_grad, const T* data, const T* rois, const T* trans,
              T* data_grad, T* rois_grad, T* trans_grad, const int* requests) {
  zero_for(requests[1], rois_grad, 5 * size_t(s.rois));
  const bool want_data = requests[0] != DCN_NULL, want_trans = s.trans_classes && requests[2] != DCN_NULL;
  if (!want_data && !want_trans) return;
  const SortedRois<T> sorted = sort_rois(s, rois);
  std::vector<BinSlopes<T>> slopes;
  if (want_trans) slopes.resize(size_t(s.rois) * s.output_dim * s.pooled_size * s.pooled_size);
  const ptrdiff_t plane_size = ptrdiff_t(s.height) * s.width, planes = ptrdiff_t(s.images) * s.channels;
  for_rows(s, sorted, [&](Row<T>* row, int image, int output, int group_row, int begin, int end) {
    const ptrdiff_t first_plane = plane_of(s, image, output, group_row, 0);
    if (want_data) zero_for(requests[0], data_grad + first_plane * plane_size, s.group_size * plane_size);
    for (int ph = begin; ph < end; ++ph) {
      load_offsets(s, sorted, trans, image, output, ph, row);
      for_rois(s, sorted, image, output, ph, [&](int, size_t place, int n) {
        for (int pw = 0; pw < s.pooled_size; ++pw) row->grad[pw * row->stride + n] = out_grad[place + pw];
      });
      for (int pw = 0; pw < s.pooled_size; ++pw) {
        const ptrdiff_t plane = plane_of(s, image, output, group_row, pw), length = (planes - plane) * plane_size;
        // most gradients are 0 where hard examples are mined
        const auto wanted = [&](int place) {
          row->first[place] = row->second[place] = 0;
          return row->grad[place] != T(0);
        };
        const auto add = [&](int index, int place, const Bin<T>& bin, T count) {
          if (!(count > T(0))) return;
          const T grad = row->grad[place] / count, scale = T(s.trans_std) * grad;
          Lanes<T> sum_down = {}, sum_across = {};
          bin.for_blocks([&](const Block<T>& block) {
            if (want_data) bin.spread(block, grad, data_grad + plane * plane_size, plane_size, s.width);
            if (want_trans) {
              bin.add_slopes(block, data + plane * plane_size, length, s.width, &sum_down, &sum_across);
            }
          });
          row->first[place] = sum<T>(sum_down) * scale * sorted.down.size[index];
          row->second[place] = sum<T>(sum_across) * scale * sorted.across.size[index];
        };
        for_bins(s, sorted, image, ph, pw, data + plane * plane_size, row, wanted, add);
      }
      if (!want_trans) continue;
      for_rois(s, sorted, image, output, ph, [&](int, size_t place, int n) {
        for (int pw = 0; pw < s.pooled_size; ++pw) {
          slopes[place + pw] = {row->first[pw * row->stride + n], row->second[pw * row->stride + n]};
        }
      });
    }
  });
  if (want_trans) gather_trans(s, sorted, slopes.data(), trans_grad, requests[2]);
}

}  // namespace

int deformable_psroi_pooling_forward(const dcn_deformable_psroi_shape* shape, int dtype, const void* data,
                                     const void* rois, const void* trans, void* out, void* top_count,
                                     const int requests[2]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    forward(*shape, static_cast<const T*>(data), static_cast<const T*>(rois), static_cast<const T*>(trans),
            static_cast<T*>(out), static_cast<T*>(top_count), requests);
  };
  return for_dtype(dtype, run);
}

int deformable_psroi_pooling_backward(const dcn_deformable_psroi_shape* shape, int dtype, const void* out_grad,
                                      const void* data, const void* rois, const void* trans, void* data_grad,
                                      void* rois_grad, void* trans_grad, const int requests[3]) {
  if (!well_formed(*shape)) return DCN_BAD_SHAPE;
  const auto run = [&](auto zero) {
    using T = decltype(zero);
    backward(*shape, static_cast<const T*>(out_grad), static_cast<const T*>(data), static_cast<const T*>(rois),
             static_cast<const T*>(trans), static_cast<T*>(data_grad), static_cast<T*>(rois_grad),
             static_cast<T*>(trans_grad), requests);
  };
  return for_dtype(dtype, run);
}

}  // namespace dcn
