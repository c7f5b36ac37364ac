// Kept positions that add to the outputs they reach. A part of variant_body.h.
namespace ew {
namespace {

template <int PX, int NZ, int LINES>
__attribute__((noinline)) void scatter_tile(const Scatter &s, int at) {
  const float *x[PX];
  V a[PX][NZ];
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    x[i] = s.x + s.x_at[at + i];
    const float *sum = s.sums + static_cast<int64_t>(s.sum_at[at + i]) * (NZ * L);
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) a[i][z] = load(sum + z * L);
  }
  multiply<PX, NZ, LINES>(a, x, s.list, s.n_list, s.weights, s.fetch, s.later, false);
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    float *sum = s.sums + static_cast<int64_t>(s.sum_at[at + i]) * (NZ * L);
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) store(sum + z * L, a[i][z]);
  }
}

// The tiles share what is to be fetched where they are many: few requests at a time, so that others need not wait.
template <int NZ>
void scatter_taps(const Scatter &all) {
  constexpr int lines = NZ * L < 16 ? 1 : NZ * L / 16, most = pixels_of(NZ);
  Scatter s = all;
  int left = s.fetch ? lines : 0;
  const int tiles = (s.n_positions + most - 1) / most, share = tiles >= lines ? 1 : 2 * tiles >= lines ? (lines + 1) / 2 : lines;
  in_tiles<most>(s.n_positions, 1, [&](auto pixels, int at) {
    constexpr int PX = decltype(pixels)::count;
    if (left <= 0) return scatter_tile<PX, NZ, 0>(s, at);
    if (share == 1)
      scatter_tile<PX, NZ, 1>(s, at);
    else if (share < lines)
      scatter_tile<PX, NZ, (lines + 1) / 2>(s, at);
    else
      scatter_tile<PX, NZ, lines>(s, at);
    left -= share;
    s.later += share * 16;
  });
}

// Three sums for each of PX positions, as a row of three taps adds to three pixels; few enough for the registers.
constexpr int kSums = EW_LANES == 16 ? 24 : 12;
constexpr int positions_of(int vectors) { return kSums / (3 * vectors) > 8 ? 8 : kSums / (3 * vectors); }
constexpr int kLongest = EW_LANES == 16 ? 4 : 3;  // its sums, values and a vector of weights fill the registers

// Adds a list of channels to the sums of positions that meet the three taps of a row. sum(i, k, z): of position i at tap k.
template <int PX, int NZ, int LINES, class Sum>
inline __attribute__((always_inline)) void multiply_rows(const Scatter &s, const float *const (&x)[PX], const Sum &sum) {
  const Entry *fetch = s.fetch, *last = s.list + s.n_list;
  const int64_t wide = s.wide;
  for (const Entry *entry = s.list; entry != last; entry++) {
    const float *row = s.weights + static_cast<int64_t>(entry->row);
    const int64_t offset = entry->x;
    if constexpr (LINES > 0) {
      fetch_lines<LINES>(s.later + static_cast<int64_t>(fetch->row), false);
      fetch += 3;
    }
    float values[PX];
#pragma GCC unroll 8
    for (int i = 0; i < PX; i++) values[i] = x[i][offset];
#pragma GCC unroll 3
    for (int k = 0; k < 3; k++)
#pragma GCC unroll 4
      for (int z = 0; z < NZ; z++) {
        const V w = load(row + k * wide + z * L);
#pragma GCC unroll 8
        for (int i = 0; i < PX; i++) sum(i, k, z) += values[i] * w;
      }
  }
}

// Positions that lie anywhere.
template <int PX, int NZ, int LINES>
__attribute__((noinline)) void scatter_apart(const Scatter &s, const int32_t (&at)[PX]) {
  const float *x[PX];
  float *to[PX];
  V a[PX][3][NZ];
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) {
    x[i] = s.x + s.all_x_at[at[i]];
    to[i] = s.sums + (static_cast<int64_t>(s.all_sum_at[at[i]]) - 2) * (NZ * L);
  }
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++)
#pragma GCC unroll 3
    for (int k = 0; k < 3; k++)
