// Greedy NMS, soft-NMS, box overlaps: see nms.h for the contract.
//
// No fused multiply-add here: the NumPy version of each function (lib/dcn/nms/fallback.py) gives the same bits, so that
// a machine without a compiler keeps the same boxes. flags: -ffp-contract=off
#include <algorithm>
#include <cmath>
#include <vector>

#include "greedy_nms.h"
#include "kernels.h"
#include "status.h"

namespace dcn {
namespace {

int64_t greedy(const float* dets, int64_t n, float thresh, int64_t max_keep, int64_t* keep) {
  std::vector<uint64_t> keys(n);
  for (int64_t i = 0; i < n; ++i) keys[i] = rank_key(dets[5 * i + 4], uint32_t(i));
  return greedy_nms(&keys, n, dets, thresh, max_keep, keep);
}

// Factor on the score of a box with this IoU to the picked one.
inline double decay(float overlap, double sigma_or_thresh, int method) {
  const double o = overlap;
  if (method == DCN_SOFT_LINEAR) return o >= sigma_or_thresh ? 1.0 - o : 1.0;
  return std::isnan(o) || o == 0 ? 1.0 : std::exp(-o * o / sigma_or_thresh);
}

// True if score a at index i goes before score b at index j.
inline bool goes_before(double a, int64_t i, double b, int64_t j) {
  if (std::isnan(a) != std::isnan(b)) return std::isnan(b);
  return a > b || (!(a < b) && i < j);
}

int64_t soft(const float* dets, int64_t n, double sigma_or_thresh, int method, int64_t max_keep, int64_t* keep,
             float* kept_scores) {
  Columns rest;
  std::vector<double> scores(n);
  std::vector<int64_t> index(n);
  rest.reserve(n);
  for (int64_t i = 0; i < n; ++i) {
    rest.push(dets + 5 * i);
    scores[i] = dets[5 * i + 4];
    index[i] = i;
  }
  int64_t count = 0;
  while (count < max_keep && !scores.empty()) {
    size_t best = 0;
    for (size_t j = 1; j < scores.size(); ++j)
      if (goes_before(scores[j], index[j], scores[best], index[best])) best = j;
    const float* box = dets + 5 * index[best];
    const float area = rest.area[best];
    keep[count] = index[best];
    kept_scores[count++] = float(scores[best]);
    rest.swap_out(best);
    scores[best] = scores.back();
    scores.pop_back();
    index[best] = index.back();
    index.pop_back();
    for (size_t j = 0; j < scores.size(); ++j) scores[j] *= decay(rest.overlap(box, area, j), sigma_or_thresh, method);
  }
  return count;
}

// The number of boxes that run() kept, or minus a status.
template <typename Run>
int64_t counted(int64_t n, int64_t max_keep, const Run& run) {
  if (n < 0 || n > DCN_MOST_BOXES) return -DCN_BAD_SHAPE;
  if (n == 0 || max_keep <= 0) return 0;
  int64_t count = 0;
  const int status = status_of([&] { count = run(); });
  return status == DCN_OK ? count : -status;
}

}  // namespace

int64_t nms(const float* dets, int64_t n, float thresh, int64_t max_keep, int64_t* keep) {
  return counted(n, max_keep, [&] { return greedy(dets, n, thresh, max_keep, keep); });
}

int64_t soft_nms(const float* dets, int64_t n, double sigma_or_thresh, int method, int64_t max_keep, int64_t* keep,
                 float* scores) {
  return counted(n, max_keep, [&] { return soft(dets, n, sigma_or_thresh, method, max_keep, keep, scores); });
}

void bbox_overlaps(const double* boxes, int64_t n, const double* query, int64_t k, double* out) {
  for (int64_t i = 0; i < n; ++i) {
    const double* b = boxes + 4 * i;
    const double area = (b[2] - b[0] + 1) * (b[3] - b[1] + 1);
    for (int64_t j = 0; j < k; ++j) {
      const double* q = query + 4 * j;
      const double width = std::min(b[2], q[2]) - std::max(b[0], q[0]) + 1;
      const double height = std::min(b[3], q[3]) - std::max(b[1], q[1]) + 1;
      const double inter = width > 0 && height > 0 ? width * height : 0;
      const double total = area + (q[2] - q[0] + 1) * (q[3] - q[1] + 1) - inter;
      out[i * k + j] = inter > 0 && total > 0 ? inter / total : 0;
    }
  }
}

}  // namespace dcn
