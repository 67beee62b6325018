/* Stands in for the CUDA runtime, so that MXNet's GPU build runs GPU contexts without a GPU: two devices whose memory
 * is the host's. Loaded first (LD_PRELOAD), its functions take the place of those that MXNet calls. MXNet's own kernels
 * do not run: each launch is an error. Streams that emulated kernels (operator_cxx/cuda/emulator.h) get must be those
 * that MXNet made, on the device that the kernels were told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kDevices = 2, kStreams = 256, kNoKernelImage = 209 };

static struct {
  void* stream;
  int device;
} streams[kStreams];
static int stream_count = 0;
static __thread int device = 0, last_error = 0;

static int make(void** handle) {
  *handle = calloc(1, 64);
  return 0;
}

void dcn_emulator_watch(void* stream, int current) {
  for (int i = 0; i < stream_count; ++i)
    if (streams[i].stream == stream && streams[i].device == current) return;
  fprintf(stderr, "a kernel got stream %p on device %d, which MXNet did not make there\n", stream, current);
  abort();
}

int cudaGetDeviceCount(int* count) {
  *count = kDevices;
  return 0;
}
int cudaSetDevice(int number) {
  device = number;
  return 0;
}
int cudaGetDevice(int* number) {
  *number = device;
  return 0;
}
int cudaGetDeviceProperties(void* properties, int number) {
  memset(properties, 0, 256); /* the name */
  return 0;
}
int cudaDeviceGetAttribute(int* value, int attribute, int number) {
  *value = 7; /* the capability, which is all that matters */
  return 0;
}
int cudaDeviceGetP2PAttribute(int* value, int attribute, int from, int to) { return *value = 0; }
int cudaDeviceCanAccessPeer(int* value, int from, int to) { return *value = 0; }
int cudaDriverGetVersion(int* version) {
  *version = 11080;
  return 0;
}

int cudaMalloc(void** memory, size_t bytes) {
  *memory = malloc(bytes + 1);
  memset(*memory, 0xff, bytes); /* NaN */
  return 0;
}
int cudaFree(void* memory) {
  free(memory);
  return 0;
}
int cudaHostAlloc(void** memory, size_t bytes, unsigned flags) { return cudaMalloc(memory, bytes); }
int cudaFreeHost(void* memory) { return cudaFree(memory); }
int cudaMemGetInfo(size_t* available, size_t* all) {
  *available = *all = (size_t)1 << 34;
  return 0;
}
int cudaMemcpyAsync(void* to, const void* from, size_t bytes, int kind, void* stream) {
  memcpy(to, from, bytes);
  return 0;
}
int cudaMemcpy2DAsync(char* to, size_t to_pitch, const char* from, size_t from_pitch, size_t width, size_t height,
                      int kind, void* stream) {
  for (size_t row = 0; row < height; ++row) memcpy(to + row * to_pitch, from + row * from_pitch, width);
  return 0;
}
int cudaMemsetAsync(void* to, int value, size_t bytes, void* stream) {
  memset(to, value, bytes);
  return 0;
}

int cudaStreamCreate(void** stream) {
  make(stream);
  const int i = __sync_fetch_and_add(&stream_count, 1);
  streams[i % kStreams].stream = *stream;
  streams[i % kStreams].device = device;
  return 0;
}

int cudaLaunchKernel(void) { return last_error = kNoKernelImage; }
int cudaPeekAtLastError(void) { return last_error; }
int cudaGetLastError(void) {
  const int error = last_error;
  last_error = 0;
  return error;
}
const char* cudaGetErrorString(int error) { return error == kNoKernelImage ? "a kernel of MXNet was launched" : ""; }

int cudaEventCreateWithFlags(void** event, unsigned flags) { return make(event); }
int cublasCreate_v2(void** handle) { return make(handle); }
int cudnnCreate(void** handle) { return make(handle); }
int cusolverDnCreate(void** handle) { return make(handle); }
int cudaStreamSynchronize(void* stream) { return 0; }
int cudaStreamWaitEvent(void* stream, void* event, unsigned flags) { return 0; }
int cudaStreamDestroy(void* stream) { return 0; }
int cudaEventRecord(void* event, void* stream) { return 0; }
int cudaEventDestroy(void* event) { return 0; }
int cudaDeviceSynchronize(void) { return 0; }
int cudaDeviceEnablePeerAccess(int number, unsigned flags) { return 0; }
int cublasSetStream_v2(void* handle, void* stream) { return 0; }
int cublasDestroy_v2(void* handle) { return 0; }
int cudnnSetStream(void* handle, void* stream) { return 0; }
int cudnnDestroy(void* handle) { return 0; }
int cusolverDnSetStream(void* handle, void* stream) { return 0; }
int cusolverDnDestroy(void* handle) { return 0; }
