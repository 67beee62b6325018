// Ranking and NMS of boxes on a GPU: keys are sorted, overlaps become a matrix of bits, and one block walks it.
#pragma once

#include "../include/boxes.h"
#include "element.cuh"
#include "host.h"

namespace dcn {

// ---- sorting: bitonic, ascending, of a power of two of keys ----

constexpr int kSortTile = 1024;  // keys in shared memory, two for each thread
constexpr int kSortThreads = kSortTile / 2;

inline int sort_size(int n) {
  int size = kSortTile;
  while (size < n) size *= 2;
  return size;
}

// Puts keys a < b in the order of the block of `length` keys that `a` belongs to.
__device__ inline void compare(uint64_t* a, uint64_t* b, bool ascending) {
  if ((*a > *b) == ascending) {
    const uint64_t other = *a;
    *a = *b;
    *b = other;
  }
}

// All steps over distances below kSortTile: of the sizes first_length..last_length.
static __global__ void __launch_bounds__(kSortThreads) sort_tiles(uint64_t* keys, int first_length, int last_length) {
  DCN_SHARED(memory, kSortTile * int(sizeof(uint64_t)));
  uint64_t* tile = reinterpret_cast<uint64_t*>(memory);
  const int thread = threadIdx.x, base = blockIdx.x * kSortTile;
  tile[thread] = keys[base + thread];
  tile[thread + kSortThreads] = keys[base + thread + kSortThreads];
  for (int length = first_length; length <= last_length; length *= 2) {
    for (int distance = length / 2 < kSortThreads ? length / 2 : kSortThreads; distance > 0; distance /= 2) {
      __syncthreads();
      const int at = thread / distance * 2 * distance + thread % distance;
      compare(tile + at, tile + at + distance, ((base + at) & length) == 0);
    }
  }
  __syncthreads();
  keys[base + thread] = tile[thread];
  keys[base + thread + kSortThreads] = tile[thread + kSortThreads];
}

// One step over a distance of at least kSortTile.
static __global__ void __launch_bounds__(kSortThreads) sort_step(uint64_t* keys, int length, int distance) {
  const int thread = blockIdx.x * kSortThreads + threadIdx.x;
  const int at = thread / distance * 2 * distance + thread % distance;
  compare(keys + at, keys + at + distance, (at & length) == 0);
}

inline void sort(uint64_t* keys, int size, cudaStream_t stream) {
  const dim3 grid(size / kSortTile), threads(kSortThreads);
  launch(sort_tiles, grid, threads, stream, keys, 2, kSortTile);
  for (int length = 2 * kSortTile; length <= size; length *= 2) {
    for (int distance = length / 2; distance >= kSortTile; distance /= 2)
      launch(sort_step, grid, threads, stream, keys, length, distance);
    launch(sort_tiles, grid, threads, stream, keys, length, length);
  }
}

// ---- NMS of boxes in the order of their keys ----

constexpr int kBits = 64;

// sorted (n, 4): the box of each key; a key of kNoBox has none.
static __global__ void __launch_bounds__(kThreads)
    gather_boxes(const uint64_t* keys, const float* boxes, int columns, int n, float* sorted) {
  for (long long i = first_item(); i < 4LL * n; i += item_step()) {
    const uint64_t key = keys[i / 4];
    sorted[i] = key == kNoBox ? 0.f : boxes[(long long)(key & 0xffffffffu) * columns + i % 4];
  }
}

// Bit j of masks[i * words + w]: box i suppresses box 64 w + j, which comes after it. Grid: (words, words), 64 threads.
static __global__ void __launch_bounds__(kBits)
    find_overlaps(const float* sorted, int n, float thresh, uint64_t* masks) {
  DCN_SHARED(memory, kBits * 4 * int(sizeof(float)));
  float* others = reinterpret_cast<float*>(memory);
  const int words = gridDim.x, word = blockIdx.x, box = blockIdx.y * kBits + threadIdx.x;
  const int other = word * kBits + threadIdx.x;
  if (word < int(blockIdx.y)) return;  // earlier boxes: never read
  for (int i = 0; i < 4; ++i) others[threadIdx.x * 4 + i] = other < n ? sorted[other * 4LL + i] : 0.f;
  __syncthreads();
  if (box >= n) return;
  const int count = n - word * kBits < kBits ? n - word * kBits : kBits;
  uint64_t bits = 0;
  for (int j = 0; j < count; ++j) {
    if (word * kBits + j > box && box_overlap(sorted + box * 4LL, others + j * 4) > thresh) bits |= uint64_t(1) << j;
  }
  masks[(long long)box * words + word] = bits;
}

// Walks the boxes in their order, 64 at a time: kept[0..count) are the places of those that nobody before suppressed,
// at most `most`. gone (words): which boxes are suppressed so far. One block.
static __global__ void __launch_bounds__(kThreads)
    walk(const uint64_t* keys, const uint64_t* masks, int n, int most, uint64_t* gone, int* kept, int* count) {
  DCN_SHARED(memory, (kBits + 2) * int(sizeof(uint64_t)));
  uint64_t* own = reinterpret_cast<uint64_t*>(memory);  // what the 64 boxes suppress among themselves
  uint64_t* chosen = own + kBits;
  int* found = reinterpret_cast<int*>(own + kBits + 1);  // how many, and whether to go on
  const int words = (n + kBits - 1) / kBits, thread = threadIdx.x;
  for (int w = thread; w < words; w += kThreads) gone[w] = 0;
  if (thread == 0) {
    found[0] = 0;
    found[1] = most > 0;
  }
  __syncthreads();
  for (int word = 0; word < words; ++word) {
    const int first = word * kBits, boxes = n - first < kBits ? n - first : kBits;
    if (thread < boxes) own[thread] = masks[(long long)(first + thread) * words + word];
    __syncthreads();
    if (thread == 0) {
      uint64_t removed = gone[word], picked = 0;
      int total = found[0], go_on = found[1];
      for (int j = 0; j < boxes && go_on; ++j) {
        if (keys[first + j] == kNoBox) go_on = 0;  // those without a box come last
        if (!go_on || (removed >> j & 1)) continue;
        picked |= uint64_t(1) << j;
        removed |= own[j];
        kept[total++] = first + j;
        go_on = total < most;
      }
      *chosen = picked;
      found[0] = total;
      found[1] = go_on;
    }
    __syncthreads();
    const uint64_t picked = *chosen;
    if (!found[1]) break;
    for (int w = word + 1 + thread; w < words; w += kThreads) {
      uint64_t bits = gone[w];
      for (int j = 0; j < boxes; ++j)
        if (picked >> j & 1) bits |= masks[(long long)(first + j) * words + w];
      gone[w] = bits;
    }
    __syncthreads();
  }
  if (thread == 0) *count = found[0];
}

// The arrays of one NMS of the first n of the sorted keys.
struct GreedyNms {
  float* sorted;
  uint64_t *masks, *gone;
  int *kept, *count;
  int n;