#pragma GCC unroll 4
      for (int z = 0; z < NZ; z++) a[i][k][z] = V{};
  multiply_rows<PX, NZ, LINES>(s, x, [&a](int i, int k, int z) -> V & { return a[i][k][z]; });
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++)  // one after the other: they may add to the same pixels
#pragma GCC unroll 3
    for (int k = 0; k < 3; k++)
#pragma GCC unroll 4
      for (int z = 0; z < NZ; z++) {
        float *sum = to[i] + ((2 - k) * NZ + z) * L;
        store(sum, load(sum) + a[i][k][z]);
      }
}

// Positions side by side, which share most of the pixels that they add to.
template <int PX, int NZ, int LINES>
__attribute__((noinline)) void scatter_together(const Scatter &s, int at) {
  const float *x[PX];
  V a[PX + 2][NZ];
  float *to = s.sums + (static_cast<int64_t>(s.all_sum_at[at]) - 2) * (NZ * L);
#pragma GCC unroll 8
  for (int i = 0; i < PX; i++) x[i] = s.x + s.all_x_at[at + i];
#pragma GCC unroll 8
  for (int i = 0; i < PX + 2; i++)
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) a[i][z] = load(to + (i * NZ + z) * L);
  multiply_rows<PX, NZ, LINES>(s, x, [&a](int i, int k, int z) -> V & { return a[i + 2 - k][z]; });
#pragma GCC unroll 8
  for (int i = 0; i < PX + 2; i++)
#pragma GCC unroll 4
    for (int z = 0; z < NZ; z++) store(to + (i * NZ + z) * L, a[i][z]);
}

// Calls work with the lines of each entry to be fetched as a type: shares of what is left, as equal as they can be.
template <int NZ>
struct Fetching {
  static constexpr int kLines = 3 * NZ * L < 16 ? 1 : 3 * NZ * L / 16;
  int left, calls;

  template <class Work>
  void share(Scatter &s, const Work &work) {
    if (left <= 0) return work(Count<0>());
    const int even = (left + calls - 1) / (calls > 1 ? calls : 1);
    const int now = even <= 1 ? 1 : even <= 3 ? 3 : kLines;
    if (now >= kLines)
      work(Count<kLines>());
    else if (now == 3)
      work(Count<(kLines < 3 ? kLines : 3)>());
    else
      work(Count<1>());
    left -= now, calls--;
    s.later += now * 16;
  }
};

template <int NZ>
void scatter_pieces(const Scatter &all) {
  Scatter s = all;
  constexpr int most = positions_of(NZ);
  Fetching<NZ> fetching{s.fetch ? Fetching<NZ>::kLines : 0, NZ == EW_VECTORS ? s.n_pieces : (s.n_positions + most - 1) / most};
  if constexpr (NZ == EW_VECTORS) {
    for (const Piece *piece = s.pieces, *last = piece + s.n_pieces; piece != last; piece++)
      fetching.share(s, [&](auto fetched) {
        constexpr int LINES = decltype(fetched)::count;
        switch (piece->n) {
          case 1:
            if constexpr (most > 1)
              if (piece->second >= 0) return scatter_apart<2, NZ, LINES>(s, {piece->first, piece->second});
            return scatter_apart<1, NZ, LINES>(s, {piece->first});
          case 2: return scatter_together<2, NZ, LINES>(s, piece->first);
          case 3: return scatter_together<3, NZ, LINES>(s, piece->first);
          default: return scatter_together<kLongest, NZ, LINES>(s, piece->first);
        }
      });
  } else {
    const int first = static_cast<int>(s.x_at - s.all_x_at);
    in_tiles<most>(s.n_positions, 1, [&](auto pixels, int at) {
      constexpr int PX = decltype(pixels)::count;
      int32_t places[PX];
      for (int i = 0; i < PX; i++) places[i] = first + at + i;
      fetching.share(s, [&](auto fetched) { scatter_apart<PX, NZ, decltype(fetched)::count>(s, places); });
    });
  }
}

void scatter(const Scatter &s) {
  with_vectors(s.vectors, [&](auto vectors) {
    if (s.pieces) return scatter_pieces<decltype(vectors)::count>(s);
    scatter_taps<decltype(vectors)::count>(s);
  });
}

}  // namespace
}  // namespace ew
