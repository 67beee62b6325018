// Eight numbers side by side, through the vector types that GCC and Clang have for every processor.
#pragma once
#include <cstddef>
#include <cstring>

namespace dcn {

// Eight on every processor, however wide its registers: sums are made of eight partial sums, added in one fixed order
// (`sum` below), so the results are equal bit by bit whatever the instruction set. Eight floats fill a register of
// AVX2, eight doubles one of AVX-512; narrower sets use several registers.
constexpr int kLanes = 8;

template <typename T>
struct LanesOf;
template <>
struct LanesOf<float> {
  typedef float type __attribute__((vector_size(32)));
};
template <>
struct LanesOf<double> {
  typedef double type __attribute__((vector_size(64)));
};
template <typename T>
using Lanes = typename LanesOf<T>::type;

// first, first + 1, ... first + 7
template <typename T>
inline Lanes<T> counting(int first) {
  const Lanes<T> steps = {0, 1, 2, 3, 4, 5, 6, 7};
  return steps + T(first);
}

// Sum of eight in a fixed order: of numbers, or of vectors lane by lane.
template <typename Eight>
inline auto sum_of_eight(const Eight& v) {
  return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
template <typename T>
inline T sum(const Lanes<T>& v) {
  return sum_of_eight(v);
}

// What `load` and `store` do for less than eight numbers. Apart and not inlined, so that the usual case stays in a
// register.
template <typename T>
__attribute__((noinline)) Lanes<T> load_last(const T* from, ptrdiff_t left) {
  Lanes<T> v = {};
  std::memcpy(&v, from, left * sizeof(T));
  return v;
}
template <typename T>
__attribute__((noinline)) void store_last(T* to, const Lanes<T>& v, ptrdiff_t left) {
  std::memcpy(to, &v, left * sizeof(T));
}

// Eight numbers from `from` on, as far as the array reaches (`left` elements); 0 beyond.
template <typename T>
inline Lanes<T> load(const T* from, ptrdiff_t left) {
  if (__builtin_expect(left < kLanes, 0)) return load_last(from, left);
  Lanes<T> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

template <typename T>
inline void store(T* to, const Lanes<T>& v, ptrdiff_t left) {
  if (__builtin_expect(left < kLanes, 0)) return store_last<T>(to, v, left);
  std::memcpy(to, &v, sizeof v);
}

}  // namespace dcn
