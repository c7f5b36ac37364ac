// The kernels, for vectors of EW_LANES floats; included once by each variant's file, compiled for its processor.
// Nothing from the standard library is used here: an inline function of it, compiled for AVX-512, could be the
// copy that the linker keeps for everybody.
#include "variant.h"

#if EW_LANES > 4
#include <immintrin.h>
#endif

namespace ew {
namespace {

typedef float V __attribute__((vector_size(EW_LANES * 4), aligned(4)));
typedef int32_t I __attribute__((vector_size(EW_LANES * 4), aligned(4)));
constexpr int L = EW_LANES;
// Pixels computed together with a number of vectors: sums, a row of weights and a value fill the registers, or 8
// sums and more hide the latency of an addition.
constexpr int pixels_of(int vectors) { return vectors == EW_VECTORS ? EW_PIXELS : 8; }

inline V load(const float *from) { return *reinterpret_cast<const V *>(from); }
inline void store(float *to, V value) { *reinterpret_cast<V *>(to) = value; }

inline float total(V value) {
  float sum[L];
  store(sum, value);
#pragma GCC unroll 8
  for (int width = L / 2; width > 0; width /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < width; i++) sum[i] += sum[i + width];
  return sum[0];
}

// Sums over lanes of several vectors at once: pairs are merged until each lane holds a part of one vector's sum.
template <int G>
inline V merge(V a, V b) {
#ifdef __clang__
  V both;
#pragma GCC unroll 16
  for (int k = 0; k < L; k++) {
    const int from = k / (2 * G) * 2 * G + k % G;
    both[k] = k % (2 * G) < G ? a[from] + a[from + G] : b[from] + b[from + G];
  }
  return both;
#else
  I low, high;
#pragma GCC unroll 16
  for (int k = 0; k < L; k++) {
    const int from = k / (2 * G) * 2 * G + k % G + (k % (2 * G) < G ? 0 : L);
    low[k] = from;
    high[k] = from + G;
  }
  return __builtin_shuffle(a, b, low) + __builtin_shuffle(a, b, high);
#endif
}

template <int N>
inline void totals(const V (&values)[N], float *to) {
  if constexpr (N == 8 && L == 16) {
    const V left = merge<2>(merge<1>(values[0], values[1]), merge<1>(values[2], values[3]));
    const V right = merge<2>(merge<1>(values[4], values[5]), merge<1>(values[6], values[7]));
    float halves[L];
    store(halves, merge<4>(left, right));
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) to[i] = halves[i] + halves[i + 8];
  } else if constexpr (N == 4 && L >= 8) {
    float parts[L];
    store(parts, merge<2>(merge<1>(values[0], values[1]), merge<1>(values[2], values[3])));
#pragma GCC unroll 4
    for (int i = 0; i < N; i++) {
      to[i] = parts[i] + parts[i + 4];
      if constexpr (L == 16) to[i] += parts[i + 8] + parts[i + 12];
    }
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) to[i] = total(values[i]);
  }
}

inline V larger(V a, V b) { return (b > a) | (b != b) ? b : a; }  // NaN stays

// A number that is not above the least gives the least; NaN stays.
inline V at_least(V least, V a) {
#if EW_LANES == 16
  return (V)_mm512_maskz_max_ps(0xffff, (__m512)least, (__m512)a);  // the second where one is NaN; compilers compare and blend
#else
  return a < least ? least : a;
#endif
}

// Calls work with the number of vectors as a type.
template <int N>
struct Count {
  static constexpr int count = N;
};

template <class Work>
inline void with_vectors(int vectors, const Work &work) {
  switch (vectors) {
    case 1: return work(Count<1>());
    case 2: return work(Count<2>());
    case 3: return work(Count<EW_VECTORS < 3 ? EW_VECTORS : 3>());
    default: return work(Count<EW_VECTORS>());
  }
}

template <class Work>
inline void with_flag(bool flag, const Work &work) {
  flag ? work(Count<1>()) : work(Count<0>());
}

// What becomes of sums in memory: residual, activation, pooling, attention sums.
template <int NZ, bool RESIDUAL, bool POOL, bool POSITIONS, class Stored>
struct Finishing {
  const Finish &f;
  const Stored &stored;  // gives the place of a pixel's sums
  V least;               // 0 where negative numbers become that

