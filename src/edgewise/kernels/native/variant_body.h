// The kernels, for vectors of EW_LANES floats; included once by each variant's file, compiled for its processor.
// Nothing from the standard library is used here: an inline function of it, compiled for AVX-512, could be the
// copy that the linker keeps for everybody.
#include "variant.h"

namespace ew {
namespace {

typedef float V __attribute__((vector_size(EW_LANES * 4), aligned(4)));
typedef int32_t I __attribute__((vector_size(EW_LANES * 4), aligned(4)));
constexpr int L = EW_LANES;
constexpr int P = EW_PIXELS;  // pixels computed together; a multiple of 4

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

// Sums over channels of the first N pixels.
template <int N, int PX, int NZ>
inline void across(const V (&a)[PX][NZ], float *to) {
  V all[N];
#pragma GCC unroll 8
  for (int i = 0; i < N; i++) {
    all[i] = a[i][0];
    if constexpr (NZ == 2) all[i] += a[i][1];
  }
  totals<N>(all, to);
}

template <int PX, int NZ>
inline void finish(V (&a)[PX][NZ], const Finish &f, int at, V (&sums)[NZ]) {
  if (f.residual) {
#pragma GCC unroll 8
    for (int i = 0; i < PX; i++)
#pragma GCC unroll 2
      for (int z = 0; z < NZ; z++) a[i][z] += load(f.residual + f.residual_at[at + i] + z * L);
  }
  if (f.relu) {
    const V zero = {};
#pragma GCC unroll 8
    for (int i = 0; i < PX; i++)
#pragma GCC unroll 2
      for (int z = 0; z < NZ; z++) a[i][z] = a[i][z] < zero ? zero : a[i][z];
  }
  if (f.pool) {
    if constexpr (PX % 4 == 0) {
#pragma GCC unroll 2
      for (int i = 0; i < PX / 4; i++)
#pragma GCC unroll 2
        for (int z = 0; z < NZ; z++)
          a[i][z] = larger(larger(a[4 * i][z], a[4 * i + 1][z]), larger(a[4 * i + 2][z], a[4 * i + 3][z]));
      const int first = at / 4;
#pragma GCC unroll 2
      for (int i = 0; i < PX / 4; i++)
#pragma GCC unroll 2
        for (int z = 0; z < NZ; z++) {
          store(f.out + f.out_at[first + i] + z * L, a[i][z]);
          sums[z] += a[i][z];
        }
      if (f.position_sums) across<PX / 4>(a, f.position_sums + first);
    }
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
#pragma GCC unroll 2
    for (int z = 0; z < NZ; z++) {
      store(f.out + f.out_at[at + i] + z * L, a[i][z]);
      sums[z] += a[i][z];
    }
  }
  if (f.position_sums) across<PX>(a, f.position_sums + at);
}

// Lines of the weights that an entry's row begins with, counted in vectors.
constexpr int kLineVectors = 16 / L;

// What a tile fetches for later: rows of its own that come next (the first tile of a block), or every row of the
// block after it: first lines or all the others, so that two tiles share the work.
enum Fetch { kOwn, kNextFirst, kNextRest, kNextAll, kNothing };

template <int PX, int NZ, Fetch FETCH>
inline void direct_tile(const Direct &d, int at, V (&sums)[NZ]) {
  const float *x[PX];
  V a[PX][NZ];
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    x[i] = d.x + d.x_at[at + i];
#pragma GCC unroll 2
    for (int z = 0; z < NZ; z++) a[i][z] = load(d.bias + z * L);
  }
  const float *weights = d.weights;
  const Entry *end = d.list + d.n_list;
  for (const Entry *entry = d.list; entry != end; entry++) {
    const int64_t offset = entry->x;
    const float *row = weights + static_cast<int64_t>(entry->row) * (NZ * L);
    const float *ahead = FETCH == kOwn ? weights + static_cast<int64_t>(entry[kAhead].row) * (NZ * L)
                                       : d.next + static_cast<int64_t>(entry->row) * (NZ * L);
    V w[NZ];
#pragma GCC unroll 2
    for (int z = 0; z < NZ; z++) {
      const bool line = z % kLineVectors == 0, wanted = FETCH == kNextFirst ? z == 0 : FETCH == kNextRest ? z > 0 : FETCH != kNothing;
      if (line && wanted) __builtin_prefetch(ahead + z * L);
      w[z] = load(row + z * L);
    }
#pragma GCC unroll 8
    for (int i = 0; i < PX; i++) {
      const float value = x[i][offset];
#pragma GCC unroll 2
      for (int z = 0; z < NZ; z++) a[i][z] += value * w[z];
    }
  }
  finish<PX, NZ>(a, d.finish, at, sums);
}

template <int NZ>
inline void put_sums(const Finish &f, V (&sums)[NZ]) {
  if (!f.channel_sums) return;
#pragma GCC unroll 2
  for (int z = 0; z < NZ; z++) store(f.channel_sums + z * L, sums[z]);
}

template <int NZ>
void direct_vectors(const Direct &d) {
  V sums[NZ] = {};
  const int n = d.finish.n_pixels;
  int at = 0;
  if (n >= P) direct_tile<P, NZ, kOwn>(d, 0, sums), at = P;
  const int last = n / P * P - P, late = last - P;  // the last two tiles fetch what comes next
  for (; at + P <= n; at += P) {
    if (!d.next || at < late)
      direct_tile<P, NZ, kNothing>(d, at, sums);
    else if (late < P)
      direct_tile<P, NZ, kNextAll>(d, at, sums);
    else if (at == late)
      direct_tile<P, NZ, kNextFirst>(d, at, sums);
    else
      direct_tile<P, NZ, kNextRest>(d, at, sums);
  }
  for (; at + 4 <= n; at += 4) direct_tile<4, NZ, kOwn>(d, at, sums);
  for (; at + 2 <= n; at += 2) direct_tile<2, NZ, kOwn>(d, at, sums);
  for (; at < n; at++) direct_tile<1, NZ, kOwn>(d, at, sums);
  put_sums<NZ>(d.finish, sums);
}

void direct(const Direct &d) {
  if (d.vectors == 2)
    direct_vectors<2>(d);
  else
    direct_vectors<1>(d);
}

template <int PX, int NZ, bool FETCH = false>
inline void scatter_tile(const Scatter &s, int at) {
  const float *x[PX];
  V a[PX][NZ];
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    x[i] = s.x + s.x_at[at + i];
    const float *sum = s.sums + static_cast<int64_t>(s.sum_at[at + i]) * (NZ * L);
#pragma GCC unroll 2
    for (int z = 0; z < NZ; z++) a[i][z] = load(sum + z * L);
  }
  const float *weights = s.weights;
  const int32_t *end = s.channels + s.n_channels;
  for (const int32_t *channel = s.channels; channel != end; channel++) {
    const int64_t c = *channel;
    const float *row = weights + c * (NZ * L);
    const float *ahead = FETCH ? weights + static_cast<int64_t>(channel[kAhead]) * (NZ * L) : nullptr;
    V w[NZ];
#pragma GCC unroll 2
    for (int z = 0; z < NZ; z++) {
      if (FETCH && z % kLineVectors == 0) __builtin_prefetch(ahead + z * L);
      w[z] = load(row + z * L);
    }
#pragma GCC unroll 8
    for (int i = 0; i < PX; i++) {
      const float value = x[i][c];
#pragma GCC unroll 2
      for (int z = 0; z < NZ; z++) a[i][z] += value * w[z];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    float *sum = s.sums + static_cast<int64_t>(s.sum_at[at + i]) * (NZ * L);
#pragma GCC unroll 2
    for (int z = 0; z < NZ; z++) store(sum + z * L, a[i][z]);
  }
}

template <int NZ>
void scatter_vectors(const Scatter &s) {
  const int n = s.n_positions;
  int at = 0;
  if (n >= P) scatter_tile<P, NZ, true>(s, 0), at = P;  // it finds the weights of a tap for the others
  for (; at + P <= n; at += P) scatter_tile<P, NZ>(s, at);
  switch (n - at) {
    case 7: scatter_tile<4, NZ>(s, at), at += 4; [[fallthrough]];
    case 3: scatter_tile<3, NZ>(s, at); break;
    case 6: scatter_tile<6, NZ>(s, at); break;
    case 5: scatter_tile<5, NZ>(s, at); break;
    case 4: scatter_tile<4, NZ>(s, at); break;
    case 2: scatter_tile<2, NZ>(s, at); break;
    case 1: scatter_tile<1, NZ>(s, at); break;
    default: break;
  }
}

void scatter(const Scatter &s) {
  if (s.vectors == 2)
    scatter_vectors<2>(s);
  else
    scatter_vectors<1>(s);
}

template <int PX, int NZ>
inline void strip_tile(const Strip &s, int at, V (&sums)[NZ]) {
  V a[PX][NZ];
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    const float *from = s.sums + static_cast<int64_t>(s.sum_at[at + i] - s.first) * (NZ * L);
#pragma GCC unroll 2
    for (int z = 0; z < NZ; z++) a[i][z] = load(from + z * L);
  }
  finish<PX, NZ>(a, s.finish, at, sums);
}

