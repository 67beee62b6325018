// Proposals of a region proposal network on a GPU (Faster R-CNN, sections 3.1 and 3.3).
// flags: -fmad=false
#include "boxes.cuh"

namespace {

using dcn::kThreads;

struct Levels {
  dcn_proposal_level level[DCN_CUDA_MAX_LEVELS];
  int first[DCN_CUDA_MAX_LEVELS + 1];  // number of the first anchor of each level; behind the last: of all
  int count;
};

Levels levels_of(const dcn_proposal_shape& s, const dcn_proposal_level* levels) {
  Levels all = {};
  all.count = s.levels;
  for (int l = 0; l < s.levels; ++l) {
    all.level[l] = levels[l];
    all.first[l + 1] = all.first[l] + levels[l].anchors_per_cell * levels[l].height * levels[l].width;
  }
  return all;
}

bool well_formed(const dcn_proposal_shape& s, const dcn_proposal_level* levels) {
  if (s.images < 0 || s.levels < 1 || s.levels > DCN_CUDA_MAX_LEVELS || s.pre_nms < 0 || s.post_nms < 1) return false;
  long long anchors = 0;
  for (int l = 0; l < s.levels; ++l) {
    const dcn_proposal_level& level = levels[l];
    if (level.anchors_per_cell < 1 || level.height < 1 || level.width < 1 || level.stride < 1) return false;
    if (level.height > dcn::kMostNmsBoxes / level.width) return false;
    anchors += (long long)level.anchors_per_cell * level.height * level.width;
    if (anchors > dcn::kMostNmsBoxes) return false;
  }
  return true;
}

dcn::ProposalMemory memory_of(const dcn_proposal_shape& s, int anchors, void* workspace) {
  return dcn::ProposalMemory(anchors, dcn::candidates(s.pre_nms, anchors), workspace);
}

// One pixel at least, so that an im_info of zeros or NaN gives boxes as well.
__device__ double image_side(float side) { return side > 1 ? double(side) : 1.0; }

__device__ int whole_cells(double side, int stride, int cells) {
  const double whole = side / stride;
  return whole < cells ? int(whole) : cells;
}

// The box and the rank of every anchor of one image; kNoBox for those that are dropped.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    decode(Levels levels, const float* im_info, int image, float min_size, float* boxes, uint64_t* keys, int size) {
  const double height = image_side(im_info[3 * image]), width = image_side(im_info[3 * image + 1]);
  const double smallest = double(im_info[3 * image + 2]) * double(min_size);
  for (long long item = dcn::first_item(); item < size; item += dcn::item_step()) {
    const int i = int(item);
    keys[i] = dcn::kNoBox;
    if (i >= levels.first[levels.count]) continue;
    int l = 0;
    while (i >= levels.first[l + 1]) ++l;
    const dcn_proposal_level& level = levels.level[l];
    const int per_cell = level.anchors_per_cell, cells = level.height * level.width, place = i - levels.first[l];
    const int a = place % per_cell, cell = place / per_cell, y = cell / level.width, x = cell % level.width;
    // floor, although the map is the ceiling: its last row and column may give no proposals (kept from the original)
    if (y >= whole_cells(height, level.stride, level.height) || x >= whole_cells(width, level.stride, level.width))
      continue;
    const T* scores = static_cast<const T*>(level.scores) + ((long long)image * 2 + 1) * per_cell * cells;
    const T* deltas = static_cast<const T*>(level.deltas) + ((long long)image * per_cell + a) * 4 * cells + cell;
    const float score = float(dcn::widen(scores[(long long)a * cells + cell]));
    float delta[4];
    for (int k = 0; k < 4; ++k) delta[k] = float(dcn::widen(deltas[(long long)k * cells]));
    const double* anchor = level.anchors + 4 * a;
    double across[2], down[2];
    dcn::move_anchor(anchor[0] + double(x) * level.stride, anchor[2] + double(x) * level.stride, delta[0], delta[2],
                     width, across);
    dcn::move_anchor(anchor[1] + double(y) * level.stride, anchor[3] + double(y) * level.stride, delta[1], delta[3],
                     height, down);
    // comparisons with NaN are false, so boxes without coordinates go as well
    const bool large = across[1] - across[0] + 1 >= smallest && down[1] - down[0] + 1 >= smallest;
    if (!large || !isfinite(score)) continue;
    float* box = boxes + 5LL * i;
    box[0] = float(across[0]);
    box[1] = float(down[0]);
    box[2] = float(across[1]);
    box[3] = float(down[1]);
    box[4] = score;
    keys[i] = dcn::rank_key(score, uint32_t(i));
  }
}

__global__ void __launch_bounds__(kThreads)
    write(const uint64_t* keys, const float* boxes, const int* kept, const int* found, const float* im_info, int image,
          int post, float* rois, float* scores, int* counts) {
  for (int i = int(dcn::first_item()); i < post; i += int(dcn::item_step())) {
    const long long row = (long long)image * post + i;
    const float* box = *found ? boxes + 5LL * (keys[kept[i % *found]] & 0xffffffffu) : nullptr;
    rois[5 * row] = float(image);
    for (int k = 0; k < 4; ++k) {
      const float whole = k < 2 ? 0.f : float(image_side(im_info[3 * image + 3 - k]) - 1);
      rois[5 * row + 1 + k] = box ? box[k] : whole;
    }
    if (scores) scores[row] = box ? box[4] : 0.f;
  }
  if (counts && dcn::first_item() == 0) counts[image] = *found;
}

int check(const dcn_proposal_shape* shape, const dcn_proposal_level* levels) {
  if (shape && levels && well_formed(*shape, levels)) return DCN_OK;
  return dcn::refuse(DCN_BAD_SHAPE, "the shape is not that of proposals from 1 to 8 maps");
}

}  // namespace

size_t dcn_cuda_proposal_workspace(const dcn_proposal_shape* shape, const dcn_proposal_level* levels) {
  if (check(shape, levels) != DCN_OK) return 0;
  return memory_of(*shape, levels_of(*shape, levels).first[shape->levels], nullptr).bytes;
}

int dcn_cuda_proposal(const dcn_proposal_shape* shape, int dtype, const dcn_proposal_level* levels,
                      const float* im_info, float* rois, float* scores, int* counts, void* workspace,
                      size_t workspace_bytes, void* stream) {
  if (const int status = check(shape, levels)) return status;
  const Levels all = levels_of(*shape, levels);
  const int anchors = all.first[all.count], size = dcn::sort_size(anchors);
  const dcn::ProposalMemory memory = memory_of(*shape, anchors, workspace);
  if (const int status = dcn::check_workspace(workspace, workspace_bytes, memory.bytes)) return status;
  return dcn::for_dtype(dtype, [&](auto zero) {
    using T = decltype(zero);
    const cudaStream_t queue = static_cast<cudaStream_t>(stream);
    for (int image = 0; image < shape->images; ++image) {
      dcn::launch(decode<T>, dcn::blocks_for(size), dim3(kThreads), queue, all, im_info, image, shape->min_size,
                  memory.boxes, memory.keys, size);
      dcn::sort(memory.keys, size, queue);
      memory.nms.run(memory.keys, memory.boxes, 5, shape->threshold, shape->post_nms, queue);
      dcn::launch(write, dcn::blocks_for(shape->post_nms), dim3(kThreads), queue, memory.keys, memory.boxes,
                  memory.nms.kept, memory.nms.count, im_info, image, shape->post_nms, rois, scores, counts);
    }
    return dcn::launched();
  });
}