  void pixel(int i, V (&v)[NZ]) const {
    const float *from = stored(i);
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) {
      v[z] = load(from + z * L);
      if constexpr (RESIDUAL) v[z] += load(f.residual + f.residual_at[i] + z * L);
      v[z] = at_least(least, v[z]);
    }
  }

  void written(int i, V (&v)[NZ]) const {
    if constexpr (POOL) {
      V a[4][NZ];
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) pixel(4 * i + k, a[k]);
#pragma GCC unroll 4
      for (int z = 0; z < NZ; z++) v[z] = larger(larger(a[0][z], a[1][z]), larger(a[2][z], a[3][z]));
    } else {
      pixel(i, v);
    }
  }

  template <int N>
  void write(int first, V (&sums)[NZ]) const {
    V across[N];
#pragma GCC unroll 8
    for (int i = 0; i < N; i++) {
      V v[NZ];
      written(first + i, v);
#pragma GCC unroll 4
      for (int z = 0; z < NZ; z++) {
        store(f.out + f.out_at[first + i] + z * L, v[z]);
        sums[z] += v[z];
        if constexpr (POSITIONS) across[i] = z ? across[i] + v[z] : v[z];
      }
    }
    if constexpr (POSITIONS) {
      float found[N];
      totals<N>(across, found);
#pragma GCC unroll 8
      for (int i = 0; i < N; i++) f.position_sums[first + i] = found[i];
    }
  }
};

// Only when all pixels of a task are summed: a tile's last products are late, and what waits for them holds up the next tile.
template <int NZ, class Stored>
inline void finish(const Finish &f, const Stored &stored) {
  with_flag(f.residual, [&](auto residual) {
    with_flag(f.pool, [&](auto pool) {
      with_flag(f.position_sums, [&](auto positions) {
        constexpr bool pooled = decltype(pool)::count;
        const Finishing<NZ, decltype(residual)::count, pooled, decltype(positions)::count, Stored> finishing{
            f, stored, V{} + (f.relu ? 0.0f : -__builtin_inff())};
        V sums[NZ] = {};
        const int n = pooled ? f.n_pixels / 4 : f.n_pixels;
        int at = 0;
        for (; at + 8 <= n; at += 8) finishing.template write<8>(at, sums);
        for (; at < n; at++) finishing.template write<1>(at, sums);
        if (!f.channel_sums) return;
#pragma GCC unroll 4
        for (int z = 0; z < NZ; z++) store(f.channel_sums + z * L, sums[z]);
      });
    });
  });
}

// Adds one entry to the sums of PX pixels.
template <int PX, int NZ>
inline void add_entry(V (&a)[PX][NZ], const float *const (&x)[PX], const Entry &entry, const float *weights) {
  const int64_t offset = entry.x;
  const float *row = weights + static_cast<int64_t>(entry.row);
  V w[NZ];
#pragma GCC unroll 4
  for (int z = 0; z < NZ; z++) w[z] = load(row + z * L);
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    const float value = x[i][offset];
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) a[i][z] += value * w[z];
  }
}

// Brings cache lines to the nearest cache where groups of weights fit it, else to the second-level one.
template <int LINES>
inline void fetch_lines(const float *from, bool nearest) {
#pragma GCC unroll 4
  for (int i = 0; i < LINES; i++) {
    if (nearest)
      __builtin_prefetch(from + i * 16, 0, 3);
    else
      __builtin_prefetch(from + i * 16, 0, 2);
  }
}

// Adds what a list says to the sums of PX pixels. LINES: cache lines of each entry of another list that are fetched
// on the way.
template <int PX, int NZ, int LINES>
inline void multiply(V (&a)[PX][NZ], const float *const (&x)[PX], const Entry *list, int n, const float *weights, const Entry *fetch,
                     const float *later, bool nearest) {
  const Entry *end = list + n;
  if constexpr (LINES > 0) {
    for (; list != end; list++, fetch++) {
      fetch_lines<LINES>(later + static_cast<int64_t>(fetch->row), nearest);
      add_entry<PX, NZ>(a, x, *list, weights);
    }
  } else {
    for (; end - list >= 2; list += 2) {
      add_entry<PX, NZ>(a, x, list[0], weights);
      add_entry<PX, NZ>(a, x, list[1], weights);
    }
    if (list != end) add_entry<PX, NZ>(a, x, *list, weights);
  }
}

// Calls tile with the number of its pixels as a type, until none are left: whole tiles of MOST, then parts as equal as can be.
template <int MOST, class Tile>
inline void in_tiles(int n, int step, const Tile &tile) {
  int at = 0;
  while (at < n) {
    const int left = n - at, rest = left <= MOST ? left : (left + 1) / 2;
    const int now = left >= 2 * MOST ? MOST : (rest + step - 1) / step * step;
    switch (now < MOST ? now : MOST) {
      case 1: tile(Count<1>(), at); break;
      case 2: tile(Count<2>(), at); break;
      case 3: tile(Count<3>(), at); break;
      case 4: tile(Count<4>(), at); break;
      case 5: tile(Count<MOST < 5 ? MOST : 5>(), at); break;
      case 6: tile(Count<MOST < 6 ? MOST : 6>(), at); break;
      case 7: tile(Count<MOST < 7 ? MOST : 7>(), at); break;
      default: tile(Count<MOST>(), at); break;
    }
    at += now < MOST ? now : MOST;
  }
}

