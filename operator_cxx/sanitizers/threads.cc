// OpenMP on plain threads, as much of it as the core uses, for ThreadSanitizer.
//
// GCC's libgomp wakes and joins its threads by means that ThreadSanitizer does not see, so that it calls every parallel
// loop a race. Loaded before libgomp (sanitize.py), these functions take the place of its own: threads are created and
// joined for each loop, items are handed out in a way that orders nothing, and what is then reported is a race of the
// core.
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace {

// The threads of one parallel region and its loop: items next..end-1 are still to be taken.
struct Team {
  std::mutex lock;
  bool started = false;
  std::atomic<long> next{0};
  long end = 0, piece = 1;

  void start(long first, long last, long step, long chunk) {
    const std::lock_guard<std::mutex> guard(lock);
    if (started) return;
    started = true;
    next = first;
    end = last;
    piece = step * chunk;
  }
  bool take(long* first, long* last) {
    const long taken = next.fetch_add(piece, std::memory_order_relaxed);
    if (taken >= end) return false;
    *first = taken;
    *last = taken + piece < end ? taken + piece : end;
    return true;
  }
};

thread_local Team* team = nullptr;
thread_local int thread_number = 0;

void run(Team* now, void (*body)(void*), void* data, unsigned threads) {
  Team* const outer = team;
  const int outer_number = thread_number;
  const auto work = [=](int number) {
    team = now;
    thread_number = number;
    body(data);
  };
  std::vector<std::thread> others;
  for (unsigned number = 1; number < threads; ++number) others.emplace_back(work, number);
  work(0);
  for (std::thread& other : others) other.join();
  team = outer;
  thread_number = outer_number;
}

}  // namespace

extern "C" {

int omp_get_thread_num() { return thread_number; }
int omp_in_parallel() { return team != nullptr; }

int omp_get_max_threads() {
  const char* asked = std::getenv("OMP_NUM_THREADS");
  return asked ? std::atoi(asked) : 2;
}

// What GCC makes of '#pragma omp parallel for schedule(dynamic, chunk)', in one call or in two.
void GOMP_parallel_loop_nonmonotonic_dynamic(void (*body)(void*), void* data, unsigned threads, long first, long last,
                                             long step, long chunk, unsigned) {
  Team now;
  now.start(first, last, step, chunk);
  run(&now, body, data, threads);
}

void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned) {
  Team now;
  run(&now, body, data, threads);
}

bool GOMP_loop_nonmonotonic_dynamic_start(long first, long last, long step, long chunk, long* begin, long* end) {
  team->start(first, last, step, chunk);
  return team->take(begin, end);
}

bool GOMP_loop_nonmonotonic_dynamic_next(long* first, long* last) { return team->take(first, last); }

void GOMP_loop_end_nowait() {}

}  // extern "C"