  GreedyNms(Carver* carver, int n) : n(n) {
    const int words = divide_up(n, kBits);
    sorted = carver->take<float>(4LL * n);
    masks = carver->take<uint64_t>((long long)n * words);
    gone = carver->take<uint64_t>(words);
    kept = carver->take<int>(n);
    count = carver->take<int>(1);
  }

  // boxes: rows of `columns` numbers, the first four of which are a box.
  void run(const uint64_t* keys, const float* boxes, int columns, float thresh, int most, cudaStream_t stream) const {
    const unsigned words = unsigned(divide_up(n, kBits));
    if (n > 0) {
      launch(gather_boxes, blocks_for(4LL * n), dim3(kThreads), stream, keys, boxes, columns, n, sorted);
      launch(find_overlaps, dim3(words, words), dim3(kBits), stream, sorted, n, thresh, masks);
    }
    launch(walk, dim3(1), dim3(kThreads), stream, keys, masks, n, most, gone, kept, count);
  }
};

// Overlaps are a matrix of bits with one row of blocks for 64 boxes, and a grid has at most 65535 rows.
constexpr int kMostNmsBoxes = 65535 * kBits;

// The arrays of the proposals of one image: of all anchors, of which the `candidates` best enter NMS.
struct ProposalMemory {
  uint64_t* keys;
  float* boxes;  // (anchors, 5): box and score
  GreedyNms nms;
  size_t bytes;

  ProposalMemory(int anchors, int candidates, void* workspace)
      : ProposalMemory(anchors, candidates, Carver(workspace)) {}

 private:
  ProposalMemory(int anchors, int candidates, Carver carver)
      : keys(carver.take<uint64_t>(sort_size(anchors))),
        boxes(carver.take<float>(5LL * anchors)),
        nms(&carver, candidates),
        bytes(carver.bytes()) {}
};

// How many of the anchors enter NMS; pre_nms 0 or less: all.
inline int candidates(int pre_nms, int anchors) { return pre_nms > 0 && pre_nms < anchors ? pre_nms : anchors; }

}  // namespace dcn