// One group of a list, and what is fetched for later meanwhile.
struct Part {
  const Entry *list;
  int n;
  bool first;
  const Entry *fetch;
  const float *later;
};

template <int PX, int NZ>
inline void begin(const Direct &d, const Part &part, int at, V (&a)[PX][NZ]) {
  const float *kept = d.sums + static_cast<int64_t>(at) * (NZ * L);
#pragma GCC unroll 16
  for (int i = 0; i < PX; i++)
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) a[i][z] = load(part.first ? d.bias + z * L : kept + (i * NZ + z) * L);
}

template <int PX, int NZ>
inline void end(const Direct &d, int at, const V (&a)[PX][NZ]) {
  float *kept = d.sums + static_cast<int64_t>(at) * (NZ * L);
#pragma GCC unroll 16
  for (int i = 0; i < PX; i++)
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) store(kept + (i * NZ + z) * L, a[i][z]);
}

// Functions of their own: within a larger one, compilers move sums between registers on the way.
template <int PX, int NZ, int LINES>
__attribute__((noinline)) void direct_tile(const Direct &d, const Part &part, int at) {
  const float *x[PX];
  V a[PX][NZ];
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) x[i] = d.x + d.x_at[at + i];
  begin<PX, NZ>(d, part, at, a);
  multiply<PX, NZ, LINES>(a, x, part.list, part.n, d.weights, part.fetch, part.later, d.nearest);
  end<PX, NZ>(d, at, a);
}

// Distances of pixels of a row in bytes, such that each is one of them times 1, 2, 4 or 8.
struct Strides {
  int64_t one, three, five, seven, nine;
  explicit Strides(int64_t s) : one(s), three(3 * s), five(5 * s), seven(7 * s), nine(9 * s) {
    __asm__("" : "+r"(three), "+r"(five), "+r"(seven), "+r"(nine));  // compilers would add them up anew
  }
  template <int I>
  float of(const char *x) const {
    static_assert(I < 10);
    const int64_t at = I == 3 || I == 6 ? three * (I / 3) : I == 5 ? five : I == 7 ? seven : I == 9 ? nine : one * I;
    return *reinterpret_cast<const float *>(x + at);
  }
};

template <int I, int PX, int NZ>
inline void add_row(V (&a)[PX][NZ], const char *x, const char *x8, const Strides &strides, const V (&w)[3][NZ]) {
  if constexpr (I < PX + 2) {
    const float value = I < 10 ? strides.of<I % 10>(x) : strides.of<I < 10 ? 0 : I - 8>(x8);
#pragma GCC unroll 3
    for (int k = 0; k < 3; k++)
      if (I >= k && I - k < PX)
#pragma GCC unroll 4
        for (int z = 0; z < NZ; z++) a[I - k][z] += value * w[k][z];
    add_row<I + 1>(a, x, x8, strides, w);
  }
}

// Pixels side by side, and the three taps of a row at once: each value that is read meets three rows of weights.
template <int PX, int NZ, int LINES>
__attribute__((noinline)) void row_tile(const Direct &d, const Part &part, int at) {
  V a[PX][NZ];
  begin<PX, NZ>(d, part, at, a);
  const char *x = reinterpret_cast<const char *>(d.x + d.x_at[at]);
  const Strides strides(static_cast<int64_t>(d.pitch) * 4);
  const Entry *fetch = part.fetch, *last = part.list + part.n;
  const int64_t wide = d.wide;
  for (const Entry *entry = part.list; entry != last; entry += 3) {
    const float *row = d.weights + static_cast<int64_t>(entry->row);
    if constexpr (LINES > 0) {
#pragma GCC unroll 3
      for (int k = 0; k < 3; k++) fetch_lines<LINES>(part.later + static_cast<int64_t>(fetch->row) + k * wide, d.nearest);
      fetch += 3;
    }
    V w[3][NZ];
#pragma GCC unroll 3
    for (int k = 0; k < 3; k++)
#pragma GCC unroll 4
      for (int z = 0; z < NZ; z++) w[k][z] = load(row + k * wide + z * L);
    const char *from = x + static_cast<int64_t>(entry->x) * 4;
    add_row<0>(a, from, from + 8 * strides.one, strides, w);
  }
  end<PX, NZ>(d, at, a);
}

