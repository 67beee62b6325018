// Vectors of the widest kind that this build may use, written with the compilers' own vector types: no intrinsics, any
// processor.
#pragma once

#include <stddef.h>
#include <string.h>

#include <type_traits>
#include <utility>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace dcn {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kVectorRegisters = 32;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
constexpr int kVectorRegisters = 16;
#else
constexpr int kVectorBytes = 16;
constexpr int kVectorRegisters = 16;
#endif

template <typename T>
struct Simd {
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  static constexpr int kLanes = kVectorBytes / sizeof(T);

  static inline Vector load(const T* from) {
    Vector v;
    memcpy(&v, from, sizeof(v));
    return v;
  }
  static inline void store(T* to, Vector v) { memcpy(to, &v, sizeof(v)); }

  // The first `count` lanes; the others are zero.
  static inline Vector load_some(const T* from, int count) {
    if (count >= kLanes) return load(from);
    Vector v = {};
    memcpy(&v, from, count * sizeof(T));
    return v;
  }
  static inline void store_some(T* to, Vector v, int count) {
    if (count >= kLanes) {
      store(to, v);
    } else {
      memcpy(to, &v, count * sizeof(T));
    }
  }
};

// Pairs: two neighbours as bfloat16 numbers in one 32-bit word (here a float that nobody computes with), the first in
// the lower half. Where the processor multiplies such pairs, products are exact and sums are float32.
#if defined(__AVX512BF16__)
constexpr bool kPairsKnown = true;
typedef unsigned Words __attribute__((vector_size(kVectorBytes)));

// 16 numbers, rounded to the nearest, as the low (first of a pair) or high halves of 16 words.
inline Simd<float>::Vector first_of_pairs(Simd<float>::Vector v) {
  return (Simd<float>::Vector)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v));
}
inline Simd<float>::Vector second_of_pairs(Simd<float>::Vector v) {
  return (Simd<float>::Vector)((Words)first_of_pairs(v) << 16);
}
inline Simd<float>::Vector both_of_pairs(Simd<float>::Vector first, Simd<float>::Vector second) {
  return (Simd<float>::Vector)((Words)first | (Words)second);
}
// 16 numbers, rounded to the nearest, as 8 words.
inline void store_pairs(float* to, Simd<float>::Vector v) {
  const __m256bh pairs = _mm512_cvtneps_pbh((__m512)v);
  memcpy(to, &pairs, sizeof(pairs));
}
inline Simd<float>::Vector add_products(Simd<float>::Vector sum, float pair, Simd<float>::Vector pairs) {
  return (Simd<float>::Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(pair), (__m512bh)(__m512)pairs);
}
#else
constexpr bool kPairsKnown = false;
#endif

// Lanes of a and b in a fixed order; lane numbers from kLanes on are those of b.
template <typename T, int... Lane>
inline typename Simd<T>::Vector shuffle(typename Simd<T>::Vector a, typename Simd<T>::Vector b,
                                        std::integer_sequence<int, Lane...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, Lane...);
#else
  typedef typename std::conditional<sizeof(T) == 4, int, long long>::type Index;
  typedef Index Mask __attribute__((vector_size(kVectorBytes)));
  return __builtin_shuffle(a, b, Mask{Lane...});
#endif
}

// a0 b0 a1 b1 ... of the lower (kHalf = 0) or upper (1) halves of a and b.
template <typename T, int kHalf, int... Lane>
inline typename Simd<T>::Vector interleave(typename Simd<T>::Vector a, typename Simd<T>::Vector b,
                                           std::integer_sequence<int, Lane...>) {
  constexpr int kLanes = Simd<T>::kLanes;
  return shuffle<T>(a, b, std::integer_sequence<int, (Lane / 2 + kHalf * kLanes / 2 + Lane % 2 * kLanes)...>());
}

template <typename T, int kDistance, int... Lane>
inline typename Simd<T>::Vector add_neighbours(typename Simd<T>::Vector v, std::integer_sequence<int, Lane...> lanes) {
  v += shuffle<T>(v, v, std::integer_sequence<int, (Lane ^ kDistance)...>());
  if constexpr (kDistance > 1) return add_neighbours<T, kDistance / 2>(v, lanes);
  return v;
}

// Sum of all lanes, as a tree.
template <typename T>
inline T sum(typename Simd<T>::Vector v) {
  return add_neighbours<T, Simd<T>::kLanes / 2>(v, std::make_integer_sequence<int, Simd<T>::kLanes>())[0];
}

// Transposes a square of kLanes vectors in registers: log2(kLanes) rounds, each of which interleaves the two halves.
template <typename T>
inline void transpose_square(typename Simd<T>::Vector* square) {
  constexpr int kLanes = Simd<T>::kLanes;
  using Lanes = std::make_integer_sequence<int, kLanes>;
  for (int round = 1; round < kLanes; round *= 2) {
    typename Simd<T>::Vector next[kLanes];
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = interleave<T, 0>(square[i], square[i + kLanes / 2], Lanes());
      next[2 * i + 1] = interleave<T, 1>(square[i], square[i + kLanes / 2], Lanes());
    }
    for (int i = 0; i < kLanes; ++i) square[i] = next[i];
  }
}

// Hands out the transpose of source (rows, columns; row stride in elements) in pieces of a column:
//   sink(column, first_row, vector of up to kLanes rows, how many of them are real); the other lanes are zero.
template <typename T, typename Sink>
inline void transpose(const T* source, int rows, int columns, ptrdiff_t stride, Sink sink) {
  using S = Simd<T>;
  constexpr int kLanes = S::kLanes;
  for (int row = 0; row < rows; row += kLanes) {
    const int high = rows - row < kLanes ? rows - row : kLanes;
    for (int column = 0; column < columns; column += kLanes) {
      const int wide = columns - column < kLanes ? columns - column : kLanes;
      typename S::Vector square[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        square[i] = i < high ? S::load_some(source + (row + i) * stride + column, wide) : typename S::Vector{};
      }
      transpose_square<T>(square);
      for (int i = 0; i < wide; ++i) sink(column + i, row, square[i], high);
    }
  }
}

}  // namespace dcn