template <int NZ>
void strip_vectors(const Strip &s) {
  V sums[NZ] = {};
  const int n = s.finish.n_pixels;
  int at = 0;
  for (; at + 4 <= n; at += 4) strip_tile<4, NZ>(s, at, sums);
  for (; at < n; at++) strip_tile<1, NZ>(s, at, sums);
  put_sums<NZ>(s.finish, sums);
}

void strip(const Strip &s) {
  if (s.vectors == 2)
    strip_vectors<2>(s);
  else
    strip_vectors<1>(s);
}

inline int count_from(const int32_t *keys, int n, int32_t least) {
  I counts = {};
  for (int i = 0; i < n; i += L) counts -= *reinterpret_cast<const I *>(keys + i) >= least;
  int all = 0;
  for (int i = 0; i < L; i++) all += counts[i];
  return all;
}

void select(const float *scores, int n, int kept, int32_t *keys, int32_t *chosen) {
  if (kept >= n) {
    for (int i = 0; i < n; i++) chosen[i] = i;
    return;
  }
  // Keys have the order of the scores as signed numbers; -0 equals 0.
  for (int i = 0; i < n; i++) {
    const float score = scores[i] + 0.0f;
    int32_t bits;
    __builtin_memcpy(&bits, &score, 4);
    bits ^= (bits >> 31) & 0x7fffffff;
    keys[i] = score != score ? 0x7fffffff : bits;
  }
  const int filled = (n + 15) / 16 * 16;
  for (int i = n; i < filled; i++) keys[i] = INT32_MIN;
  // The largest threshold that `kept` keys or more reach, bit by bit.
  uint32_t threshold = 0;
  int reach = n;
  for (int bit = 31; bit >= 0 && reach != kept; bit--) {
    const uint32_t higher = threshold | (1u << bit);
    const int count = count_from(keys, filled, static_cast<int32_t>(higher ^ 0x80000000u));
    if (count >= kept) threshold = higher, reach = count;
  }
  const int32_t least = static_cast<int32_t>(threshold ^ 0x80000000u);
  int above = kept;
  if (reach != kept) above = least == INT32_MAX ? 0 : count_from(keys, filled, least + 1);
  int ties = reach == kept ? n : kept - above;
  int m = 0;
  for (int i = 0; i < n && m < kept; i++) {
    const int equal = keys[i] == least;
    chosen[m] = i;
    m += (keys[i] > least) | (equal & (ties > 0));
    ties -= equal;
  }
}

void attend(const float *map, const int32_t *at, int n_pixels, int channels, float *channel_sums, float *position_sums) {
  // Pads behind the channels are zero, up to a multiple of 16.
  for (int c = 0; c < channels; c += L) store(channel_sums + c, V{});
  for (int i = 0; i < n_pixels; i++) {
    const float *pixel = map + at[i];
    V all = {};
    for (int c = 0; c < channels; c += L) {
      const V value = load(pixel + c);
      store(channel_sums + c, load(channel_sums + c) + value);
      all += value;
    }
    if (position_sums) position_sums[i] = total(all);
  }
}

}  // namespace
}  // namespace ew
