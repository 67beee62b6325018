// Greedy NMS on a GPU.
// flags: -fmad=false
#include "boxes.cuh"

namespace {

using dcn::kThreads;

struct Memory {
  uint64_t* keys;
  dcn::GreedyNms nms;
  size_t bytes;

  Memory(int n, void* workspace) : Memory(n, dcn::Carver(workspace)) {}

 private:
  Memory(int n, dcn::Carver carver)
      : keys(carver.take<uint64_t>(dcn::sort_size(n))), nms(&carver, n), bytes(carver.bytes()) {}
};

__global__ void __launch_bounds__(kThreads) rank(const float* dets, int n, uint64_t* keys, int size) {
  for (long long i = dcn::first_item(); i < size; i += dcn::item_step()) {
    keys[i] = i < n ? dcn::rank_key(dets[5 * i + 4], uint32_t(i)) : dcn::kNoBox;
  }
}

__global__ void __launch_bounds__(kThreads)
    write(const uint64_t* keys, const int* kept, const int* found, int64_t* keep, int* count) {
  for (int i = int(dcn::first_item()); i < *found; i += int(dcn::item_step())) keep[i] = keys[kept[i]] & 0xffffffffu;
  if (dcn::first_item() == 0) *count = *found;
}

}  // namespace

size_t dcn_cuda_nms_workspace(int n) { return n < 0 || n > dcn::kMostNmsBoxes ? 0 : Memory(n, nullptr).bytes; }

int dcn_cuda_nms(const float* dets, int n, float thresh, int max_keep, int64_t* keep, int* count, void* workspace,
                 size_t workspace_bytes, void* stream) {
  if (n < 0 || n > dcn::kMostNmsBoxes) return dcn::refuse(DCN_BAD_SHAPE, "NMS takes between 0 and 4194240 boxes");
  const Memory memory(n, workspace);
  if (const int status = dcn::check_workspace(workspace, workspace_bytes, memory.bytes)) return status;
  const cudaStream_t queue = static_cast<cudaStream_t>(stream);
  const int size = dcn::sort_size(n);
  dcn::launch(rank, dcn::blocks_for(size), dim3(kThreads), queue, dets, n, memory.keys, size);
  dcn::sort(memory.keys, size, queue);
  memory.nms.run(memory.keys, dets, 5, thresh, max_keep, queue);
  dcn::launch(write, dcn::blocks_for(n), dim3(kThreads), queue, memory.keys, memory.nms.kept, memory.nms.count, keep,
              count);
  return dcn::launched();
}
