// Three faults on purpose: sanitize.py trusts a clean run only where each of these is reported.
#define DCN_API extern "C" __attribute__((visibility("default")))

// One element past the end of `values`; AddressSanitizer.
DCN_API float planted_read(const float* values, int count) { return values[count]; }

// Overflows for 2^31 - 1; UndefinedBehaviorSanitizer.
DCN_API int planted_overflow(int value) { return value + 1; }

// Two threads, nothing between them; ThreadSanitizer. Every thread takes part, for each waits for the other.
DCN_API int planted_race() {
  int sum = 0;
  int arrived = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(2)
  for (int item = 0; item < 2; ++item) {
    __atomic_add_fetch(&arrived, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&arrived, __ATOMIC_RELAXED) < 2) {
    }
    sum += item;
  }
  return sum;
}