constexpr int kRowPixels = EW_LANES < 16 ? 8 : 16;

// Tiles of pixels side by side where the map allows, then what is left of each row.
template <class Tile, class Row>
inline void in_rows(const Direct &d, const Tile &tile, const Row &row) {
  const int n = d.finish.n_pixels;
  // Within a row windows are a pitch apart, from row to row more.
  const auto side_by_side = [&](int at, int pixels) { return d.x_at[at + pixels - 1] - d.x_at[at] == (pixels - 1) * d.pitch; };
  for (int at = 0, run; at < n; at += run) {
    run = kRowPixels;
    if (at + run > n || !side_by_side(at, run))
      for (run = 1; at + run < n && side_by_side(at, run + 1);) run++;
    if (run == kRowPixels)
      row(Count<kRowPixels>(), at);
    else
      in_tiles<pixels_of(1)>(run, 1, [&](auto pixels, int first) { tile(pixels, at + first); });
  }
}

// All pixels take one group. Its tiles share what is to be fetched as evenly as they can, so that few requests wait at a time.
template <int NZ>
inline void direct_group(const Direct &d, Part part) {
  constexpr int lines = NZ * L < 16 ? 1 : NZ * L / 16, most = pixels_of(NZ);
  const int n = d.finish.n_pixels;
  int left = part.fetch ? lines : 0, tiles = (n + most - 1) / most;
  const auto with_lines = [&](auto work) {
    if (left <= 0) return work(Count<0>());
    int share = tiles > 1 ? (left + tiles - 1) / tiles : left;
    if (share == 1) {
      work(Count<1>());
    } else if (share == 2) {
      work(Count<(lines < 2 ? lines : 2)>());
    } else {
      work(Count<lines>());
      share = lines;
    }
    tiles--;
    left -= share;
    part.later += share * 16;
  };
  const auto tile = [&](auto pixels, int at) {
    with_lines([&](auto fetched) { direct_tile<decltype(pixels)::count, NZ, decltype(fetched)::count>(d, part, at); });
  };
  if (d.finish.pool) return in_tiles<most / 4 * 4>(n, 4, tile);
  if constexpr (NZ == 1) {  // else the values that are read are few beside the products
    const auto row = [&](auto pixels, int at) {
      with_lines([&](auto fetched) { row_tile<decltype(pixels)::count, NZ, decltype(fetched)::count>(d, part, at); });
    };
    if (d.pitch) return in_rows(d, tile, row);
  }
  in_tiles<most>(n, 1, tile);
}

template <int NZ>
void direct_vectors(const Direct &d) {
  const int groups = (d.n_list + d.group - 1) / d.group, together = d.pitch ? 3 : 1;
  const auto start = [&](int group) {
    if (group == 0 || group == groups) return group ? d.n_list : 0;
    return static_cast<int>(static_cast<int64_t>(d.n_list / together) * group / groups) * together;
  };
  for (int group = 0; group < groups; group++) {
    const bool last = group + 1 == groups;
    Part part{d.list + start(group), start(group + 1) - start(group), group == 0, nullptr, nullptr};
    if (!last) part.fetch = d.list + start(group + 1), part.later = d.weights;
    if (last && d.next) part.fetch = d.list, part.later = d.next;
    direct_group<NZ>(d, part);
  }
  finish<NZ>(d.finish, [&d](int i) { return d.sums + i * (NZ * L); });
}

void direct(const Direct &d) {
  with_vectors(d.vectors, [&](auto vectors) { direct_vectors<decltype(vectors)::count>(d); });
}

void fill(float *sums, const float *bias, int64_t pixels, int vectors) {
  with_vectors(vectors, [&](auto count) {
    constexpr int NZ = decltype(count)::count;
    V first[NZ];
    for (int z = 0; z < NZ; z++) first[z] = load(bias + z * L);
    for (int64_t i = 0; i < pixels; i++)
#pragma GCC unroll 4
      for (int z = 0; z < NZ; z++) store(sums + (i * NZ + z) * L, first[z]);
  });
}

void strip(const Strip &s) {
  with_vectors(s.vectors, [&](auto vectors) {
    constexpr int NZ = decltype(vectors)::count;
    finish<NZ>(s.finish, [&s](int i) { return s.sums + static_cast<int64_t>(s.sum_at[i] - s.first) * (NZ * L); });
  });
}

}  // namespace
}  // namespace ew

#include "variant_scatter.h"

#include "variant_choice.h"
