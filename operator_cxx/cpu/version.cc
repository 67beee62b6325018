// What this build was made for; the first thing to ask when a figure or a result looks odd.
#include "../include/common.h"

// Instruction set that the kernels were compiled for.
DCN_API const char* dcn_instruction_set() {
#if defined(__AVX512F__)
  return "avx512";
#elif defined(__AVX2__)
  return "avx2";
#else
  return "portable";
#endif
}
